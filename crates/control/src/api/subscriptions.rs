//! `/v1/subscriptions`: which events an endpoint gets.

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::{Example, MaybeUndefined},
};
use postrider_domain::{EndpointId, SubscriptionId, Timestamp};
use postrider_postgres::subscriptions::{self, SubscriptionRow};
use serde::Deserialize;
use serde_json::json;

use super::{
    access::Authenticated,
    body::Body,
    etag::{self, CreatedVersion, Versioned},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{ActionProblem, ChangeProblem, Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::{Done, Found},
    schema::{FilterJson, MappingJson, Time, example_mapping},
    state::ApiState,
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{self, Edit, endpoints::NewSubscription, subscriptions::SubscriptionPatch},
};

/// The operations.
pub(crate) struct Subscriptions;

/// A subscription that is to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct SubscriptionInput {
    /// The endpoint that it belongs to.
    endpoint_id: String,
    /// The event types that it wants: exact (`order.created`), all below a prefix (`order.*`), or all (`*`).
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Vec<String>,
    /// What must hold besides the type; everything matches if not given.
    filter: Option<FilterJson>,
    /// What is sent instead of the endpoint's usual request.
    mapping: Option<MappingJson>,
}

/// What of a subscription is to be changed; what is not given stays.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct SubscriptionPatchInput {
    /// The event types that it wants.
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Option<Vec<String>>,
    /// What must hold besides the type; null removes the filter.
    #[serde(default)]
    filter: MaybeUndefined<FilterJson>,
    /// What is sent instead of the endpoint's usual request; null removes the mapping.
    #[serde(default)]
    mapping: MaybeUndefined<MappingJson>,
}

/// Which events an endpoint gets. Where several of an endpoint match an event, one delivery is sent.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Subscription {
    /// Its id: `sub_` and 26 letters and digits.
    id: String,
    /// The endpoint that it belongs to.
    endpoint_id: String,
    /// The event types that it wants.
    event_types: Vec<String>,
    /// What must hold besides the type.
    filter: Option<FilterJson>,
    /// What is sent instead of the endpoint's usual request.
    mapping: Option<MappingJson>,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

fn example_filter() -> FilterJson {
    FilterJson(json!({"all": [{"field": "data.total", "operator": "greater_than", "value": 100}]}))
}

impl Example for SubscriptionInput {
    fn example() -> Self {
        Self {
            endpoint_id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            event_types: vec!["order.*".to_owned()],
            filter: Some(example_filter()),
            mapping: Some(MappingJson(example_mapping())),
        }
    }
}

impl Example for SubscriptionPatchInput {
    fn example() -> Self {
        Self {
            event_types: Some(vec!["order.created".to_owned(), "order.paid".to_owned()]),
            filter: MaybeUndefined::Value(example_filter()),
            mapping: MaybeUndefined::Null,
        }
    }
}

impl Example for Subscription {
    fn example() -> Self {
        Self {
            id: "sub_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            endpoint_id: "ep_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            event_types: vec!["order.*".to_owned()],
            filter: Some(example_filter()),
            mapping: Some(MappingJson(example_mapping())),
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            updated_at: Time(Timestamp::from_millis(1_769_860_800_000)),
        }
    }
}

impl From<SubscriptionRow> for Subscription {
    fn from(row: SubscriptionRow) -> Self {
        Self {
            id: row.id.to_string(),
            endpoint_id: row.endpoint.to_string(),
            event_types: row.event_types.iter().map(ToString::to_string).collect(),
            filter: row.filter.map(|filter| FilterJson(filter.to_json())),
            mapping: row.mapping.map(|mapping| MappingJson(mapping.to_json())),
            created_at: Time(row.created_at),
            updated_at: Time(row.updated_at),
        }
    }
}

impl From<SubscriptionRow> for Versioned<Subscription> {
    fn from(row: SubscriptionRow) -> Self {
        Self { version: row.version, body: row.into() }
    }
}

impl From<SubscriptionRow> for CreatedVersion<Subscription> {
    fn from(row: SubscriptionRow) -> Self {
        Self { version: row.version, body: row.into() }
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Subscriptions",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Subscriptions {
    /// Subscribe an endpoint to events
    ///
    /// Scope `subscriptions:write`. Takes effect for events that are matched from about a second later.
    #[oai(path = "/subscriptions", method = "post", operation_id = "createSubscription")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<SubscriptionInput>,
    ) -> Result<CreatedVersion<Subscription>, WriteProblem> {
        let tenant = auth.tenant(Scope::SubscriptionsWrite)?;
        let input = body.0;
        let missing = || Problem::not_found("endpoint", &input.endpoint_id).at("/endpoint_id");
        let endpoint: EndpointId = input.endpoint_id.parse().map_err(|_| missing())?;
        let new = NewSubscription {
            event_types: validate::event_types("/event_types", &input.event_types)?,
            filter: input.filter.as_ref().map(|filter| validate::filter("/filter", filter)).transpose()?,
            mapping: input.mapping.as_ref().map(|mapping| validate::mapping("/mapping", mapping)).transpose()?,
        };
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let row = manage::subscriptions::create(edit, tenant, &endpoint, new, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, &input.endpoint_id).at("/endpoint_id"))?;
        Ok(row.into())
    }

    /// List subscriptions
    ///
    /// Scope `subscriptions:read`. Oldest first.
    #[oai(path = "/subscriptions", method = "get", operation_id = "listSubscriptions")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those of this endpoint.
        endpoint_id: Query<Option<String>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Subscription>>, ReadProblem> {
        let tenant = auth.tenant(Scope::SubscriptionsRead)?;
        let endpoint = endpoint_id
            .0
            .as_deref()
            .map(str::parse::<EndpointId>)
            .transpose()
            .map_err(|error| Problem::new(ProblemKind::BadRequest, error.to_string()).at("endpoint_id"))?;
        let page = PageRequest::<SubscriptionId>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let rows =
            subscriptions::list(&mut conn, tenant, endpoint.as_ref(), page.after.as_ref(), page.rows_to_read()).await?;
        Ok(Found(page.page(rows, |row| row.id.to_string(), |row| Ok(row.into()))?))
    }

    /// Get a subscription
    ///
    /// Scope `subscriptions:read`.
    #[oai(path = "/subscriptions/:id", method = "get", operation_id = "getSubscription")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The subscription's id.
        id: Path<String>,
    ) -> Result<Versioned<Subscription>, ReadProblem> {
        let tenant = auth.tenant(Scope::SubscriptionsRead)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = subscriptions::get(&mut conn, tenant, &parse_id(&id)?).await?;
        Ok(row.ok_or_else(|| Problem::not_found("subscription", &id))?.into())
    }

    /// Change a subscription
    ///
    /// Scope `subscriptions:write`. JSON Merge Patch (RFC 7396), as `application/json` or
    /// `application/merge-patch+json`: only what is given changes.
    #[oai(path = "/subscriptions/:id", method = "patch", operation_id = "updateSubscription")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The subscription's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<SubscriptionPatchInput>,
    ) -> Result<Versioned<Subscription>, ChangeProblem> {
        let tenant = auth.tenant(Scope::SubscriptionsWrite)?;
        let subscription = parse_id(&id)?;
        let event_types = body.0.event_types.as_deref();
        let patch = SubscriptionPatch {
            event_types: event_types.map(|texts| validate::event_types("/event_types", texts)).transpose()?,
            filter: match &body.0.filter {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(filter) => Some(Some(validate::filter("/filter", filter)?)),
            },
            mapping: match &body.0.mapping {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(mapping) => Some(Some(validate::mapping("/mapping", mapping)?)),
            },
        };
        let precondition = etag::if_match(if_match.as_deref())?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        let row = manage::subscriptions::update(edit, tenant, &subscription, patch)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(row.into())
    }

    /// Delete a subscription
    ///
    /// Scope `subscriptions:write`. Deliveries that were matched before are still sent.
    #[oai(path = "/subscriptions/:id", method = "delete", operation_id = "deleteSubscription")]
    async fn delete(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The subscription's id.
        id: Path<String>,
        /// Makes the change only if this is still the `ETag` of what is to be changed.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Done, ActionProblem> {
        let tenant = auth.tenant(Scope::SubscriptionsWrite)?;
        let precondition = etag::if_match(if_match.as_deref())?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now()).only_if(&precondition);
        manage::subscriptions::delete(edit, tenant, &parse_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

fn parse_id(text: &str) -> Result<SubscriptionId, Problem> {
    text.parse().map_err(|_| Problem::not_found("subscription", text))
}

//! `/v1/event-types`: the catalogue of event types, one for the whole deployment.

use std::str::FromStr;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::{
    event_type::Catalogue,
    pattern::{InvalidEventType, validate_event_type},
};
use postrider_postgres::event_types::{self, EventTypeFilter};

use super::{
    access::Authenticated,
    body::Body,
    event_type_types::{CatalogueJson, DocumentJson, EventType, EventTypeInput, EventTypePatchInput, ImportReport},
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    state::ApiState,
    validate,
};
use crate::{
    audit::Actor,
    auth::Scope,
    clock,
    manage::event_types::{self as catalogue, CatalogueEdit},
};

/// The operations.
pub(crate) struct EventTypes;

#[OpenApi(prefix_path = "/v1", tag = "Tag::EventTypes")]
impl EventTypes {
    /// Make an event type
    ///
    /// Operator keys only, scope `event-types:write`. Events are validated against it from about a second later.
    #[oai(path = "/event-types", method = "post", operation_id = "createEventType")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<EventTypeInput>,
    ) -> Result<Created<EventType>, WriteProblem> {
        auth.operator(Scope::EventTypesWrite)?;
        let actor = auth.0.actor();
        let row = catalogue::create(edit(state, &actor), body.0.into(), &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, ""))?;
        Ok(Created(row.into()))
    }

    /// List event types
    ///
    /// Scope `event-types:read`, with a tenant's key or an operator's. In the order of their names.
    #[oai(path = "/event-types", method = "get", operation_id = "listEventTypes")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those under this heading.
        #[oai(validator(max_length = 200))]
        group: Query<Option<String>>,
        /// Only those that are archived (`true`), or that are not (`false`).
        archived: Query<Option<bool>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<EventType>>, ReadProblem> {
        auth.deployment(Scope::EventTypesRead)?;
        let page = PageRequest::<Name>::parse(cursor.0.as_deref(), limit.0)?;
        let filter = EventTypeFilter { group: heading(group.0.as_deref())?, archived: archived.0 };
        let mut conn = state.pool.acquire().await?;
        let rows = event_types::list(&mut conn, &filter, page.after.as_ref().map(|name| &*name.0), page.rows_to_read());
        let rows = rows.await?;
        Ok(Found(page.page(rows, |row| row.name.clone(), |row| Ok(row.into()))?))
    }

    /// Export event types
    ///
    /// Scope `event-types:read`, with a tenant's key or an operator's. All at once, as a document that can be imported.
    #[oai(path = "/event-types/export", method = "get", operation_id = "exportEventTypes")]
    async fn export(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only those under this heading.
        #[oai(validator(max_length = 200))]
        group: Query<Option<String>>,
        /// Only those that are archived (`true`), or that are not (`false`).
        archived: Query<Option<bool>>,
    ) -> Result<Found<CatalogueJson>, ReadProblem> {
        auth.deployment(Scope::EventTypesRead)?;
        let filter = EventTypeFilter { group: heading(group.0.as_deref())?, archived: archived.0 };
        let mut conn = state.pool.acquire().await?;
        Ok(Found(CatalogueJson(catalogue::export(&mut conn, &filter).await?)))
    }

    /// Import event types
    ///
    /// Operator keys only, scope `event-types:write`. Makes those that are not there and changes those that are
    /// different, all or none; others stay as they are, and so do group, `validation` and `archived` where the document
    /// does not give them. It is a catalogue, or an OpenAPI 3.1 or 3.2 document with `webhooks`, in JSON; large ones need a larger `api.max_body_bytes`, or `postrider event-types import`.
    #[oai(path = "/event-types/import", method = "post", operation_id = "importEventTypes")]
    async fn import(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// Only report what would be done.
        dry_run: Query<Option<bool>>,
        body: Body<DocumentJson>,
    ) -> Result<Found<ImportReport>, WriteProblem> {
        auth.operator(Scope::EventTypesWrite)?;
        let read = Catalogue::read(body.0.0.get()).map_err(|error| Problem::field(error.at, error.why))?;
        let (actor, dry_run) = (auth.0.actor(), dry_run.0.unwrap_or_default());
        let imported = catalogue::import(edit(state, &actor), read, dry_run, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, ""))?;
        Ok(Found(ImportReport::new(imported, dry_run)))
    }

    /// Get an event type
    ///
    /// Scope `event-types:read`, with a tenant's key or an operator's.
    #[oai(path = "/event-types/:id", method = "get", operation_id = "getEventType")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The event type's id, or its name (with `/` written as `%2F`).
        id: Path<String>,
    ) -> Result<Found<EventType>, ReadProblem> {
        auth.deployment(Scope::EventTypesRead)?;
        let mut conn = state.pool.acquire().await?;
        let row = event_types::get(&mut conn, known_form(&id)?).await?;
        Ok(Found(row.ok_or_else(|| Problem::not_found("event type", &id))?.into()))
    }

    /// Change an event type
    ///
    /// Operator keys only, scope `event-types:write`. Only what is given changes. `{"archived": true}` marks it as of
    /// the past.
    #[oai(path = "/event-types/:id", method = "patch", operation_id = "updateEventType")]
    async fn update(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The event type's id, or its name (with `/` written as `%2F`).
        id: Path<String>,
        body: Body<EventTypePatchInput>,
    ) -> Result<Found<EventType>, WriteProblem> {
        auth.operator(Scope::EventTypesWrite)?;
        let actor = auth.0.actor();
        let row = catalogue::update(edit(state, &actor), known_form(&id)?, body.0.into())
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// Delete an event type
    ///
    /// Operator keys only, scope `event-types:write`. Its events are then matched like those of any type that the
    /// catalogue does not have: not validated.
    #[oai(path = "/event-types/:id", method = "delete", operation_id = "deleteEventType")]
    async fn delete(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The event type's id, or its name (with `/` written as `%2F`).
        id: Path<String>,
    ) -> Result<Done, ReadProblem> {
        auth.operator(Scope::EventTypesWrite)?;
        let actor = auth.0.actor();
        catalogue::delete(edit(state, &actor), known_form(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }
}

fn edit<'a>(state: &'a ApiState, actor: &'a Actor) -> CatalogueEdit<'a> {
    CatalogueEdit { pool: &state.pool, actor, now: clock::now() }
}

/// The name of an event type, where a page ended.
struct Name(String);

impl FromStr for Name {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        validate_event_type(text).map(|()| Self(text.to_owned()))
    }
}

/// An id or a name, if it can be one: ids have the form of names.
fn known_form(id_or_name: &str) -> Result<&str, Problem> {
    validate_event_type(id_or_name).map(|()| id_or_name).map_err(|_| Problem::not_found("event type", id_or_name))
}

/// A heading to compare with what is stored, which never has control characters.
fn heading(group: Option<&str>) -> Result<Option<&str>, Problem> {
    match group {
        Some(text) if text.chars().any(char::is_control) => {
            Err(Problem::new(ProblemKind::BadRequest, "the group has control characters; remove them").at("group"))
        }
        group => Ok(group),
    }
}

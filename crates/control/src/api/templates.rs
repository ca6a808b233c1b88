//! `/v1/templates`: what endpoints are made of.

use std::collections::BTreeMap;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use postrider_domain::{
    TemplateId, TenantId,
    retry::RetryPolicy,
    template::{Instance, Template as DomainTemplate, TemplateError, built_in, built_ins},
};
use postrider_postgres::{PgConnection, secrets::SecretKind, templates};

use super::{
    access::Authenticated,
    body::{Body, escaped},
    endpoint_types::CreatedEndpoint,
    etag::CreatedVersion,
    openapi::Tag,
    pagination::{Page, PageRequest},
    problem::{Problem, ProblemKind, ReadProblem, WriteProblem},
    respond::{Created, Done, Found},
    schema::SecretJson,
    state::ApiState,
    template_types::{DocumentJson, RenderInput, RenderedTemplate, Template, TemplateEndpointInput},
    validate,
};
use crate::{
    auth::Scope,
    clock,
    manage::{
        self, Edit,
        endpoint_metadata::MetadataPatch,
        endpoint_settings::SettingsPatch,
        endpoints::{NewEndpoint, NewSubscription},
        secrets::NewSecret,
    },
    secret_text::SecretText,
};

/// The deadline of one attempt of an endpoint that is made of a template, milliseconds.
const TIMEOUT_MS: u32 = 30_000;

/// The operations.
pub(crate) struct Templates;

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Templates",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Templates {
    /// List templates
    ///
    /// Scope `templates:read`. Those that come with Postrider, then the tenant's own, oldest first.
    #[oai(path = "/templates", method = "get", operation_id = "listTemplates")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// How many at most: 1 to 100, 20 if not given.
        limit: Query<Option<u32>>,
    ) -> Result<Found<Page<Template>>, ReadProblem> {
        let tenant = auth.tenant(Scope::TemplatesRead)?;
        let page = PageRequest::<String>::parse(cursor.0.as_deref(), limit.0)?;
        let mut conn = state.pool.tenant(tenant).await?;
        let found = list(&mut conn, tenant, page.after.as_deref(), page.rows_to_read()).await?;
        Ok(Found(page.page(found, |template| template.id().to_owned(), Ok)?))
    }

    /// Get a template
    ///
    /// Scope `templates:read`.
    #[oai(path = "/templates/:id", method = "get", operation_id = "getTemplate")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The template's id.
        id: Path<String>,
    ) -> Result<Found<Template>, ReadProblem> {
        let tenant = auth.tenant(Scope::TemplatesRead)?;
        if let Some(built_in) = built_in(&id) {
            return Ok(Found(built_in.into()));
        }
        let mut conn = state.pool.tenant(tenant).await?;
        let row = templates::get(&mut conn, tenant, &parse_id(&id)?).await?;
        Ok(Found(row.ok_or_else(|| Problem::not_found("template", &id))?.into()))
    }

    /// Save a template
    ///
    /// Scope `templates:write`. It is instantiated with its parameters' examples to see whether it can be.
    #[oai(path = "/templates", method = "post", operation_id = "createTemplate")]
    async fn create(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        body: Body<DocumentJson>,
    ) -> Result<Created<Template>, WriteProblem> {
        let tenant = auth.tenant(Scope::TemplatesWrite)?;
        let template = body.0.check()?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let row = manage::templates::create(edit, tenant, template, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, tenant.as_str()))?;
        Ok(Created(row.into()))
    }

    /// Replace a template
    ///
    /// Scope `templates:write`. Endpoints that were made of the old one stay as they are.
    #[oai(path = "/templates/:id", method = "put", operation_id = "replaceTemplate")]
    async fn replace(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The template's id.
        id: Path<String>,
        body: Body<DocumentJson>,
    ) -> Result<Found<Template>, WriteProblem> {
        let tenant = auth.tenant(Scope::TemplatesWrite)?;
        let own = parse_own_id(&id)?;
        let template = body.0.check()?;
        let actor = auth.0.actor();
        let row = manage::templates::replace(Edit::new(state, &actor, clock::now()), tenant, &own, template)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Found(row.into()))
    }

    /// Delete a template
    ///
    /// Scope `templates:write`. Endpoints that were made of it stay as they are.
    #[oai(path = "/templates/:id", method = "delete", operation_id = "deleteTemplate")]
    async fn delete(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The template's id.
        id: Path<String>,
    ) -> Result<Done, ReadProblem> {
        let tenant = auth.tenant(Scope::TemplatesWrite)?;
        let actor = auth.0.actor();
        manage::templates::delete(Edit::new(state, &actor, clock::now()), tenant, &parse_own_id(&id)?)
            .await
            .map_err(|error| validate::not_managed(error, &id))?;
        Ok(Done)
    }

    /// Render a template
    ///
    /// Scope `templates:read`. The request that an endpoint made of the template would be sent for an event. Nothing
    /// is sent or kept.
    #[oai(path = "/templates/:id/render", method = "post", operation_id = "renderTemplate")]
    async fn render(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The template's id.
        id: Path<String>,
        body: Body<RenderInput>,
    ) -> Result<Found<RenderedTemplate>, WriteProblem> {
        let tenant = auth.tenant(Scope::TemplatesRead)?;
        let template = find(state, tenant, &id).await?;
        let instance = match &body.0.parameters {
            Some(parameters) => instantiate(&template, parameters)?,
            None => template.instantiate(&template.examples()).map_err(|error| refused(&error))?,
        };
        let sample = template.document().sample.as_ref().map(|sample| sample.event.clone());
        let event = body.0.event.map(|event| event.event()).or(sample);
        let event = event.ok_or_else(|| Problem::field("/event", "the template has no sample: give an event"))?;
        let request = instance
            .request(&event.event(tenant.clone(), clock::now()))
            .map_err(|error| Problem::field("/event", error.to_string()))?;
        Ok(Found(request.into()))
    }

    /// Make an endpoint of a template
    ///
    /// Scope `endpoints:write`. Makes the endpoint with one subscription. Both can be changed afterwards like any
    /// others, and know nothing of the template any more. The answer is the only one that shows the signing secret.
    #[oai(path = "/templates/:id/endpoints", method = "post", operation_id = "createEndpointFromTemplate")]
    async fn create_endpoint(
        &self,
        Data(state): Data<&ApiState>,
        auth: Authenticated,
        /// The template's id.
        id: Path<String>,
        body: Body<TemplateEndpointInput>,
    ) -> Result<CreatedVersion<CreatedEndpoint>, WriteProblem> {
        let tenant = auth.tenant(Scope::EndpointsWrite)?;
        let template = find(state, tenant, &id).await?;
        let new = new_endpoint(&template, body.0, state).await?;
        let actor = auth.0.actor();
        let edit = Edit::new(state, &actor, clock::now());
        let created = manage::endpoints::create(edit, tenant, new, &mut clock::rng())
            .await
            .map_err(|error| validate::not_managed(error, tenant.as_str()))?;
        let version = created.endpoint.version;
        Ok(CreatedVersion { body: CreatedEndpoint::of(created, &state.key_ring)?, version })
    }
}

/// Up to `limit` templates after the one given: those that come with Postrider, then the tenant's own.
async fn list(
    conn: &mut PgConnection,
    tenant: &TenantId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Template>, Problem> {
    let after_own = after.map(str::parse::<TemplateId>).and_then(Result::ok);
    let passed = match (after, &after_own) {
        (None, _) => 0,
        (Some(_), Some(_)) => built_ins().len(),
        (Some(id), None) => 1 + built_ins().iter().position(|it| it.id == id).ok_or_else(not_a_cursor)?,
    };
    let room = usize::try_from(limit).unwrap_or_default();
    let mut found: Vec<Template> = built_ins()[passed..].iter().take(room).map(Into::into).collect();
    let room_left = i64::try_from(room - found.len()).unwrap_or_default();
    let own = templates::list(conn, tenant, after_own.as_ref(), room_left).await?;
    found.extend(own.into_iter().map(Template::from));
    Ok(found)
}

fn not_a_cursor() -> Problem {
    Problem::new(ProblemKind::BadRequest, "the cursor is not one that this list gave as next_cursor").at("cursor")
}

/// The template that can be instantiated.
async fn find(state: &ApiState, tenant: &TenantId, id: &str) -> Result<DomainTemplate, Problem> {
    if let Some(built_in) = built_in(id) {
        return Ok(built_in.template.clone());
    }
    let mut conn = state.pool.tenant(tenant).await?;
    let row = templates::get(&mut conn, tenant, &parse_id(id)?).await?;
    let row = row.ok_or_else(|| Problem::not_found("template", id))?;
    // What was saved under rules of the past may not be one by today's.
    DomainTemplate::new(row.document)
        .map_err(|error| Problem::new(ProblemKind::Validation, format!("the template has to be replaced: {error}")))
}

fn instantiate(template: &DomainTemplate, parameters: &BTreeMap<String, SecretJson>) -> Result<Instance, Problem> {
    let given = parameters.iter().map(|(name, value)| (name.as_str(), value.0.reveal())).collect();
    template.instantiate(&given).map_err(|error| refused(&error))
}

fn refused(error: &TemplateError) -> Problem {
    Problem::field(parameter_field(error.parameter()), error.to_string())
}

fn parameter_field(name: &str) -> String {
    format!("/parameters/{}", escaped(name))
}

/// The endpoint and its subscription, every value checked.
async fn new_endpoint(
    template: &DomainTemplate,
    input: TemplateEndpointInput,
    state: &ApiState,
) -> Result<NewEndpoint, Problem> {
    let instance = instantiate(template, &input.parameters)?;
    let name = input.name.unwrap_or_else(|| template.document().name.clone());
    let filter = input.filter.as_ref().map(|filter| validate::filter("/filter", filter)).transpose()?;
    let event_types = match &input.event_types {
        Some(texts) => validate::event_types("/event_types", texts)?,
        None => instance.event_types,
    };
    let url_field = template.host_parameter().map_or_else(|| "/parameters".to_owned(), parameter_field);
    let headers = instance.headers.iter().map(|(name, value)| (name.clone(), Some(SecretText::new(value.reveal()))));
    Ok(NewEndpoint {
        name: validate::name("/name", &name)?,
        description: validate::description("/description", input.description)?,
        enabled: input.enabled.unwrap_or(true),
        timeout_ms: TIMEOUT_MS,
        retry: RetryPolicy::default(),
        settings: SettingsPatch {
            rate_limit: input.rate_limit.map(|limit| Some(limit.0)),
            signing: Some(instance.signing),
            body: Some(instance.body),
            headers: headers.collect(),
            ..SettingsPatch::default()
        },
        metadata: MetadataPatch::default(),
        verification: None,
        rotation: None,
        secret: NewSecret::Generated(SecretKind::Hmac),
        subscriptions: vec![NewSubscription { event_types, filter, mapping: instance.mapping }],
        // Last: it may ask a name server.
        target: validate::url(&url_field, instance.url.reveal(), state).await?,
    })
}

fn parse_id(text: &str) -> Result<TemplateId, Problem> {
    text.parse().map_err(|_| Problem::not_found("template", text))
}

/// The id of a template that can be changed.
fn parse_own_id(text: &str) -> Result<TemplateId, Problem> {
    if built_in(text).is_some() {
        let detail = format!("'{text}' comes with Postrider: save a changed copy of it as a template of your own");
        return Err(Problem::new(ProblemKind::Forbidden, detail));
    }
    parse_id(text)
}

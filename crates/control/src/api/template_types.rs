//! What requests and answers about templates look like.

use std::{borrow::Cow, collections::BTreeMap};

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use postrider_domain::{
    TenantId, Timestamp,
    delivery::Method,
    template::{self, Auth, BuiltIn, InvalidTemplate, RenderedRequest, SampleEvent, built_in},
};
use postrider_postgres::templates::TemplateRow;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    endpoint_setting_types::{BodyJson, RateLimitJson, SigningJson},
    problem::Problem,
    schema::{FilterJson, SecretJson, Time, documented_type},
};
use crate::secret_text::SecretText;

/// A template: what an endpoint and its subscription are to be made of, with parameters. `{{name}}` in the URL, in the
/// values of `headers` and in `auth` stands for a parameter's value, and so does `{"$parameter": "name"}` in the
/// mapping. What the template itself says is not kept secret: make a secret a parameter.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "TemplateDocument", deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentJson {
    /// Its name, for people.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What it does, and what the platform makes of it.
    #[serde(default)]
    #[oai(default, validator(max_length = 2000))]
    description: String,
    /// The platform's reference that it was written from: an https URL.
    documentation: Option<String>,
    /// What differs from account to account: at most 30, each of them used.
    #[serde(default)]
    #[oai(default, validator(max_items = 30))]
    parameters: Vec<ParameterJson>,
    /// Where deliveries are sent. Values are percent-escaped in its path and query; a secret can't be in its host; it
    /// may be one placeholder alone.
    url: String,
    /// `POST`, `PUT` or `PATCH`; `POST` if not given.
    #[serde(default)]
    #[oai(default)]
    method: MethodJson,
    /// How the sender shows who it is, besides the signature; not at all if not given.
    #[serde(default)]
    #[oai(default)]
    auth: AuthJson,
    /// Further headers: name and value, at most 19.
    #[serde(default)]
    #[oai(default)]
    headers: BTreeMap<String, String>,
    /// How requests are signed; as Standard Webhooks says if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing: Option<SigningJson>,
    /// What the body is, unless the mapping has one; the envelope if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyJson>,
    /// The event types that an endpoint made of it gets unless it names others.
    #[oai(validator(min_items = 1, max_items = 100))]
    event_types: Vec<String>,
    /// The mapping of the endpoint's subscription.
    mapping: Option<TemplateMapping>,
    /// An event, and what becomes of it.
    sample: Option<SampleJson>,
}

/// What differs from account to account.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "TemplateParameter", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct ParameterJson {
    /// Its name: lower-case letters, digits and `_`.
    #[oai(validator(min_length = 1, max_length = 64))]
    name: String,
    /// What it is, and where its owner finds it.
    #[oai(validator(min_length = 1, max_length = 2000))]
    description: String,
    /// Whether its value is kept sealed and not shown. Such a one can't be in the URL's host or in the mapping.
    #[serde(default)]
    #[oai(default)]
    secret: bool,
    /// A value that it could have: the one of the sample.
    example: String,
    /// Its value where none is given; without one it has to be given.
    default: Option<String>,
    /// A regular expression (syntax of the `regex` crate, linear time) that the whole value has to match.
    pattern: Option<String>,
}

/// An event, and what becomes of it.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "TemplateSample", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct SampleJson {
    /// The event.
    event: SampleEventJson,
    /// The request that it becomes with the parameters' examples: for people to read, not compared when it is saved.
    request: Option<SampleRequestJson>,
}

/// An event.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "SampleEvent", deny_unknown_fields, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleEventJson {
    /// Its type, as `order.created`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    event_type: String,
    /// Its payload.
    data: AnyJson,
    /// Its id.
    id: Option<String>,
    /// When it happened; now if not given.
    time: Option<Time>,
    /// Where it comes from.
    source: Option<String>,
    /// What it is about.
    subject: Option<String>,
    /// Its payload before the change.
    previous: Option<AnyJson>,
}

/// A request, without what is other in each attempt: the headers of signature and attempt.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "SampleRequest", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
struct SampleRequestJson {
    /// Its method.
    method: MethodJson,
    /// Its URL.
    url: String,
    /// Its headers, names in lower case.
    headers: BTreeMap<String, String>,
    /// Its body.
    body: AnyJson,
}

/// A template that can be used: one that comes with Postrider, or the tenant's own.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct Template {
    /// Its id: a name for one that comes with Postrider, `tpl_` and 26 letters and digits for the tenant's own.
    id: String,
    /// Whether it comes with Postrider, so that it can't be replaced or deleted.
    built_in: bool,
    /// What it says.
    #[oai(flatten)]
    document: DocumentJson,
    /// When it was saved; null if it comes with Postrider.
    created_at: Option<Time>,
    /// When it was last replaced; null if it comes with Postrider.
    updated_at: Option<Time>,
}

/// What is to be rendered.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct RenderInput {
    /// The parameters' values; their examples if not given.
    pub parameters: Option<BTreeMap<String, SecretJson>>,
    /// The event; the template's sample if not given.
    pub event: Option<SampleEventJson>,
}

/// The request that would be sent, without the headers of signature and attempt. What is secret is `********`.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct RenderedTemplate {
    /// Its method.
    method: MethodJson,
    /// Its URL.
    url: String,
    /// Its headers, names in lower case.
    headers: BTreeMap<String, String>,
    /// Its body.
    body: AnyJson,
}

/// An endpoint that is to be made of a template.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateEndpointInput {
    /// The parameters' values. They are part of the endpoint's URL and headers, which are kept sealed, or of its
    /// subscription's mapping.
    #[serde(default)]
    #[oai(default)]
    pub parameters: BTreeMap<String, SecretJson>,
    /// The endpoint's name; the template's if not given.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// What it is for; empty if not given.
    #[serde(default)]
    #[oai(default, validator(max_length = 2000))]
    pub description: String,
    /// The event types of its subscription; the template's if not given.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub event_types: Option<Vec<String>>,
    /// What must hold besides the type; everything matches if not given.
    pub filter: Option<FilterJson>,
    /// Whether deliveries are sent; true if not given.
    pub enabled: Option<bool>,
    /// How many deliveries it takes; as many as it answers if not given.
    pub rate_limit: Option<RateLimitJson>,
}

/// The method of a request, as the domain reads and writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct MethodJson(Method);

/// How the sender shows who it is, as the domain reads and writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct AuthJson(Auth);

/// A mapping with parameters, before it is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct TemplateMapping(Value);

/// Any JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct AnyJson(Value);

documented_type!(
    MethodJson,
    as "RequestMethod",
    MetaSchema {
        description: Some("The method of a request."),
        enum_items: Method::ALL.map(|method| method.as_str().into()).into(),
        example: Some(json!("POST")),
        ..MetaSchema::new("string")
    }
);

documented_type!(
    AuthJson,
    as "TemplateAuth",
    MetaSchema {
        description: Some(
            "How the sender shows who it is. `\"none\"`; `{\"bearer\": {\"token\"}}` and `{\"basic\": {\"username\", \
             \"password\"}}`: the header `Authorization`; `{\"header\": {\"name\", \"value\"}}`: another one. All but the \
             name may have placeholders.",
        ),
        example: Some(json!({"bearer": {"token": "{{access_token}}"}})),
        ..MetaSchema::ANY
    }
);

documented_type!(
    TemplateMapping,
    as "TemplateMapping",
    MetaSchema {
        description: Some(
            "A subscription's mapping (`body`, `headers`, `path`) in which `{\"$parameter\": \"name\"}` is an expression \
             too: the value of a parameter, as text. The method is the template's.",
        ),
        example: Some(json!({"path": ["$.data.id"], "body": {"list": {"$parameter": "list_id"}, "email": "$.data.email"}})),
        ..MetaSchema::new("object")
    }
);

documented_type!(
    AnyJson,
    as "AnyJson",
    MetaSchema { description: Some("Any JSON."), example: Some(json!({"id": "c-1042"})), ..MetaSchema::ANY }
);

/// What two types have in common that read and write the same JSON.
fn same<T: DeserializeOwned>(value: &impl Serialize) -> T {
    let json = serde_json::to_value(value).expect("what was read as JSON can be written as JSON");
    serde_json::from_value(json).expect("the two types have the same fields")
}

impl DocumentJson {
    /// Checks the template.
    pub(super) fn check(&self) -> Result<template::Template, Problem> {
        template::Template::new(same(self)).map_err(|InvalidTemplate { at, why }| Problem::field(at, why))
    }
}

impl SampleEventJson {
    /// The event as the domain has it.
    pub(super) fn event(&self) -> SampleEvent {
        same(self)
    }
}

impl Template {
    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl From<&BuiltIn> for Template {
    fn from(built_in: &BuiltIn) -> Self {
        let document = same(built_in.template.document());
        Self { id: built_in.id.to_owned(), built_in: true, document, created_at: None, updated_at: None }
    }
}

impl From<TemplateRow> for Template {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id.to_string(),
            built_in: false,
            document: same(&row.document),
            created_at: Some(Time(row.created_at)),
            updated_at: Some(Time(row.updated_at)),
        }
    }
}

impl From<RenderedRequest> for RenderedTemplate {
    fn from(request: RenderedRequest) -> Self {
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.shown().to_owned()));
        let text = || Value::from(String::from_utf8_lossy(&request.body).into_owned());
        Self {
            method: MethodJson(request.method),
            url: request.url.shown().to_owned(),
            headers: headers.collect(),
            body: AnyJson(serde_json::from_slice(&request.body).unwrap_or_else(|_| text())),
        }
    }
}

fn example_parameters() -> BTreeMap<String, SecretJson> {
    let token = SecretJson(SecretText::new("pat-eu1-00000000-0000-0000-0000-000000000000"));
    [("access_token".to_owned(), token)].into()
}

fn example_built_in() -> &'static BuiltIn {
    built_in("hubspot").expect("it comes with Postrider")
}

impl Example for DocumentJson {
    fn example() -> Self {
        same(example_built_in().template.document())
    }
}

impl Example for Template {
    fn example() -> Self {
        example_built_in().into()
    }
}

impl Example for RenderInput {
    fn example() -> Self {
        let sample = example_built_in().template.document().sample.as_ref().expect("it has a sample");
        Self { parameters: Some(example_parameters()), event: Some(same(&sample.event)) }
    }
}

impl Example for RenderedTemplate {
    fn example() -> Self {
        let template = &example_built_in().template;
        let sample = template.document().sample.as_ref().expect("it has a sample");
        let event = sample.event.event(TenantId::from_trusted("ten_1"), Timestamp::EPOCH);
        let instance = template.instantiate(&template.examples()).expect("the examples are values");
        instance.request(&event).expect("the sample is an event that it takes").into()
    }
}

impl Example for TemplateEndpointInput {
    fn example() -> Self {
        Self {
            parameters: example_parameters(),
            name: Some("Contacts to HubSpot".to_owned()),
            description: String::new(),
            event_types: None,
            filter: None,
            enabled: None,
            rate_limit: None,
        }
    }
}

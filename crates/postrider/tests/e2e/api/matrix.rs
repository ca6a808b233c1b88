//! Every operation of the OpenAPI document, called as it must not be: the right problem each time, never a 500, and
//! nothing of another tenant's.

use std::collections::{BTreeMap, BTreeSet};

use postrider_testkit::ApiClient;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Context, Deployment, Hook, Tenant, Test, event, postrider, tests};

pub fn tests() -> Vec<Test> {
    tests![every_operation_refuses_what_it_must_and_shows_nothing_of_other_tenants]
}

const LENIENT: &str = "[api]\nlockout_bad_keys = 0";

/// What another tenant's answers may never have in them.
const MARK: &str = "Mark of the owner";

async fn every_operation_refuses_what_it_must_and_shows_nothing_of_other_tenants(context: Context) {
    // So many bad keys would lock their address out.
    let deployment = Deployment::with(&context, "matrix", LENIENT).await;
    let printed = postrider(&["openapi"], None, &[]).await.stdout;
    let document: Value = serde_json::from_str(&printed).unwrap();
    let operations = operations(&document);
    let (owner, foreign) = (deployment.tenant().await, deployment.tenant().await);
    let owned = Owned::make(&deployment, &owner).await;
    let callers = Callers::make(&deployment, &owner, &foreign, &operations).await;

    let (mut calls, mut wrong) = (0, Vec::new());
    for operation in &operations {
        for case in cases(operation, &owned, &callers) {
            calls += 1;
            if let Err(why) = case.holds(operation, &owned).await {
                wrong.push(format!("{} {}, {}: {why}", operation.method, operation.path, case.what));
            }
        }
    }
    println!("matrix: {} operations, {calls} calls", operations.len());
    assert!(operations.len() > 40 && calls > 6 * operations.len(), "{} operations, {calls} calls", operations.len());
    assert!(wrong.is_empty(), "{} of {calls}:\n{}", wrong.len(), wrong.join("\n"));
    for path in ["/v1/endpoints", "/v1/subscriptions"] {
        assert_eq!(owner.list(path).await.len(), 1, "{path}: nothing was made, changed or lost");
    }
}

/// An operation of the document that needs a key.
struct Operation {
    method: Method,
    path: String,
    /// What its key must be allowed.
    scope: String,
    for_operators: bool,
    /// An example of its body, if it takes one.
    body: Option<Value>,
    /// Query parameters.
    query: Vec<String>,
    /// Those that it can't do without, as a query.
    required: String,
    /// The statuses that it is said to answer.
    statuses: BTreeSet<u16>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let description = operation["description"].as_str().unwrap();
            let scope = description.split("cope `").nth(1).and_then(|rest| rest.split('`').next());
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.map(|it| resolved(document, it)).filter(|it| it["in"] == "query");
            let query: Vec<&Value> = parameters.collect();
            let required = query.iter().filter(|it| it["required"] == true).map(|it| {
                let schema = resolved(document, &it["schema"]);
                let value =
                    [&it["example"], &schema["example"], &schema["minimum"]].into_iter().find(|it| !it.is_null());
                format!("{}={}", it["name"].as_str().unwrap(), value.unwrap_or(&json!(1)))
            });
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                scope: scope.unwrap_or_else(|| panic!("{method} {path} names no scope")).to_owned(),
                for_operators: description.starts_with("Operator keys only"),
                body: operation["requestBody"]["content"].as_object().map(|content| {
                    let content = content.values().next().unwrap();
                    let schema = resolved(document, &content["schema"]);
                    [&content["example"], &schema["example"]].into_iter().find(|it| !it.is_null()).unwrap().clone()
                }),
                required: required.collect::<Vec<_>>().join("&"),
                query: query.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect(),
                statuses: operation["responses"].as_object().unwrap().keys().map(|it| it.parse().unwrap()).collect(),
            });
        }
    }
    operations
}

/// What a reference leads to; anything else as it is.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// What a tenant has, by the path parameter that names it.
struct Owned {
    ids: BTreeMap<String, String>,
    key: String,
}

impl Owned {
    async fn make(deployment: &Deployment, owner: &Tenant) -> Self {
        let receiver = deployment.receiver().await;
        let hook = Hook::create(owner, &receiver, "/owned", json!({"description": MARK})).await;
        deployment.synced().await;
        deployment.write(&event(deployment, owner, "1", "order.created", &json!(1))).await;
        let message = hook.message_id("1");
        owner.delivery(&message, "delivered").await;
        let endpoint = hook.id.clone();
        let secrets = owner.list(&format!("/v1/endpoints/{endpoint}/secrets")).await;
        let subscription = owner.list("/v1/subscriptions").await.remove(0);
        let key = owner.create_key(&["endpoints:read"]).await;
        let template = template(owner).await;
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let ids = [
            ("/v1/tenants/{id}", owner.id.clone()),
            ("/v1/api-keys/{id}", id(&key)),
            ("/v1/endpoints/{id}", endpoint),
            ("{secret_id}", id(&secrets[0])),
            ("/v1/subscriptions/{id}", id(&subscription)),
            ("/v1/templates/{id}", template),
            ("{message_id}", message),
        ];
        let ids = ids.into_iter().map(|(place, id)| (place.to_owned(), id)).collect();
        Self { ids, key: owner.key.clone() }
    }

    /// The path of an operation on what is owned; what nobody owns is named as nothing is.
    fn path(&self, operation: &Operation) -> String {
        let path =
            self.ids.iter().fold(operation.path.clone(), |path, (place, id)| path.replace(place, &filled(place, id)));
        format!("{path}?{}", operation.required)
    }

    /// An example of a body with the owned endpoint in it, and something where the document shows no secret.
    fn named_in(&self, example: &Value) -> Value {
        let mut body: Value = serde_json::from_str(&example.to_string().replace("********", "pat-eu1-0")).unwrap();
        if let Some(endpoint) = body.get_mut("endpoint_id") {
            *endpoint = json!(self.ids["/v1/endpoints/{id}"].as_str());
        }
        body
    }

    /// Whether the answer has something of it that the caller did not say.
    fn is_in(&self, answer: &str, said: &str) -> bool {
        let mut ids = self.ids.values().filter(|id| !said.contains(id.as_str()));
        answer.contains(MARK) || answer.contains(&self.key) || ids.any(|id| answer.contains(id.as_str()))
    }
}

/// A path with an id in it.
fn filled(path: &str, id: &str) -> String {
    ["{id}", "{message_id}", "{secret_id}"].iter().fold(path.to_owned(), |path, place| path.replace(place, id))
}

/// Saves a template of the tenant's own: a shipped one under another name.
async fn template(owner: &Tenant) -> String {
    let (_, shipped) = owner.api.get("/v1/templates/hubspot").await.unwrap();
    let mut template = shipped["template"].clone();
    if template.is_null() {
        template = shipped;
    }
    for given in ["id", "created_at", "updated_at", "built_in"] {
        template.as_object_mut().unwrap().remove(given);
    }
    template["name"] = json!("owned");
    let (status, saved) = owner.api.post("/v1/templates", &template).await.unwrap();
    assert_eq!(status, 201, "{saved}");
    saved["id"].as_str().unwrap().to_owned()
}

/// Who calls.
struct Callers {
    owner: ApiClient,
    foreign: ApiClient,
    operator: ApiClient,
    /// The owner with all scopes but one, by that one.
    without: BTreeMap<String, ApiClient>,
}

impl Callers {
    async fn make(deployment: &Deployment, owner: &Tenant, foreign: &Tenant, operations: &[Operation]) -> Self {
        let of_tenants = operations.iter().filter(|it| !it.for_operators).map(|it| it.scope.as_str());
        let scopes: BTreeSet<&str> = of_tenants.collect();
        let mut without = BTreeMap::new();
        for missing in &scopes {
            let others: Vec<&str> = scopes.iter().copied().filter(|scope| scope != missing).collect();
            let key = owner.create_key(&others).await;
            without.insert((*missing).to_owned(), owner.api.with_key(key["key"].as_str().unwrap()));
        }
        Self { owner: owner.api.clone(), foreign: foreign.api.clone(), operator: deployment.operator(), without }
    }
}

/// A call, and what may come of it.
#[derive(Clone)]
struct Case {
    what: String,
    caller: ApiClient,
    without_key: bool,
    path: String,
    body: Option<Vec<u8>>,
    statuses: &'static [u16],
    /// What the problem's field or detail has to name.
    names: Option<String>,
    /// Whether the caller is of another tenant.
    is_foreign: bool,
}

const NOWHERE: &str = "00000000000000000000000000";

fn cases(operation: &Operation, owned: &Owned, callers: &Callers) -> Vec<Case> {
    let example = operation.body.as_ref().map(|body| owned.named_in(body));
    let rightful = if operation.for_operators { &callers.operator } else { &callers.owner };
    let base = Case {
        what: String::new(),
        caller: rightful.clone(),
        without_key: false,
        path: owned.path(operation),
        body: example.as_ref().map(|body| body.to_string().into_bytes()),
        statuses: &[],
        names: None,
        is_foreign: false,
    };
    let mut cases = by_callers(operation, owned, callers, &base);
    cases.extend(with_other_ids(operation, owned, &base));
    cases.extend(example.iter().flat_map(|example| with_other_bodies(example, &base)));
    for name in &operation.query {
        let path = owned.path(operation).replace(&operation.required, "");
        let path = format!("{path}&{name}={}", "x".repeat(5_000));
        cases.push(Case { path, ..base.but(&format!("an over-long {name}"), &[400, 422]) });
    }
    cases
}

fn by_callers(operation: &Operation, owned: &Owned, callers: &Callers, base: &Case) -> Vec<Case> {
    let mut cases = vec![Case { without_key: true, ..base.but("no key", &[401]) }];
    let unscoped = if operation.for_operators { &callers.owner } else { &callers.without[&operation.scope] };
    cases.push(Case { caller: unscoped.clone(), ..base.but("a key without the scope", &[403]) });
    if !operation.for_operators {
        let is_owned = operation.path.contains('{') && !owned.path(operation).contains('{');
        let statuses: &[u16] = if is_owned { &[404] } else { &[200, 201, 202, 204, 404, 409, 422] };
        let foreign = base.but("another tenant's key", statuses);
        cases.push(Case { caller: callers.foreign.clone(), is_foreign: true, ..foreign });
    }
    cases
}

fn with_other_ids(operation: &Operation, owned: &Owned, base: &Case) -> Vec<Case> {
    if !operation.path.contains('{') {
        return Vec::new();
    }
    let ids = [("an id that does not exist", nowhere(&owned.path(operation))), ("an over-long id", "x".repeat(4_000))];
    let path = |id: &str| format!("{}?{}", filled(&operation.path, id), operation.required);
    ids.into_iter().map(|(what, id)| Case { path: path(&id), ..base.but(what, &[404]) }).collect()
}

fn with_other_bodies(example: &Value, base: &Case) -> Vec<Case> {
    let unknown = with(example, "no_such_field", json!(1));
    let mut cases = vec![
        Case { body: Some(b"{".to_vec()), ..base.but("a malformed body", &[400]) },
        Case { body: Some(unknown), names: Some("no_such_field".into()), ..base.but("an unknown field", &[422]) },
    ];
    let texts = example.as_object().into_iter().flatten().filter(|(_, value)| value.is_string());
    for (name, _) in texts {
        // A message to be verified may be as large as one that is sent.
        let (length, too_large): (_, &[u16]) = if name == "body" { (3 << 20, &[413]) } else { (70_000, &[422]) };
        let body = Some(with(example, name, json!("x".repeat(length))));
        // No such id is the right answer to an id of any length, and comes first where the path has one.
        let statuses: &[u16] = if name.ends_with("_id") || base.path.contains('{') { &[404, 422] } else { too_large };
        let names = (statuses == [422]).then(|| name.clone());
        cases.push(Case { body, names, ..base.but(&format!("an over-long {name}"), statuses) });
    }
    cases
}

/// An id of the same kind that nobody has.
fn nowhere(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let id = path.split('/').rfind(|part| part.contains('_')).unwrap_or_default();
    format!("{}_{NOWHERE}", id.split('_').next().unwrap_or_default())
}

fn with(example: &Value, name: &str, value: Value) -> Vec<u8> {
    let mut body = example.clone();
    if let Some(body) = body.as_object_mut() {
        body.insert(name.to_owned(), value);
    }
    body.to_string().into_bytes()
}

impl Case {
    fn but(&self, what: &str, statuses: &'static [u16]) -> Self {
        Self { what: what.to_owned(), statuses, ..self.clone() }
    }

    async fn holds(&self, operation: &Operation, owned: &Owned) -> Result<(), String> {
        let mut request = self.caller.request(operation.method.clone(), &self.path);
        if self.without_key {
            let url = request.build().unwrap().url().clone();
            request = reqwest::Client::new().request(operation.method.clone(), url);
        }
        if let Some(body) = &self.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let is_problem = answer.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json");
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let shown: String = text.chars().take(300).collect();
        if !self.statuses.contains(&status) {
            return Err(format!("{status} instead of {:?}: {shown}", self.statuses));
        }
        if !operation.statuses.contains(&status) {
            return Err(format!("{status} is not in the document: {shown}"));
        }
        let said = format!("{} {}", self.path, String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()));
        if self.is_foreign && owned.is_in(&text, &said) {
            return Err(format!("something of the owner's is shown: {shown}"));
        }
        if status < 400 {
            return Ok(());
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        if !is_problem || !problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")) {
            return Err(format!("{status} is no problem: {shown}"));
        }
        match &self.names {
            Some(name) if !text.contains(name.as_str()) => Err(format!("'{name}' is not named: {shown}")),
            _ => Ok(()),
        }
    }
}

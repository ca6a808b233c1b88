//! The OpenAPI document.

use poem_openapi::{LicenseObject, OpenApiService, Tags};

use super::{
    access::TENANT_HEADER,
    analytics::Analytics,
    api_keys::ApiKeys,
    deliveries::Deliveries,
    endpoint_parts::{ENDPOINT_PARTS, EndpointParts},
    event_types::EventTypes,
    events::Events,
    health::Health,
    polish::polish,
    replays::{REPLAY_PARTS, ReplayParts},
    security_parts::{SECURITY_PARTS, SecurityParts},
    subscriptions::Subscriptions,
    templates::Templates,
    tenants::Tenants,
};

/// The groups of operations.
#[derive(Tags)]
pub(crate) enum Tag {
    /// Customers of the deployment. For operator keys.
    Tenants,
    /// Keys of a tenant, each with the scopes that it needs.
    #[oai(rename = "API keys")]
    ApiKeys,
    /// Where events are delivered.
    Endpoints,
    /// What an endpoint's deliveries are signed with: shared secrets, or ed25519 keys whose public halves are published.
    Secrets,
    /// Which events an endpoint gets.
    Subscriptions,
    /// What platforms want of a request, ready to make endpoints of: those that come with Postrider, and a tenant's own.
    Templates,
    /// What events there are: the catalogue of the whole deployment, with schemas and samples. Every key may read it
    /// with its scope; operator keys change it.
    #[oai(rename = "Event types")]
    EventTypes,
    /// Publishing over HTTP, for those who don't write to Kafka.
    Events,
    /// What became of events, endpoint by endpoint, with every attempt.
    Deliveries,
    /// What deliveries come to: volume, success, errors and latency over any window.
    Analytics,
    /// What failed for good: look at it, deliver it again, or give it up.
    #[oai(rename = "Dead letters")]
    DeadLetters,
    /// Delivering again: dead letters, and events that came before their subscription.
    Replays,
    /// Whether an endpoint works, and whether its receiver verifies what it gets.
    #[oai(rename = "Test and verify")]
    Verify,
    /// Who changed what, what was refused, and from where keys work.
    Security,
    /// For orchestrators and Prometheus.
    Health,
}

const DESCRIPTION: &str = "\
Postrider takes domain events from Kafka topics and delivers them, signed, to the HTTP endpoints that subscribed to \
them: at least once, isolated per endpoint, retried over days. The [guide](/docs/guide) leads from nothing to a verified \
delivery in production.\n\n\
**Keys.** Send an API key as `Authorization: Bearer pr_…`. A tenant's key works on its tenant; an operator key names the \
tenant with the header `Postrider-Tenant`. Where the operator configured an issuer, its tokens (JWT) are taken, too. \
Each operation says the scope that it needs. A key's limits are in the headers `RateLimit-*` of every answer.\n\n\
**Errors** are `application/problem+json` (RFC 9457) with a stable `type` to compare, a `detail` for people, and the \
offending `field`. Every answer carries an `X-Request-Id`: yours, if you sent one.\n\n\
**Pagination.** Lists give a `next_cursor`; send it as `cursor` for the next page, until it is null. Don't build cursors.\
\n\n\
**Idempotency.** What changes something takes an `Idempotency-Key`. A request that is repeated with the same key within \
24 hours is not executed again, but answered as the first time, with `Idempotency-Replayed: true` and without what is \
shown once only. The same key with another request is refused (422); while the first is being worked on the answer is \
409. What failed is not remembered.\n\n\
**Signatures.** Deliveries are signed as Standard Webhooks 1.0.0 says: verify `webhook-signature` over `webhook-id`, \
`webhook-timestamp` and the body with the endpoint's `whsec_` secret.\n\n\
**Versions.** Within `/v1` changes are additions: ignore members that you don't know. What is to go is marked \
`deprecated` and answered with `Deprecation` and `Sunset` headers for at least 12 months.";

pub(crate) type Resources = (
    Tenants,
    ApiKeys,
    EndpointParts,
    Subscriptions,
    Templates,
    EventTypes,
    Events,
    Deliveries,
    Analytics,
    ReplayParts,
    SecurityParts,
    Health,
);

/// Every operation.
pub(crate) fn service(resources: Resources, public_url: Option<&str>) -> OpenApiService<Resources, ()> {
    let service = OpenApiService::new(resources, "Postrider", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"));
    match public_url {
        Some(url) => service.server(url),
        None => service,
    }
}

/// Every operation's implementation.
pub(crate) const RESOURCES: Resources = (
    Tenants,
    ApiKeys,
    ENDPOINT_PARTS,
    Subscriptions,
    Templates,
    EventTypes,
    Events,
    Deliveries,
    Analytics,
    REPLAY_PARTS,
    SECURITY_PARTS,
    Health,
);

/// The OpenAPI document, as `openapi/postrider.json` has it: it depends on nothing but the code.
pub fn openapi_document() -> String {
    document(None)
}

/// The document for callers who know the API under `public_url`.
pub(crate) fn document(public_url: Option<&str>) -> String {
    let mut document = polish(&as_people_write_it(&service(RESOURCES, public_url).spec()));
    document.push('\n');
    document
}

/// The generator shouts the names of headers.
fn as_people_write_it(document: &str) -> String {
    document.replace("\"POSTRIDER-TENANT\"", &format!("\"{TENANT_HEADER}\""))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().expect("paths");
        paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods");
                methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
            })
            .collect()
    }

    #[test]
    fn every_operation_is_documented() {
        let document: Value = serde_json::from_str(&openapi_document()).expect("JSON");
        let operations = operations(&document);
        assert!(operations.len() >= 20, "only {} operations", operations.len());
        for (name, operation) in operations {
            for part in ["operationId", "summary", "description"] {
                assert!(operation[part].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {part}");
            }
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{name} has no tag");
            let responses = operation["responses"].as_object().expect("responses");
            for (status, response) in responses {
                assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{name} {status}: no words");
            }
            if name.contains("/v1/") {
                assert!(operation["security"].as_array().is_some_and(|all| !all.is_empty()), "{name} is open");
                for status in ["400", "401", "403", "404", "429", "500", "503"] {
                    let content = &responses[status]["content"]["application/problem+json; charset=utf-8"];
                    let content = if content.is_null() {
                        &responses[status]["content"]["application/problem+json"]
                    } else {
                        content
                    };
                    assert!(content.is_object(), "{name} has no problem for {status}");
                }
            }
        }
    }

    #[test]
    fn every_body_has_an_example() {
        let document: Value = serde_json::from_str(&openapi_document()).expect("JSON");
        let has_example = |schema: &Value| match schema["$ref"].as_str() {
            Some(reference) => {
                let name = reference.rsplit('/').next().expect("a name");
                !document["components"]["schemas"][name]["example"].is_null()
            }
            None => !schema["example"].is_null(),
        };
        for (name, operation) in operations(&document) {
            let mut contents: Vec<(&str, &Value)> = vec![("request", &operation["requestBody"]["content"])];
            let responses = operation["responses"].as_object().expect("responses");
            contents.extend(responses.iter().map(|(status, response)| (status.as_str(), &response["content"])));
            for (place, content) in contents {
                for (media_type, content) in content.as_object().into_iter().flatten() {
                    let plain = media_type.starts_with("text/plain");
                    assert!(plain || has_example(&content["schema"]), "{name}: no example in {place}");
                }
            }
        }
    }

    #[test]
    fn every_operation_has_a_described_tag_an_id_of_its_own_and_words_for_what_it_takes() {
        let document: Value = serde_json::from_str(&openapi_document()).expect("JSON");
        let tags: Vec<&str> = document["tags"]
            .as_array()
            .expect("tags")
            .iter()
            .filter(|tag| tag["description"].as_str().is_some_and(|text| !text.is_empty()))
            .filter_map(|tag| tag["name"].as_str())
            .collect();
        let mut ids = HashSet::new();
        for (name, operation) in operations(&document) {
            assert!(ids.insert(operation["operationId"].to_string()), "{name} has the id of another operation");
            assert!(tags.contains(&operation["tags"][0].as_str().expect("a tag")), "{name}: a tag without words");
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.keys().any(|status| status.starts_with('2')), "{name} has no answer");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let parameter = match parameter["$ref"].as_str() {
                    Some(to) => document.pointer(to.trim_start_matches('#')).expect("what is referred to"),
                    None => parameter,
                };
                let said = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(said, "{name} does not say what {} is", parameter["name"]);
                assert!(parameter["in"] != "path" || parameter["example"].is_string(), "{name}: {}", parameter["name"]);
            }
        }
    }

    #[test]
    fn pagination_and_idempotency_are_described_once() {
        let document: Value = serde_json::from_str(&openapi_document()).expect("JSON");
        let text = document["info"]["description"].as_str().expect("a description");
        assert!(text.contains("**Pagination.**") && text.contains("**Idempotency.**"));
        for (name, operation) in operations(&document) {
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let shares =
                |which: &str| parameters.iter().any(|it| it["$ref"] == format!("#/components/parameters/{which}"));
            let is_list = operation["operationId"].as_str().is_some_and(|id| id.starts_with("list"));
            let has_cursor = parameters.iter().any(|it| it["name"] == "cursor") || shares("Cursor");
            // Explaining takes a body, and pages through what it finds by words of its own.
            assert!(
                !has_cursor || shares("Cursor") || name == "post /v1/events/explain",
                "{name}: a cursor of its own"
            );
            assert!(!is_list || !has_cursor || shares("Limit"), "{name}: a limit of its own");
            let changes = !name.starts_with("get ") && name.contains("/v1/");
            assert_eq!(shares("IdempotencyKey"), changes, "{name}");
        }
    }

    #[test]
    fn the_document_is_the_same_every_time() {
        assert_eq!(openapi_document(), openapi_document());
    }
}

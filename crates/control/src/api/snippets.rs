//! `/v1/endpoints/{id}/snippets`: code for who integrates with an endpoint.

use poem::web::Data;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use postrider_domain::EndpointId;
use postrider_postgres::{
    endpoints,
    secrets::{self, SecretKind},
};

use super::{
    access::Authenticated,
    docs::api_url,
    openapi::Tag,
    problem::{Problem, ReadProblem},
    respond::Found,
    state::{ApiConfig, ApiState},
};
use crate::{
    auth::Scope,
    clock,
    snippets::{ALL, Filling, Purpose, Snippet},
};

/// The operations.
pub(crate) struct Snippets;

/// What a snippet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SnippetPurpose", rename_all = "snake_case")]
enum PurposeJson {
    /// To receive deliveries and verify their signatures, in the endpoint's own style.
    Receive,
    /// To produce events of the tenant.
    Produce,
}

/// Code that can be run as it is.
#[derive(Debug, Object)]
#[oai(rename = "Snippet", example)]
struct SnippetJson {
    /// Its name, which stays the same.
    id: String,
    /// What it is for.
    purpose: PurposeJson,
    /// Its language.
    language: String,
    /// The framework or client that it stands on.
    framework: String,
    /// What to call the file.
    file: String,
    /// Whether Postrider's own tests execute it against real deliveries.
    executed: bool,
    /// The code. Its first line says what to install and how to run it.
    code: String,
}

impl Example for SnippetJson {
    fn example() -> Self {
        Self {
            id: "flask".to_owned(),
            purpose: PurposeJson::Receive,
            language: "Python".to_owned(),
            framework: "Flask".to_owned(),
            file: "receiver.py".to_owned(),
            executed: true,
            code: "# pip install flask. Run: WEBHOOK_SECRET=whsec_… python receiver.py\nimport os\n…".to_owned(),
        }
    }
}

/// All that there are.
#[derive(Debug, Object)]
#[oai(example)]
struct SnippetList {
    /// The snippets, by language.
    data: Vec<SnippetJson>,
}

impl Example for SnippetList {
    fn example() -> Self {
        Self { data: vec![SnippetJson::example()] }
    }
}

impl SnippetJson {
    fn of(snippet: &Snippet, filling: Filling<'_>) -> Self {
        Self {
            id: snippet.id.to_owned(),
            purpose: purpose(snippet),
            language: snippet.language().to_owned(),
            framework: snippet.framework.to_owned(),
            file: snippet.file.to_owned(),
            executed: snippet.is_executed(),
            code: snippet.render(filling),
        }
    }
}

fn purpose(snippet: &Snippet) -> PurposeJson {
    match snippet.purpose {
        Purpose::Receive => PurposeJson::Receive,
        Purpose::Produce => PurposeJson::Produce,
    }
}

#[OpenApi(
    prefix_path = "/v1",
    tag = "Tag::Endpoints",
    request_header(
        name = "Postrider-Tenant",
        ty = "Option<String>",
        description = "The tenant's id: needed with an operator key, not with a tenant's own."
    )
)]
impl Snippets {
    /// List code snippets for an endpoint
    ///
    /// Scope `endpoints:read`. Code to receive and verify what this endpoint is sent, in the style and with the kind of
    /// key that it is signed with, and to produce events of its tenant. Those that say `executed` are run by Postrider's
    /// own tests against real deliveries. The secret (of an ed25519 key the public half) is not in them: they read it
    /// from the environment.
    #[oai(path = "/endpoints/:id/snippets", method = "get", operation_id = "listEndpointSnippets")]
    async fn list(
        &self,
        Data(state): Data<&ApiState>,
        Data(config): Data<&ApiConfig>,
        auth: Authenticated,
        /// The endpoint's id.
        id: Path<String>,
        /// Only those in this language, such as `Python`.
        #[oai(validator(max_length = 100))]
        language: Query<Option<String>>,
        /// Only those for this.
        purpose: Query<Option<PurposeJson>>,
    ) -> Result<Found<SnippetList>, ReadProblem> {
        let tenant = auth.tenant(Scope::EndpointsRead)?;
        let unknown = || Problem::not_found("endpoint", &id);
        let endpoint: EndpointId = id.parse().map_err(|_| unknown())?;
        let mut conn = state.pool.tenant(tenant).await?;
        let row = endpoints::get(&mut conn, tenant, &endpoint).await?.ok_or_else(unknown)?;
        let secrets = secrets::list_current(&mut conn, tenant, &endpoint, clock::now()).await?;
        let key = secrets.first().map_or(SecretKind::Hmac, |newest| newest.kind);
        let api = api_url(config);
        let filling = Filling { signing: &row.settings.signing, key, tenant: tenant.as_str(), api: &api };
        let wanted = ALL.iter().filter(|snippet| {
            language.0.as_ref().is_none_or(|language| language.eq_ignore_ascii_case(snippet.language()))
                && purpose.0.is_none_or(|wanted| wanted == self::purpose(snippet))
        });
        Ok(Found(SnippetList { data: wanted.map(|snippet| SnippetJson::of(snippet, filling)).collect() }))
    }
}

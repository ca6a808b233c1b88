//! `/public-keys`: what receivers verify ed25519 signatures with. Open to everybody, as public keys are.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use postrider_domain::{EndpointId, TenantId, signing::PUBLIC_KEY_PREFIX};
use postrider_postgres::secrets::{self, SecretRow};

use super::{
    openapi::Tag,
    problem::{OpenProblem, Problem},
    respond::Found,
    schema::Time,
    state::ApiState,
};
use crate::clock;

/// The operations.
pub(crate) struct PublicKeys;

/// The public keys of an endpoint, as a JSON Web Key Set (RFC 7517, RFC 8037).
#[derive(Debug, Object)]
#[oai(rename = "PublicKeys", example)]
struct KeySet {
    /// The keys that sign now, newest first.
    keys: Vec<PublicKey>,
}

/// A public key.
#[derive(Debug, Object)]
struct PublicKey {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// `sig`.
    #[oai(rename = "use")]
    usage: String,
    /// The secret's id.
    kid: String,
    /// The key, in base64url.
    x: String,
    /// The same as Standard Webhooks writes it: `whpk_…`.
    #[oai(rename = "public_key")]
    text: String,
    /// When it stops signing; null: not until it is replaced.
    expires_at: Option<Time>,
}

#[OpenApi(tag = "Tag::Secrets")]
impl PublicKeys {
    /// Get an endpoint's public keys
    ///
    /// Needs no API key: receivers read it. Each of the endpoint's ed25519 keys that signs now; none if its secrets are
    /// shared ones.
    #[oai(path = "/public-keys/:tenant_id/:endpoint_id", method = "get", operation_id = "getPublicKeys")]
    async fn get(
        &self,
        Data(state): Data<&ApiState>,
        /// The id of the endpoint's tenant.
        tenant_id: Path<String>,
        /// The endpoint's id.
        endpoint_id: Path<String>,
    ) -> Result<Found<KeySet>, OpenProblem> {
        let missing = || Problem::not_found("endpoint", &endpoint_id);
        let tenant: TenantId = tenant_id.parse().map_err(|_| missing())?;
        let endpoint: EndpointId = endpoint_id.parse().map_err(|_| missing())?;
        let mut conn = state.pool.tenant(&tenant).await?;
        let rows = secrets::list_current(&mut conn, &tenant, &endpoint, clock::now()).await?;
        // Every endpoint has a secret.
        if rows.is_empty() {
            return Err(missing().into());
        }
        Ok(Found(KeySet { keys: rows.into_iter().filter_map(public_key).collect() }))
    }
}

fn public_key(row: SecretRow) -> Option<PublicKey> {
    let public_key = row.public_key?;
    let key = BASE64_STANDARD.decode(public_key.strip_prefix(PUBLIC_KEY_PREFIX)?).ok()?;
    Some(PublicKey {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        usage: "sig".to_owned(),
        kid: row.secret.id.to_string(),
        x: BASE64_URL_SAFE_NO_PAD.encode(key),
        text: public_key,
        expires_at: row.secret.expires_at.map(Time),
    })
}

impl Example for KeySet {
    fn example() -> Self {
        let key = PublicKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            usage: "sig".to_owned(),
            kid: "sec_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            text: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned(),
            expires_at: None,
        };
        Self { keys: vec![key] }
    }
}

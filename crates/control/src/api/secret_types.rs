//! What requests and answers about signing secrets look like.

use poem_openapi::{Enum, Object, types::Example};
use postrider_domain::{Timestamp, signing::SigningSecret};
use postrider_postgres::secrets::{SecretKind, SecretRow, SecretSource};
use serde::Deserialize;

use super::{
    endpoint_setting_types::{DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS},
    problem::Problem,
    schema::{SecretJson, Time},
};
use crate::manage::secrets::{NewSecret, Rotated};

/// What kind of key signs: `hmac` is shared with the receiver (HMAC-SHA256, `v1`), of `ed25519` the receiver has the
/// public half (`v1a`), in the signing style `standard` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename = "SecretKind", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum SecretKindJson {
    Hmac,
    Ed25519,
}

/// Where a secret is from: `generated` (Postrider made it when it was asked to), `given` (the endpoint's owner brought
/// it), `scheduled` (Postrider made it when it was time to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SecretSource", rename_all = "snake_case")]
enum SourceJson {
    Generated,
    Given,
    Scheduled,
}

/// Whether a secret signs: `current` (it does), `expiring` (it does until `expires_at`), `expired` (no more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SecretStatus", rename_all = "snake_case")]
enum StatusJson {
    Current,
    Expiring,
    Expired,
}

/// How a secret is replaced.
#[derive(Debug, Object, Deserialize)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateInput {
    /// A secret of your own: `whsec_` and 24 to 64 random bytes in base64, or `whsk_` and an ed25519 private key.
    /// Postrider makes one if not given.
    secret: Option<SecretJson>,
    /// What kind of secret is made: `hmac` if not given.
    kind: Option<SecretKindJson>,
    /// For how many seconds the secrets before still sign, at most 7 days: receivers change theirs meanwhile. With 0
    /// only the new one signs from then on.
    #[serde(default = "default_grace_seconds")]
    #[oai(default = "default_grace_seconds", validator(maximum(value = "604800")))]
    grace_seconds: u32,
}

fn default_grace_seconds() -> u32 {
    DEFAULT_GRACE_SECONDS
}

/// A signing secret, without its value.
#[derive(Debug, Object)]
#[oai(rename = "Secret", example)]
pub(super) struct SecretVersion {
    /// Its id: `sec_` and 26 letters and digits.
    id: String,
    /// Which it is, the higher the newer.
    version: i64,
    /// What kind of key it is.
    kind: SecretKindJson,
    /// Whether it signs.
    status: StatusJson,
    /// What receivers verify with, of an ed25519 key: `whpk_…`.
    public_key: Option<String>,
    /// Where it is from.
    source: SourceJson,
    /// The id of the API key that made it, or what else did; null if that was not kept.
    created_by: Option<String>,
    /// When it was made.
    created_at: Time,
    /// When it stops signing; null: not until it is replaced.
    expires_at: Option<Time>,
}

/// A signing secret, with its value.
#[derive(Debug, Object)]
#[oai(example)]
pub(super) struct RevealedSecret {
    /// The secret.
    #[oai(flatten)]
    version: SecretVersion,
    /// Its value: keep it safe. Null if it is an ed25519 key, whose signatures are verified with `public_key`.
    secret: Option<String>,
}

/// A signing secret of an endpoint that is to be made or changed.
pub(super) fn new_secret(given: Option<&SecretJson>, kind: Option<SecretKindJson>) -> Result<NewSecret, Problem> {
    let Some(given) = given else {
        return Ok(NewSecret::Generated(kind.map_or(SecretKind::Hmac, Into::into)));
    };
    let refused = |message: String| Problem::field("/secret", message);
    let secret = SigningSecret::parse(given.0.reveal()).map_err(|error| refused(error.to_string()))?;
    secret.check_strength().map_err(|error| refused(error.to_string()))?;
    let found = if secret.public_text().is_some() { SecretKindJson::Ed25519 } else { SecretKindJson::Hmac };
    if kind.is_some_and(|kind| kind != found) {
        return Err(refused("is of another kind than the one that is asked for".to_owned()));
    }
    Ok(NewSecret::Given(secret))
}

impl RotateInput {
    /// Checks every value.
    pub(super) fn check(&self) -> Result<(NewSecret, u32), Problem> {
        if self.grace_seconds > MAX_GRACE_SECONDS {
            let detail = format!("must be at most {MAX_GRACE_SECONDS} seconds, which is 7 days");
            return Err(Problem::field("/grace_seconds", detail));
        }
        Ok((new_secret(self.secret.as_ref(), self.kind)?, self.grace_seconds))
    }
}

impl SecretVersion {
    /// The answer for a row, as it is at `now`.
    pub(super) fn of(row: SecretRow, now: Timestamp) -> Self {
        let status = match row.secret.expires_at {
            None => StatusJson::Current,
            Some(at) if at > now => StatusJson::Expiring,
            Some(_) => StatusJson::Expired,
        };
        Self {
            id: row.secret.id.to_string(),
            version: row.version,
            kind: row.kind.into(),
            status,
            public_key: row.public_key,
            source: match row.source {
                SecretSource::Generated => SourceJson::Generated,
                SecretSource::Given => SourceJson::Given,
                SecretSource::Scheduled => SourceJson::Scheduled,
            },
            created_by: row.created_by,
            created_at: Time(row.created_at),
            expires_at: row.secret.expires_at.map(Time),
        }
    }
}

impl RevealedSecret {
    /// The answer for a secret just made.
    pub(super) fn rotated(rotated: Rotated, now: Timestamp) -> Self {
        let secret = rotated.shown.text.map(|text| text.to_string());
        Self { version: SecretVersion::of(rotated.secret, now), secret }
    }

    /// The answer for a secret that was asked for.
    pub(super) fn of(row: SecretRow, text: &str, now: Timestamp) -> Self {
        Self { version: SecretVersion::of(row, now), secret: Some(text.to_owned()) }
    }
}

impl From<SecretKindJson> for SecretKind {
    fn from(kind: SecretKindJson) -> Self {
        match kind {
            SecretKindJson::Hmac => Self::Hmac,
            SecretKindJson::Ed25519 => Self::Ed25519,
        }
    }
}

impl From<SecretKind> for SecretKindJson {
    fn from(kind: SecretKind) -> Self {
        match kind {
            SecretKind::Hmac => Self::Hmac,
            SecretKind::Ed25519 => Self::Ed25519,
        }
    }
}

impl Example for RotateInput {
    fn example() -> Self {
        Self { secret: None, kind: Some(SecretKindJson::Hmac), grace_seconds: DEFAULT_GRACE_SECONDS }
    }
}

impl Example for SecretVersion {
    fn example() -> Self {
        Self {
            id: "sec_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned(),
            version: 4,
            kind: SecretKindJson::Hmac,
            status: StatusJson::Current,
            public_key: None,
            source: SourceJson::Generated,
            created_by: Some("key_01jd2x9vq3m7k8n5p4r6s0t1w2".to_owned()),
            created_at: Time(Timestamp::from_millis(1_769_860_800_000)),
            expires_at: None,
        }
    }
}

impl Example for RevealedSecret {
    fn example() -> Self {
        Self { version: SecretVersion::example(), secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()) }
    }
}

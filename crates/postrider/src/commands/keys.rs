//! `postrider keys`: the keys of operators, and master keys.

use anyhow::{Context, anyhow};
use postrider_control::{clock, manage::api_keys};
use postrider_domain::{KeyId, Timestamp, seal::KeyRing};
use postrider_postgres::{Database, api_keys::ApiKeyRow};

use crate::{cli::OperatorKeys, config::Loaded, connections, failure::Failure};

/// Runs one of the commands below `keys` that work on the database.
pub async fn run(command: &OperatorKeys, loaded: &Loaded) -> Result<(), Failure> {
    const NEEDED_BY: &str = "`postrider keys`";
    match command {
        OperatorKeys::Create { name, expires_in } => {
            let key_ring = loaded.key_ring(NEEDED_BY)?;
            let pool = connections::postgres(loaded, NEEDED_BY).await?;
            let expires_at = expires_in.map(|after| clock::now() + after);
            create(&pool, &key_ring, name, expires_at).await?;
        }
        OperatorKeys::List => list(&connections::postgres(loaded, NEEDED_BY).await?).await?,
        OperatorKeys::Revoke { id } => revoke(&connections::postgres(loaded, NEEDED_BY).await?, id).await?,
    }
    Ok(())
}

/// Prints a new master key.
pub fn generate_master() {
    println!("{}", *KeyRing::generate_text(&mut clock::rng()));
}

/// Prints the key's text on stdout, alone, and what goes with it on stderr.
async fn create(pool: &Database, key_ring: &KeyRing, name: &str, expires_at: Option<Timestamp>) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let mut rng = clock::rng();
    let made =
        api_keys::create_operator_key(&mut transaction, key_ring, name, expires_at, clock::now(), &mut rng).await;
    let (row, text) = made.context("the key can't be stored")?;
    transaction.commit().await.context("the key can't be stored")?;
    eprintln!("Operator key {} ('{name}'); it is not shown again:", row.id);
    println!("{}", *text);
    Ok(())
}

async fn list(pool: &Database) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?;
    let now = clock::now();
    for row in api_keys::list_operator_keys(&mut connection).await.context("the keys can't be read")? {
        println!("{}  pr_{}_…  {:<8}  {}  {}", row.id, row.prefix, state(&row, now), row.created_at, row.name);
    }
    Ok(())
}

/// Whether a key works.
fn state(row: &ApiKeyRow, now: Timestamp) -> &'static str {
    if row.revoked_at.is_some() {
        "revoked"
    } else if row.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else {
        "active"
    }
}

async fn revoke(pool: &Database, id: &KeyId) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let revoked = api_keys::revoke_operator_key(&mut transaction, id, clock::now()).await;
    let row = revoked
        .context("the key can't be revoked")?
        .ok_or_else(|| anyhow!("there is no operator key {id}: `postrider keys list` has them all"))?;
    transaction.commit().await.context("the key can't be revoked")?;
    println!("revoked {} ('{}')", row.id, row.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_active_until_it_expires_or_is_revoked() {
        let now = Timestamp::from_millis(1_000);
        let mut row = ApiKeyRow {
            id: KeyId::from_trusted("key_x"),
            tenant: None,
            name: String::new(),
            prefix: String::new(),
            hash: Vec::new(),
            scopes: Vec::new(),
            allowed_cidrs: Vec::new(),
            rate_limit: None,
            rotated_at: None,
            previous: None,
            created_at: now,
            expires_at: Some(Timestamp::from_millis(1_001)),
            revoked_at: None,
            last_used_at: None,
        };
        assert_eq!(state(&row, now), "active");
        assert_eq!(state(&row, Timestamp::from_millis(1_001)), "expired");
        row.revoked_at = Some(now);
        assert_eq!(state(&row, now), "revoked");
    }
}

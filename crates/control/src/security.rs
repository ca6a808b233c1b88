//! Security events: what was refused because somebody tried what they may not.
//!
//! Noting one never waits and never fails: the same thing from the same address is counted together until it is
//! written, once a second, and what does not fit is counted without its address. So somebody who tries keys as fast as
//! they can costs a row a second, and no request waits for the log.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, mem,
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use postrider_domain::{KeyId, TenantId, Timestamp};
use postrider_postgres::{
    Database, Error,
    security_events::{self, NewSecurityEvent},
};
use tokio_util::sync::CancellationToken;

/// How many different events wait to be written at most.
const MAX_WAITING_EVENTS: usize = 1_000;
/// How often they are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest detail.
const MAX_DETAIL_CHARACTERS: usize = 300;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SecurityKind {
            $($(#[$doc])* $name),+
        }

        impl SecurityKind {
            /// Every kind.
            pub const EVERY: &'static [Self] = &[$(Self::$name),+];

            /// Its stable name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

kinds! {
    /// A key that is unknown, revoked or expired, or a token that can't be verified.
    BadKey = "bad_key",
    /// An address that tried too many bad keys and is locked out.
    LockedOut = "locked_out",
    /// A key that lacks a scope, or another tenant's.
    ScopeViolation = "scope_violation",
    /// An address that the key or its tenant does not allow.
    AddressBlocked = "address_blocked",
    /// A URL at an address that deliveries may not reach.
    SsrfRefused = "ssrf_refused",
    /// More requests than a key's limit.
    RateLimited = "rate_limited",
}

impl fmt::Display for SecurityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no kind of security event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no kind of security event; there are: {}", SecurityKind::EVERY.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "))]
pub struct InvalidSecurityKind {
    text: String,
}

impl FromStr for SecurityKind {
    type Err = InvalidSecurityKind;

    fn from_str(text: &str) -> Result<Self, InvalidSecurityKind> {
        let found = Self::EVERY.iter().find(|kind| kind.as_str() == text).copied();
        found.ok_or_else(|| InvalidSecurityKind { text: text.chars().take(64).collect() })
    }
}

/// Whom and where a security event is about, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whose key or thing it was about.
    pub tenant: Option<TenantId>,
    /// The key.
    pub key: Option<KeyId>,
    /// Where the request came from.
    pub remote_addr: Option<IpAddr>,
}

/// Where security events are noted. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SecurityLog(Arc<Mutex<Waiting>>);

/// What is still to be written: when each happened first, how often, and what the first was.
type Waiting = HashMap<(SecurityKind, Origin), (Timestamp, i64, String)>;

impl SecurityLog {
    /// Notes that something was refused. `detail` says what, in words: it must hold nothing secret. Never waits.
    pub fn note(&self, now: Timestamp, kind: SecurityKind, origin: Origin, detail: impl Into<String>) {
        metrics::counter!("postrider_security_events_total", "kind" => kind.as_str()).increment(1);
        let mut waiting = self.0.lock();
        let full = waiting.len() >= MAX_WAITING_EVENTS;
        let key = (kind, origin);
        // One row a kind for all that do not fit.
        let key = if full && !waiting.contains_key(&key) { (kind, Origin::default()) } else { key };
        match waiting.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            Entry::Vacant(entry) => {
                let detail = if full { "from many addresses".to_owned() } else { detail.into() };
                entry.insert((now, 1, detail.chars().take(MAX_DETAIL_CHARACTERS).collect()));
            }
        }
    }

    /// Writes what is noted, once a second, until `stop`, and then once more. What can't be written is kept, within
    /// the bound, and tried again.
    pub async fn keep(&self, pool: &Database, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(WRITE_INTERVAL) => false,
            };
            if let Err(error) = self.write(pool).await {
                tracing::warn!(%error, "security events can't be written for now");
            }
            if stopping {
                return;
            }
        }
    }

    /// Writes what is noted now.
    pub async fn write(&self, pool: &Database) -> Result<(), Error> {
        let waiting = mem::take(&mut *self.0.lock());
        if waiting.is_empty() {
            return Ok(());
        }
        let events: Vec<NewSecurityEvent> = waiting.iter().map(row).collect();
        let written = async {
            let mut transaction = pool.begin().await?;
            security_events::insert(&mut transaction, &events).await?;
            transaction.commit().await
        };
        written.await.inspect_err(|_| self.keep_for_later(waiting))
    }

    fn keep_for_later(&self, unwritten: Waiting) {
        let mut waiting = self.0.lock();
        for ((kind, origin), (at, count, detail)) in unwritten {
            let full = waiting.len() >= MAX_WAITING_EVENTS && !waiting.contains_key(&(kind, origin.clone()));
            let key = if full { (kind, Origin::default()) } else { (kind, origin) };
            let entry = waiting.entry(key).or_insert((at, 0, detail));
            entry.0 = entry.0.min(at);
            entry.1 += count;
        }
    }
}

fn row(
    ((kind, origin), (at, count, detail)): (&(SecurityKind, Origin), &(Timestamp, i64, String)),
) -> NewSecurityEvent {
    NewSecurityEvent {
        at: *at,
        count: *count,
        kind: kind.as_str(),
        tenant: origin.tenant.clone(),
        key: origin.key.clone(),
        remote_addr: origin.remote_addr,
        detail: detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn from(last: u16) -> Origin {
        let [high, low] = last.to_be_bytes();
        Origin { remote_addr: Some(IpAddr::from([203, 0, high, low])), ..Origin::default() }
    }

    fn counts(log: &SecurityLog) -> Vec<(Option<IpAddr>, i64)> {
        let mut counts: Vec<_> =
            log.0.lock().iter().map(|((_, origin), noted)| (origin.remote_addr, noted.1)).collect();
        counts.sort_unstable();
        counts
    }

    #[test]
    fn the_same_thing_from_the_same_address_is_counted_together() {
        let log = SecurityLog::default();
        for last in [1, 2, 1, 1] {
            log.note(NOW, SecurityKind::BadKey, from(last), "the API key is not known");
        }
        assert_eq!(counts(&log), [(from(1).remote_addr, 3), (from(2).remote_addr, 1)]);
    }

    #[test]
    fn what_does_not_fit_is_counted_without_its_address_and_nothing_is_lost() {
        let log = SecurityLog::default();
        let addresses = u16::try_from(MAX_WAITING_EVENTS).unwrap() + 500;
        for last in 0..addresses {
            log.note(NOW, SecurityKind::BadKey, from(last), "x".repeat(1_000));
        }
        let counts = counts(&log);
        assert_eq!(counts.len(), MAX_WAITING_EVENTS + 1);
        assert_eq!(counts[0], (None, 500));
        assert!(log.0.lock().values().all(|noted| noted.2.len() <= MAX_DETAIL_CHARACTERS));

        let unwritten = mem::take(&mut *log.0.lock());
        log.note(NOW, SecurityKind::BadKey, from(0), "again");
        log.keep_for_later(unwritten);
        let total: i64 = log.0.lock().values().map(|noted| noted.1).sum();
        assert_eq!(total, i64::from(addresses) + 1);
    }

    #[test]
    fn kinds_read_back_as_written() {
        for kind in SecurityKind::EVERY {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert!("nonsense".parse::<SecurityKind>().is_err());
    }
}

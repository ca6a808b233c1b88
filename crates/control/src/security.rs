//! Security events: what was refused because somebody tried what they may not.
//!
//! Noting one never waits and never fails: what happens is counted here, and written once a second to one row a minute
//! for the same thing from the same address. What more than so many addresses do in a minute is counted without them. So
//! however fast somebody tries, and from wherever, the log grows by a few rows a minute, and no request waits for it.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
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

/// How many different events are told apart in a minute, at most.
const MAX_EVENTS: usize = 250;
/// For how long what is the same is one row.
const ROW_MILLIS: i64 = 60_000;
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
pub struct SecurityLog(Arc<Mutex<Noted>>);

/// What is noted in one minute.
#[derive(Debug, Default)]
struct Noted {
    minute: i64,
    events: HashMap<(SecurityKind, Origin), Counted>,
}

/// What is to be written of one event. Without a count it was written, and is remembered until the minute is over.
#[derive(Debug, Clone)]
struct Counted {
    first_at: Timestamp,
    last_at: Timestamp,
    count: i64,
    detail: String,
}

impl Noted {
    fn add(&mut self, now: Timestamp, key: (SecurityKind, Origin), counted: Counted) {
        let minute = now.as_millis().div_euclid(ROW_MILLIS);
        if minute != self.minute {
            self.minute = minute;
            self.events.retain(|_, waiting| waiting.count > 0);
        }
        let full = self.events.len() >= MAX_EVENTS && !self.events.contains_key(&key);
        // One row a kind for all that do not fit.
        let (key, counted) = if full {
            let detail = "from many addresses".to_owned();
            ((key.0, Origin::default()), Counted { detail, ..counted })
        } else {
            (key, counted)
        };
        match self.events.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().merge(counted),
            Entry::Vacant(entry) => {
                entry.insert(counted);
            }
        }
    }

    /// What is to be written. It is remembered, so that the next of its kind is not a new one.
    fn take(&mut self) -> HashMap<(SecurityKind, Origin), Counted> {
        let mut waiting = HashMap::new();
        for (key, counted) in &mut self.events {
            if counted.count > 0 {
                waiting.insert(key.clone(), counted.clone());
                counted.count = 0;
            }
        }
        waiting
    }
}

impl Counted {
    fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
        } else {
            self.first_at = self.first_at.min(other.first_at);
            self.last_at = self.last_at.max(other.last_at);
            self.count += other.count;
        }
    }
}

impl SecurityLog {
    /// Notes that something was refused. `detail` says what, in words: it must hold nothing secret. Never waits.
    pub fn note(&self, now: Timestamp, kind: SecurityKind, origin: Origin, detail: impl Into<String>) {
        metrics::counter!("postrider_security_events_total", "kind" => kind.as_str()).increment(1);
        let detail: String = detail.into().chars().take(MAX_DETAIL_CHARACTERS).collect();
        self.0.lock().add(now, (kind, origin), Counted { first_at: now, last_at: now, count: 1, detail });
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
        let waiting = self.0.lock().take();
        if waiting.is_empty() {
            return Ok(());
        }
        let events: Vec<NewSecurityEvent> = waiting.iter().map(row).collect();
        let written = async {
            let mut transaction = pool.begin().await?;
            security_events::add(&mut transaction, &events).await?;
            transaction.commit().await
        };
        written.await.inspect_err(|_| self.keep_for_later(waiting))
    }

    fn keep_for_later(&self, unwritten: HashMap<(SecurityKind, Origin), Counted>) {
        let mut noted = self.0.lock();
        for (key, counted) in unwritten {
            noted.add(counted.last_at, key, counted);
        }
    }
}

fn row(((kind, origin), counted): (&(SecurityKind, Origin), &Counted)) -> NewSecurityEvent {
    NewSecurityEvent {
        at: counted.first_at,
        last_at: counted.last_at,
        count: counted.count,
        kind: kind.as_str(),
        tenant: origin.tenant.clone(),
        key: origin.key.clone(),
        remote_addr: origin.remote_addr,
        detail: counted.detail.clone(),
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

    /// What is to be written: where from, and how often.
    fn counts(log: &SecurityLog) -> Vec<(Option<IpAddr>, i64)> {
        let waiting = log.0.lock().take();
        let mut counts: Vec<_> =
            waiting.into_iter().map(|((_, origin), counted)| (origin.remote_addr, counted.count)).collect();
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
    fn a_minute_tells_no_more_than_so_many_addresses_apart_and_nothing_is_lost() {
        let log = SecurityLog::default();
        let addresses = u16::try_from(MAX_EVENTS).unwrap() + 500;
        for last in 0..addresses {
            log.note(NOW, SecurityKind::BadKey, from(last), "x".repeat(1_000));
        }
        let unwritten = log.0.lock().take();
        assert_eq!(unwritten.len(), MAX_EVENTS + 1);
        assert!(unwritten.values().all(|counted| counted.detail.len() <= MAX_DETAIL_CHARACTERS));
        log.note(NOW, SecurityKind::BadKey, from(0), "again");
        log.keep_for_later(unwritten);
        let counted = counts(&log);
        assert_eq!((counted.len(), counted[0]), (MAX_EVENTS + 1, (None, 500)));
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<i64>(), i64::from(addresses) + 1);

        // Written or not, they are remembered until the minute is over.
        log.note(NOW, SecurityKind::BadKey, from(addresses), "another");
        assert_eq!(counts(&log), [(None, 1)]);
        log.note(NOW + Duration::from_mins(1), SecurityKind::BadKey, from(addresses), "another");
        assert_eq!(counts(&log), [(from(addresses).remote_addr, 1)]);
    }

    #[test]
    fn kinds_read_back_as_written() {
        for kind in SecurityKind::EVERY {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert!("nonsense".parse::<SecurityKind>().is_err());
    }
}

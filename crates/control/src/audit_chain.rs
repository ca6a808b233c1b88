//! The chain over the audit log: each link's keyed hash covers the link before it and a digest of its record, so that
//! a record that is altered, removed or slipped in shows, to whoever has the master keys.
//!
//! The relay makes the links, in the order in which it publishes the changes that the records tell of
//! ([`crate::relay`]); `postrider audit verify` checks them.

use std::{fmt, str::FromStr};

use postrider_domain::{
    Timestamp,
    seal::{KeyRing, KeyedHash},
};
use postrider_postgres::{
    Database, Error, PgConnection,
    audit::AuditRow,
    audit_chain::{self, Link, LinkedRecord},
};
use sha2::{Digest as _, Sha256};

/// What a link's hash is of: sets it apart from other hashes of the key ring.
const HASH_PURPOSE: &str = "audit-chain";
/// How many links are read at once.
const LINKS_AT_ONCE: i64 = 1_000;
/// How many faults are told; all are counted.
const MAX_FAULTS_TOLD: usize = 100;

/// The digest of a record: of all its fields, each with its length or that it has none.
pub fn digest(record: &AuditRow) -> Vec<u8> {
    let mut hash = Sha256::new();
    let at = record.at.timestamp_micros().to_string();
    let (id, remote_addr) = (record.id.to_string(), record.remote_addr.map(|net| net.addr().to_string()));
    let fields = [
        Some(id.as_str()),
        Some(at.as_str()),
        record.tenant.as_deref(),
        Some(record.actor.as_str()),
        Some(record.action.as_str()),
        Some(record.entity_id.as_str()),
        record.before.as_deref(),
        record.after.as_deref(),
        remote_addr.as_deref(),
    ];
    for field in fields {
        match field {
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update([0]),
        }
    }
    hash.finalize().to_vec()
}

/// The links of `records`, which follow on `head` (none: the chain begins).
pub fn extend(head: Option<(i64, Vec<u8>)>, records: &[AuditRow], key_ring: &KeyRing) -> Vec<Link> {
    let (mut seq, mut previous) = head.unwrap_or_default();
    let link = |record: &AuditRow| {
        seq += 1;
        let digest = digest(record);
        let previous_hash = std::mem::take(&mut previous);
        let mut link =
            Link { seq, audit_id: record.id, at: record.at, digest, previous: previous_hash, hash: Vec::new() };
        link.hash = key_ring.keyed_hash(HASH_PURPOSE, &covered(&link)).to_bytes();
        previous.clone_from(&link.hash);
        link
    };
    records.iter().map(link).collect()
}

/// What a link's hash covers: everything else of it. So the hash says by itself, without the link before and without
/// the record, that the relay made the link: the first that is left after old ones were forgotten can be trusted, and
/// so can the time by which a record may be missing. Hashes and digests are of fixed lengths for one key.
fn covered(link: &Link) -> Vec<u8> {
    let Link { seq, audit_id, at, digest, previous, hash: _ } = link;
    let at = at.timestamp_micros();
    let numbers = [seq.to_be_bytes(), audit_id.to_be_bytes(), at.to_be_bytes()].concat();
    [&(previous.len() as u64).to_be_bytes(), previous.as_slice(), &numbers, digest].concat()
}

/// Something in the chain that is not as the relay wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The record says something else than it did.
    #[error("record {audit_id} (link {seq}) was altered")]
    Altered {
        /// The link's place.
        seq: i64,
        /// The record's number.
        audit_id: i64,
    },
    /// The record is not there, though it is not that old.
    #[error("record {audit_id} (link {seq}, of {at}) was removed")]
    Removed {
        /// The link's place.
        seq: i64,
        /// The record's number.
        audit_id: i64,
        /// Its time.
        at: Timestamp,
    },
    /// The link was not made by a relay with these master keys, or not behind the one before it.
    #[error("link {seq} was not made by the relay, or not behind the link before it")]
    Forged {
        /// Its place.
        seq: i64,
    },
    /// Links are not there.
    #[error("links {from} to {to} were removed")]
    LinksRemoved {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// Records are in the log of which the relay knows nothing.
    #[error("{count} records are in no link and wait for none: they were slipped in, or their links removed")]
    Unlinked {
        /// How many.
        count: i64,
    },
    /// A link that was noted before is not there, or another.
    #[error("link {seq} is not the one that was noted: the chain was cut or made anew")]
    NotAsNoted {
        /// Its place.
        seq: i64,
    },
}

/// A link as somebody noted it: its place and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedLink {
    /// Its place.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
}

impl fmt::Display for NotedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(&self.hash))
    }
}

/// A text that is no link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no link of the chain: expected <place>:<hash in hex>, as `postrider audit verify` prints its end")]
pub struct InvalidNotedLink(String);

impl FromStr for NotedLink {
    type Err = InvalidNotedLink;

    fn from_str(text: &str) -> Result<Self, InvalidNotedLink> {
        let parsed = text.split_once(':').and_then(|(seq, hash)| {
            Some(Self { seq: seq.parse().ok().filter(|seq| *seq > 0)?, hash: hex::decode(hash).ok()? })
        });
        parsed.ok_or_else(|| InvalidNotedLink(text.chars().take(64).collect()))
    }
}

/// What checking the chain came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many links there are.
    pub links: i64,
    /// The first of them: 1, unless old ones were forgotten.
    pub first: Option<i64>,
    /// The last.
    pub head: Option<NotedLink>,
    /// Links whose records are no longer kept.
    pub expired: i64,
    /// What is wrong: the first 100.
    pub faults: Vec<Fault>,
    /// How much is wrong.
    pub fault_count: u64,
}

impl Verdict {
    fn fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS_TOLD {
            self.faults.push(fault);
        }
    }
}

/// Checks link after link.
#[derive(Debug)]
struct Checker<'a> {
    key_ring: &'a KeyRing,
    /// Records at or after this must be there.
    kept_since: Timestamp,
    noted: Option<NotedLink>,
    verdict: Verdict,
}

impl Checker<'_> {
    fn take(&mut self, linked: LinkedRecord) {
        let LinkedRecord { link, record } = linked;
        let seq = link.seq;
        let expected = self.verdict.head.as_ref().map_or(1, |head| head.seq + 1);
        let begins_late = self.verdict.head.is_none() && seq > 1;
        if seq > expected && !begins_late {
            self.verdict.fault(Fault::LinksRemoved { from: expected, to: seq - 1 });
        }
        let is_made_by_the_relay = self.is_made_by_the_relay(&link);
        // Behind links that are not there, its own hash has to do.
        if !is_made_by_the_relay || seq == expected && !self.follows(&link) {
            self.verdict.fault(Fault::Forged { seq });
        }
        match record {
            Some(record) if digest(&record) != link.digest => {
                self.verdict.fault(Fault::Altered { seq, audit_id: link.audit_id });
            }
            Some(_) => {}
            // Its time is the one it was made with: its hash covers it.
            None if is_made_by_the_relay && Timestamp::from_datetime(link.at) < self.kept_since => {
                self.verdict.expired += 1;
            }
            None => {
                let at = Timestamp::from_datetime(link.at);
                self.verdict.fault(Fault::Removed { seq, audit_id: link.audit_id, at });
            }
        }
        if begins_late && Timestamp::from_datetime(link.at) >= self.kept_since {
            self.verdict.fault(Fault::LinksRemoved { from: 1, to: seq - 1 });
        }
        if self.noted.as_ref().is_some_and(|noted| noted.seq == seq && noted.hash == link.hash) {
            self.noted = None;
        }
        self.verdict.links += 1;
        self.verdict.first.get_or_insert(seq);
        self.verdict.head = Some(NotedLink { seq, hash: link.hash });
    }

    fn is_made_by_the_relay(&self, link: &Link) -> bool {
        KeyedHash::from_bytes(&link.hash)
            .is_some_and(|hash| self.key_ring.verify_keyed_hash(HASH_PURPOSE, &covered(link), &hash))
    }

    /// Whether it was made behind the link before it.
    fn follows(&self, link: &Link) -> bool {
        link.previous == self.verdict.head.as_ref().map_or(&[][..], |head| &head.hash)
    }

    fn end(mut self, unlinked: i64) -> Verdict {
        if unlinked > 0 {
            self.verdict.fault(Fault::Unlinked { count: unlinked });
        }
        if let Some(noted) = self.noted {
            self.verdict.fault(Fault::NotAsNoted { seq: noted.seq });
        }
        self.verdict
    }
}

/// Checks the whole chain and every record, as they are at this moment. Records older than `kept_since` may be missing;
/// `noted` must still be in the chain.
pub async fn verify_now(
    pool: &Database,
    key_ring: &KeyRing,
    kept_since: Timestamp,
    noted: Option<NotedLink>,
) -> Result<Verdict, Error> {
    let mut transaction = pool.begin().await?;
    audit_chain::see_one_state(&mut transaction).await?;
    let verdict = verify(&mut transaction, key_ring, kept_since, noted).await?;
    transaction.commit().await?;
    Ok(verdict)
}

async fn verify(
    conn: &mut PgConnection,
    key_ring: &KeyRing,
    kept_since: Timestamp,
    noted: Option<NotedLink>,
) -> Result<Verdict, Error> {
    let mut checker = Checker { key_ring, kept_since, noted, verdict: Verdict::default() };
    loop {
        let after = checker.verdict.head.as_ref().map_or(0, |head| head.seq);
        let links = audit_chain::links(conn, after, LINKS_AT_ONCE).await?;
        if links.is_empty() {
            break;
        }
        for linked in links {
            checker.take(linked);
        }
    }
    let unlinked = audit_chain::unlinked(conn).await?;
    Ok(checker.end(unlinked))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn key_ring(seed: u64) -> KeyRing {
        KeyRing::parse(&KeyRing::generate_text(&mut StdRng::seed_from_u64(seed))).expect("a generated ring parses")
    }

    fn record(id: i64) -> AuditRow {
        AuditRow {
            id,
            at: Timestamp::from_millis(1_700_000_000_000 + id).to_datetime(),
            tenant: Some("ten_a".to_owned()),
            actor: "key_a".to_owned(),
            action: "endpoint.update".to_owned(),
            entity_id: "ep_a".to_owned(),
            before: None,
            after: Some(format!("{{\"version\": {id}}}")),
            remote_addr: None,
        }
    }

    fn chain(ids: std::ops::RangeInclusive<i64>) -> Vec<LinkedRecord> {
        let records: Vec<AuditRow> = ids.map(record).collect();
        let (first, rest) = records.split_at(records.len() / 2);
        let ring = key_ring(7);
        let mut links = extend(None, first, &ring);
        let head = links.last().map(|link| (link.seq, link.hash.clone()));
        links.extend(extend(head, rest, &ring));
        links.into_iter().zip(records).map(|(link, record)| LinkedRecord { link, record: Some(record) }).collect()
    }

    fn faults(linked: Vec<LinkedRecord>, kept_since: Timestamp) -> Vec<Fault> {
        check(linked, kept_since, None).faults
    }

    fn check(linked: Vec<LinkedRecord>, kept_since: Timestamp, noted: Option<NotedLink>) -> Verdict {
        let ring = key_ring(7);
        let mut checker = Checker { key_ring: &ring, kept_since, noted, verdict: Verdict::default() };
        for linked in linked {
            checker.take(linked);
        }
        checker.end(0)
    }

    #[test]
    fn a_chain_as_the_relay_made_it_has_no_faults() {
        let verdict = check(chain(1..=9), Timestamp::EPOCH, None);
        assert_eq!((verdict.links, verdict.first, verdict.expired, verdict.fault_count), (9, Some(1), 0, 0));
        assert_eq!(verdict.head.map(|head| head.seq), Some(9));
    }

    #[test]
    fn every_field_of_a_record_is_covered() {
        let changes: [fn(&mut AuditRow); 9] = [
            |it| it.id += 1,
            |it| it.at += chrono::TimeDelta::microseconds(1),
            |it| it.tenant = None,
            |it| it.actor.push('x'),
            |it| it.action.push('x'),
            |it| it.entity_id.push('x'),
            |it| it.before = Some(String::new()),
            |it| it.after = Some("{\"version\": 5 }".to_owned()),
            |it| it.remote_addr = Some("203.0.113.7/32".parse().unwrap()),
        ];
        for change in changes {
            let mut linked = chain(1..=9);
            change(linked[4].record.as_mut().unwrap());
            assert_eq!(faults(linked, Timestamp::EPOCH), [Fault::Altered { seq: 5, audit_id: 5 }]);
        }
    }

    #[test]
    fn what_was_removed_forged_or_swapped_shows() {
        let mut linked = chain(1..=9);
        linked[4].record = None;
        let at = Timestamp::from_millis(1_700_000_000_005);
        assert_eq!(faults(linked.clone(), Timestamp::EPOCH), [Fault::Removed { seq: 5, audit_id: 5, at }]);
        assert_eq!(faults(linked, at + std::time::Duration::from_millis(1)), [], "it is no longer kept");

        let mut linked = chain(1..=9);
        linked.drain(3..5);
        assert_eq!(faults(linked, Timestamp::EPOCH), [Fault::LinksRemoved { from: 4, to: 5 }]);

        let mut linked = chain(1..=9);
        linked.drain(..2);
        assert_eq!(faults(linked.clone(), Timestamp::EPOCH), [Fault::LinksRemoved { from: 1, to: 2 }]);
        assert_eq!(faults(linked, at + std::time::Duration::from_millis(10)), [], "they are no longer kept");

        // Neither does it help to say that they are no longer kept.
        let kept_since = Timestamp::from_millis(1_700_000_000_000);
        for cut in [0, 4] {
            let mut linked = chain(1..=9);
            linked.drain(..cut);
            linked[0].link.at = Timestamp::EPOCH.to_datetime();
            linked[0].record = None;
            let (seq, at) = (linked[0].link.seq, Timestamp::EPOCH);
            let faults = faults(linked, kept_since);
            assert_eq!(faults, [Fault::Forged { seq }, Fault::Removed { seq, audit_id: seq, at }]);
        }

        // With a digest that fits, but made without the master key.
        let mut linked = chain(1..=9);
        let mut altered = record(5);
        altered.actor = "key_b".to_owned();
        let previous = (4, linked[3].link.hash.clone());
        linked[4] = LinkedRecord {
            link: extend(Some(previous), std::slice::from_ref(&altered), &key_ring(8)).remove(0),
            record: Some(altered),
        };
        assert_eq!(faults(linked, Timestamp::EPOCH), [Fault::Forged { seq: 5 }, Fault::Forged { seq: 6 }]);
    }

    #[test]
    fn a_chain_that_was_cut_shows_against_a_link_noted_before() {
        let whole = chain(1..=9);
        let noted = NotedLink { seq: 8, hash: whole[7].link.hash.clone() };
        assert_eq!(check(whole.clone(), Timestamp::EPOCH, Some(noted.clone())).faults, []);
        assert_eq!(noted.to_string().parse(), Ok(noted.clone()));
        assert!("8:x".parse::<NotedLink>().is_err() && "0:ab".parse::<NotedLink>().is_err());
        let cut = whole[..6].to_vec();
        assert_eq!(check(cut, Timestamp::EPOCH, Some(noted)).faults, [Fault::NotAsNoted { seq: 8 }]);
    }
}

//! How many requests a key may make, and how many events a tenant may publish: sliding windows, per process.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use postrider_domain::Timestamp;

/// Into how many parts a period is divided: so exactly the window slides.
const SLOTS: i64 = 20;
/// How many keys and tenants are followed at most. Those that were used last stay.
const MAX_KEYS: usize = 10_000;

/// So many requests in any period of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub requests: u32,
    /// In how many seconds.
    pub period_seconds: u32,
}

impl RateLimit {
    /// What this process lets through when it has `share` of the whole, above 0 and up to 1: at least one request.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and `requests`")]
        let requests = (f64::from(self.requests) * share).floor().clamp(1.0, f64::from(self.requests)) as u32;
        Self { requests, ..self }
    }
}

/// Where a key stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStanding {
    /// The limit, as far as it is this process's.
    pub limit: RateLimit,
    /// How many requests there is room for now.
    pub remaining: u32,
    /// After how long there is room for all of them again.
    pub reset: Duration,
    /// If the request was refused: after how long one is let through.
    pub retry_after: Option<Duration>,
}

/// The windows of keys and tenants, by their ids.
#[derive(Debug, Default)]
pub struct RateWindows(HashMap<Box<str>, Window>);

impl RateWindows {
    /// Counts `count` requests of `key`, unless it would be over its limit with them; more than the whole limit at once
    /// is let through when nothing else is counted.
    pub fn take(&mut self, key: &str, count: u32, limit: RateLimit, now: Timestamp) -> RateStanding {
        if let Some(window) = self.0.get_mut(key) {
            return window.take(count, limit, now);
        }
        if self.0.len() >= MAX_KEYS {
            self.make_room(now);
        }
        self.0.entry(key.into()).or_default().take(count, limit, now)
    }

    /// Forgets the half that was used longest ago.
    fn make_room(&mut self, now: Timestamp) {
        let mut used: Vec<Timestamp> = self.0.values().map(|window| window.used).collect();
        used.sort_unstable();
        let middle = used.get(used.len() / 2).copied().unwrap_or(now);
        self.0.retain(|_, window| window.used > middle);
    }
}

/// Requests of one key, by the slot of time in which they came.
#[derive(Debug)]
struct Window {
    slots: VecDeque<(i64, u32)>,
    slot_millis: i64,
    used: Timestamp,
}

impl Default for Window {
    fn default() -> Self {
        Self { slots: VecDeque::new(), slot_millis: 0, used: Timestamp::EPOCH }
    }
}

impl Window {
    fn take(&mut self, count: u32, limit: RateLimit, now: Timestamp) -> RateStanding {
        let slot_millis = (i64::from(limit.period_seconds) * 1_000 / SLOTS).max(1);
        if self.slot_millis != slot_millis {
            // Another limit since the last request: what was counted in other slots does not count.
            *self = Self { slot_millis, ..Self::default() };
        }
        self.used = now;
        let slot = now.as_millis().div_euclid(slot_millis);
        // A slot counts until all of it is out of the window: never more than the limit in any period.
        while self.slots.front().is_some_and(|(oldest, _)| *oldest < slot - SLOTS) {
            self.slots.pop_front();
        }
        let used = self.slots.iter().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        let allowed = limit.requests.saturating_sub(used);
        // More than there can ever be room for waits until nothing else is counted.
        let wanted = count.min(limit.requests);
        let retry_after = (wanted > allowed).then(|| self.room_after(wanted - allowed, now));
        if retry_after.is_none() {
            match self.slots.back_mut() {
                Some((last, counted)) if *last >= slot => *counted = counted.saturating_add(count),
                _ => self.slots.push_back((slot, count)),
            }
        }
        RateStanding {
            limit,
            remaining: if retry_after.is_none() { allowed - wanted } else { allowed },
            reset: self.slots.back().map_or(Duration::ZERO, |(slot, _)| self.leaves(*slot, now)),
            retry_after,
        }
    }

    /// After how long `missing` more have left the window.
    fn room_after(&self, missing: u32, now: Timestamp) -> Duration {
        let mut left = 0_u32;
        let last = self.slots.iter().find(|(_, count)| {
            left = left.saturating_add(*count);
            left >= missing
        });
        last.map_or(Duration::ZERO, |(slot, _)| self.leaves(*slot, now))
    }

    /// After how long a slot is out of the window.
    fn leaves(&self, slot: i64, now: Timestamp) -> Duration {
        let at = (slot + SLOTS + 1) * self.slot_millis;
        Duration::from_millis(u64::try_from(at - now.as_millis()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    const LIMIT: RateLimit = RateLimit { requests: 3, period_seconds: 10 };

    #[test]
    fn what_is_over_the_limit_is_told_when_to_come_again() {
        let (mut windows, key) = (RateWindows::default(), "key_1");
        let remaining: Vec<u32> = (0..3).map(|n| windows.take(key, 1, LIMIT, at(n * 1_000)).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = windows.take(key, 1, LIMIT, at(4_000));
        let wait = refused.retry_after.expect("it is over the limit");
        assert!((Duration::from_secs(6)..=Duration::from_millis(6_500)).contains(&wait), "{wait:?}");
        assert!(refused.reset > wait, "{refused:?}");
        let wait = i64::try_from(wait.as_millis()).unwrap();
        assert!(windows.take(key, 1, LIMIT, at(4_000 + wait - 1)).retry_after.is_some());
        assert_eq!(windows.take(key, 1, LIMIT, at(4_000 + wait)).retry_after, None);
        // Others have limits of their own.
        assert_eq!(windows.take("key_2", 1, LIMIT, at(4_000)).remaining, 2);
    }

    #[test]
    fn a_share_of_a_limit_lets_at_least_one_request_through() {
        assert_eq!(RateLimit { requests: 100, period_seconds: 1 }.share(0.25).requests, 25);
        assert_eq!(LIMIT.share(0.1).requests, 1);
        assert_eq!(LIMIT.share(1.0), LIMIT);
    }

    #[test]
    fn a_batch_is_let_through_whole_or_not_at_all() {
        let mut windows = RateWindows::default();
        assert_eq!(windows.take("ten_1", 2, LIMIT, at(0)).remaining, 1);
        let refused = windows.take("ten_1", 2, LIMIT, at(1_000));
        assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(9)), "{refused:?}");
        assert_eq!(windows.take("ten_1", 1, LIMIT, at(1_000)).retry_after, None);
        // One that is larger than the limit has its turn too, once there is nothing else.
        assert!(windows.take("ten_1", 50, LIMIT, at(2_000)).retry_after.is_some());
        assert_eq!(windows.take("ten_1", 50, LIMIT, at(20_000)).retry_after, None);
        assert!(windows.take("ten_1", 1, LIMIT, at(29_000)).retry_after.is_some());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut windows = RateWindows::default();
        for number in 0..=2 * MAX_KEYS {
            let millis = i64::try_from(number).unwrap();
            windows.take(&format!("key_{number}"), 1, LIMIT, at(millis));
        }
        assert!(windows.0.len() <= MAX_KEYS);
        assert!(windows.0.contains_key(format!("key_{}", 2 * MAX_KEYS).as_str()));
    }

    proptest! {
        #[test]
        fn no_period_has_more_requests_than_the_limit(steps in prop::collection::vec(0_i64..2_000, 1..200)) {
            let (mut window, mut now, mut let_through) = (Window::default(), 0, Vec::new());
            for step in steps {
                now += step;
                let standing = window.take(1, LIMIT, at(now));
                prop_assert!(window.slots.len() <= usize::try_from(SLOTS).unwrap() + 1);
                if standing.retry_after.is_none() {
                    let_through.push(now);
                }
            }
            for (index, first) in let_through.iter().enumerate() {
                let within = let_through[index..].iter().filter(|time| **time < first + 10_000).count();
                prop_assert!(within <= 3);
            }
        }
    }
}

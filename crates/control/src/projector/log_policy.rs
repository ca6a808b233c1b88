//! Which deliveries the log keeps one by one. What is counted does not depend on it.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use postrider_domain::{
    Attempt, DeliveryEvent, DeliveryEventBody, DeliveryKind, MessageId, Run, Timestamp, delivery_event::AfterAttempt,
};
use postrider_postgres::delivery_log::{AttemptRow, DeliveryRow};

/// What the projector stores of each delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogPolicy {
    /// Every delivery, with every attempt.
    #[default]
    All,
    /// Those that did not succeed at once: that failed, waited, or ended otherwise.
    Failures,
    /// Those, and one in so many of the others.
    Sampled(NonZeroU32),
}

impl LogPolicy {
    /// Whether what `event` says is stored although nothing else of its delivery is: false only of a live delivery that
    /// was delivered at the first attempt. Whatever of a delivery is stored already is brought up to date in any case.
    fn begins_a_row(self, event: &DeliveryEvent) -> bool {
        let delivered =
            matches!(&event.body, DeliveryEventBody::Attempted(made) if made.next == AfterAttempt::Delivered);
        let at_once =
            delivered && event.attempt == Attempt::FIRST && event.run == Run::LIVE && event.kind == DeliveryKind::Live;
        match self {
            Self::All => true,
            Self::Failures => !at_once,
            Self::Sampled(one_in) => !at_once || is_sample(event.message_id.as_str(), one_in),
        }
    }
}

/// The runs of messages of which nothing in a batch has to be stored, but what is stored already may have to be brought
/// up to date.
#[derive(Debug, Default)]
pub struct Asides {
    begun: HashSet<(MessageId, Run)>,
    aside: HashSet<(MessageId, Run)>,
}

impl Asides {
    /// Takes note of an event of the batch.
    pub fn note(&mut self, policy: LogPolicy, event: &DeliveryEvent) {
        if policy == LogPolicy::All {
            return;
        }
        let key = (event.message_id.clone(), event.run.clone());
        if policy.begins_a_row(event) {
            self.aside.remove(&key);
            self.begun.insert(key);
        } else if !self.begun.contains(&key) {
            self.aside.insert(key);
        }
    }

    /// Whether there are none, so that all rows of the batch are stored.
    pub fn is_empty(&self) -> bool {
        self.aside.is_empty()
    }

    /// Those of `rows` that are stored only if something of their run is.
    pub fn of<'a>(&self, rows: &'a [DeliveryRow]) -> Vec<&'a DeliveryRow> {
        rows.iter().filter(|row| self.aside.contains(&(row.message_id.clone(), row.run.clone()))).collect()
    }

    /// What is stored of a batch in which of the runs that stand aside only `known` are stored already.
    pub fn stored(
        &self,
        known: &HashMap<(MessageId, Run), Timestamp>,
        mut deliveries: Vec<DeliveryRow>,
        attempts: &[AttemptRow],
    ) -> (Vec<DeliveryRow>, Vec<AttemptRow>) {
        let stays = |message: &MessageId, run: &Run| {
            let key = (message.clone(), run.clone());
            !self.aside.contains(&key) || known.contains_key(&key)
        };
        deliveries.retain(|row| stays(&row.message_id, &row.run));
        let attempts = attempts.iter().filter(|row| stays(&row.message_id, &row.run)).cloned().collect();
        (deliveries, attempts)
    }
}

/// Whether a message is in the sample: the same for whoever asks, whenever. By FNV-1a, spread over all bits.
fn is_sample(message_id: &str, one_in: NonZeroU32) -> bool {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = message_id.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    ((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % u64::from(one_in.get()) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_about_as_large_as_it_should_be() {
        let one_in = NonZeroU32::new(10).unwrap();
        let sampled = (0..10_000).filter(|number| is_sample(&format!("msg_{number}"), one_in)).count();
        assert!((900..1_100).contains(&sampled), "{sampled}");
        assert!((0..100).all(|number| is_sample(&format!("msg_{number}"), NonZeroU32::MIN)));
    }
}

//! Whether the projector can work: it can if no part of it is in trouble.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use postrider_kafka::ReadinessHandle;

/// The troubles of the projector's parts, told as one readiness.
#[derive(Debug)]
pub struct Health {
    readiness: ReadinessHandle,
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Of a projector that has not started.
    pub fn new(readiness: ReadinessHandle) -> Self {
        Self { readiness, troubles: Mutex::default() }
    }

    /// The projector works from now on.
    pub fn started(&self) {
        self.tell(&self.troubles.lock());
    }

    /// `part` can't work, and why.
    pub fn trouble(&self, part: &str, reason: String) {
        let mut troubles = self.troubles.lock();
        troubles.insert(part.to_owned(), reason);
        self.tell(&troubles);
    }

    /// `part` works, or is no longer there.
    pub fn fine(&self, part: &str) {
        let mut troubles = self.troubles.lock();
        if troubles.remove(part).is_some() {
            self.tell(&troubles);
        }
    }

    fn tell(&self, troubles: &BTreeMap<String, String>) {
        match troubles.values().next() {
            None => self.readiness.ready(),
            Some(reason) => self.readiness.unready(reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_kafka::Readiness;

    use super::*;

    #[test]
    fn one_part_in_trouble_is_enough_and_the_last_to_recover_ends_it() {
        let readiness = Readiness::new();
        let health = Health::new(readiness.register("projector"));
        health.started();
        assert!(readiness.is_ready());
        health.trouble("0", "no database".to_owned());
        health.trouble("1", "no database".to_owned());
        health.fine("0");
        assert_eq!(readiness.report(), [("projector".to_owned(), Err("no database".to_owned()))]);
        health.fine("1");
        assert!(readiness.is_ready());
    }
}

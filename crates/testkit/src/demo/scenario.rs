//! What the demonstration sends, who wants which of it, and what must come of it. Pure.

use postrider_domain::Timestamp;
use serde_json::{Value, json};

use crate::Behaviour;

/// How many sample events there are.
pub const EVENTS: u32 = 1_000;

/// Pauses between the attempts of one delivery, seconds: three attempts.
pub const RETRY_DELAYS_SECONDS: [u32; 2] = [1, 1];

const COUNTRIES: [&str; 10] = ["NL", "DE", "FR", "IT", "ES", "PL", "SE", "PT", "IE", "AT"];

/// One sample event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleEvent {
    /// From 0; everything else follows from it.
    pub number: u32,
    /// Its type.
    pub event_type: &'static str,
    /// Where it happened.
    pub country: &'static str,
}

/// The sample events: of every ten, four orders created, two paid, two shipped, one customer updated, one
/// invoice overdue; the countries spread evenly over each type.
pub fn sample_events() -> Vec<SampleEvent> {
    let sample = |number: u32| {
        let event_type = match number % 10 {
            0..=3 => "order.created",
            4..=5 => "order.paid",
            6..=7 => "order.shipped",
            8 => "customer.updated",
            _ => "invoice.overdue",
        };
        SampleEvent { number, event_type, country: COUNTRIES[(number / 10) as usize % COUNTRIES.len()] }
    };
    (0..EVENTS).map(sample).collect()
}

impl SampleEvent {
    /// The id that its producer gives it.
    pub fn id(&self) -> String {
        format!("demo-{:04}", self.number)
    }

    /// The key of its record.
    pub fn customer(&self) -> String {
        format!("customer-{}", self.number % 97)
    }

    /// The record's value.
    pub fn to_json(self, tenant: &str, at: Timestamp) -> Value {
        json!({
            "id": self.id(),
            "type": self.event_type,
            "tenant": tenant,
            "timestamp": at.to_rfc3339(),
            "data": {
                "number": self.number,
                "customer": self.customer(),
                "country": self.country,
                "amount": f64::from(self.number % 500) + 0.95,
            },
        })
    }
}

/// The number of the sample event that a delivered body carries.
pub fn number_in(body: &[u8]) -> Option<u32> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["data"]["number"].as_u64()?.try_into().ok()
}

/// How a receiver treats what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// Takes everything.
    Healthy,
    /// Fails each message so many times, then takes it.
    FailsTimes(u32),
    /// Takes nothing.
    Broken,
}

/// One endpoint of the demonstration and its receiver.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The endpoint's name.
    pub name: &'static str,
    /// What happens there, for the screen.
    pub story: &'static str,
    /// The event types that it subscribes to.
    pub event_types: &'static [&'static str],
    /// The country that its filter asks for, if it has one.
    pub only_country: Option<&'static str>,
    /// How its receiver behaves.
    pub temper: Temper,
    /// The same choice as types and filter make, in plain code.
    wants: fn(&SampleEvent) -> bool,
}

/// The endpoints of the demonstration.
pub const PARTS: [Part; 4] = [
    Part {
        name: "healthy",
        story: "takes every event and verifies every signature",
        event_types: &["*"],
        only_country: None,
        temper: Temper::Healthy,
        wants: |_| true,
    },
    Part {
        name: "recovering",
        story: "answers 404 twice to each message, as if it did not know the order yet, then takes it",
        event_types: &["order.paid"],
        only_country: None,
        temper: Temper::FailsTimes(2),
        wants: |event| event.event_type == "order.paid",
    },
    Part {
        name: "broken",
        story: "always answers 400: ends in the dead-letter queue",
        event_types: &["customer.updated"],
        only_country: None,
        temper: Temper::Broken,
        wants: |event| event.event_type == "customer.updated",
    },
    Part {
        name: "choosy",
        story: "has a filter that lets one order in ten through",
        event_types: &["order.*"],
        only_country: Some("NL"),
        temper: Temper::Healthy,
        wants: |event| event.event_type.starts_with("order.") && event.country == "NL",
    },
];

impl Part {
    /// The path of its receiver.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// The subscription, as the API takes it.
    pub fn subscription(&self) -> Value {
        let mut subscription = json!({ "event_types": self.event_types });
        if let Some(country) = self.only_country {
            subscription["filter"] = json!({ "field": "data.country", "operator": "equals", "value": country });
        }
        subscription
    }

    /// What its receiver is told to do. It blames each message, not itself: after many a 5xx its breaker would open, and
    /// the demonstration take minutes.
    pub fn behaviour(&self) -> Behaviour {
        match self.temper {
            Temper::Healthy => Behaviour::Ok(200),
            Temper::FailsTimes(times) => Behaviour::FailEach(times, 404),
            Temper::Broken => Behaviour::Always(400),
        }
    }

    /// What must come of `events` here.
    pub fn expected(&self, events: &[SampleEvent]) -> Counts {
        let matched = events.iter().filter(|event| (self.wants)(event)).count();
        let attempts = 1 + RETRY_DELAYS_SECONDS.len();
        let (delivered, attempts_each) = match self.temper {
            Temper::Healthy => (matched, 1),
            Temper::FailsTimes(times) if (times as usize) < attempts => (matched, 1 + times as usize),
            Temper::FailsTimes(_) | Temper::Broken => (0, attempts),
        };
        Counts {
            matched,
            delivered,
            retried: if attempts_each > 1 { matched } else { 0 },
            dead_lettered: matched - delivered,
            requests: matched * attempts_each,
        }
    }
}

/// What came, or must come, of the events at one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries.
    pub matched: usize,
    /// Those that were taken in the end.
    pub delivered: usize,
    /// Those that needed more than one attempt.
    pub retried: usize,
    /// Those that ended in the dead-letter queue.
    pub dead_lettered: usize,
    /// Requests, all attempts together.
    pub requests: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_true() {
        let events = sample_events();
        let expected = |name: &str| {
            let part = PARTS.iter().find(|part| part.name == name).unwrap();
            part.expected(&events)
        };
        let counts = |matched, delivered, retried, dead_lettered, requests| Counts {
            matched,
            delivered,
            retried,
            dead_lettered,
            requests,
        };
        assert_eq!(expected("healthy"), counts(1_000, 1_000, 0, 0, 1_000));
        assert_eq!(expected("recovering"), counts(200, 200, 200, 0, 600));
        assert_eq!(expected("broken"), counts(100, 0, 100, 100, 300));
        assert_eq!(expected("choosy"), counts(80, 80, 0, 0, 80));
    }

    #[test]
    fn a_delivered_body_tells_its_number() {
        let event = sample_events()[42];
        let body = event.to_json("ten_x", Timestamp::EPOCH).to_string();
        assert_eq!(number_in(body.as_bytes()), Some(42));
        assert_eq!(number_in(b"{}"), None);
    }
}

//! The subscriptions and events that matching is measured with: made from their number, so that they are the same each
//! time and none has to be kept.
//!
//! Subscriptions come in groups of as many as an event is to match: all of a group match the same events, and nothing
//! else does. Of a hundred subscriptions
//!
//! - 50 have an equality filter, on text or a number, a fifth of them with another condition beside it. They belong to
//!   ten tenants, whatever the number of subscriptions: only their values tell them apart;
//! - 49 have no filter, or one that no index helps, and belong to as many tenants as it takes;
//! - 1 is for one hot type of one tenant, with a filter that no index helps.
//!
//! Most patterns are exact, about a tenth are prefixes, a few are `*`.

use postrider_domain::{
    EndpointId, Event, EventId, SourceCoordinates, Subscription, SubscriptionId, TenantId, Timestamp,
};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};

const ENTITIES: [&str; 8] = ["order", "invoice", "customer", "shipment", "ticket", "contact", "message", "payment"];
const ACTIONS: [&str; 5] = ["created", "updated", "deleted", "assigned", "closed"];
const HOT_TYPE: &str = "activity.logged";
/// Tenants of subscriptions with an equality filter.
const LARGE_TENANTS: usize = 10;
/// Groups of the same small tenant.
const GROUPS_PER_SMALL_TENANT: usize = 7;

/// What the subscriptions are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// As above.
    Realistic,
    /// Each has one equality predicate, and nothing else.
    Equality,
    /// The same, each of a tenant of its own.
    Lonely,
}

/// A number of subscriptions, and the events that match them.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub mix: Mix,
    pub subscriptions: usize,
    pub matches_per_event: usize,
}

/// A group: subscriptions that match the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Equal(usize),
    Plain(usize),
    Hot(usize),
}

impl Workload {
    /// The subscription of that number. `edited`: as somebody changed it.
    pub fn subscription(&self, number: usize, edited: bool) -> Subscription {
        let group = self.group(number);
        let (pattern, filter) = match group {
            Group::Equal(group) => (equal_pattern(group), Some(self.equal_filter(group, edited))),
            Group::Plain(group) => (plain_pattern(group), plain_filter(number, edited)),
            Group::Hot(group) => (HOT_TYPE.to_owned(), Some(hot_filter(group, number, edited))),
        };
        // As it is when it was read from the directory's topic: parsed, not built.
        let filter = filter.map(|json| serde_json::from_str(&json.to_string()).expect("it is a filter"));
        Subscription {
            id: SubscriptionId::from_trusted(id("sub", number)),
            tenant: self.tenant(group),
            endpoint: EndpointId::from_trusted(id("ep", number)),
            event_types: vec![pattern.parse().expect("it is a pattern")],
            filter,
            mapping: None,
            created_at: Timestamp::from_millis(0),
        }
    }

    /// An event that all of some group match, and nobody else.
    pub fn event(&self, rng: &mut StdRng) -> Event {
        loop {
            let number = rng.random_range(0..self.subscriptions);
            let group = self.group(number);
            if !matches!(group, Group::Hot(_)) && self.is_whole(group) {
                return self.event_of(group, rng);
            }
        }
    }

    /// The same for the hot type; none if there are too few subscriptions of it.
    pub fn hot_event(&self, rng: &mut StdRng) -> Option<Event> {
        let groups = self.subscriptions / 100 / self.matches_per_event;
        (groups > 0).then(|| self.event_of(Group::Hot(rng.random_range(0..groups)), rng))
    }

    fn group(&self, number: usize) -> Group {
        let each = self.matches_per_event;
        if self.mix != Mix::Realistic {
            return Group::Equal(number / each);
        }
        match (number / 100, number % 100) {
            (hundred, place @ 0..50) => Group::Equal((hundred * 50 + place) / each),
            (hundred, place @ 50..99) => Group::Plain((hundred * 49 + place - 50) / each),
            (hundred, _) => Group::Hot(hundred / each),
        }
    }

    /// Whether it has as many subscriptions as the others.
    fn is_whole(&self, group: Group) -> bool {
        let (group, of_hundred) = match group {
            Group::Equal(group) if self.mix != Mix::Realistic => (group, 100),
            Group::Equal(group) => (group, 50),
            Group::Plain(group) => (group, 49),
            Group::Hot(group) => (group, 1),
        };
        (group + 1) * self.matches_per_event <= self.subscriptions / 100 * of_hundred
    }

    fn tenant(&self, group: Group) -> TenantId {
        let (kind, number) = match group {
            Group::Equal(group) if self.mix == Mix::Lonely => (1, group),
            Group::Equal(group) => (0, group % LARGE_TENANTS),
            Group::Plain(group) if wants_any(group) => (2, group),
            Group::Plain(group) => (3, group / GROUPS_PER_SMALL_TENANT),
            Group::Hot(_) => (0, 0),
        };
        TenantId::from_trusted(id("ten", kind * 100_000_000 + number))
    }

    fn equal_filter(&self, group: usize, edited: bool) -> Value {
        let (field, value) = match (group % 3, edited) {
            (0, false) => ("data.account.number", json!(group)),
            (0, true) => ("data.account.number", json!(format!("former {group}"))),
            (_, false) => ("data.customer.id", json!(id("cus", group))),
            (_, true) => ("data.customer.id", json!(format!("{} of old", id("cus", group)))),
        };
        let equal = json!({"field": field, "operator": "equals", "value": value});
        let over = json!({"field": "data.total", "operator": "greater_than", "value": 0});
        let is_alone = self.mix != Mix::Realistic || !group.is_multiple_of(5);
        if is_alone { equal } else { json!({"all": [over, equal]}) }
    }

    fn event_of(&self, group: Group, rng: &mut StdRng) -> Event {
        let (event_type, account, customer, note) = match group {
            Group::Equal(number) if number.is_multiple_of(3) => {
                (event_type(number), format!("{number}.0"), "none".to_owned(), String::new())
            }
            Group::Equal(number) => (event_type(number), "null".to_owned(), id("cus", number), String::new()),
            Group::Plain(number) => (plain_type(number), "null".to_owned(), "none".to_owned(), String::new()),
            Group::Hot(number) => (HOT_TYPE.to_owned(), "null".to_owned(), "none".to_owned(), hot_mark(number)),
        };
        let (order, cents) = (rng.random_range(0..1_000_000), rng.random_range(100..100_000));
        let data = format!(
            r#"{{"id":"ord_{order:012}","status":"open","total":{cents}.50,"currency":"EUR","customer":{{"id":"{customer}","name":"Ann Example","email":"ann.example@example.com","address":{{"street":"Long Street 12","city":"Springfield","zip":"12345","country":"DE"}}}},"account":{{"number":{account},"plan":"team"}},"items":[{{"sku":"A-{order}","quantity":2,"price":12.50}},{{"sku":"B-{cents}","quantity":1,"price":99.00}},{{"sku":"C-7","quantity":10,"price":0.99}}],"tags":["new","web","priority"],"note":"Please ring twice {note} and leave it with the neighbours"}}"#
        );
        Event {
            id: EventId::from_trusted(format!("event {order}")),
            producer_id: None,
            source: "shop".to_owned(),
            tenant: self.tenant(group),
            event_type,
            time: Timestamp::from_millis(0),
            subject: None,
            ordering_key: None,
            data: data.into(),
            previous: None,
            content_type: "application/json".to_owned(),
            coordinates: SourceCoordinates { topic: "shop".into(), partition: 0, offset: 0 },
        }
    }
}

/// An id as long as those that Postrider makes.
fn id(prefix: &str, number: usize) -> String {
    format!("{prefix}_{number:026}")
}

fn event_type(group: usize) -> String {
    let kind = group / LARGE_TENANTS;
    format!("{}.{}", ENTITIES[kind % ENTITIES.len()], ACTIONS[kind / ENTITIES.len() % ACTIONS.len()])
}

fn equal_pattern(group: usize) -> String {
    let event_type = event_type(group);
    match group % 25 {
        0 => "*".to_owned(),
        1..4 => below_first(&event_type),
        _ => event_type,
    }
}

/// Whether a group without equality filter wants every type; it has a tenant of its own then.
fn wants_any(group: usize) -> bool {
    group % 50 == 49
}

/// The types of the groups of a tenant are of different entities.
fn plain_type(group: usize) -> String {
    let place = group % GROUPS_PER_SMALL_TENANT;
    format!("{}.{}", ENTITIES[place], ACTIONS[group % ACTIONS.len()])
}

fn plain_pattern(group: usize) -> String {
    let event_type = plain_type(group);
    match group {
        _ if wants_any(group) => "*".to_owned(),
        _ if group.is_multiple_of(10) => below_first(&event_type),
        _ => event_type,
    }
}

fn below_first(event_type: &str) -> String {
    let entity = event_type.split('.').next().unwrap_or_default();
    format!("{entity}.*")
}

/// Half have none.
fn plain_filter(number: usize, edited: bool) -> Option<Value> {
    let unwanted = if edited { "open" } else { "test" };
    let status = json!({"field": "data.status", "operator": "not_equals", "value": unwanted});
    (number.is_multiple_of(2) || edited).then_some(status)
}

/// What the note of an event says for a hot group.
fn hot_mark(group: usize) -> String {
    format!("#{group:08}#")
}

fn hot_filter(group: usize, number: usize, edited: bool) -> Value {
    let mark = if edited { "#nobody#".to_owned() } else { hot_mark(group) };
    let noted = json!({"field": "data.note", "operator": "contains", "value": mark});
    match number / 100 % 3 {
        0 => noted,
        1 => json!({"all": [{"field": "data.total", "operator": "greater_than", "value": 0}, noted]}),
        _ => json!({"any": [{"field": "data.status", "operator": "equals", "value": "lost"}, noted]}),
    }
}

#[cfg(test)]
mod tests {
    use postrider_domain::{filter::EventView, index::SubscriptionIndex};
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn an_event_matches_as_many_as_it_is_to_by_index_and_by_scan() {
        for matches_per_event in [1, 10] {
            let workload = Workload { mix: Mix::Realistic, subscriptions: 4_000, matches_per_event };
            let all: Vec<_> = (0..4_000).map(|number| workload.subscription(number, false)).collect();
            let mut index = SubscriptionIndex::default();
            for subscription in &all {
                index.insert(subscription.clone());
            }
            let mut rng = StdRng::seed_from_u64(1);
            let hot = std::iter::repeat_with(|| workload.hot_event(&mut rng).unwrap()).take(3).collect::<Vec<_>>();
            let events = std::iter::repeat_with(|| workload.event(&mut rng)).take(30).collect::<Vec<_>>();
            for event in hot.into_iter().chain(events) {
                let view = EventView::new(&event);
                let holds = |it: &Subscription| it.filter.as_ref().is_none_or(|filter| filter.matches(&view));
                let matched = index.candidates(&view).into_iter().filter(|it| holds(it)).count();
                let is_for = |it: &Subscription| {
                    it.tenant == event.tenant && it.event_types.iter().any(|p| p.matches(&event.event_type))
                };
                let scanned = all.iter().filter(|it| is_for(it) && holds(it)).count();
                assert_eq!((matched, scanned), (matches_per_event, matches_per_event), "{event:?}");
            }
        }
    }
}

//! Ten thousand random directories of up to 200 subscriptions, in four kinds. A case is a seed and a size, so that
//! making it costs little and a failing one shrinks.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::*;
use crate::{
    filter::{Bound, Condition, FieldPath, Test},
    pattern::TypePattern,
};

/// Of each kind.
const CASES: u32 = 2_500;
const MAX_SUBSCRIPTIONS: usize = 200;
const EVENTS: usize = 3;

/// What subscriptions ask for, and what events have.
struct Kind {
    fields: Vec<FieldPath>,
    values: Vec<Value>,
    /// How often a condition is one that the index may use.
    equal: f64,
}

static PATTERNS: LazyLock<Vec<TypePattern>> = LazyLock::new(|| {
    let texts = ["*", "a", "a.b", "a.b.c", "a.*", "a.b.*", "b", "b.a", "b.*", "a/b", "a/b.*", "a/b.c"];
    texts.iter().map(|text| text.parse().unwrap()).collect()
});
const TYPES: [&str; 9] = ["a", "a.b", "a.b.c", "a.b.c.d", "b", "b.a", "a/b", "a/b.c", "c"];

impl Kind {
    fn new(fields: &[&str], values: &[&str], equal: f64) -> Self {
        Self {
            fields: fields.iter().map(|text| text.parse().unwrap()).collect(),
            values: values.iter().map(|text| serde_json::from_str(text).unwrap()).collect(),
            equal,
        }
    }

    fn value(&self, rng: &mut StdRng) -> Value {
        self.values.choose(rng).unwrap().clone()
    }

    fn condition(&self, rng: &mut StdRng) -> Filter {
        let test = if rng.random_bool(self.equal) {
            match rng.random_range(0..4) {
                0 => Test::In((0..rng.random_range(1..20)).map(|_| self.value(rng)).collect()),
                _ => Test::Equals(self.value(rng)),
            }
        } else {
            match (rng.random_range(0..5), self.value(rng)) {
                (0, value) => Test::NotEquals(value),
                (1, _) => Test::Exists(rng.random_bool(0.5)),
                (2, Value::Number(number)) => Test::GreaterThan(Bound::Number(number)),
                (3, _) => Test::Changed,
                (_, value) => Test::Contains(value),
            }
        };
        Filter::Condition(Condition { field: self.fields.choose(rng).unwrap().clone(), test })
    }

    fn filter(&self, rng: &mut StdRng, depth: u32) -> Filter {
        if depth == 0 {
            return self.condition(rng);
        }
        match rng.random_range(0..6) {
            0 => Filter::Any(self.filters(rng, depth - 1)),
            1 => Filter::Not(Box::new(self.filter(rng, depth - 1))),
            2 | 3 => Filter::All(self.filters(rng, depth - 1)),
            _ => self.condition(rng),
        }
    }

    fn filters(&self, rng: &mut StdRng, depth: u32) -> Vec<Filter> {
        (0..rng.random_range(1..4)).map(|_| self.filter(rng, depth)).collect()
    }

    fn subscription(&self, rng: &mut StdRng, id: usize) -> Subscription {
        let filter = rng.random_bool(0.85).then(|| {
            let depth = rng.random_range(0..3);
            self.filter(rng, depth)
        });
        let patterns = (0..rng.random_range(1..4)).map(|_| PATTERNS.choose(rng).unwrap().clone()).collect();
        Subscription { event_types: patterns, ..subscription(id, rng.random_range(0..2), &[], filter) }
    }

    fn event(&self, rng: &mut StdRng) -> Event {
        let mut json = || match rng.random_range(0..8) {
            0 => self.value(rng).to_string(),
            n => {
                let [a, b, first] = [0; 3].map(|_| self.value(rng));
                let list = if n == 1 { "null".to_owned() } else { format!("[{first}]") };
                format!(r#"{{"a": {a}, "b": {{"c": {b}}}, "list": {list}}}"#)
            }
        };
        let (data, previous) = (json(), json());
        Event {
            previous: rng.random_bool(0.5).then(|| previous.into()),
            subject: rng.random_bool(0.5).then(|| (*["x", "1"].choose(rng).unwrap()).to_owned()),
            content_type: if rng.random_bool(0.9) { "application/json" } else { "text/plain" }.to_owned(),
            ..event(rng.random_range(0..2), TYPES.choose(rng).unwrap(), data)
        }
    }

    /// Adds, replaces and removes subscriptions, here and in a plain list.
    fn check(&self, seed: u64, size: usize) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut index = SubscriptionIndex::default();
        let mut all: BTreeMap<SubscriptionId, Subscription> = BTreeMap::new();
        for step in 0..size {
            let id = if step > 0 && rng.random_bool(0.2) { rng.random_range(0..step) } else { step };
            let edited = self.subscription(&mut rng, id);
            if rng.random_bool(0.1) {
                index.remove(&edited.id);
                all.remove(&edited.id);
            } else {
                index.insert(edited.clone());
                all.insert(edited.id.clone(), edited);
            }
        }
        assert_eq!(index.len(), all.len());
        for _ in 0..EVENTS {
            let event = self.event(&mut rng);
            let view = EventView::new(&event);
            let holds = |it: &Subscription| it.filter.as_ref().is_none_or(|filter| filter.matches(&view));
            let is_for = |it: &Subscription| {
                it.tenant == event.tenant && it.event_types.iter().any(|pattern| pattern.matches(&event.event_type))
            };
            let scanned: Vec<_> = all.values().filter(|it| is_for(it) && holds(it)).map(|it| it.id.as_str()).collect();
            let candidates = index.candidates(&view);
            assert!(candidates.iter().all(|it| is_for(it)), "one of another tenant or type");
            let matched: Vec<_> = candidates.into_iter().filter(|it| holds(it)).collect();
            assert_eq!(ids(&matched), scanned, "{event:?}");
        }
        for id in all.keys() {
            index.remove(id);
        }
        assert!(index.holds_nothing());
    }
}

/// Declares a kind of directories, and tests that many of it.
macro_rules! directories {
    ($name:ident, $fields:expr, $values:expr, $equal:expr) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(CASES))]
            #[test]
            fn $name(seed in any::<u64>(), size in 0..=MAX_SUBSCRIPTIONS) {
                static KIND: LazyLock<Kind> = LazyLock::new(|| Kind::new($fields, $values, $equal));
                KIND.check(seed, size);
            }
        }
    };
}

directories!(
    finds_what_a_linear_scan_finds_with_numbers,
    &["data.a", "data.b.c", "/data/a"],
    &["0", "-0.0", "1", "1.0", "1e0", "10e-1", "9007199254740992", "9007199254740993", "9.007199254740993e15", "1e400"],
    0.8
);
directories!(
    finds_what_a_linear_scan_finds_with_texts_and_nulls,
    &["data.a", "data.b.c", "data.missing", "data.a.x", "subject", "type", "tenant"],
    &["null", "true", "false", "\"\"", "\"1\"", "\"x\"", "\"a.b\"", "1"],
    0.8
);
directories!(
    finds_what_a_linear_scan_finds_with_lists_and_objects,
    &["data", "data.a", "data.b", "data.list", "data.list.0", "data.list.1", "previous.a", "previous.list"],
    &["[]", "[1]", "[1.0]", "[[1]]", "{}", "{\"c\": 1}", "{\"c\": 1e0}", "{\"c\": 2}", "1", "null"],
    0.8
);
directories!(
    finds_what_a_linear_scan_finds_with_every_kind_of_filter,
    &["data.a", "data.b.c", "data.list.0", "previous.a", "data.list"],
    &["null", "true", "1", "1.0", "2", "\"x\"", "\"1\"", "[1]", "{\"c\": 1}"],
    0.4
);

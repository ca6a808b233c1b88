//! Full-transitive compatibility: what any release wrote can be read today, and what is written today has
//! everything that any release reads.
//!
//! `schemas/history/<n>/` has the schemas of each release as they were. A schema that has changed since is added
//! there, in a new folder, with the release; nothing there is ever edited.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use postrider_domain::{
    ConfigEntry, ConfigMarker, Delivery, DeliveryEvent,
    delivery_event::{DeadLetter, HeldRange},
    endpoint_state::{EndpointState, StateTerm},
    overrides::Override,
    replay::{DeadLetterMark, MatchedFrom, ReplayJob, ReplayProgress},
    retry::RetryPolicy,
};
use serde_avro_fast::schema::{RegularType, SchemaKey, SchemaMut};
use serde_json::Value;

use super::{SCHEMAS, samples};
use crate::{AvroRecord, Codec, DecodeError};

/// The schemas of all releases.
fn released() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/history");
    let releases = fs::read_dir(folder).unwrap().map(|release| release.unwrap().path());
    let files = releases.flat_map(|release| fs::read_dir(release).unwrap().map(|file| file.unwrap().path()));
    let schemas: Vec<_> = files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(schemas.len() >= 5, "{schemas:?}");
    schemas
}

fn name_of(schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).unwrap();
    schema["name"].as_str().unwrap().to_owned()
}

/// A text that is right for a field.
fn text(record: &str, field: &str) -> String {
    let fixed = match (record, field) {
        (_, "kind") => "live",
        (_, "error") => "dns",
        ("Attempted", "next") => "retry",
        ("Parked", "reason") => "lane_full",
        ("Cancelled" | "HeldRange", "reason") => "endpoint_deleted",
        ("Held", "reason") => "paused",
        ("AutoDisabled", "reason") => "gone",
        (_, "entity") => "endpoint",
        (_, "validation") => "report",
        (_, "mark") => "purged",
        (_, "desired" | "state") => "running",
        ("ReplayProgress", "next") | ("EventType", "schema") | (_, "settings") => "{}",
        ("ReplayJob", "source") => r#"{"rejected":{"source":null,"since":null,"until":null,"ranges":{}}}"#,
        (_, "filter") => r#"{"field":"data.total","operator":"exists","value":true}"#,
        (_, "mapping") => r#"{"body":{"total":"$.data.total"}}"#,
        (_, "method") => "PUT",
        (_, "event_types") => "order.*",
        (_, "retry") => return serde_json::to_string(&RetryPolicy::default()).unwrap(),
        _ => "text",
    };
    fixed.to_owned()
}

/// Writes a value of any schema: the given branch of each union, or its last.
struct Datum<'a> {
    schema: &'a SchemaMut,
    branch: usize,
    bytes: Vec<u8>,
}

impl Datum<'_> {
    fn long(&mut self, value: i64) {
        let mut rest = u64::try_from(value).unwrap() << 1; // zigzag of what is not negative
        while rest >= 0x80 {
            self.bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        self.bytes.push(u8::try_from(rest).unwrap());
    }

    fn blob(&mut self, blob: &[u8]) {
        self.long(i64::try_from(blob.len()).unwrap());
        self.bytes.extend(blob);
    }

    fn write(&mut self, key: SchemaKey, record: &str, field: &str) {
        let schema = self.schema;
        match &schema.get(key).unwrap().type_ {
            RegularType::Null => {}
            RegularType::Boolean => self.bytes.push(1),
            RegularType::Int | RegularType::Long => self.long(1),
            RegularType::Double => self.bytes.extend(1.5_f64.to_le_bytes()),
            RegularType::Bytes => self.blob(samples::sealed().as_bytes()),
            RegularType::String => self.blob(text(record, field).as_bytes()),
            RegularType::Array(array) => {
                self.long(1);
                self.write(array.items, record, field);
                self.long(0);
            }
            RegularType::Union(union) => {
                let branch = self.branch.min(union.variants.len() - 1);
                self.long(i64::try_from(branch).unwrap());
                self.write(union.variants[branch], record, field);
            }
            RegularType::Record(record) => {
                for field in &record.fields {
                    self.write(field.type_, record.name.fully_qualified_name(), &field.name);
                }
            }
            other => panic!("no schema uses {other:?} yet"),
        }
    }
}

fn decodes<T: AvroRecord>(codec: &Codec, bytes: &[u8]) -> Result<(), DecodeError> {
    codec.decode::<T>(bytes).map(|_| ())
}

fn decode_any(name: &str, codec: &Codec, bytes: &[u8]) -> Result<(), DecodeError> {
    match name {
        "ConfigEntry" => decodes::<ConfigEntry>(codec, bytes),
        "ConfigMarker" => decodes::<ConfigMarker>(codec, bytes),
        "DeadLetter" => decodes::<DeadLetter>(codec, bytes),
        "DeadLetterMark" => decodes::<DeadLetterMark>(codec, bytes),
        "Delivery" => decodes::<Delivery>(codec, bytes),
        "DeliveryEvent" => decodes::<DeliveryEvent>(codec, bytes),
        "EndpointState" => decodes::<EndpointState>(codec, bytes),
        "HeldRange" => decodes::<HeldRange>(codec, bytes),
        "MatchedFrom" => decodes::<MatchedFrom>(codec, bytes),
        "Override" => decodes::<Override>(codec, bytes),
        "ReplayJob" => decodes::<ReplayJob>(codec, bytes),
        "ReplayProgress" => decodes::<ReplayProgress>(codec, bytes),
        "StateTerm" => decodes::<StateTerm>(codec, bytes),
        _ => panic!("{name} is new here"),
    }
}

/// Writes values with `json`, every branch of every union among them, and reads them as this build does.
fn check_readable(json: &str) -> Result<(), DecodeError> {
    let schema: SchemaMut = json.parse().unwrap();
    let fingerprint = *schema.clone().freeze().unwrap().rabin_fingerprint();
    let branches = schema.nodes().iter().map(|node| match &node.type_ {
        RegularType::Union(union) => union.variants.len(),
        _ => 1,
    });
    let codec = Codec::new();
    codec.learn(json).unwrap();
    (0..branches.max().unwrap()).try_for_each(|branch| {
        let header = [&[0xC3, 0x01][..], &fingerprint].concat();
        let mut datum = Datum { schema: &schema, branch, bytes: header };
        datum.write(SchemaKey::root(), "", "");
        decode_any(&name_of(json), &codec, &datum.bytes)
    })
}

#[test]
fn what_any_release_wrote_can_be_read() {
    for (path, json) in released() {
        assert_eq!(check_readable(&json), Ok(()), "{}", path.display());
    }
    for (name, json) in SCHEMAS {
        assert_eq!(check_readable(json), Ok(()), "{name}");
    }
}

#[test]
fn what_is_written_today_has_all_that_any_release_reads() {
    for (path, released) in released() {
        let name = name_of(&released);
        let (_, today) = SCHEMAS.into_iter().find(|(known, _)| *known == name).expect("no record's schema was removed");
        assert_eq!(differences(&released, today), Vec::<String>::new(), "{}", path.display());
    }
}

/// Why a reader or writer of `old` and one of `new` can't work together.
fn differences(old: &str, new: &str) -> Vec<String> {
    let [old, new] = [old, new].map(|json| serde_json::from_str::<Value>(json).unwrap());
    let (mut old_names, mut new_names) = (BTreeMap::new(), BTreeMap::new());
    name_types(&old, &mut old_names);
    name_types(&new, &mut new_names);
    let mut comparison = Comparison { old: &old_names, new: &new_names, differences: Vec::new() };
    comparison.types(&old, &new, old["name"].as_str().unwrap());
    comparison.differences
}

fn name_types<'a>(schema: &'a Value, names: &mut BTreeMap<&'a str, &'a Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| name_types(branch, names)),
        Value::Object(object) => {
            if let Some(fields) = object.get("fields") {
                names.insert(object["name"].as_str().unwrap(), schema);
                fields.as_array().unwrap().iter().for_each(|field| name_types(&field["type"], names));
            } else {
                name_types(object.get("items").unwrap_or(&object["type"]), names);
            }
        }
        _ => {}
    }
}

struct Comparison<'a> {
    old: &'a BTreeMap<&'a str, &'a Value>,
    new: &'a BTreeMap<&'a str, &'a Value>,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn types(&mut self, old: &Value, new: &Value, at: &str) {
        let (old, new) = (resolve(old, self.old), resolve(new, self.new));
        match (old, new) {
            (Value::Array(old), Value::Array(new)) => {
                // A branch more is something that older readers refuse: it is written once all of them are gone.
                if old.len() > new.len() {
                    self.differences.push(format!("{at}: a branch is gone"));
                }
                old.iter().zip(new).for_each(|(old, new)| self.types(old, new, at));
            }
            (Value::Object(old), Value::Object(new)) if old.contains_key("fields") && new.contains_key("fields") => {
                if old["name"] != new["name"] {
                    self.differences.push(format!("{at}: {} became {}", old["name"], new["name"]));
                }
                self.fields(&old["fields"], &new["fields"], at);
            }
            (Value::Object(old), Value::Object(new)) if old.contains_key("items") && new.contains_key("items") => {
                self.types(&old["items"], &new["items"], at);
            }
            _ if old == new => {}
            _ => self.differences.push(format!("{at}: {old} became {new}")),
        }
    }

    fn fields(&mut self, old: &Value, new: &Value, at: &str) {
        let by_name = |fields: &Value| -> BTreeMap<String, Value> {
            let fields = fields.as_array().unwrap().iter();
            fields.map(|field| (field["name"].as_str().unwrap().to_owned(), field.clone())).collect()
        };
        let (old, new) = (by_name(old), by_name(new));
        for (name, field) in &old {
            match new.get(name) {
                Some(today) => self.types(&field["type"], &today["type"], &format!("{at}.{name}")),
                None => self.differences.push(format!("{at}.{name} is gone")),
            }
        }
        for (name, field) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            if field.get("default").is_none() {
                self.differences.push(format!("{at}.{name} is new and has no default"));
            }
        }
    }
}

fn resolve<'a>(schema: &'a Value, names: &BTreeMap<&str, &'a Value>) -> &'a Value {
    schema.as_str().and_then(|name| names.get(name).copied()).unwrap_or(schema)
}

#[test]
fn an_incompatible_change_is_noticed() {
    let marker = |field: &str| format!(r#"{{"type":"record","name":"M","fields":[{field}]}}"#);
    let old = marker(r#"{"name":"a","type":"long"}"#);
    for (new, differs) in [
        (marker(r#"{"name":"a","type":"long"},{"name":"b","type":"int","default":1}"#), false),
        (marker(r#"{"name":"a","type":"long"},{"name":"b","type":"int"}"#), true),
        (marker(r#"{"name":"a","type":"string"}"#), true),
        (marker(r#"{"name":"c","type":"long","default":1}"#), true),
    ] {
        assert_eq!(!differences(&old, &new).is_empty(), differs, "{new}");
    }
}

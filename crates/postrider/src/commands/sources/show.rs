//! How what was found in sources is printed.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use postrider_kafka::Record;
use postrider_pipeline::matcher::{Inspected, SourceConfig, Understood};
use serde_json::{Value, json};

use super::read::Sample;

/// What one record is, or one event of a batch.
#[derive(Debug)]
pub struct Finding {
    place: String,
    record: (String, i32, i64),
    inspected: Inspected,
}

impl Finding {
    /// What `record` is.
    pub fn new(record: &Record, inspected: Inspected) -> Self {
        let place = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        Self { place, record: (record.topic.to_string(), record.partition, record.offset), inspected }
    }

    /// Whether it would be understood, or passed over.
    pub fn is_fine(&self) -> bool {
        matches!(self.inspected, Inspected::Event(_) | Inspected::Empty)
    }

    fn json(&self, source: &str) -> Value {
        let (topic, partition, offset) = &self.record;
        let mut value = json!({ "source": source, "topic": topic, "partition": partition, "offset": offset });
        let (result, more) = match &self.inspected {
            Inspected::Event(event) => ("event", event_json(event)),
            Inspected::Empty => ("empty", json!({})),
            Inspected::Rejected { reason, message } => ("rejected", json!({ "reason": reason, "message": message })),
            Inspected::Waits(why) => ("waits", json!({ "message": why })),
        };
        value["result"] = json!(result);
        let (Some(value_members), Value::Object(more)) = (value.as_object_mut(), more) else { return value };
        value_members.extend(more);
        value
    }
}

fn event_json(event: &Understood) -> Value {
    json!({
        "type": event.event_type,
        "id": event.id,
        "tenant": event.tenant,
        "time": event.time.to_rfc3339(),
        "subject": event.subject,
        "ordering_key": event.ordering_key,
        "content_type": event.content_type,
        "data_bytes": event.data_bytes,
        "previous_bytes": event.previous_bytes,
        "violation": event.violation,
    })
}

/// Prints what was found in a source, and what went wrong.
pub fn show(source: &SourceConfig, findings: &[Finding], problem: Option<&str>, as_json: bool) {
    if as_json {
        for finding in findings {
            println!("{}", finding.json(&source.name));
        }
        if let Some(problem) = problem {
            println!("{}", json!({ "source": source.name, "result": "problem", "message": problem }));
        }
        return;
    }
    println!("source {}", source.name);
    if !findings.is_empty() {
        println!("{}", table(findings));
    }
    if let Some(problem) = problem {
        println!("  {problem}");
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["  record", "type", "id", "tenant", "time", "subject", "ordering key", "data"]);
    for finding in findings {
        let place = format!("  {}", finding.place);
        let optional = |text: &Option<String>| text.clone().map_or_else(|| "-".to_owned(), |text| printable(&text));
        match &finding.inspected {
            Inspected::Event(event) => table.add_row([
                place,
                event.event_type.clone(),
                optional(&event.id),
                event.tenant.to_string(),
                event.time.to_rfc3339(),
                optional(&event.subject),
                optional(&event.ordering_key),
                data(event),
            ]),
            Inspected::Empty => table.add_row([place, "(empty: passed over)".to_owned()]),
            // What is wrong follows in full below the table, so that the columns stay narrow.
            Inspected::Rejected { reason, .. } => table.add_row([place, format!("REJECTED ({reason})")]),
            Inspected::Waits(_) => table.add_row([place, "WAITS (schema)".to_owned()]),
        };
    }
    table
}

fn data(event: &Understood) -> String {
    let previous = event.previous_bytes.map(|bytes| format!(", previous {bytes} bytes")).unwrap_or_default();
    format!("{} bytes {}{previous}", event.data_bytes, event.content_type)
}

/// What can be printed in a line of a terminal, and not too much of it.
fn printable(text: &str) -> String {
    let shown: String = text.chars().filter(|character| !character.is_control()).take(64).collect();
    if shown == text { shown } else { format!("{shown}…") }
}

/// Why what was not understood was not, and what was read, for people.
pub fn summary(sample: &Sample, findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        match &finding.inspected {
            Inspected::Rejected { reason, message } => {
                lines.push(format!("  {} would be rejected: {reason}: {}", finding.place, one_line(message)));
            }
            Inspected::Waits(why) => lines.push(format!("  {} would wait: {}", finding.place, one_line(why))),
            Inspected::Event(Understood { violation: Some(violation), .. }) => {
                let (place, violation) = (&finding.place, one_line(violation));
                lines.push(format!(
                    "  {place} would be delivered although it does not fit its type's schema: {violation}"
                ));
            }
            Inspected::Event(_) | Inspected::Empty => {}
        }
    }
    let of = |wanted: fn(&Inspected) -> bool| findings.iter().filter(|finding| wanted(&finding.inspected)).count();
    let Sample { records, topics, looked_at, partitions, available, .. } = sample;
    let all = if looked_at == partitions { String::new() } else { format!(" (of {partitions})") };
    lines.push(format!(
        "  {} of about {available} records in {topics} topic{} and {looked_at} partition{}{all}: {} understood, {} empty, {} rejected, {} waiting",
        records.len(),
        if *topics == 1 { "" } else { "s" },
        if *looked_at == 1 { "" } else { "s" },
        of(|it| matches!(it, Inspected::Event(_))),
        of(|it| matches!(it, Inspected::Empty)),
        of(|it| matches!(it, Inspected::Rejected { .. })),
        of(|it| matches!(it, Inspected::Waits(_))),
    ));
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|character| !character.is_control()).take(500).collect()
}

#[cfg(test)]
mod tests {
    use postrider_domain::{TenantId, Timestamp};

    use super::*;

    fn finding(offset: i64, inspected: Inspected) -> Finding {
        Finding { place: format!("orders/0/{offset}"), record: ("orders".to_owned(), 0, offset), inspected }
    }

    fn findings() -> Vec<Finding> {
        let event = Understood {
            event_type: "order.created".to_owned(),
            id: Some("o-1\n\u{1b}[31m".to_owned()),
            tenant: TenantId::from_trusted("ten_1"),
            time: Timestamp::from_millis(1_000),
            subject: None,
            ordering_key: Some("k".to_owned()),
            content_type: "application/json".to_owned(),
            data_bytes: 17,
            previous_bytes: Some(3),
            violation: Some("/total: it is\nno number".to_owned()),
        };
        let rejected = Inspected::Rejected { reason: "tenant", message: "names\nno tenant".to_owned() };
        vec![
            finding(1, Inspected::Event(event)),
            finding(2, Inspected::Empty),
            finding(3, rejected),
            finding(4, Inspected::Waits("down".to_owned())),
        ]
    }

    #[test]
    fn every_kind_is_shown_with_its_reason() {
        let text = table(&findings()).to_string();
        for part in ["order.created", "o-1[31m…", "ten_1", "17 bytes application/json, previous 3 bytes"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("(empty") && text.contains("REJECTED (tenant)") && text.contains("WAITS"), "{text}");
        let summary = summary(&Sample { topics: 1, looked_at: 2, partitions: 3, ..Sample::default() }, &findings());
        assert!(summary.contains("orders/0/3 would be rejected: tenant: names no tenant"), "{summary}");
        assert!(summary.contains("orders/0/4 would wait: down"), "{summary}");
        assert!(summary.contains("orders/0/1 would be delivered although"), "{summary}");
        assert!(summary.contains("schema: /total: it is no number"), "{summary}");
        assert!(summary.contains("in 1 topic and 2 partitions (of 3): 1 understood, 1 empty, 1 rejected"), "{summary}");
    }

    #[test]
    fn json_says_all_there_is_to_say() {
        let [event, empty, rejected, _] = &findings()[..] else { panic!() };
        let event = event.json("shop");
        assert_eq!(
            (&event["source"], &event["offset"], &event["result"]),
            (&json!("shop"), &json!(1), &json!("event"))
        );
        assert_eq!((&event["type"], &event["data_bytes"]), (&json!("order.created"), &json!(17)));
        assert_eq!(empty.json("shop")["result"], json!("empty"));
        assert_eq!(rejected.json("shop")["reason"], json!("tenant"));
        assert_eq!(findings().iter().filter(|finding| finding.is_fine()).count(), 2);
    }
}

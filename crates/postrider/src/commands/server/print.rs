//! Printing what the API answered: a table for people, the JSON for programs.

use std::{
    fmt::Display,
    io::{self, Read as _, Write as _},
};

use anyhow::Context as _;
use comfy_table::{Table, presets::NOTHING};
use serde_json::Value;

use crate::failure::Failure;

/// A column: its title, and where its value is in an entry (a JSON pointer).
pub type Column = (&'static str, &'static str);

/// Prints a list.
pub fn list(page: &Value, json: bool, columns: &[Column]) {
    if json {
        return value(page);
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(columns.iter().map(|(title, _)| *title));
    let rows = page["data"].as_array().map_or(&[][..], Vec::as_slice);
    for row in rows {
        table.add_row(columns.iter().map(|(_, at)| cell(row.pointer(at))));
    }
    line(table.trim_fmt());
    if !page["next_cursor"].is_null() {
        // Not among the rows, which may go into a pipe.
        eprintln!("There are more: see --limit.");
    }
}

/// Prints one thing: what it is, member by member.
pub fn one(thing: &Value, json: bool) {
    if json {
        return value(thing);
    }
    let members = thing.as_object().into_iter().flatten();
    let widest = members.clone().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in members.filter(|(_, value)| !value.is_null()) {
        line(format_args!("{name:<widest$}  {}", cell(Some(value))));
    }
}

/// Prints JSON.
pub fn value(value: &Value) {
    line(format_args!("{value:#}"));
}

/// Prints a line. Who reads no more, as `head` does once it has enough, ends the command, which is no failure.
pub fn line(text: impl Display) {
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        let reads_no_more = error.kind() == io::ErrorKind::BrokenPipe;
        if !reads_no_more {
            eprintln!("postrider: can't print: {error}");
        }
        std::process::exit(i32::from(!reads_no_more));
    }
}

/// A value in one line.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// JSON that an argument is: itself, a file (`@file`), or standard input (`-`).
pub fn json_argument(text: &str) -> Result<Value, Failure> {
    let read = if text == "-" {
        let mut read = String::new();
        io::stdin().read_to_string(&mut read).context("can't read standard input")?;
        read
    } else if let Some(file) = text.strip_prefix('@') {
        std::fs::read_to_string(file).with_context(|| format!("can't read {file}"))?
    } else {
        text.to_owned()
    };
    serde_json::from_str(&read).map_err(|error| Failure::Usage(format!("this is not JSON: {error}")))
}

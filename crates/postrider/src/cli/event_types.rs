//! The arguments of `postrider event-types`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, builder::PossibleValuesParser};
use postrider_domain::event_type::{ShippedCatalogue, ValidationMode};

pub const EXAMPLES: &str = "\
See what a catalogue that comes with Postrider would bring, then take it:
  postrider event-types import --catalogue helpdesk-crm --dry-run
  postrider event-types import --catalogue helpdesk-crm

Take the webhooks of an OpenAPI 3.1 or 3.2 document, or a catalogue of your own:
  postrider event-types import openapi.json

Reject what does not fit a type's schema from now on:
  postrider event-types set ticket.created --validation reject

Carry the catalogue from one deployment to another:
  postrider event-types export > catalogue.json
  postrider event-types import catalogue.json

They work on the database alone; a running Postrider validates by them about a second later.";

/// The commands below `event-types`.
#[derive(Debug, Subcommand)]
pub enum EventTypes {
    /// Make and change event types as a document says; others stay as they are.
    ///
    /// The document is a catalogue ({"event_types": [{"name", "group", "description", "schema", "sample",
    /// "validation", "archived"}]}) or an OpenAPI 3.1 or 3.2 document with webhooks, in JSON. All of it is taken, or
    /// nothing. Group, validation and archived stay as they are where it does not give them.
    Import(ImportArguments),
    /// Change what follows when data does not fit, or whether an event type is of the past.
    Set(SetArguments),
    /// Delete an event type: its events are matched as before, and no longer validated.
    Delete {
        /// Its name, or its id.
        name: String,
    },
    /// List the event types: name, group, what follows when data does not fit, and whether it is archived.
    List(SelectionArguments),
    /// Print the event types as a document that can be imported.
    Export(SelectionArguments),
}

/// Arguments of `event-types import`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").args(["file", "catalogue"]).required(true))]
pub struct ImportArguments {
    /// The document; - for standard input.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A catalogue that comes with Postrider.
    #[arg(long, value_name = "NAME", value_parser = catalogues())]
    pub catalogue: Option<String>,
    /// Only print what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `event-types set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["validation", "archived"]).multiple(true).required(true))]
pub struct SetArguments {
    /// Its name, or its id.
    pub name: String,
    /// What follows when data does not fit the schema: off, report or reject.
    #[arg(long, value_name = "MODE")]
    pub validation: Option<ValidationMode>,
    /// Whether it is of the past; events of it are matched and validated all the same.
    #[arg(long, value_name = "BOOL")]
    pub archived: Option<bool>,
}

/// Arguments that select event types.
#[derive(Debug, Args)]
pub struct SelectionArguments {
    /// Only those of this group.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
}

fn catalogues() -> PossibleValuesParser {
    PossibleValuesParser::new(ShippedCatalogue::ALL.iter().map(|catalogue| catalogue.name))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(line: &str) -> Result<EventTypes, String> {
        let arguments = ["postrider", "event-types"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.command {
            Command::EventTypes(command) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_import_has_one_origin_and_a_change_something_to_change() {
        let Ok(EventTypes::Import(import)) = parse("import x.json --dry-run") else { panic!() };
        assert_eq!((import.file, import.catalogue, import.dry_run), (Some("x.json".into()), None, true));
        let Ok(EventTypes::Import(import)) = parse("import --catalogue platform") else { panic!() };
        assert_eq!((import.catalogue.as_deref(), import.dry_run), (Some("platform"), false));
        assert!(parse("set a").unwrap_err().contains("--validation"));
        assert!(parse("set a --validation warn").unwrap_err().contains("reject"));
        let Ok(EventTypes::Set(set)) = parse("set a --validation reject --archived true") else { panic!() };
        assert_eq!((set.validation, set.archived), (Some(ValidationMode::Reject), Some(true)));
        assert!(parse("import").unwrap_err().contains("--catalogue"));
        assert!(parse("import x.json --catalogue platform").is_err());
        let unknown = parse("import --catalogue shop").unwrap_err();
        assert!(unknown.contains("inbound-shopify") && unknown.contains("helpdesk-crm"), "{unknown}");
    }
}

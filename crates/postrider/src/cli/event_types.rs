//! The arguments of `postrider event-types`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, builder::PossibleValuesParser};
use postrider_domain::event_type::ShippedCatalogue;

pub const EXAMPLES: &str = "\
See what a catalogue that comes with Postrider would bring, then take it:
  postrider event-types import --catalogue helpdesk-crm --dry-run
  postrider event-types import --catalogue helpdesk-crm

Take the webhooks of an OpenAPI 3.1 document, or a catalogue of your own:
  postrider event-types import openapi.json

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
    /// "validation", "archived"}]}) or an OpenAPI 3.1 document with webhooks. All of it is taken, or nothing.
    Import(ImportArguments),
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
    fn an_import_is_of_one_file_or_of_one_catalogue() {
        let Ok(EventTypes::Import(import)) = parse("import x.json --dry-run") else { panic!() };
        assert_eq!((import.file, import.catalogue, import.dry_run), (Some("x.json".into()), None, true));
        let Ok(EventTypes::Import(import)) = parse("import --catalogue platform") else { panic!() };
        assert_eq!((import.catalogue.as_deref(), import.dry_run), (Some("platform"), false));
        assert!(parse("import").unwrap_err().contains("--catalogue"));
        assert!(parse("import x.json --catalogue platform").is_err());
        let unknown = parse("import --catalogue shop").unwrap_err();
        assert!(unknown.contains("inbound-shopify") && unknown.contains("helpdesk-crm"), "{unknown}");
    }
}

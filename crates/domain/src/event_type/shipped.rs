//! The catalogues that come with Postrider.

use super::{Catalogue, InvalidCatalogue};

/// A catalogue in `schemas/catalogues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShippedCatalogue {
    /// What it is asked for by.
    pub name: &'static str,
    text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(ShippedCatalogue {
            name: $name,
            text: include_str!(concat!("../../../../schemas/catalogues/", $name, ".json")),
        }),+]
    };
}

impl ShippedCatalogue {
    /// All of them.
    pub const ALL: &'static [Self] = shipped![
        "platform",
        "helpdesk-crm",
        "messaging-crm",
        "real-estate-crm",
        "inbound-hubspot",
        "inbound-shopify",
        "inbound-salesforce",
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|catalogue| catalogue.name == name).copied()
    }

    /// Reads it. An error is a fault in the file.
    pub fn read(self) -> Result<Catalogue, InvalidCatalogue> {
        Catalogue::read(self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event_type::EventTypeSpec;

    fn groups(catalogue: &Catalogue) -> BTreeMap<&str, usize> {
        let mut groups = BTreeMap::new();
        for event_type in &catalogue.event_types {
            *groups.entry(event_type.group()).or_default() += 1;
        }
        groups
    }

    #[test]
    fn each_is_whole_and_its_samples_fit() {
        for shipped in ShippedCatalogue::ALL {
            let catalogue = shipped.read().unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            assert_eq!(catalogue.name, shipped.name);
            assert!(!catalogue.description.is_empty(), "{}", shipped.name);
            for event_type in &catalogue.event_types {
                let name = &event_type.name;
                assert!(event_type.schema.is_some() && event_type.sample.is_some(), "{name} lacks schema or sample");
                assert!(event_type.description.len() >= 15, "{name} is not described");
                let schema = event_type.schema.as_ref().unwrap().value().unwrap();
                assert!(schema["required"].as_array().is_some_and(|names| !names.is_empty()), "{name} needs nothing");
            }
        }
    }

    #[test]
    fn all_can_be_imported_into_one_deployment_in_any_order() {
        let mut known: BTreeMap<String, EventTypeSpec> = BTreeMap::new();
        for shipped in ShippedCatalogue::ALL {
            for event_type in shipped.read().unwrap().event_types {
                // The operator's choice.
                assert_eq!((event_type.validation, event_type.archived), (None, None), "{}", event_type.name);
                let before = known.entry(event_type.name.clone()).or_insert_with(|| event_type.clone());
                assert_eq!(*before, event_type, "{}: {} means something else elsewhere", shipped.name, before.name);
            }
        }
    }

    #[test]
    fn each_is_read_back_as_it_is_written() {
        for shipped in ShippedCatalogue::ALL {
            let catalogue = shipped.read().unwrap();
            assert_eq!(Catalogue::read(&catalogue.to_json()), Ok(catalogue), "{}", shipped.name);
        }
    }

    #[test]
    fn each_has_the_types_that_it_is_for() {
        let read = |name| ShippedCatalogue::named(name).unwrap().read().unwrap();
        let platform = read("platform");
        assert!(platform.event_types.len() >= 25);
        assert!(
            ["user", "pitch", "nda", "investment", "message", "payment"]
                .iter()
                .all(|group| { groups(&platform).get(group).is_some_and(|count| *count >= 3) })
        );
        let helpdesk =
            [("automation", 2), ("contact", 3), ("conversation", 2), ("message", 2), ("sla", 1), ("ticket", 8)];
        assert_eq!(groups(&read("helpdesk-crm")), BTreeMap::from(helpdesk));
        let messaging = read("messaging-crm");
        assert_eq!(messaging.event_types.len(), 23);
        let expected = ["automation", "campaign", "contact", "conversation", "flow", "message", "template"];
        assert!(groups(&messaging).into_keys().eq(expected));
        for (name, groups_of) in [
            ("real-estate-crm", &["listing", "lead", "viewing", "offer"][..]),
            ("inbound-hubspot", &["contact", "deal", "company"]),
            ("inbound-shopify", &["orders", "customers", "inventory"]),
            ("inbound-salesforce", &["change-event"]),
        ] {
            let catalogue = read(name);
            assert!(groups_of.iter().all(|group| groups(&catalogue).contains_key(group)), "{name}");
        }
    }
}

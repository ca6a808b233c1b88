//! The templates that come with Postrider: the files in `schemas/templates`.

use std::sync::LazyLock;

use serde_json::Value;

use super::{Document, Template};

/// A file's id and its text.
macro_rules! file {
    ($id:literal) => {
        ($id, include_str!(concat!("../../../../schemas/templates/", $id, ".json")))
    };
}

/// The files, in the order in which they are listed.
const FILES: &[(&str, &str)] = &[
    file!("hubspot"),
    file!("salesforce"),
    file!("pipedrive"),
    file!("mailchimp"),
    file!("sendgrid"),
    file!("campaign-monitor"),
    file!("google-analytics-4"),
    file!("mixpanel"),
    file!("amplitude"),
    file!("slack"),
    file!("microsoft-teams"),
    file!("zapier"),
    file!("make"),
    file!("power-automate"),
    file!("ifttt"),
    file!("standard-webhooks"),
];

static BUILT_INS: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    let read = |(id, text): &(&'static str, &str)| BuiltIn {
        id,
        template: parse(id, text).unwrap_or_else(|error| panic!("schemas/templates/{id}.json: {error}")),
    };
    FILES.iter().map(read).collect()
});

/// A template that comes with Postrider.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltIn {
    /// Its id, as `google-analytics-4`.
    pub id: &'static str,
    /// The template.
    pub template: Template,
}

/// All of them.
pub fn built_ins() -> &'static [BuiltIn] {
    &BUILT_INS
}

/// The one with this id.
pub fn built_in(id: &str) -> Option<&'static BuiltIn> {
    built_ins().iter().find(|built_in| built_in.id == id)
}

/// Reads a file: a template's document, and its id.
fn parse(id: &str, text: &str) -> Result<Template, String> {
    let mut json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let stated = json.as_object_mut().and_then(|members| members.remove("id"));
    if stated != Some(Value::from(id)) {
        return Err(format!("its id is {stated:?}, where its name says '{id}'"));
    }
    let document: Document = serde_json::from_value(json).map_err(|error| error.to_string())?;
    Template::new(document).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_file_is_among_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/templates");
        let files = fs::read_dir(folder).expect("the folder is there").map(|file| {
            let name = file.expect("it can be listed").file_name().into_string().expect("its name is UTF-8");
            name.strip_suffix(".json").expect("there are JSON files only").to_owned()
        });
        let listed: BTreeSet<String> = built_ins().iter().map(|built_in| built_in.id.to_owned()).collect();
        assert_eq!(listed, files.collect());
    }
}

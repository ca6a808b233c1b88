//! What a schema may consist of, seen before it is compiled.

use serde_json::{Map, Value};

use super::{MAX_JSON_BYTES, cost, cost::Part, schema::InvalidSchema};
use crate::json_text::JsonText;

/// How deep a schema's JSON may be nested.
pub const MAX_SCHEMA_DEPTH: usize = 64;
/// The most patterns of a schema: each takes memory.
pub const MAX_PATTERNS: usize = 100;
/// The most parts that are referred to.
pub const MAX_DEFINITIONS: usize = 500;

const BY_POINTER: &str = "use '$ref' with a JSON pointer, as '#/$defs/money'";
/// Keywords that need scopes which change while validating, or that are of older drafts, and what to use instead.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("$dynamicRef", BY_POINTER),
    ("$dynamicAnchor", BY_POINTER),
    ("$recursiveRef", BY_POINTER),
    ("$anchor", BY_POINTER),
    ("$vocabulary", "leave it out"),
    ("dependencies", "use 'dependentSchemas' or 'dependentRequired'"),
    ("additionalItems", "use 'prefixItems' and 'items'"),
];

/// A schema that is in bounds.
#[derive(Debug)]
pub(super) struct Checked {
    /// The schema.
    pub schema: Value,
    /// How many subschemas may be found not to hold while an alternative is looked for; 0 if there is no alternative.
    pub alternatives: usize,
}

/// Parses a schema and checks that validating by it takes no more than its size, times the data's.
pub(super) fn check(text: &JsonText) -> Result<Checked, InvalidSchema> {
    let root = |why: String| InvalidSchema::new("", why);
    let bytes = text.as_str().len();
    if bytes > MAX_JSON_BYTES {
        return Err(root(format!("the schema has {bytes} bytes: use at most {MAX_JSON_BYTES}")));
    }
    let schema = text.value().filter(|schema| depth(schema) <= MAX_SCHEMA_DEPTH);
    let schema = schema.ok_or_else(|| root(format!("the schema is nested too deep: at most {MAX_SCHEMA_DEPTH}")))?;
    if !schema.is_object() {
        return Err(root("a schema is a JSON object, as {\"type\": \"object\"}".to_owned()));
    }
    let mut survey =
        Survey { root: &schema, known: vec![(&schema, String::new())], patterns: 0, has_alternatives: false };
    let subschemas = cost::check(&survey.definitions()?)?;
    let alternatives = if survey.has_alternatives { subschemas } else { 0 };
    Ok(Checked { schema, alternatives })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// A walk through a schema that takes note of where its references lead.
struct Survey<'a> {
    root: &'a Value,
    /// The definitions found so far, and where they are.
    known: Vec<(&'a Value, String)>,
    patterns: usize,
    has_alternatives: bool,
}

impl<'a> Survey<'a> {
    /// The whole schema, then every part that something in it refers to.
    fn definitions(&mut self) -> Result<Vec<Part>, InvalidSchema> {
        let mut definitions = Vec::new();
        while let Some((definition, at)) = self.known.get(definitions.len()).cloned() {
            definitions.push(self.visit(definition, &at)?);
        }
        Ok(definitions)
    }

    fn visit(&mut self, schema: &'a Value, at: &str) -> Result<Part, InvalidSchema> {
        // What is neither object nor boolean, the meta-schema refuses.
        let Value::Object(keywords) = schema else { return Ok(Part::leaf(at)) };
        self.check_keywords(keywords, at)?;
        let part = Part {
            at: at.to_owned(),
            refers: self.reference(keywords, at)?,
            in_place: self.in_place(keywords, at)?,
            members: self.members(keywords, at)?,
            elements: self.elements(keywords, at)?,
        };
        // Not applied here, but to be of what is allowed too.
        self.map(keywords, "$defs", at)?;
        self.map(keywords, "definitions", at)?;
        self.one(keywords, "contentSchema", at)?;
        Ok(part)
    }

    fn check_keywords(&mut self, keywords: &Map<String, Value>, at: &str) -> Result<(), InvalidSchema> {
        if let Some((keyword, instead)) = UNSUPPORTED.into_iter().find(|(keyword, _)| keywords.contains_key(*keyword)) {
            return Err(InvalidSchema::new(join(at, keyword), format!("'{keyword}' is not supported: {instead}")));
        }
        if keywords.contains_key("$id") && !at.is_empty() {
            return Err(InvalidSchema::new(join(at, "$id"), "only the whole schema may have an '$id': remove it"));
        }
        if let Some(draft) = keywords.get("$schema") {
            let known = draft.as_str().map(|draft| draft.trim_end_matches('#'));
            if known != Some("https://json-schema.org/draft/2020-12/schema") {
                let why = "schemas are of JSON Schema 2020-12: leave '$schema' out, or write \
                           'https://json-schema.org/draft/2020-12/schema'";
                return Err(InvalidSchema::new(join(at, "$schema"), why));
            }
        }
        if keywords.get("format").is_some_and(|format| format == "regex") {
            let why = "the format 'regex' is not supported: compiling what events bring has no bound";
            return Err(InvalidSchema::new(join(at, "format"), why));
        }
        self.has_alternatives |= keywords.contains_key("anyOf") || keywords.contains_key("oneOf");
        self.patterns += usize::from(keywords.contains_key("pattern"));
        self.patterns += keywords.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        if self.patterns > MAX_PATTERNS {
            return Err(InvalidSchema::new(at, format!("the schema has more than {MAX_PATTERNS} patterns")));
        }
        Ok(())
    }

    /// The definition that is referred to.
    fn reference(&mut self, keywords: &Map<String, Value>, at: &str) -> Result<Option<usize>, InvalidSchema> {
        // A member of that name in `properties` has a schema, not a text.
        let Some(Value::String(reference)) = keywords.get("$ref") else { return Ok(None) };
        let place = join(at, "$ref");
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer = pointer.ok_or_else(|| {
            let why = "a schema refers to its own parts only, by a JSON pointer as '#/$defs/money': nothing is fetched";
            InvalidSchema::new(&place, why)
        })?;
        let target = unescaped(pointer).and_then(|pointer| Some((self.root.pointer(&pointer)?, pointer)));
        let Some((target, pointer)) = target else {
            return Err(InvalidSchema::new(place, "there is nothing at this place of the schema"));
        };
        if let Some(known) = self.known.iter().position(|(known, _)| std::ptr::eq(*known, target)) {
            return Ok(Some(known));
        }
        if self.known.len() == MAX_DEFINITIONS {
            let why = format!(
                "the schema refers to more than {MAX_DEFINITIONS} of its parts: write some where they are used"
            );
            return Err(InvalidSchema::new(place, why));
        }
        self.known.push((target, pointer));
        Ok(Some(self.known.len() - 1))
    }

    /// What is applied to the value itself.
    fn in_place(&mut self, keywords: &'a Map<String, Value>, at: &str) -> Result<Vec<Part>, InvalidSchema> {
        let mut parts = Vec::new();
        for keyword in ["not", "if", "then", "else"] {
            parts.extend(self.one(keywords, keyword, at)?);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            parts.extend(self.list(keywords, keyword, at)?);
        }
        parts.extend(self.map(keywords, "dependentSchemas", at)?);
        Ok(parts)
    }

    /// What is applied to the members of an object: of each group, one to any member.
    fn members(&mut self, keywords: &'a Map<String, Value>, at: &str) -> Result<Vec<Vec<Part>>, InvalidSchema> {
        let mut named = self.map(keywords, "properties", at)?;
        named.extend(self.one(keywords, "additionalProperties", at)?);
        let mut groups = vec![named];
        groups.extend(self.map(keywords, "patternProperties", at)?.into_iter().map(|part| vec![part]));
        for keyword in ["propertyNames", "unevaluatedProperties"] {
            groups.extend(self.one(keywords, keyword, at)?.map(|part| vec![part]));
        }
        Ok(groups)
    }

    /// The same for the elements of a list.
    fn elements(&mut self, keywords: &'a Map<String, Value>, at: &str) -> Result<Vec<Vec<Part>>, InvalidSchema> {
        let mut placed = self.list(keywords, "prefixItems", at)?;
        placed.extend(self.one(keywords, "items", at)?);
        let mut groups = vec![placed];
        for keyword in ["contains", "unevaluatedItems"] {
            groups.extend(self.one(keywords, keyword, at)?.map(|part| vec![part]));
        }
        Ok(groups)
    }

    fn one(
        &mut self,
        keywords: &'a Map<String, Value>,
        keyword: &str,
        at: &str,
    ) -> Result<Option<Part>, InvalidSchema> {
        keywords.get(keyword).map(|schema| self.visit(schema, &join(at, keyword))).transpose()
    }

    fn list(&mut self, keywords: &'a Map<String, Value>, keyword: &str, at: &str) -> Result<Vec<Part>, InvalidSchema> {
        let schemas = keywords.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate();
        let at = join(at, keyword);
        schemas.map(|(index, schema)| self.visit(schema, &join(&at, &index.to_string()))).collect()
    }

    fn map(&mut self, keywords: &'a Map<String, Value>, keyword: &str, at: &str) -> Result<Vec<Part>, InvalidSchema> {
        let schemas = keywords.get(keyword).and_then(Value::as_object).into_iter().flatten();
        let at = join(at, keyword);
        schemas.map(|(name, schema)| self.visit(schema, &join(&at, name))).collect()
    }
}

/// A JSON pointer one step further.
pub(super) fn join(at: &str, step: &str) -> String {
    format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"))
}

/// A pointer out of a URI's fragment, where other characters may be percent-encoded.
fn unescaped(pointer: &str) -> Option<String> {
    percent_encoding::percent_decode_str(pointer).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests;

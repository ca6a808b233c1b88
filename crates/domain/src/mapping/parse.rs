//! From JSON to a mapping, with errors that name the place.

use serde_json::{Map, Value};

use super::{
    Mapping,
    ast::{Each, Expression, Fallback, Look, Parts, Piece, Text},
    field::Field,
    formats::{Format, text_of},
    request::{check_header_name, header, push_path_part},
};
use crate::{delivery::Method, filter::InvalidFieldPath};

/// How deep expressions nest, and constants on their own.
pub const MAX_DEPTH: usize = 32;
/// How many expressions a mapping has in all.
pub const MAX_EXPRESSIONS: usize = 1_024;
/// How many headers it adds.
pub const MAX_HEADERS: usize = 32;
/// How many parts it appends to the path.
pub const MAX_PATH_PARTS: usize = 16;
/// The largest mapping, in bytes of JSON: every process that matches keeps it.
pub const MAX_MAPPING_BYTES: usize = 64 * 1_024;
/// Keys that begin an expression of their own, and what may stand beside them.
const OPERATORS: [(&str, &[&str]); 4] = [
    ("$path", &["$path", "$default", "$optional", "$format"]),
    ("$const", &["$const"]),
    ("$text", &["$text"]),
    ("$each", &["$each", "$do", "$optional"]),
];

/// Why a mapping can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mapping{path}: {message}")]
pub struct InvalidMapping {
    /// The offending part, as a JSON pointer into the mapping (`/body/email/$path`); empty for the whole.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Mapping {
    /// Parses a mapping as written in the API.
    pub fn from_json(json: &Value) -> Result<Self, InvalidMapping> {
        let Value::Object(object) = json else {
            return Err(invalid("", "not an object: give 'body', 'headers', 'path' or 'method'"));
        };
        known_keys(object, &["body", "headers", "path", "method"], "")?;
        if object.is_empty() {
            return Err(invalid("", "empty: give 'body', 'headers', 'path' or 'method'"));
        }
        let mut parser = Parser::default();
        let parts = Parts {
            body: object.get("body").map(|body| parser.body(body)).transpose()?,
            headers: object.get("headers").map_or(Ok(Vec::new()), |headers| parser.headers(headers))?,
            path: object.get("path").map_or(Ok(Vec::new()), |path| parser.path(path))?,
            method: object.get("method").map(method).transpose()?,
        };
        // Whatever has been parsed is of limited depth.
        if json.to_string().len() > MAX_MAPPING_BYTES {
            return Err(invalid("", format!("over {MAX_MAPPING_BYTES} bytes: use shorter texts and constants")));
        }
        Ok(Self(Box::new(parts)))
    }
}

fn method(json: &Value) -> Result<Method, InvalidMapping> {
    let known = Method::ALL.into_iter().find(|method| Some(method.as_str()) == json.as_str());
    known.ok_or_else(|| invalid("/method", "unknown method: use POST, PUT or PATCH"))
}

/// Counts what the whole mapping has of things that are limited, and knows where it is.
#[derive(Default)]
struct Parser {
    expressions: usize,
    /// Expressions around this one.
    depth: usize,
    /// Lists that are gone through here.
    in_each: usize,
}

impl Parser {
    fn body(&mut self, json: &Value) -> Result<Expression, InvalidMapping> {
        let body = self.expression(json, "/body")?;
        let can_be_left_out = match &body {
            Expression::Look(look) => look.fallback == Fallback::LeaveOut,
            Expression::Each(each) => each.optional,
            _ => false,
        };
        if can_be_left_out {
            return Err(invalid("/body/$optional", "the body can't be left out: remove it, or give a '$default'"));
        }
        Ok(body)
    }

    fn headers(&mut self, json: &Value) -> Result<Vec<(String, Expression)>, InvalidMapping> {
        let Some(object) = json.as_object().filter(|object| (1..=MAX_HEADERS).contains(&object.len())) else {
            return Err(invalid("/headers", format!("not an object with 1 to {MAX_HEADERS} headers, by their names")));
        };
        let mut headers: Vec<(String, Expression)> = Vec::with_capacity(object.len());
        for (name, json) in object {
            let at = within("/headers", name);
            check_header_name(name).map_err(|problem| invalid(&at, problem.to_string()))?;
            if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(invalid(&at, "the same header in another spelling stands before it: remove one"));
            }
            let expression = self.scalar(json, &at)?;
            if let Some(value) = constant_text(&expression) {
                header(name, value).map_err(|problem| invalid(&at, problem.to_string()))?;
            }
            headers.push((name.clone(), expression));
        }
        Ok(headers)
    }

    fn path(&mut self, json: &Value) -> Result<Vec<Expression>, InvalidMapping> {
        let Some(list) = json.as_array().filter(|list| (1..=MAX_PATH_PARTS).contains(&list.len())) else {
            return Err(invalid("/path", format!("not a list with 1 to {MAX_PATH_PARTS} parts")));
        };
        let mut parts = Vec::with_capacity(list.len());
        for (index, json) in list.iter().enumerate() {
            let at = format!("/path/{index}");
            let part = self.scalar(json, &at)?;
            if let Some(text) = constant_text(&part) {
                push_path_part(&mut String::new(), &text).map_err(|problem| invalid(&at, problem.to_string()))?;
                if text.contains('/') {
                    return Err(invalid(&at, "a '/' in a part is escaped: give each part as an element of its own"));
                }
            }
            parts.push(part);
        }
        Ok(parts)
    }

    /// An expression that comes to text, a number or a boolean, as far as that can be told.
    fn scalar(&mut self, json: &Value, at: &str) -> Result<Expression, InvalidMapping> {
        let expression = self.expression(json, at)?;
        let is_scalar = match &expression {
            Expression::Literal(value)
            | Expression::Constant(value)
            | Expression::Look(Look { fallback: Fallback::Default(value), .. }) => text_of(value).is_some(),
            Expression::Field(_) | Expression::Look(_) | Expression::Text(_) => true,
            Expression::List(_) | Expression::Object(_) | Expression::Each(_) => false,
        };
        let refused = || invalid(at, "only text, a number or a boolean can stand here: use '$text' to compose one");
        if is_scalar { Ok(expression) } else { Err(refused()) }
    }

    fn expression(&mut self, json: &Value, at: &str) -> Result<Expression, InvalidMapping> {
        self.expressions += 1;
        if self.expressions > MAX_EXPRESSIONS {
            return Err(invalid(
                at,
                format!("more than {MAX_EXPRESSIONS} expressions: use '$const' for what is constant"),
            ));
        }
        if self.depth >= MAX_DEPTH {
            return Err(invalid(at, format!("nested more than {MAX_DEPTH} deep: flatten it")));
        }
        self.depth += 1;
        let expression = match json {
            Value::String(text) => match text.strip_prefix("$.") {
                Some(path) => self.field(path, at).map(Expression::Field).map_err(|error| InvalidMapping {
                    message: format!("{}; if it is plain text, write {{\"$const\": …}}", error.message),
                    ..error
                })?,
                None => Expression::Literal(json.clone()),
            },
            Value::Array(list) => {
                let element = |(index, json)| self.expression(json, &format!("{at}/{index}"));
                Expression::List(list.iter().enumerate().map(element).collect::<Result<_, _>>()?)
            }
            Value::Object(object) => self.object(object, at)?,
            Value::Null | Value::Bool(_) | Value::Number(_) => Expression::Literal(json.clone()),
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn object(&mut self, object: &Map<String, Value>, at: &str) -> Result<Expression, InvalidMapping> {
        if let Some((operator, known)) = OPERATORS.into_iter().find(|(operator, _)| object.contains_key(*operator)) {
            known_keys(object, known, at)?;
            return match operator {
                "$path" => self.look(object, at).map(Expression::Look),
                "$const" => constant(object, "$const", at).map(Expression::Constant),
                "$text" => self.text(object, at).map(Expression::Text),
                _ => self.each(object, at).map(Expression::Each),
            };
        }
        let mut members = Vec::with_capacity(object.len());
        for (key, json) in object {
            let at = within(at, key);
            let name = match key.strip_prefix('$') {
                None => key.as_str(),
                Some(name) if name.starts_with('$') => name,
                Some(_) => return Err(invalid(&at, stray(key))),
            };
            members.push((name.to_owned(), self.expression(json, &at)?));
        }
        Ok(Expression::Object(members))
    }

    fn look(&self, object: &Map<String, Value>, at: &str) -> Result<Look, InvalidMapping> {
        let field = self.field(text_at(object, "$path", at)?, &within(at, "$path"))?;
        let optional = optional(object, at)?;
        let fallback = match object.get("$default") {
            Some(_) if optional => {
                let message = "a field with a default is never left out: remove '$default' or '$optional'";
                return Err(invalid(&within(at, "$optional"), message));
            }
            Some(_) => Fallback::Default(constant(object, "$default", at)?),
            None if optional => Fallback::LeaveOut,
            None => Fallback::None,
        };
        let format = object.get("$format").map(Format::from_json).transpose();
        let format = format.map_err(|message| invalid(&within(at, "$format"), message))?;
        Ok(Look { field, fallback, format })
    }

    fn each(&mut self, object: &Map<String, Value>, at: &str) -> Result<Each, InvalidMapping> {
        let list = self.field(text_at(object, "$each", at)?, &within(at, "$each"))?;
        let json = object.get("$do").ok_or_else(|| invalid(at, "'$do' is missing: what is made of each element"))?;
        self.in_each += 1;
        let element = Box::new(self.expression(json, &within(at, "$do"))?);
        self.in_each -= 1;
        Ok(Each { list, optional: optional(object, at)?, element })
    }

    fn text(&self, object: &Map<String, Value>, at: &str) -> Result<Text, InvalidMapping> {
        let source = text_at(object, "$text", at)?;
        let pieces = self.pieces(source, &within(at, "$text"))?;
        Ok(Text { source: source.to_owned(), pieces })
    }

    fn pieces(&self, source: &str, at: &str) -> Result<Vec<Piece>, InvalidMapping> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), source);
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(brace);
            plain.push_str(before);
            if from_brace.starts_with("{{") || from_brace.starts_with("}}") {
                plain.push_str(&from_brace[..1]);
                rest = &from_brace[2..];
                continue;
            }
            let inside = from_brace.strip_prefix('{').and_then(|after| after.split_once('}'));
            let (field, after) = inside.ok_or_else(|| {
                let column = source.len() - from_brace.len() + 1;
                invalid(
                    at,
                    format!("a brace without its other half at byte {column}: write '{{{{' or '}}}}' for a brace"),
                )
            })?;
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            let (field, optional) = field.strip_suffix('?').map_or((field, false), |field| (field, true));
            pieces.push(Piece::Field { field: self.field(field, at)?, optional });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(pieces)
    }

    fn field(&self, text: &str, at: &str) -> Result<Field, InvalidMapping> {
        if text.starts_with("$.") {
            return Err(invalid(at, format!("'{}' is a path already: write it without '$.'", shortened(text))));
        }
        if self.in_each == 0 && Field::is_of_item(text) {
            return Err(invalid(at, "'item' is an element of a list: use it within '$do'"));
        }
        Field::parse(text).map_err(|error: InvalidFieldPath| invalid(at, error.to_string()))
    }
}

/// The text of what is constant in a header or path.
fn constant_text(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Literal(value)
        | Expression::Constant(value)
        | Expression::Look(Look { fallback: Fallback::Default(value), .. }) => text_of(value).map(Into::into),
        _ => None,
    }
}

/// JSON that stays as it is.
fn constant(object: &Map<String, Value>, key: &str, at: &str) -> Result<Value, InvalidMapping> {
    let value = object.get(key).unwrap_or(&Value::Null);
    if is_deeper(value, MAX_DEPTH) {
        return Err(invalid(&within(at, key), format!("nested more than {MAX_DEPTH} deep: flatten it")));
    }
    Ok(value.clone())
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        _ if depth == 0 => true,
        Value::Array(list) => list.iter().any(|value| is_deeper(value, depth - 1)),
        Value::Object(object) => object.values().any(|value| is_deeper(value, depth - 1)),
        _ => false,
    }
}

fn optional(object: &Map<String, Value>, at: &str) -> Result<bool, InvalidMapping> {
    let value = object.get("$optional").map_or(Some(false), Value::as_bool);
    value.ok_or_else(|| invalid(&within(at, "$optional"), "not true or false"))
}

fn text_at<'j>(object: &'j Map<String, Value>, key: &str, at: &str) -> Result<&'j str, InvalidMapping> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| invalid(&within(at, key), "not a text"))
}

/// What to do with a key that begins with `$`.
fn stray(key: &str) -> String {
    let key = shortened(key);
    match key.as_str() {
        "$default" | "$format" | "$optional" => format!("'{key}' goes with '$path': add the field's path"),
        "$do" => "'$do' goes with '$each': add the list's path".to_owned(),
        _ => format!("unknown '{key}': use $path, $const, $text or $each; for a member of that name write '${key}'"),
    }
}

fn known_keys(object: &Map<String, Value>, known: &[&str], at: &str) -> Result<(), InvalidMapping> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let message = format!("unexpected beside '{}': remove it", known.join("', '"));
            Err(invalid(&within(at, unknown), message))
        }
    }
}

/// A pointer to the member `key` of what `at` points to.
fn within(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn invalid(path: &str, message: impl Into<String>) -> InvalidMapping {
    InvalidMapping { path: path.to_owned(), message: message.into() }
}

//! From an event to the request that a mapping makes of it.

use std::{borrow::Cow, io};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Mapping, MappingError, MappingProblem,
    ast::{Each, Expression, Fallback, Look, Piece, Text},
    field::{Field, in_list},
    formats::{Format, text_of},
    request::{header, push_path_part},
};
use crate::{
    delivery::{Header, Method},
    envelope::MAX_BODY_BYTES,
    filter::EventView,
};

/// The longest list that `$each` goes through.
pub const MAX_ELEMENTS: usize = 1_000;
/// The most work that one event may take: bytes that are read or written, and 64 for each expression and each field in a text.
pub const MAX_WORK: usize = 8 << 20;
/// What an expression, or a field in a text, counts besides its bytes.
const STEP: usize = 64;
/// What an element of a joined list counts besides its bytes.
const ELEMENT: usize = 8;

/// What a mapping makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// JSON; none if the endpoint's own body style is to be sent.
    pub body: Option<Bytes>,
    /// Headers to add.
    pub headers: Vec<Header>,
    /// What to append to the path of the endpoint's URL: escaped, without a slash at its ends.
    pub path: Option<String>,
    /// The method to use.
    pub method: Option<Method>,
}

impl Mapping {
    /// Renders an event, whole or not at all. Takes time and memory within [`MAX_WORK`], whatever the event.
    pub fn render(&self, event: &EventView<'_>) -> Result<Mapped, MappingError> {
        let mut rendering = Rendering { event, output: Vec::new(), work: 0, exceeded: None };
        let body = self.0.body.as_ref().map(|body| rendering.body(body)).transpose();
        Ok(Mapped {
            body: body.map_err(|error| error.within("body"))?,
            headers: rendering.headers(&self.0.headers).map_err(|error| error.within("headers"))?,
            path: rendering.path(&self.0.path).map_err(|error| error.within("path"))?,
            method: self.0.method,
        })
    }
}

/// One rendering of one event.
struct Rendering<'e> {
    event: &'e EventView<'e>,
    /// The body, as far as it is written.
    output: Vec<u8>,
    work: usize,
    /// What ended it within the JSON writer, which knows of no such errors.
    exceeded: Option<MappingProblem>,
}

impl<'e> Rendering<'e> {
    fn body(&mut self, body: &Expression) -> Result<Bytes, MappingError> {
        self.render(body, None)?;
        Ok(std::mem::take(&mut self.output).into())
    }

    fn headers(&mut self, headers: &[(String, Expression)]) -> Result<Vec<Header>, MappingError> {
        let mut rendered = Vec::with_capacity(headers.len());
        for (name, expression) in headers {
            let value = self.scalar(expression).map_err(|error| error.within(name))?;
            let Some((value, field)) = value else { continue };
            let header = header(name, value);
            rendered.push(header.map_err(|why| MappingError::new(field, why).within(name))?);
        }
        Ok(rendered)
    }

    fn path(&mut self, parts: &[Expression]) -> Result<Option<String>, MappingError> {
        let mut path = String::new();
        for (index, expression) in parts.iter().enumerate() {
            let within = |error: MappingError| error.within(&index.to_string());
            let Some((part, field)) = self.scalar(expression).map_err(within)? else { continue };
            push_path_part(&mut path, &part).map_err(|why| within(MappingError::new(field, why)))?;
        }
        Ok(Some(path).filter(|path| !path.is_empty()))
    }

    /// The text that an expression comes to, and the field that it is of; none if it is left out.
    fn scalar<'x>(&mut self, expression: &'x Expression) -> Result<Option<(String, Option<&'x str>)>, MappingError> {
        let field = match expression {
            Expression::Field(field) => Some(field.as_str()),
            Expression::Look(look) => Some(look.field.as_str()),
            _ => None,
        };
        self.spend(STEP).map_err(|why| MappingError::new(field, why))?;
        let Some(value) = self.leaf(expression, None)? else { return Ok(None) };
        let text = text_of(&value).ok_or_else(|| MappingError::new(field, no_text(&value)))?;
        self.spend(text.len()).map_err(|why| MappingError::new(field, why))?;
        Ok(Some((text.into_owned(), field)))
    }

    /// Writes what an expression comes to as JSON. False: it is left out, and nothing was written.
    fn render(&mut self, expression: &Expression, item: Option<&Value>) -> Result<bool, MappingError> {
        self.spend(STEP).map_err(|why| MappingError::new(None, why))?;
        match expression {
            Expression::List(elements) => {
                let elements = elements.iter().enumerate();
                self.list(elements.map(|(index, element)| (element, item, index)), |error, index| {
                    error.within(&index.to_string())
                })?;
                Ok(true)
            }
            Expression::Object(members) => self.object(members, item).map(|()| true),
            Expression::Each(each) => self.each(each, item),
            leaf => match self.leaf(leaf, item)? {
                Some(value) => self.json(&*value).map(|()| true),
                None => Ok(false),
            },
        }
    }

    fn list<'x>(
        &mut self,
        elements: impl Iterator<Item = (&'x Expression, Option<&'x Value>, usize)>,
        within: impl Fn(MappingError, usize) -> MappingError,
    ) -> Result<(), MappingError> {
        self.push(b"[")?;
        let first = self.output.len();
        for (element, item, index) in elements {
            let before = self.output.len();
            if before > first {
                self.push(b",")?;
            }
            if !self.render(element, item).map_err(|error| within(error, index))? {
                self.output.truncate(before);
            }
        }
        self.push(b"]")
    }

    fn object(&mut self, members: &[(String, Expression)], item: Option<&Value>) -> Result<(), MappingError> {
        self.push(b"{")?;
        let first = self.output.len();
        for (name, member) in members {
            let before = self.output.len();
            if before > first {
                self.push(b",")?;
            }
            self.json(name)?;
            self.push(b":")?;
            // A member `$name` is written as `$$name`.
            let within = |error: MappingError| {
                if name.starts_with('$') { error.within(&format!("${name}")) } else { error.within(name) }
            };
            if !self.render(member, item).map_err(within)? {
                self.output.truncate(before);
            }
        }
        self.push(b"}")
    }

    fn each(&mut self, each: &Each, item: Option<&Value>) -> Result<bool, MappingError> {
        let path = each.list.as_str();
        let refused = |why| MappingError::new(Some(path), why).within("$each");
        let found = each.list.find(self.event, item);
        let elements = match found.as_deref() {
            None | Some(Value::Null) if each.optional => return Ok(false),
            None => return Err(refused(MappingProblem::Missing)),
            Some(Value::Null) => return Err(refused(MappingProblem::Null)),
            Some(Value::Array(list)) if list.len() > MAX_ELEMENTS => {
                return Err(refused(MappingProblem::TooManyElements(list.len())));
            }
            Some(Value::Array(list)) => list,
            Some(other) => return Err(refused(MappingProblem::NotAList(kind(other)))),
        };
        let elements = elements.iter().enumerate();
        self.list(elements.map(|(index, item)| (&*each.element, Some(item), index)), |error, index| {
            let error = error.within("$do");
            MappingError { path: error.path.map(|field| in_list(field, path, index)), ..error }
        })?;
        Ok(true)
    }

    /// What an expression without others in it comes to; none if it is left out.
    fn leaf<'v>(
        &mut self,
        expression: &'v Expression,
        item: Option<&'v Value>,
    ) -> Result<Option<Cow<'v, Value>>, MappingError>
    where
        'e: 'v,
    {
        match expression {
            Expression::Literal(value) | Expression::Constant(value) => Ok(Some(Cow::Borrowed(value))),
            Expression::Field(field) => self.found(field, item).map(Some),
            Expression::Look(look) => self.look(look, item),
            Expression::Text(text) => self.text(text, item).map(|text| Some(Cow::Owned(text.into()))),
            Expression::List(_) | Expression::Each(_) => {
                Err(MappingError::new(None, MappingProblem::NotScalar("a list")))
            }
            Expression::Object(_) => Err(MappingError::new(None, MappingProblem::NotScalar("an object"))),
        }
    }

    /// A field that has to be there.
    fn found<'v>(&self, field: &'v Field, item: Option<&'v Value>) -> Result<Cow<'v, Value>, MappingError>
    where
        'e: 'v,
    {
        let missing = || MappingError::new(Some(field.as_str()), MappingProblem::Missing);
        field.find(self.event, item).ok_or_else(missing)
    }

    fn look<'v>(&mut self, look: &'v Look, item: Option<&'v Value>) -> Result<Option<Cow<'v, Value>>, MappingError>
    where
        'e: 'v,
    {
        let value = match (look.field.find(self.event, item), &look.fallback) {
            (None, Fallback::None) => self.found(&look.field, item)?,
            (None | Some(Cow::Borrowed(Value::Null)), Fallback::Default(default)) => {
                return Ok(Some(Cow::Borrowed(default)));
            }
            (None | Some(Cow::Borrowed(Value::Null)), Fallback::LeaveOut) => return Ok(None),
            (Some(value), _) => value,
        };
        let Some(format) = &look.format else { return Ok(Some(value)) };
        let refused = |why| MappingError::new(Some(look.field.as_str()), why);
        self.spend(weight(format, &value)).map_err(refused)?;
        let unformattable = || match &*value {
            Value::Null => MappingProblem::Null,
            other => MappingProblem::Format { format: format.name(), found: kind(other) },
        };
        format.apply(&value).map(|made| Some(Cow::Owned(made))).ok_or_else(|| refused(unformattable()))
    }

    fn text(&mut self, text: &Text, item: Option<&Value>) -> Result<String, MappingError> {
        let mut made = String::new();
        for piece in &text.pieces {
            let (field, optional) = match piece {
                Piece::Plain(plain) => {
                    self.spend(plain.len()).map_err(|why| MappingError::new(None, why).within("$text"))?;
                    made.push_str(plain);
                    continue;
                }
                Piece::Field { field, optional } => (field, *optional),
            };
            let refused = |why| MappingError::new(Some(field.as_str()), why).within("$text");
            self.spend(STEP).map_err(refused)?;
            match field.find(self.event, item).as_deref() {
                None | Some(Value::Null) if optional => {}
                None => return Err(refused(MappingProblem::Missing)),
                Some(value) => {
                    let text = text_of(value).ok_or_else(|| refused(no_text(value)))?;
                    self.spend(text.len()).map_err(refused)?;
                    made.push_str(&text);
                }
            }
        }
        Ok(made)
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), MappingError> {
        serde_json::to_writer(&mut *self, value).map_err(|_| {
            let why = self.exceeded.take().unwrap_or(MappingProblem::BodyTooLarge);
            MappingError::new(None, why)
        })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), MappingError> {
        self.append(bytes).map_err(|why| MappingError::new(None, why))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), MappingProblem> {
        if self.output.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(MappingProblem::BodyTooLarge);
        }
        self.spend(bytes.len())?;
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    fn spend(&mut self, work: usize) -> Result<(), MappingProblem> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK { Err(MappingProblem::TooMuchWork) } else { Ok(()) }
    }
}

impl io::Write for Rendering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map(|()| bytes.len()).map_err(|why| {
            let error = io::Error::other(why.to_string());
            self.exceeded = Some(why);
            error
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// About how many bytes a format reads of a value and makes of it.
fn weight(format: &Format, value: &Value) -> usize {
    let text = |value| text_of(value).map_or(0, |text| text.len());
    match (format, value) {
        (Format::Join(separator), Value::Array(list)) => {
            list.iter().map(|element| ELEMENT + separator.len() + text(element)).sum()
        }
        (_, value) => text(value),
    }
}

fn no_text(value: &Value) -> MappingProblem {
    match value {
        Value::Null => MappingProblem::Null,
        other => MappingProblem::NotScalar(kind(other)),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

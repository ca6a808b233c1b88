//! From Avro's binary encoding to JSON, in one pass.
//!
//! Nothing is allocated by a length that the bytes only claim; what comes out is bounded, and so is how deep it nests.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{
    logical::{BytesAs, IntAs},
    schema::{AvroSchema, Node, NodeId},
};

/// How deep values may nest: a schema that holds itself has no bound of its own.
const MAX_DEPTH: usize = 64;
/// The most JSON that a record may become: twice what an event may be. Every element of a list writes some, so that this
/// bounds the work too, also for elements that take no bytes.
const MAX_JSON_BYTES: usize = 2 << 20;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Undecodable {
    /// They are not what their schema says.
    Corrupt(String),
    /// As JSON they would be too large.
    TooLarge(String),
}

/// Turns a datum into JSON; all of `bytes` must belong to it.
pub(in crate::registry) fn to_json(schema: &AvroSchema, bytes: &[u8]) -> Result<Bytes, Undecodable> {
    let mut decoder =
        Decoder { nodes: &schema.nodes, input: Input(bytes), out: String::with_capacity(bytes.len() * 2) };
    decoder.value(schema.root, 0)?;
    match decoder.input.0.len() {
        0 => Ok(decoder.out.into()),
        left => Err(corrupt(format!("{left} bytes are left over: was it written with another schema?"))),
    }
}

fn corrupt(message: impl Into<String>) -> Undecodable {
    Undecodable::Corrupt(message.into())
}

/// What is still to be read.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Undecodable> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            return Err(corrupt(format!("it ends early: {length} bytes were to follow, there are {}", self.0.len())));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        Ok(self.take(N)?.try_into().expect("as many were taken"))
    }

    /// A number of variable length, zig-zag.
    pub fn long(&mut self) -> Result<i64, Undecodable> {
        let mut number: u64 = 0;
        for (shift, byte) in (0usize..).step_by(7).zip(self.0) {
            if shift == 63 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.0 = &self.0[shift / 7 + 1..];
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(corrupt("a number has no end"))
    }

    fn int(&mut self) -> Result<i32, Undecodable> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| corrupt(format!("{number} is no int")))
    }

    /// A length or an index.
    fn size(&mut self) -> Result<usize, Undecodable> {
        let number = self.long()?;
        usize::try_from(number).map_err(|_| corrupt(format!("{number} is no length")))
    }

    pub fn length_delimited(&mut self) -> Result<&'a [u8], Undecodable> {
        let length = self.size()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Undecodable> {
        let bytes = self.length_delimited()?;
        std::str::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8"))
    }
}

struct Decoder<'a> {
    nodes: &'a [Node],
    input: Input<'a>,
    out: String,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<(), Undecodable> {
        if depth > MAX_DEPTH {
            return Err(corrupt(format!("it nests more than {MAX_DEPTH} deep")));
        }
        let nodes = self.nodes;
        match &nodes[id] {
            Node::Null => self.push("null")?,
            Node::Boolean => match self.input.array::<1>()? {
                [0] => self.push("false")?,
                [1] => self.push("true")?,
                [other] => return Err(corrupt(format!("{other} is no boolean"))),
            },
            Node::Int(meaning) => self.int(*meaning)?,
            Node::Long(meaning) => {
                let value = self.input.long()?;
                meaning.write(value, &mut self.out);
            }
            Node::Float => {
                let value = f32::from_le_bytes(self.input.array()?);
                self.float(f64::from(value), || serde_json::to_string(&value));
            }
            Node::Double => {
                let value = f64::from_le_bytes(self.input.array()?);
                self.float(value, || serde_json::to_string(&value));
            }
            Node::Bytes(meaning) => {
                let bytes = self.input.length_delimited()?;
                self.bytes(*meaning, bytes)?;
            }
            Node::Fixed(size, meaning) => {
                let bytes = self.input.take(*size)?;
                self.bytes(*meaning, bytes)?;
            }
            Node::Text => {
                let text = self.input.text()?;
                self.text(text)?;
            }
            Node::Enum(symbols) => {
                let index = self.input.size()?;
                let symbol = symbols.get(index).ok_or_else(|| corrupt(format!("its enum has no symbol {index}")))?;
                self.push(symbol)?;
            }
            Node::Array(items) => {
                self.push("[")?;
                self.blocks(|decoder| decoder.value(*items, depth + 1))?;
                self.push("]")?;
            }
            Node::Map(values) => {
                self.push("{")?;
                self.blocks(|decoder| {
                    let key = decoder.input.text()?;
                    decoder.text(key)?;
                    decoder.push(":")?;
                    decoder.value(*values, depth + 1)
                })?;
                self.push("}")?;
            }
            Node::Union(variants) => {
                let variant = self.variant(variants)?;
                self.value(variant, depth + 1)?;
            }
            Node::Record(fields) => {
                self.push("{")?;
                for (index, field) in fields.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," })?;
                    self.push(&field.key)?;
                    self.value(field.node, depth + 1)?;
                }
                self.push("}")?;
            }
            Node::Same(other) => self.value(*other, depth + 1)?,
            Node::Named(_) => unreachable!("names are resolved when a schema is read"),
            Node::CloudEvent { attribute, data } => self.cloudevent(*attribute, *data, depth)?,
        }
        self.bounded(0)
    }

    /// The members of a structured event in JSON.
    fn cloudevent(&mut self, attribute: NodeId, data: NodeId, depth: usize) -> Result<(), Undecodable> {
        self.push("{")?;
        let start = self.out.len();
        self.entries(|decoder| {
            let name = decoder.input.text()?;
            let value = decoder.chosen(attribute)?;
            // An attribute that is null is one that is not there.
            if !matches!(decoder.nodes[value], Node::Null) {
                decoder.separate(start)?;
                decoder.text(name)?;
                decoder.push(":")?;
                decoder.value(value, depth + 1)?;
            }
            Ok(())
        })?;
        let data = self.chosen(data)?;
        let key = match self.nodes[data] {
            Node::Null => "",
            Node::Bytes(_) => "\"data_base64\":",
            _ => "\"data\":",
        };
        if !key.is_empty() {
            self.separate(start)?;
            self.push(key)?;
            self.value(data, depth + 1)?;
        }
        self.push("}")
    }

    /// A comma, if anything has been written since `start`.
    fn separate(&mut self, start: usize) -> Result<(), Undecodable> {
        self.push(if self.out.len() > start { "," } else { "" })
    }

    /// Which node a value has, behind unions.
    fn chosen(&mut self, mut id: NodeId) -> Result<NodeId, Undecodable> {
        let nodes = self.nodes;
        for _ in 0..MAX_DEPTH {
            id = match &nodes[id] {
                Node::Union(variants) => self.variant(variants)?,
                Node::Same(other) => *other,
                _ => return Ok(id),
            };
        }
        Err(corrupt("its unions have no end"))
    }

    fn variant(&mut self, variants: &[NodeId]) -> Result<NodeId, Undecodable> {
        let index = self.input.size()?;
        variants.get(index).copied().ok_or_else(|| corrupt(format!("its union has no branch {index}")))
    }

    /// Elements with commas between them.
    fn blocks(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Undecodable>) -> Result<(), Undecodable> {
        let start = self.out.len();
        self.entries(|decoder| {
            decoder.separate(start)?;
            element(decoder)
        })
    }

    /// The elements of an array or a map, block by block.
    fn entries(&mut self, mut entry: impl FnMut(&mut Self) -> Result<(), Undecodable>) -> Result<(), Undecodable> {
        loop {
            let count = self.input.long()?;
            if count < 0 {
                self.input.long()?; // the block's length in bytes, for those who skip it
            }
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count.unsigned_abs() {
                entry(self)?;
            }
        }
    }

    fn int(&mut self, meaning: IntAs) -> Result<(), Undecodable> {
        let value = self.input.int()?;
        meaning.write(value, &mut self.out);
        Ok(())
    }

    fn float(&mut self, value: f64, json: impl FnOnce() -> serde_json::Result<String>) {
        if value.is_finite() {
            self.out.push_str(&json().expect("a finite number is JSON"));
        } else if value.is_nan() {
            self.out.push_str("\"NaN\"");
        } else {
            self.out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
        }
    }

    fn bytes(&mut self, meaning: BytesAs, bytes: &[u8]) -> Result<(), Undecodable> {
        self.bounded(bytes.len())?;
        meaning.write(bytes, &mut self.out).map_err(Undecodable::Corrupt)
    }

    fn text(&mut self, text: &'a str) -> Result<(), Undecodable> {
        self.bounded(text.len())?;
        self.out.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.push_str(&text[plain..at]);
            plain = at + 1;
            match byte {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                b'\n' => self.out.push_str("\\n"),
                control => write!(self.out, "\\u{control:04x}").expect("a String takes any text"),
            }
        }
        self.out.push_str(&text[plain..]);
        self.out.push('"');
        Ok(())
    }

    fn push(&mut self, json: &str) -> Result<(), Undecodable> {
        self.bounded(json.len())?;
        self.out.push_str(json);
        Ok(())
    }

    /// That there is room for `more` bytes.
    fn bounded(&self, more: usize) -> Result<(), Undecodable> {
        if self.out.len() + more <= MAX_JSON_BYTES {
            return Ok(());
        }
        Err(Undecodable::TooLarge(format!("as JSON it has more than {MAX_JSON_BYTES} bytes")))
    }
}

//! The parameters' values: checked one by one, and hidden where they are secret.

use std::{collections::BTreeMap, fmt};

use regex::{Regex, RegexBuilder};
use zeroize::Zeroizing;

use super::{
    document::Parameter,
    text::{Piece, Text},
};

/// The longest value of a parameter, in bytes.
pub const MAX_PARAMETER_BYTES: usize = 2_048;
/// What is shown in the place of a secret.
pub const HIDDEN: &str = "********";

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 18;
/// How much of an unknown name an error echoes.
const ECHOED_CHARACTERS: usize = 64;
/// How many names of parameters an error lists.
const LISTED_NAMES: usize = 20;

/// Why a template can't be instantiated. Never shows a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A parameter without a value.
    #[error("the parameter '{name}' is missing: {description}")]
    Missing {
        /// Its name.
        name: String,
        /// What it is.
        description: String,
    },
    /// A value without a parameter.
    #[error("the template has no parameter '{name}'; it has: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A value of another form.
    #[error("the value of '{name}' has to match '{pattern}', as '{example}' does")]
    Pattern {
        /// The parameter.
        name: String,
        /// The pattern.
        pattern: String,
        /// A value that matches.
        example: String,
    },
    /// A value that can't stand where it is meant to.
    #[error("the value of '{name}' can't be used: {why}")]
    Value {
        /// The parameter.
        name: String,
        /// Why not, and what to do.
        why: String,
    },
}

impl TemplateError {
    /// The parameter that it is about.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Missing { name, .. }
            | Self::Unknown { name, .. }
            | Self::Pattern { name, .. }
            | Self::Value { name, .. } => name,
        }
    }

    pub(super) fn value(name: &str, why: impl fmt::Display) -> Self {
        Self::Value { name: name.to_owned(), why: why.to_string() }
    }
}

/// A text that may have secrets in it: shown with something else in their places.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed {
    text: Zeroizing<String>,
    shown: String,
}

impl Concealed {
    pub(super) fn new(text: impl Into<String>, shown: impl Into<String>) -> Self {
        Self { text: Zeroizing::new(text.into()), shown: shown.into() }
    }

    /// Both changed in the same way.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self::new(change(&self.text), change(&self.shown))
    }

    /// The text itself, for sealing, checking and sending.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What may be shown of it.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl fmt::Debug for Concealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown)
    }
}

/// The value of every parameter of a template.
pub(super) struct Values<'a>(BTreeMap<&'a str, Value<'a>>);

/// The value of one.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub text: &'a str,
    pub secret: bool,
}

impl<'a> Values<'a> {
    /// Checks what was given; what was not has its default.
    pub fn new(parameters: &'a [Parameter], given: &BTreeMap<&str, &'a str>) -> Result<Self, TemplateError> {
        if let Some(name) = given.keys().find(|name| !parameters.iter().any(|parameter| parameter.name == **name)) {
            let known: Vec<&str> = parameters.iter().map(|it| it.name.as_str()).take(LISTED_NAMES).collect();
            let name = name.chars().take(ECHOED_CHARACTERS).collect();
            return Err(TemplateError::Unknown { name, known: known.join(", ") });
        }
        let value = |parameter: &'a Parameter| {
            let text = given.get(parameter.name.as_str()).copied().or(parameter.default.as_deref());
            let text = text.ok_or_else(|| TemplateError::Missing {
                name: parameter.name.clone(),
                description: parameter.description.clone(),
            })?;
            check_value(parameter, text)?;
            Ok::<_, TemplateError>((parameter.name.as_str(), Value { text, secret: parameter.secret }))
        };
        parameters.iter().map(value).collect::<Result<_, _>>().map(Self)
    }

    /// The examples, as they are.
    pub fn examples(parameters: &'a [Parameter]) -> Self {
        let value = |it: &'a Parameter| (it.name.as_str(), Value { text: it.example.as_str(), secret: it.secret });
        Self(parameters.iter().map(value).collect())
    }

    /// A parameter's value. A checked template names none that is not there.
    pub fn of(&self, name: &str) -> Value<'a> {
        self.0.get(name).copied().expect("the template was checked: it names its own parameters only")
    }

    /// A text with the values in it, as they are.
    pub fn fill(&self, text: &Text<'_>) -> Concealed {
        let (mut filled, mut shown) = (String::new(), String::new());
        for piece in &text.0 {
            match piece {
                Piece::Plain(plain) => {
                    filled.push_str(plain);
                    shown.push_str(plain);
                }
                Piece::Parameter(name) => {
                    let value = self.of(name);
                    filled.push_str(value.text);
                    shown.push_str(if value.secret { HIDDEN } else { value.text });
                }
            }
        }
        Concealed::new(filled, shown)
    }
}

fn check_value(parameter: &Parameter, text: &str) -> Result<(), TemplateError> {
    let refused = |why: &str| Err(TemplateError::value(&parameter.name, why));
    if text.is_empty() {
        return refused("it is empty");
    }
    if text.len() > MAX_PARAMETER_BYTES {
        return refused(&format!("it has more than {MAX_PARAMETER_BYTES} bytes"));
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return refused("it has control characters, or spaces at its ends");
    }
    match &parameter.pattern {
        Some(source) if !pattern(source).is_ok_and(|pattern| pattern.is_match(text)) => Err(TemplateError::Pattern {
            name: parameter.name.clone(),
            pattern: source.clone(),
            example: parameter.example.clone(),
        }),
        _ => Ok(()),
    }
}

/// A parameter's pattern, which has to match a whole value. Error: what is wrong with it.
pub(super) fn pattern(source: &str) -> Result<Regex, String> {
    let compile = |source: &str| {
        let built = RegexBuilder::new(source).size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES).build();
        built.map_err(|error| format!("is not a regular expression that can be used: {error}"))
    };
    // By itself first: `a)|(b` would be one within the parentheses.
    compile(source)?;
    compile(&format!("^(?:{source})$"))
}

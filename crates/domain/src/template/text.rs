//! Text with placeholders: `Bearer {{token}}`.

/// The longest name of a parameter, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// A text with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub Vec<Piece<'a>>);

/// A piece of such a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Plain(&'a str),
    Parameter(&'a str),
}

impl<'a> Text<'a> {
    /// Error: what is wrong, and what to do.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, behind)) = rest.split_once("{{") {
            let placeholder = behind.split_once("}}").filter(|(name, _)| is_name(name));
            let (name, after) = placeholder.ok_or(
                "has '{{' that begins no placeholder: write '{{name}}', the name of lower-case letters, digits and '_'",
            )?;
            pieces.extend([Piece::Plain(plain), Piece::Parameter(name)]);
            rest = after;
        }
        pieces.push(Piece::Plain(rest));
        pieces.retain(|piece| *piece != Piece::Plain(""));
        Ok(Self(pieces))
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(*name),
            Piece::Plain(_) => None,
        })
    }
}

/// Whether a text can be a parameter's name.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{
        Piece::{Parameter, Plain},
        *,
    };

    #[test]
    fn placeholders_are_found_among_plain_text() {
        let table: [(&str, &[Piece<'_>]); 5] = [
            ("", &[]),
            ("plain {x} }}", &[Plain("plain {x} }}")]),
            ("{{a}}", &[Parameter("a")]),
            ("Bearer {{a_1}}{{b}}!", &[Plain("Bearer "), Parameter("a_1"), Parameter("b"), Plain("!")]),
            ("{{a}}}}", &[Parameter("a"), Plain("}}")]),
        ];
        for (text, pieces) in table {
            assert_eq!(Text::parse(text).unwrap().0, pieces, "{text}");
        }
    }

    #[test]
    fn braces_that_are_no_placeholder_are_refused() {
        for text in ["{{", "{{a", "{{}}", "{{A}}", "{{ a }}", "{{a b}}", "{{1}}", "{{{a}}}", "{{_}}"] {
            assert!(Text::parse(text).is_err(), "{text}");
        }
    }
}

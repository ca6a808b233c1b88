//! A URL with placeholders: each value escaped for where it stands.

use std::fmt::Write as _;

use url::Url;

use super::{
    text::{Piece, Text},
    values::{Concealed, HIDDEN, TemplateError, Values},
};

/// Where a piece of a URL stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the whole URL.
    Whole,
    /// Host and port.
    Host,
    /// Path.
    Path,
    /// Query.
    Query,
}

/// The pieces of a URL and the place where each begins. Error: what is wrong with the text, and what to do.
pub(super) fn places(text: &str) -> Result<Vec<(Piece<'_>, Place)>, String> {
    let Text(pieces) = Text::parse(text)?;
    if let [whole @ Piece::Parameter(_)] = pieces[..] {
        return Ok(vec![(whole, Place::Whole)]);
    }
    if text.contains(|it: char| it == '#' || it == '\\' || it.is_whitespace() || it.is_control()) {
        return Err("has a '#', a backslash, white space or a control character: remove it".to_owned());
    }
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
    let scheme = scheme.ok_or("has to begin with 'https://', or to be one placeholder alone")?;
    let mut place = Place::Host;
    let placed = pieces.into_iter().enumerate().map(|(index, piece)| {
        let begins = place;
        if let Piece::Plain(plain) = piece {
            let behind_scheme = if index == 0 { scheme.len() } else { 0 };
            place = place_after(place, &plain[behind_scheme..]);
        }
        (piece, begins)
    });
    Ok(placed.collect())
}

/// The parameter that decides which host a URL leads to, if one does.
pub(super) fn host_parameter<'a>(pieces: &[(Piece<'a>, Place)]) -> Option<&'a str> {
    pieces.iter().find_map(|(piece, place)| match (piece, place) {
        (Piece::Parameter(name), Place::Whole | Place::Host) => Some(*name),
        _ => None,
    })
}

/// Where what follows `plain` stands, which itself begins at `place`.
fn place_after(place: Place, plain: &str) -> Place {
    match place {
        Place::Whole | Place::Query => place,
        Place::Host | Place::Path => match plain.find('?') {
            Some(_) => Place::Query,
            None if plain.contains('/') => Place::Path,
            None => place,
        },
    }
}

/// The URL with the values in it, normalised.
pub(super) fn fill(pieces: &[(Piece<'_>, Place)], values: &Values<'_>) -> Result<Concealed, TemplateError> {
    let (mut filled, mut shown) = (String::new(), String::new());
    let mut last = None;
    for (piece, place) in pieces {
        match piece {
            Piece::Plain(plain) => {
                filled.push_str(plain);
                shown.push_str(plain);
            }
            Piece::Parameter(name) => {
                let value = values.of(name);
                let text = in_place(*place, value.text).map_err(|why| TemplateError::value(name, why))?;
                shown.push_str(if value.secret { HIDDEN } else { &text });
                filled.push_str(&text);
                last = Some(*name);
            }
        }
    }
    let blamed = host_parameter(pieces).or(last).unwrap_or_default();
    let url = checked(&filled).map_err(|why| TemplateError::value(blamed, why))?;
    if let [(Piece::Parameter(name), Place::Whole)] = pieces
        && values.of(name).secret
    {
        shown = format!("{}/{HIDDEN}", url.origin().ascii_serialization());
    }
    Ok(Concealed::new(url, shown))
}

/// A URL that can be an endpoint's, as far as its form tells. Error: what is wrong with it, and what to do.
pub(super) fn checked(text: &str) -> Result<Url, String> {
    if has_dot_segment(text) {
        return Err("a part of the path is '.' or '..', which leads elsewhere".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("it makes no URL: {error}"))?;
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !usable || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("the URL has to begin with 'https://', without a user name, a password or a '#'".to_owned());
    }
    Ok(url)
}

/// A value as it is written at a place. Error: why it can't stand there.
fn in_place(place: Place, value: &str) -> Result<String, &'static str> {
    match place {
        Place::Whole => Ok(value.to_owned()),
        Place::Host if is_host(value) => Ok(value.to_owned()),
        Place::Host => Err("it is a part of the host: use letters, digits, '-' and '.', with a ':' and a port at most"),
        Place::Path if matches!(value, "." | "..") => Err("it is '.' or '..', which leads elsewhere in a path"),
        Place::Path | Place::Query => Ok(escaped(value)),
    }
}

fn is_host(value: &str) -> bool {
    let (name, port) = value.split_once(':').unwrap_or((value, "0"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.bytes().all(is_name) && !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit())
}

/// Percent-escaped: all but RFC 3986's unreserved characters.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a text takes whatever is written");
        }
    }
    escaped
}

/// Whether a part of the path is `.` or `..`, which a parser would resolve in silence.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

//! Values given as parameters of a path or query.

use std::{fmt::Display, str::FromStr};

use super::problem::{Problem, ProblemKind};

/// A parameter's value, read; the error names the parameter.
pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &'static str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let read = |text: &str| text.parse().map_err(|error: T::Err| bad(name, error.to_string()));
    text.map(read).transpose()
}

/// A text to compare with what is stored, which never has NUL in it.
pub(crate) fn storable(name: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.contains('\0') => Err(bad(name, format!("{name} contains NUL; remove it"))),
        other => Ok(other),
    }
}

fn bad(name: &'static str, detail: String) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail).at(name)
}

//! Values given as parameters of a path or query.

use std::{fmt::Display, str::FromStr};

use super::problem::{Problem, ProblemKind};

/// A parameter's value, read; the error names the parameter.
pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &'static str, text: Option<&str>) -> Result<Option<T>, Problem> {
    let read = |text: &str| text.parse().map_err(|error: T::Err| bad(name, error.to_string()));
    text.map(read).transpose()
}

fn bad(name: &'static str, detail: String) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail).at(name)
}

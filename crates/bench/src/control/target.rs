//! What is to be reached.

use std::fmt;

/// A figure, and what it has to be.
#[derive(Debug, Clone)]
pub struct Target {
    name: &'static str,
    measured: f64,
    limit: f64,
    at_least: bool,
}

impl Target {
    /// A figure that is to be at most `limit`.
    pub fn at_most(name: &'static str, measured: f64, limit: f64) -> Self {
        Self { name, measured, limit, at_least: false }
    }

    /// A figure that is to be at least `limit`.
    pub fn at_least(name: &'static str, measured: f64, limit: f64) -> Self {
        Self { name, measured, limit, at_least: true }
    }

    /// Whether it is reached.
    pub fn is_met(&self) -> bool {
        if self.at_least { self.measured >= self.limit } else { self.measured <= self.limit }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, limit, .. } = self;
        write!(f, "target {name} {measured:.1} {limit} {}", if self.is_met() { "ok" } else { "short" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_tells_whether_it_is_reached() {
        assert_eq!(Target::at_most("reads-ms", 9.96, 10.0).to_string(), "target reads-ms 10.0 10 ok");
        assert_eq!(Target::at_most("reads-ms", 10.2, 10.0).to_string(), "target reads-ms 10.2 10 short");
        assert_eq!(Target::at_least("rate", 999.0, 1_000.0).to_string(), "target rate 999.0 1000 short");
        assert!(Target::at_least("rate", 1_000.0, 1_000.0).is_met());
    }
}

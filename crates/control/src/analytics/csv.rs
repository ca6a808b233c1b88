//! Tables as CSV (RFC 4180).

/// A table, written row by row.
#[derive(Debug)]
pub struct Csv(String);

impl Csv {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self(columns.join(",") + "\r\n")
    }

    /// Adds a row.
    pub fn row(&mut self, values: impl IntoIterator<Item = String>) {
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.0.push_str(&field(value));
        }
        self.0.push_str("\r\n");
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A value as it stands in the file. One that a spreadsheet would take for a formula is made a text: names come from
/// users.
fn field(value: String) -> String {
    let value = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{value}") } else { value };
    if value.contains([',', '"', '\r', '\n']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be_and_are_no_formulas() {
        let mut table = Csv::new(&["name", "count"]);
        table.row(["plain".to_owned(), "1".to_owned()]);
        table.row(["a, \"b\"\nc".to_owned(), "2".to_owned()]);
        table.row(["=1+1".to_owned(), String::new()]);
        assert_eq!(table.into_text(), "name,count\r\nplain,1\r\n\"a, \"\"b\"\"\nc\",2\r\n'=1+1,\r\n");
    }
}

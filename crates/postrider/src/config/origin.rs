//! Where each key of the configuration was set, for messages about it.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::Origin;

/// The layers that were read, kept to find the place of a key.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    file: Option<(PathBuf, String)>,
    variables: Vec<(Vec<String>, String)>,
}

impl Origins {
    /// Remembers the file and its text.
    pub fn set_file(&mut self, path: &Path, text: &str) {
        self.file = Some((path.to_owned(), text.to_owned()));
    }

    /// Remembers that an environment variable set the key at `path`.
    pub fn add_variable(&mut self, path: Vec<String>, name: String) {
        self.variables.push((path, name));
    }

    /// Where the key at `path` (`["kafka", "client_id"]`; list items by number) was set: the environment
    /// wins over the file.
    pub fn of(&self, path: &[&str]) -> Origin {
        let by_variable = self.variables.iter().find(|(set, _)| {
            let shared = set.len().min(path.len());
            set[..shared].iter().map(String::as_str).eq(path[..shared].iter().copied()) && set.len() <= path.len()
        });
        if let Some((_, name)) = by_variable {
            return Origin::Variable(name.clone());
        }
        let in_file = self.file.as_ref().and_then(|(file, text)| {
            let table = DeTable::parse(text).ok()?;
            let offset = offset_in(table.get_ref(), path)?;
            Some(Origin::File { path: file.clone(), line: line_at(text, offset) })
        });
        in_file.unwrap_or(Origin::Default)
    }
}

/// The line (from 1) of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// The offset of the key at `path`; of its nearest parent where the key itself is not there.
fn offset_in(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    Some(offset_below(value.get_ref(), rest).unwrap_or(key.span().start))
}

fn offset_below(value: &DeValue<'_>, path: &[&str]) -> Option<usize> {
    match value {
        DeValue::Table(table) => offset_in(table, path),
        DeValue::Array(items) => {
            let (index, rest) = path.split_first()?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some(offset_below(item.get_ref(), rest).unwrap_or(item.span().start))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_layer() {
        let mut origins = Origins::default();
        let text = "\n[kafka]\nclient_id = \"a\"\n\n[[sources]]\nname = \"x\"\n[[sources]]\nname = \"y\"\n";
        origins.set_file(Path::new("p.toml"), text);
        origins.add_variable(vec!["topics".to_owned(), "partitions".to_owned()], "V".to_owned());
        let line = |path: &[&str]| match origins.of(path) {
            Origin::File { line, .. } => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(&["kafka", "client_id"]), 3);
        assert_eq!(line(&["sources", "1", "name"]), 8);
        assert_eq!(line(&["kafka", "absent"]), 2);
        assert_eq!(origins.of(&["topics", "partitions"]), Origin::Variable("V".to_owned()));
        assert_eq!(origins.of(&["topics", "create"]), Origin::Default);
    }
}

//! What the documents for people name has to exist.

use std::path::Path;

/// The texts in backticks, with their lines; blocks of code are no such texts.
pub fn quoted(document: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|text| (index + 1, text)));
        }
    }
    found
}

/// Whether a text names a file or folder of the repository.
pub fn is_path(text: &str) -> bool {
    ["crates/", "schemas/", "openapi/", "scripts/"].iter().any(|folder| text.starts_with(folder))
        && !text.contains(|letter: char| letter.is_whitespace() || letter == '*' || letter == '<')
}

/// Whether a text names a test: tests are whole sentences.
pub fn is_test(text: &str) -> bool {
    text.matches('_').count() >= 3
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What `document` names and nothing has; `sources` are the texts of all Rust files.
pub fn missing(document: &str, root: &Path, sources: &str) -> Vec<(usize, String)> {
    let exists = |text: &str| match text {
        path if is_path(path) => root.join(path).exists(),
        // In quotation marks it is a name of the API.
        test if is_test(test) => [format!("fn {test}("), format!("\"{test}\"")].iter().any(|it| sources.contains(it)),
        _ => true,
    };
    let missing = quoted(document).into_iter().filter(|(_, text)| !exists(text));
    missing.map(|(line, text)| (line, text.to_owned())).collect()
}

#[test]
fn what_is_missing_is_found_with_its_line() {
    let document =
        "`crates/none.rs` and `some`\n```\n`crates/none2.rs`\n```\n`a_test_that_nobody_wrote`, `a_test_that_is_there`";
    let found = missing(document, Path::new("/nowhere"), "async fn a_test_that_is_there(context: Context) {");
    assert_eq!(found, [(1, "crates/none.rs".to_owned()), (5, "a_test_that_nobody_wrote".to_owned())]);
}

//! Just enough of Rust's syntax to find functions and their ends.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// How many lines it has, from there to its closing brace.
    pub lines: usize,
}

/// All functions with a body in `source`, nested ones too.
pub fn functions(source: &str) -> Vec<Function> {
    let code = blank_out(source);
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let begins_word = !code[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let name: String = code[start + 3..].chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
        if !begins_word || name.is_empty() {
            continue;
        }
        if let Some(end) = end_of_body(&code[start..]) {
            let line = 1 + code[..start].matches('\n').count();
            found.push(Function { name, line, lines: 1 + code[start..start + end].matches('\n').count() });
        }
    }
    found
}

/// Where the body that begins after the signature ends; none for a declaration without one.
fn end_of_body(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize; // a `;` in `[u8; 4]` ends no declaration
    for (at, character) in code.char_indices() {
        match character {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The source with the insides of comments, strings and characters replaced by blanks; line ends stay.
fn blank_out(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = opaque_length(rest, code.chars().next_back());
        let taken = if length == 0 { first.len_utf8() } else { length };
        let (head, tail) = rest.split_at(taken);
        if length == 0 {
            code.push_str(head);
        } else {
            code.extend(head.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
        }
        rest = tail;
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal; 0 if none begins here.
fn opaque_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let begins_word = !before.is_some_and(|before| before.is_alphanumeric() || before == '_');
    if begins_word && (rest.starts_with('r') || rest.starts_with("br")) {
        let marks = rest.trim_start_matches('b').trim_start_matches('r');
        let hashes = marks.len() - marks.trim_start_matches('#').len();
        if marks[hashes..].starts_with('"') {
            let opening = rest.len() - marks.len() + hashes + 1;
            let closing = format!("\"{}", "#".repeat(hashes));
            return rest[opening..].find(&closing).map_or(rest.len(), |end| opening + end + closing.len());
        }
    }
    if rest.starts_with('"') {
        return quoted_length(rest, '"');
    }
    // A lifetime has no closing quote one character on.
    let mut after = rest.strip_prefix('\'').into_iter().flat_map(str::chars);
    match (after.next(), after.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted_length(rest, '\''),
        _ => 0,
    }
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether `line` has `word` with no letter or digit right before or behind it.
pub fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let behind = line[start + word.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[test]
fn functions_are_measured_past_strings_comments_and_arrays() {
    let source = r##"
trait T { fn declared(&self, four: [u8; 4]); }
fn short() {}
// fn commented() {
fn tricky<'a>(text: &'a str) -> [u8; 2] {
    let _ = ("}", '}', '\'', r#"} " }"#, b"\"}");
    /* } */
    [1, 2]
}
"##;
    let found = functions(source);
    let found: Vec<(&str, usize, usize)> = found.iter().map(|it| (it.name.as_str(), it.line, it.lines)).collect();
    assert_eq!(found, [("short", 3, 1), ("tricky", 5, 5)]);
}

#[test]
fn words_are_whole() {
    assert!(has_word("a word, here", "word"));
    assert!(!has_word("a swordfish", "word"));
}

//! What the compiler cannot keep: sizes, crate arrows, stage headers, reasons, words.
//!
//! Each check lists every place that breaks its rule, as `file:line`, with what to do about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

mod code;
mod documents;

const MOST_FILE_LINES: usize = 450;
const MOST_FUNCTION_LINES: usize = 80;
/// A comment above a group of dependencies is the reason of so many at most.
const MOST_UNDER_ONE_REASON: usize = 10;

/// Which of our crates each crate may build on.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("kafka", &["domain"]),
    ("postgres", &["domain"]),
    ("pipeline", &["domain", "kafka"]),
    ("control", &["domain", "kafka", "postgres"]),
    ("testkit", &["domain", "kafka", "postgres"]),
    ("postrider", &["domain", "kafka", "postgres", "pipeline", "control"]),
    ("bench", &["domain", "kafka", "testkit"]),
];

/// Dependencies that one crate keeps from all others.
const SOLE_USERS: &[(&str, &str)] = &[("rdkafka", "kafka"), ("serde_avro_fast", "kafka"), ("sqlx", "postgres")];

/// The stages: their module documentation says what they do to topics.
const STAGES: &[(&str, &str)] = &[
    ("pipeline", "matcher"),
    ("pipeline", "dispatcher"),
    ("pipeline", "retrier"),
    ("control", "relay"),
    ("control", "projector"),
];

const STAGE_LABELS: &[&str] = &["Reads:", "Writes:", "Commits when:", "On failure:"];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is where it was built")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()))
}

/// The files of the repository, tracked or about to be, that exist, relative to its root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("run git");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("our file names are UTF-8");
    let files: Vec<PathBuf> = listed.lines().map(PathBuf::from).filter(|file| root.join(file).is_file()).collect();
    assert!(!files.is_empty(), "git lists no file in {}", root.display());
    files
}

/// The Rust sources that are no tests, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let is_source = |file: &PathBuf| {
        file.extension().is_some_and(|extension| extension == "rs")
            && !file.iter().any(|part| part == "tests" || part == "tests.rs")
    };
    files().into_iter().filter(is_source).map(|file| (file.clone(), read(&root().join(file)))).collect()
}

/// Every crate's folder name and manifest.
fn manifests() -> Vec<(String, PathBuf, toml::Table)> {
    let manifest = |(name, _): &(&str, &[&str])| {
        let path = PathBuf::from(format!("crates/{name}/Cargo.toml"));
        let table = read(&root().join(&path)).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        ((*name).to_owned(), path, table)
    };
    ARROWS.iter().map(manifest).collect()
}

/// The names in a manifest's tables of dependencies; `for_tests` tells whether only its tests see them.
fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = (&str, &toml::Value, bool)> {
    let tables = [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
    tables.into_iter().flat_map(move |(table, for_tests)| {
        let entries = manifest.get(table).and_then(toml::Value::as_table).into_iter().flatten();
        entries.map(move |(name, value)| (name.as_str(), value, for_tests))
    })
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} to mend:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn files_have_one_subject_and_functions_fit_a_screen() {
    let mut problems = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines > MOST_FILE_LINES {
            problems
                .push(format!("{}:{lines}: more than {MOST_FILE_LINES} lines; split it by subject", file.display()));
        }
        for function in code::functions(&text).into_iter().filter(|function| function.lines > MOST_FUNCTION_LINES) {
            let code::Function { name, line, lines } = function;
            let file = file.display();
            problems
                .push(format!("{file}:{line}: `{name}` has {lines} lines, more than {MOST_FUNCTION_LINES}; split it"));
        }
    }
    report(&problems);
}

#[test]
fn crates_depend_along_the_arrows() {
    let mut problems = Vec::new();
    for (name, path, manifest) in manifests() {
        let allowed = ARROWS.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| to);
        for (dependency, value, for_tests) in dependencies(&manifest) {
            let path = path.display();
            if let Some(ours) = dependency.strip_prefix("postrider-")
                && !allowed.contains(&ours)
                && !(for_tests && ours == "testkit")
            {
                problems.push(format!("{path}: crates/{name} may not build on crates/{ours}; see ARCHITECTURE.md"));
            }
            let sole = SOLE_USERS.iter().find(|(kept, sole)| *kept == dependency && *sole != name && !for_tests);
            if let Some((_, sole)) = sole {
                problems.push(format!("{path}: only crates/{sole} names {dependency}; go through its functions"));
            }
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                problems
                    .push(format!("{path}: declare {dependency} in the root Cargo.toml and say `.workspace = true`"));
            }
        }
    }
    let known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for file in files() {
        let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
        if let ["crates", name, "Cargo.toml"] = parts[..]
            && !known.contains(&name)
        {
            problems.push(format!("{}: give crates/{name} its arrows in this test", file.display()));
        }
    }
    report(&problems);
}

#[test]
fn stages_say_what_they_do_to_topics() {
    let mut problems = Vec::new();
    for (crate_name, stage) in STAGES {
        let places = [format!("crates/{crate_name}/src/{stage}.rs"), format!("crates/{crate_name}/src/{stage}/mod.rs")];
        let Some(file) = places.iter().find(|place| root().join(place).is_file()) else {
            problems.push(format!("{}: there is no such stage; move it here or mend this test", places[0]));
            continue;
        };
        let text = read(&root().join(file));
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for label in STAGE_LABELS {
            if !header.iter().any(|line| line["//!".len()..].trim_start().starts_with(label)) {
                problems.push(format!("{file}:1: the module's documentation needs a line `//! {label} …`"));
            }
        }
    }
    report(&problems);
}

#[test]
fn dependencies_have_reasons() {
    let text = read(&root().join("Cargo.toml"));
    let mut problems = Vec::new();
    let mut inside = false;
    let mut since_reason = None;
    for (index, line) in text.lines().enumerate() {
        match line.trim() {
            header if header.starts_with('[') => inside = header == "[workspace.dependencies]",
            "" => since_reason = None,
            comment if comment.starts_with('#') => since_reason = Some(0),
            _ if inside => {
                since_reason = since_reason.map(|count| count + 1);
                if since_reason.is_none_or(|count| count > MOST_UNDER_ONE_REASON) {
                    problems.push(format!("Cargo.toml:{}: say above it, in a comment, what it is for", index + 1));
                }
            }
            _ => {}
        }
    }
    report(&problems);
}

#[test]
fn schemas_are_used() {
    let sources = sources();
    let is_schema = |file: &PathBuf| file.starts_with("schemas") && file.extension().is_some_and(|it| it == "avsc");
    let unused = files().into_iter().filter(is_schema).filter(|schema| {
        let name = schema.file_name().and_then(|name| name.to_str()).expect("our file names are UTF-8");
        !sources.iter().any(|(_, text)| text.contains(name))
    });
    let problems: Vec<String> =
        unused.map(|schema| format!("{}:1: no source names it; use it or remove it", schema.display())).collect();
    report(&problems);
}

#[test]
fn documents_name_what_exists() {
    let is_rust = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs");
    let sources: String = files().iter().filter(|file| is_rust(file)).map(|file| read(&root().join(file))).collect();
    let mut problems = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        for (line, text) in documents::missing(&read(&root().join(document)), &root(), &sources) {
            problems.push(format!("{document}:{line}: there is no `{text}`; name what there is"));
        }
    }
    report(&problems);
}

#[test]
fn no_forbidden_words() {
    // Put together here, so that this file does not hold them itself.
    let to_do = ["TO", "DO"].concat();
    let words: BTreeMap<String, &str> = BTreeMap::from([
        (to_do.clone(), "say why it waits, as `(reason)` right behind it, or do it"),
        (["FIX", "ME"].concat(), "mend it"),
        (["XX", "X"].concat(), "say what is wrong, or mend it"),
        (["as an ", "AI"].concat(), "speak of the product"),
    ]);
    let mut problems = Vec::new();
    for file in files().into_iter().filter(|file| !file.ends_with("Cargo.lock")) {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue }; // not a text
        for (index, line) in text.lines().enumerate() {
            for (word, help) in &words {
                let reasoned = *word == to_do && line.contains(&format!("{to_do}("));
                if code::has_word(line, word) && !reasoned {
                    problems.push(format!("{}:{}: `{word}`: {help}", file.display(), index + 1));
                }
            }
        }
    }
    report(&problems);
}

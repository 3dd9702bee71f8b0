//! Names are the terms of the field: one of a list of words that tell a newcomer nothing is in no name of the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::architecture::{code_only, rust_files};

/// What no name has as one of its words (docs/ARCHITECTURE.md, "Names").
const WORDS: &[&str] = &[
    "whoever",
    "somebody",
    "turn",
    "held",
    "kept",
    "wish",
    "patience",
    "place",
    "shelf",
    "lane",
    "acquaintance",
    "acquaintances",
    "salvage",
    "filling",
    "telling",
    "keeping",
    "standing",
    "told",
    "asked",
    "wanted",
];

/// Names that are stored, or are part of what programs read, by file.
const STORED: &[(&str, &str)] = &[];

/// Splits a name into its words: `snake_case`, `CamelCase` and `UPPER_CASE`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if character == '_' || (character.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
        if character != '_' {
            words.last_mut().expect("there is one").extend(character.to_lowercase());
        }
    }
    words
}

#[test]
fn names_are_the_terms_of_the_field() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for path in rust_files(&source) {
        let file = path.strip_prefix(&source).unwrap().display().to_string();
        let code = code_only(&fs::read_to_string(&path).unwrap());
        for name in code.split(|it: char| !it.is_alphanumeric() && it != '_') {
            let is_stored = STORED.contains(&(file.as_str(), name));
            if !is_stored && words(name).iter().any(|word| WORDS.contains(&word.as_str())) {
                found.insert(format!("{file}: {name}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_name_is_split_into_its_words() {
    assert_eq!(words("wait_until_told"), ["wait", "until", "told"]);
    assert_eq!(words("HeldBack"), ["held", "back"]);
    assert_eq!(words("TOLD_APART"), ["told", "apart"]);
    assert_eq!(words("sha256Kept"), ["sha256", "kept"]);
}

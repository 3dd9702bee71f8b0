//! Public functions of the rooms that others build on have an example, which runs as a doctest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::architecture::rust_files;

/// The rooms whose public functions have examples.
const ROOMS: &[&str] = &["ipld", "oci", "dnslink", "client"];

/// Whether a line begins a public function.
fn is_public_function(line: &str) -> bool {
    let Some(mut rest) = line.trim_start().strip_prefix("pub ") else { return false };
    for word in ["const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

/// Lists the public functions of a file, without its tests, whose documentation has no example.
fn without_example(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let (mut found, mut has_example) = (Vec::new(), false);
    for line in code.lines() {
        let line = line.trim();
        if line.starts_with("///") {
            has_example |= line.starts_with("/// ```");
        } else if is_public_function(line) {
            if !has_example {
                found.push(line);
            }
            has_example = false;
        } else if !line.starts_with("#[") {
            has_example = false;
        }
    }
    found
}

#[test]
fn public_functions_of_the_inner_rooms_have_an_example() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for path in ROOMS.iter().flat_map(|room| rust_files(&source.join(room))) {
        // These are compiled for tests and fuzzing alone.
        if path.ends_with("ipld/properties.rs") || path.ends_with("oci/generated.rs") {
            continue;
        }
        let file = path.strip_prefix(&source).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        found.extend(without_example(&text).iter().map(|line| format!("{file}: {line}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_function_without_an_example_is_found() {
    let with = "/// ```\n/// code\n/// ```\n#[must_use]\npub fn a() {}\n";
    let without = "/// A summary.\npub async fn b() {}\n";
    assert_eq!(without_example(&[with, without, with].concat()), ["pub async fn b() {}"]);
}

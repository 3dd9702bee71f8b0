//! The direction of imports: each room may use only what stands further in.
//!
//! The scanner reads the text of `src/`, without comments and literals, for paths that begin with
//! `crate::` (in `main.rs`: `roadstead::`), for chains of `super::` that leave their room, and for
//! crates that only some rooms may know. Test code is held to the same rule.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the inside out. A room may import those in earlier lines only: rooms of one line
/// do not know each other.
///
/// `cli` stands outside `app`: `roadstead serve` and `roadstead check` run what `app` composes, and
/// `app` has no use for arguments.
const LEVELS: &[&[&str]] = &[
    &["oci", "ipld", "reader", "https", "glob"],
    &["kubo", "client"],
    &["storage", "remote", "index", "dnslink", "auth"],
    &["registry", "images"],
    &["accounts"],
    &["http"],
    &["app"],
    &["cli"],
    &["main"],
];

/// The seams, whose drivers may each read their own section of the settings.
const SEAMS: &[&str] = LEVELS[2];

/// Rooms beside the levels: what they may import, and who may import them.
const BESIDE: &[(&str, &[&str], &[&str])] = &[
    ("config", &["oci", "kubo"], &["telemetry", "app", "cli", "main"]),
    ("telemetry", &["config"], &["app", "cli", "main"]),
    ("heap", &[], &["registry", "main"]),
];

/// Crates that only some files may know, by the beginnings of their paths. What composes the rooms
/// starts the server, so it has to know whose server that is.
const CRATES: &[(&str, &[&str])] = &[
    ("async_graphql", &["http/graphql/"]),
    ("actix_web", &["http/", "app", "cli/serve.rs"]),
    ("actix_http", &["http/", "app/encrypted.rs"]),
    ("actix_server", &["app/"]),
    ("actix_service", &["app/encrypted.rs"]),
    ("actix_tls", &["http/limits/", "app/encrypted.rs"]),
    ("sqlx", &["index/"]),
    ("rustls", &["app/tls.rs", "dnslink/servers.rs"]),
    ("hickory_resolver", &["dnslink/"]),
    ("serde_ipld_dagcbor", &["dnslink/ipns.rs"]),
    ("argon2", &["auth/passwords/"]),
    ("bcrypt", &["auth/passwords/", "auth/methods/htpasswd/users.rs"]),
    ("clap", &["cli/", "main.rs"]),
    ("clap_complete", &["cli/completions.rs"]),
    ("clap_mangen", &["cli/man.rs"]),
    ("anyhow", &["cli/", "main.rs"]),
    ("prometheus_client", &["http/metrics/"]),
    ("indicatif", &["cli/progress.rs"]),
    ("tar", &["images/"]),
    ("bollard", &["images/daemon.rs"]),
];

/// Tells whether a file may import a room; `file` is its path below `src/`.
fn may_import(file: &str, target: &str) -> bool {
    let room = room_of(file);
    if room == target {
        return true;
    }
    if let Some((_, imports, _)) = BESIDE.iter().find(|(name, ..)| *name == room) {
        return imports.contains(&target);
    }
    if let Some((_, _, importers)) = BESIDE.iter().find(|(name, ..)| *name == target) {
        let is_driver = SEAMS.contains(&room) && !file.ends_with(&format!("{room}/mod.rs"));
        return importers.contains(&room) || (target == "config" && is_driver);
    }
    matches!((level(target), level(room)), (Some(inner), Some(outer)) if inner < outer)
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

fn is_room(name: &str) -> bool {
    level(name).is_some() || BESIDE.iter().any(|(room, ..)| *room == name)
}

fn room_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Lists what a file imports against the rule, one sentence each.
fn violations(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(&code_only(source));
    let room = room_of(file);
    let mut found = Vec::new();
    for target in imported_rooms(file, &tokens) {
        if !may_import(file, &target) {
            found.push(format!("src/{file}: `{room}` may not import `{target}`"));
        }
    }
    for (name, folders) in CRATES {
        let may_know = folders.iter().any(|folder| file.starts_with(folder));
        if !may_know && tokens.iter().any(|token| token == name) {
            found.push(format!("src/{file}: `{room}` may not know the crate `{name}`"));
        }
    }
    found
}

/// Lists the rooms that paths in the code begin with, counted from the crate.
fn imported_rooms(file: &str, tokens: &[String]) -> BTreeSet<String> {
    let depth = module_depth(file);
    let mut found = BTreeSet::new();
    for (position, token) in tokens.iter().enumerate() {
        let is_crate = token == "crate" || (file == "main.rs" && token == "roadstead");
        let is_first_super = token == "super" && (position < 2 || tokens[position - 2] != "super");
        let mut rest = &tokens[position + 1..];
        let mut steps = 1;
        while is_first_super && rest.len() > 1 && rest[0] == "::" && rest[1] == "super" {
            rest = &rest[2..];
            steps += 1;
        }
        let reaches_crate = is_crate || (is_first_super && steps >= depth);
        if reaches_crate && rest.first().is_some_and(|token| token == "::") {
            found.extend(heads(&rest[1..]).into_iter().filter(|name| is_room(name)));
        }
    }
    found
}

/// Returns how many modules deep a file is: `oci/mod.rs` 1, `oci/name.rs` 2.
fn module_depth(file: &str) -> usize {
    file.split('/').filter(|part| *part != "mod.rs").count()
}

/// Returns the first names of a path or of a group of paths: `{a::b, c}` begins with `a` and `c`.
fn heads(tokens: &[String]) -> Vec<String> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return vec![first.clone()];
    }
    let mut found = Vec::new();
    let mut depth = 0;
    let mut before = "";
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth == 1 && (before == "{" || before == ",") => found.push(name.to_owned()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        before = token;
    }
    found
}

/// Breaks code into names, `::` and single other characters.
pub(crate) fn tokens(code: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(character) = rest.chars().next() {
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        let length = if is_name(character) {
            rest.find(|character| !is_name(character)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            character.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !token.trim().is_empty() {
            found.push(token.to_owned());
        }
        rest = after;
    }
    found
}

/// Returns the code with a space for each comment and literal.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let is_in_name = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let skipped = match character {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            'b' | 'r' if !is_in_name => raw_text(rest),
            '"' => quoted(rest),
            '\'' => character_literal(rest),
            _ => 0,
        };
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    code
}

/// Returns the length of a comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (position, _) in text.match_indices(['/', '*']) {
        if text[position..].starts_with("/*") {
            depth += 1;
        } else if text[position..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return position + 2;
            }
        }
    }
    text.len()
}

/// Returns the length of a raw text such as `r#"…"#`, or 0 if there is none.
fn raw_text(text: &str) -> usize {
    let Some(after) = text.strip_prefix("br").or_else(|| text.strip_prefix('r')) else { return 0 };
    let fences = after.len() - after.trim_start_matches('#').len();
    let Some(inside) = after[fences..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(fences));
    let length = inside.find(&end).map_or(inside.len(), |position| position + end.len());
    text.len() - inside.len() + length
}

/// Returns the length of a text in quotes.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return position + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// Returns the length of a character in quotes, or 0 for the quote of a lifetime.
fn character_literal(text: &str) -> usize {
    let inside = &text[1..];
    let Some(first) = inside.chars().next() else { return 0 };
    let least = if first == '\\' { 2 } else { first.len_utf8() };
    let Some(end) = inside.get(least..).and_then(|after| after.find('\'')) else { return 0 };
    if first == '\\' || end == 0 { 1 + least + end + 1 } else { 0 }
}

/// Lists the Rust files below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_import_points_inwards() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut count = 0;
    for path in rust_files(&source) {
        let file = path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
        if file == "lib.rs" {
            continue;
        }
        count += 1;
        if !is_room(room_of(&file)) {
            found.push(format!("src/{file} is in no room of the rule"));
        }
        found.extend(violations(&file, &fs::read_to_string(&path).unwrap()));
    }
    assert!(count > 10, "only {count} files were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_code_stands_in_two_places() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let blocks = |path: &PathBuf| {
        let code = code_only(&fs::read_to_string(path).unwrap());
        let words = code.split(|it: char| !it.is_alphanumeric() && it != '_');
        let count = words.filter(|word| *word == "unsafe").count();
        (count > 0).then(|| (path.strip_prefix(&source).unwrap().to_owned(), count))
    };
    let mut found: Vec<_> = rust_files(&source).iter().filter_map(blocks).collect();
    found.sort();
    let expected = [("heap.rs", 2), ("ipld/sha256/mod.rs", 1)];
    let expected = expected.map(|(file, count)| (PathBuf::from(file), count));
    assert_eq!(found, expected);
}

#[test]
fn a_planted_violation_is_found_in_whatever_form() {
    for source in [
        "use crate::http::Routes;",
        "pub use crate::http;",
        "use crate::{oci::{Digest, Tag}, http::Routes};",
        "use crate::{\n    oci,\n    http,\n};",
        "fn f() { crate::http::start() }",
        "fn f(app: &crate :: http::App) {}",
        "use super::super::http::Routes;",
        "use super::super::{oci::Digest, http};",
        "#[cfg(test)]\nmod tests {\n    use crate::http::Routes;\n}",
        "const QUOTE: char = '\"'; use crate::http::Routes; const OTHER: char = '\\'';",
        "const A: &str = \"\\\\\"; use crate::http::A; const B: &str = \"\";",
        "fn f<'a>(a: &'a str) -> crate::http::A<'a> {}",
        "/* a /* b */ c */ use crate::http::A;",
        "// a comment\nuse crate::http::A;",
        "const A: &str = r#\"\"\"#; use crate::http::A;",
    ] {
        assert_eq!(
            violations("registry/blobs.rs", source),
            ["src/registry/blobs.rs: `registry` may not import `http`"],
            "{source}"
        );
    }
    let planted = "use roadstead::storage::Content;";
    assert!(violations("main.rs", planted).is_empty(), "main may import everything");
    assert!(violations("oci/name.rs", planted).is_empty(), "only main calls the library by name");
}

#[test]
fn what_only_looks_like_an_import_is_passed_over() {
    for source in [
        "//! See [`crate::http`].",
        "/* use crate::http; */",
        "const A: &str = \"crate::http::A\";",
        "const A: &str = r#\"\"crate::http::A\"#;",
        "const A: &[u8] = br\"crate::http::A\";",
        "pub(crate) mod http;",
        "use super::http::A;",
        "use crate::registry::http::A;",
        "use crate::{registry::{http, app}};",
        "use some_crate::http::A;",
    ] {
        assert_eq!(violations("registry/blobs.rs", source), [""; 0], "{source}");
    }
}

#[test]
fn rooms_may_import_what_stands_further_in() {
    for (file, target) in [
        ("kubo/client.rs", "ipld"),
        ("storage/embedded/mod.rs", "oci"),
        ("storage/kubo.rs", "kubo"),
        ("registry/blobs.rs", "storage"),
        ("http/routes.rs", "registry"),
        ("app.rs", "http"),
        ("cli/check.rs", "app"),
        ("main.rs", "cli"),
        ("config/server.rs", "oci"),
        ("storage/kubo.rs", "config"),
        ("app.rs", "config"),
        ("telemetry.rs", "config"),
    ] {
        assert!(may_import(file, target), "{file} may import {target}");
    }
    for (file, target) in [
        ("oci/digest.rs", "ipld"),
        ("ipld/block.rs", "kubo"),
        ("storage/mod.rs", "index"),
        ("index/sqlite.rs", "registry"),
        ("registry/blobs.rs", "http"),
        ("registry/blobs.rs", "config"),
        ("http/routes.rs", "config"),
        ("http/routes.rs", "app"),
        ("http/routes.rs", "cli"),
        ("app.rs", "cli"),
        ("storage/mod.rs", "config"),
        ("config/server.rs", "storage"),
        ("config/mod.rs", "telemetry"),
        ("oci/name.rs", "telemetry"),
    ] {
        assert!(!may_import(file, target), "{file} may not import {target}");
    }
}

#[test]
fn a_crate_stays_in_its_room() {
    let known = |file, source| violations(file, source).is_empty();
    assert!(known("http/routes.rs", "use actix_web::web;"));
    assert!(known("cli/serve.rs", "actix_web::rt::System::new()"));
    assert!(!known("cli/check.rs", "use actix_web::web;"));
    assert!(!known("registry/blobs.rs", "use actix_web as web;"));
    assert!(known("index/sqlite.rs", "use sqlx::SqlitePool;"));
    assert!(!known("storage/embedded/mod.rs", "fn f(pool: sqlx::SqlitePool) {}"));
    assert!(!known("app.rs", "use clap::Parser;"));
    assert!(!known("registry/blobs.rs", "use anyhow::Context;"));
    assert!(known("http/metrics/route.rs", "use prometheus_client::registry::Registry;"));
    assert!(!known("registry/mod.rs", "use prometheus_client::registry::Registry;"));
    assert!(!known("registry/progress.rs", "use indicatif::ProgressBar;"));
    assert!(known("registry/blobs.rs", "// sqlx and clap are elsewhere"));
}

//! What `--help` says of each command: it ends with an example, and each example is one that can be typed.

use clap::{Command, CommandFactory, Parser};
use roadstead::cli::Arguments;

use crate::common::content::sha256;

/// Every command with its path, that of roadstead itself being empty.
fn commands() -> Vec<(Vec<String>, Command)> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut found = Vec::new();
    let mut waiting = vec![(Vec::new(), root)];
    while let Some((path, command)) = waiting.pop() {
        for inner in command.get_subcommands() {
            let mut path = path.clone();
            path.push(inner.get_name().to_owned());
            waiting.push((path, inner.clone()));
        }
        found.push((path, command));
    }
    found
}

/// The lines behind `Example:` or `Examples:`, which end the help.
fn examples(help: &str) -> Vec<&str> {
    let heads = ["Example:", "Examples:"];
    let lines = help.lines().skip_while(|line| !heads.contains(line)).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
}

/// The words behind each `roadstead` of a line of a shell, up to where something else begins.
fn typed(line: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find("roadstead ") {
        let is_word = rest[..start].ends_with(|last: char| " ($".contains(last)) || start == 0;
        rest = &rest[start..];
        let end = rest.find(['|', '>', ')', ';', '&']).unwrap_or(rest.len());
        if is_word {
            found.push(rest[..end].split_whitespace().collect());
        }
        rest = &rest[end..];
    }
    found
}

#[test]
fn the_help_of_each_command_ends_with_examples_that_can_be_typed() {
    let commands = commands();
    assert!(commands.len() > 8, "{commands:?}");
    for (path, command) in commands {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{path:?} has no example");
        assert_eq!(help.lines().last().map(str::trim), examples.last().copied(), "{path:?}");
        let mut is_shown = path.is_empty();
        for line in examples {
            // As a shell does with a variable that has one.
            let line = &line.replace("$DIGEST", &sha256(b"manifest"));
            let typed = typed(line);
            assert!(!typed.is_empty(), "{path:?}: no command in `{line}`");
            for words in typed {
                if let Err(error) = Arguments::try_parse_from(&words) {
                    panic!("{path:?}: `{line}`: {error}");
                }
                let names = words[1..].iter().filter(|word| !word.starts_with('-'));
                is_shown |=
                    names.zip(&path).filter(|(word, name)| word == name).count() == path.len();
            }
        }
        assert!(is_shown, "no example of {path:?} shows it");
    }
}

#[test]
fn words_are_found_in_lines_of_a_shell() {
    for (line, expected) in [
        ("roadstead serve", &["roadstead serve"][..]),
        ("LEVEL=debug roadstead config --json | jq .", &["roadstead config --json"]),
        (
            "ipfs pin add $(roadstead root --data /a/roadstead)",
            &["roadstead root --data /a/roadstead"],
        ),
        ("source <(roadstead completions bash)", &["roadstead completions bash"]),
        ("cat /var/lib/roadstead x", &[]),
    ] {
        let words: Vec<String> = typed(line).iter().map(|words| words.join(" ")).collect();
        assert_eq!(words, expected, "{line}");
    }
}

//! What commands print of names that others made: nothing that a terminal obeys.

use std::fs;

use tempfile::TempDir;

use crate::common::{roadstead, run};

/// A title, a colour in both ways of writing it, and a mark that turns the text round.
const NAME: &str = "d\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}31m\u{202e}name";

#[test]
fn no_command_prints_what_a_terminal_would_obey() {
    let home = TempDir::new().unwrap();
    let data = home.path().join(NAME);
    let file = home.path().join(format!("{NAME}.car"));
    fs::write(&file, "no archive").unwrap();
    let file = file.to_str().unwrap();
    let missing = format!("{file}.missing");
    let root = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    let commands: &[&[&str]] = &[
        &["root"],
        &["check"],
        &["check", "--json"],
        &["status"],
        &["status", "--json"],
        &["export", "-"],
        &["export", &missing],
        &["import", file],
        &["import", &missing],
        &["adopt", &missing],
        &["adopt", home.path().to_str().unwrap()],
        &["cid", &missing],
        &["restore", root],
        &["publish", "--dry-run"],
        &["index", "rebuild"],
        &["config"],
        &["config", "--json"],
        &["root", "--config", &missing],
    ];
    for is_there in [false, true] {
        if is_there {
            fs::create_dir_all(&data).unwrap();
        }
        for arguments in commands {
            let mut command = roadstead(*arguments);
            command.env("ROADSTEAD_SERVER__DATA", &data);
            let finished = run(&mut command);
            for text in [&finished.stdout, &finished.stderr] {
                // Log lines are JSON here, whose reader is a program.
                for line in text.lines().filter(|line| !line.starts_with("{\"timestamp\"")) {
                    let obeyed = line
                        .chars()
                        .find(|it| (it.is_control() && *it != '\t') || *it == '\u{202e}');
                    assert_eq!(obeyed, None, "{arguments:?}: {line:?}");
                }
            }
        }
    }
}

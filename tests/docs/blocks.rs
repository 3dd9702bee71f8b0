//! The blocks of commands in a page.

/// A command, and the lines that are shown as what it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// Reads the blocks that are marked `console`: what follows `$ ` is a command.
pub(crate) fn commands(page: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match (is_inside, line) {
            (false, "```console") => is_inside = true,
            (true, "```") => is_inside = false,
            (true, "") | (false, _) => {}
            (true, line) => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => {
                    found.push(Shown { command: without_comment(command), output: Vec::new() });
                }
                (None, Some(last)) => last.output.push(line.to_owned()),
                (None, None) => panic!("`{line}` stands before any command"),
            },
        }
    }
    assert!(!is_inside, "a block has no end");
    found
}

fn without_comment(command: &str) -> String {
    command.split("  #").next().unwrap_or(command).trim().to_owned()
}

#[test]
fn commands_are_distinguished_from_their_output() {
    let page = "$ no\n```console\n$ one --flag    # why\nsays\n\n$ two\n```\n```sh\n$ no\n```\n";
    let shown = |command: &str, output: &[&str]| Shown {
        command: command.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(commands(page), [shown("one --flag", &["says"]), shown("two", &[])]);
}

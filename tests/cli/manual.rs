//! The manual and what shells complete.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{require, roadstead, run, succeed};

#[test]
fn every_command_has_a_page_that_groff_takes_without_a_warning() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("share/man1");
    succeed(roadstead(["man", "--out"]).arg(&pages));
    let names: BTreeSet<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["roadstead.1", "roadstead-serve.1", "roadstead-index-rebuild.1"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
    let page = fs::read_to_string(pages.join("roadstead-index-rebuild.1")).unwrap();
    assert_eq!(succeed(&mut roadstead(["man", "index", "rebuild"])), page.trim_end());
    assert!(page.contains("\\-\\-data"), "flags that every command has are on each page: {page}");

    let version = format!("roadstead {}", env!("CARGO_PKG_VERSION"));
    for name in &names {
        let page = fs::read_to_string(pages.join(name)).unwrap();
        let title = page.lines().find(|line| line.starts_with(".TH")).unwrap();
        assert!(title.contains(&format!("\"{version}\"")), "{name}: {title}");
    }

    let Some(groff) = require("groff") else { return };
    for name in names {
        // As `man` calls it.
        let printed = run(Command::new(&groff)
            .args(["-man", "-ww", "-Kutf8", "-Tutf8", "-P-cbou"])
            .arg(pages.join(&name)));
        assert!(printed.succeeded() && printed.stderr.is_empty(), "{printed}");
        assert!(printed.stdout.contains("Example"), "{printed}");
    }
}

#[test]
fn a_page_of_no_command_is_refused() {
    let refused = run(&mut roadstead(["man", "index", "nonsense"]));
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.starts_with("error: unknown command `index nonsense`"), "{refused}");
}

/// What bash offers behind words, of which the last is not at its end.
fn completed(script: &str, words: &str) -> BTreeSet<String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("roadstead.bash");
    fs::write(&file, script).unwrap();
    // As bash does when somebody presses the key.
    let press = r#"
        source "$1" || exit
        read -ra COMP_WORDS <<<"$2"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p roadstead | sed 's/.* -F \([^ ]*\) .*/\1/')
        "$function" roadstead "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", press, "bash"]).arg(&file).arg(words);
    let printed = run(&mut bash);
    assert!(printed.succeeded() && printed.stderr.is_empty(), "{printed}");
    printed.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = succeed(&mut roadstead(["completions", "bash"]));
    for (words, expected) in [
        ("roadstead ind", &["index"][..]),
        ("roadstead index reb", &["rebuild"]),
        ("roadstead c", &["check", "cid", "completions", "config"]),
        ("roadstead serve --lis", &["--listen"]),
        ("roadstead completions z", &["zsh"]),
    ] {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(completed(&script, words), expected, "{words}");
    }
}

#[test]
fn each_shell_has_a_script_of_its_own() {
    let shells = ["bash", "zsh", "fish", "elvish", "powershell"];
    let scripts = shells.map(|shell| succeed(&mut roadstead(["completions", shell])));
    for script in &scripts {
        assert!(script.contains("rebuild"), "{script}");
    }
    assert_eq!(BTreeSet::from(scripts).len(), shells.len());
    assert_eq!(run(&mut roadstead(["completions", "nonsense"])).code, Some(2));
}

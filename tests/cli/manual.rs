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

//! What a shell completes: registries, repositories and tags, and nothing that hangs.

use std::process::Command;

use serde_json::json;

use super::Roadstead;
use crate::client::fake::{Fake, answer};
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::succeed;

/// What bash would show for a line that ends with the cursor.
fn completed(client: &Roadstead, line: &str) -> Vec<String> {
    // As bash splits a line, where a colon ends a word.
    let script = r#"
        source <("$PROGRAM" completions bash)
        COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_WORDBREAKS=$' \t\n:='
        COMP_WORDS=("$PROGRAM") COMPREPLY=()
        for word in ${LINE#* }; do COMP_WORDS+=("$word"); done
        last=${COMP_WORDS[-1]##*:}
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _roadstead_names "$PROGRAM" "$last" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash: Command = client.home.command("bash".as_ref());
    bash.args(["-c", script]).env("PROGRAM", &client.program).env("LINE", line);
    bash.env_remove("REGISTRY_AUTH_FILE");
    succeed(&mut bash).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_registries_repositories_and_tags() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let layout = Image::write_one_layer(100);
    for name in ["team/app:v1", "team/app:v2", "team/apple:v1", "other:v1"] {
        client.say(&["push", &layout.transport(), &registry.reference(name)]);
    }
    let host = registry.target().address();
    let (name, port) = host.split_once(':').expect("it has a port");
    let auths = json!({ "auths": { host: {}, "https://registry.example/v1/": {} } });
    client.home.write("docker/config.json", auths.to_string());
    assert_eq!(completed(&client, "roadstead pull reg"), ["registry.example/"]);
    // What stands before the colon is in the line.
    assert_eq!(completed(&client, &format!("roadstead pull {name}:")), [format!("{port}/")]);
    let found = completed(&client, &format!("roadstead pull {host}/team/a"));
    assert_eq!(found, [format!("{port}/team/app"), format!("{port}/team/apple")]);
    assert_eq!(completed(&client, &format!("roadstead info {host}/team/app:")), ["v1", "v2"]);
    // Options and commands are completed as before.
    let options = completed(&client, "roadstead pull --plat");
    assert!(options.contains(&"--platform".to_owned()), "{options:?}");
}

/// It ends by itself: `run` would give up after minutes.
#[test]
fn a_registry_that_hangs_or_fails_completes_nothing() {
    let client = Roadstead::of(&Target::open("127.0.0.1:1"));
    let silent = Fake::start(|_| Vec::new());
    let failing = Fake::start(|_| answer(500, "", b""));
    for fake in [&silent, &failing] {
        let typed = format!("{}/te", fake.url().replace("http://", ""));
        let finished = client.run(&["complete-names", "--", &typed]);
        assert!(finished.succeeded(), "{finished}");
        assert_eq!((&*finished.stdout, &*finished.stderr), ("", ""));
    }
    // A helper is not run: it might ask for something.
    let settings = json!({ "credsStore": "hangs" }).to_string();
    client.home.write("docker/config.json", settings);
    let bin = client.home.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder can be made");
    let helper =
        client.home.write("bin/docker-credential-hangs", "#!/bin/sh\ntouch \"$HOME/asked\"\n");
    succeed(Command::new("chmod").arg("755").arg(&helper));
    let typed = format!("{}/te", failing.url().replace("http://", ""));
    let mut command = client.command(&["complete-names", "--", &typed]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("there is one"));
    succeed(command.env_remove("REGISTRY_AUTH_FILE").env("PATH", path));
    assert!(!client.home.path().join("asked").exists());
}

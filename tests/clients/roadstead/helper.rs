//! `docker-credential-roadstead`: docker pulls by a token that ends soon, and nobody else gets anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Roadstead, expect};
use crate::cli::registries::with_password;
use crate::client::fake::{Fake, answer};
use crate::clients::docker::Docker;
use crate::clients::face;
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::{Finished, embedded_only, require, run, succeed};

/// A user whose docker has the helper for these registries.
struct Helped {
    client: Roadstead,
    bin: PathBuf,
}

impl Helped {
    fn new(registries: &[&str]) -> Self {
        let client = Roadstead::of(&Target::open("127.0.0.1:1"));
        let bin = client.home.path().join("bin");
        fs::create_dir(&bin).expect("a folder can be made");
        symlink(&client.program, bin.join("docker-credential-roadstead")).expect("a link is made");
        let helpers: Value =
            registries.iter().map(|it| ((*it).to_owned(), json!("roadstead"))).collect();
        client.home.write("docker/config.json", json!({ "credHelpers": helpers }).to_string());
        Self { client, bin }
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").expect("there is one");
        format!("{}:{path}", self.bin.display())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.client.command(words);
        command.env_remove("REGISTRY_AUTH_FILE").env("PATH", self.path());
        command
    }

    fn sign_in(&self, registry: &str, password: &str) {
        let user = ["login", registry, "-u", "anna", "--password-stdin"];
        succeed(&mut with_password(password, &self.command(&user)));
    }

    /// What the helper answers.
    fn ask(&self, act: &str, input: &str) -> Finished {
        let mut command = self.client.home.command(&self.bin.join("docker-credential-roadstead"));
        command.arg(act).env_remove("REGISTRY_AUTH_FILE").env("PATH", self.path());
        let mut command = with_password(input, &command);
        run(command.current_dir(self.client.home.path()))
    }

    fn get(&self, registry: &str) -> (String, String) {
        let answer = self.ask("get", registry);
        assert!(answer.succeeded(), "{answer}");
        let answer: Value = serde_json::from_str(&answer.stdout).expect("it is JSON");
        let text = |name: &str| answer[name].as_str().expect("it is a text").to_owned();
        (text("Username"), text("Secret"))
    }

    fn file(&self) -> PathBuf {
        self.client.home.path().join("docker/roadstead-credentials.json")
    }
}

#[test]
fn docker_pulls_a_private_image_by_a_token_that_ends_soon() {
    if embedded_only("hidden repositories are not kept there").is_none() {
        return;
    }
    let registry = Registry::start_as(face::ACCOUNTS);
    let address = registry.target().address();
    let user = registry.target().user().expect("there is one");
    let Some(docker) = Docker::of_stranger(&registry.target_of_strangers()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let helped = Helped::new(&[address]);
    let login = helped.command(&["login", address, "-u", user.name, "--password-stdin"]);
    succeed(&mut with_password(user.password, &login));
    let config = fs::read_to_string(helped.client.home.path().join("docker/config.json")).unwrap();
    assert!(!config.contains("auth\""), "{config}");
    let mode = fs::metadata(helped.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let layout = Image::write_one_layer(1000);
    let app = registry.reference("team/helped:v1");
    succeed(&mut helped.command(&["push", &layout.transport(), &app]));
    let refused = run(docker.command("pull").arg(&app));
    assert!(!refused.succeeded(), "it is private: {refused}");
    let with_helper = |words: &[&str]| {
        let mut command = docker.command(words[0]);
        command.args(&words[1..]).env("PATH", helped.path());
        command.env("DOCKER_CONFIG", helped.client.home.path().join("docker"));
        run(&mut command)
    };
    let built = docker.reference("team/helped:built");
    docker.build(&Image::new(&busybox), &built);
    let pushed = with_helper(&["push", &built]);
    assert!(pushed.succeeded(), "{pushed}");
    docker.remove(&built);
    let pulled = with_helper(&["pull", &built]);
    assert!(pulled.succeeded(), "{pulled}");
    docker.remove(&built);

    let (name, secret) = helped.get(address);
    assert_eq!(name, "<token>");
    let claims = secret.split('.').nth(1).expect("it is signed");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("it is base64");
    let claims: Value = serde_json::from_slice(&claims).expect("it is JSON");
    let number = |name: &str| claims[name].as_i64().expect("it is a number");
    assert!(number("exp") - number("iat") <= 3600, "{claims}");
    // Nothing that a user sees has one of the secrets in it.
    for text in [pushed.to_string(), pulled.to_string(), registry.log()] {
        assert!(!text.contains(user.password) && !text.contains(&secret), "{text}");
    }
    // The commands that administer need more than that token is good for.
    let tokens = run(&mut helped.command(&["token", "list", "--registry", address]));
    assert!(tokens.succeeded(), "{tokens}");

    let listed = helped.ask("list", "");
    assert_eq!(listed.stdout.trim(), json!({ address: user.name }).to_string());
    let out = with_helper(&["logout", address]);
    assert!(out.succeeded(), "{out}");
    let gone = helped.ask("get", address);
    assert!(gone.stdout.contains("credentials not found"), "{gone}");
    assert!(!with_helper(&["pull", &app]).succeeded());
    assert!(!fs::read_to_string(helped.file()).unwrap().contains("\"auth\""));
}

#[test]
fn no_other_registry_and_no_other_host_gets_anything() {
    // A registry that sends its users elsewhere, and the host to which it does.
    let elsewhere = Fake::start(|_| answer(200, "", br#"{"token":"t","refresh_token":"r"}"#));
    let realm = elsewhere.url().replace("127.0.0.1", "localhost");
    let registry = Fake::start(move |head| {
        if head.contains("authorization: basic") {
            return answer(200, "", b"{}");
        }
        answer(
            401,
            &format!("WWW-Authenticate: Bearer realm=\"{realm}/token\",service=\"x\"\r\n"),
            b"",
        )
    });
    let other = Fake::start(|_| answer(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b""));
    let address = |fake: &Fake| fake.url().replace("http://", "");
    let helped = Helped::new(&[&address(&registry), &address(&other)]);
    let entry =
        json!({ "ServerURL": address(&registry), "Username": "anna", "Secret": "open sesame" });
    let stored = helped.ask("store", &entry.to_string());
    assert!(stored.succeeded() && stored.stdout.is_empty(), "{stored}");

    let refused = helped.ask("get", &address(&registry));
    expect(&refused, 1, &[]);
    assert!(refused.stdout.contains("gets no password"), "{refused}");
    assert!(!refused.to_string().contains("sesame"), "{refused}");
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
    for name in [
        &*address(&other),
        &format!("http://{}", address(&other)),
        "registry.example",
        &format!("{}.evil.example", address(&registry)),
    ] {
        let absent = helped.ask("get", name);
        expect(&absent, 1, &[]);
        assert!(!absent.to_string().contains("sesame"), "{absent}");
    }
    assert!(other.requests().is_empty(), "{:?}", other.requests());
    for name in ["", "a b", "user@registry.example", "--help"] {
        expect(&helped.ask("get", name), 1, &[]);
    }
    for entry in [
        "",
        "{}",
        "[1]",
        r#"{"ServerURL":"a","Username":"b:c","Secret":"sesame"}"#,
        r#"{"Secret":"sesame","#,
    ] {
        let refused = helped.ask("store", entry);
        expect(&refused, 1, &[]);
        assert!(!refused.to_string().contains("sesame"), "{refused}");
    }

    // Where there are no tokens, it is the password that the user stored for that very registry.
    let basic = Fake::start(|head| {
        let is_signed_in = head.contains("authorization: basic");
        let challenge = "WWW-Authenticate: Basic realm=\"x\"\r\n";
        if is_signed_in { answer(200, "", b"{}") } else { answer(401, challenge, b"") }
    });
    let helped = Helped::new(&[&address(&basic)]);
    helped.sign_in(&address(&basic), "open sesame");
    assert_eq!(helped.get(&address(&basic)), ("anna".to_owned(), "open sesame".to_owned()));
    // Signing out forgets namespaces as well.
    let entry = json!({ "ServerURL": format!("{}/team", address(&basic)), "Username": "ci", "Secret": "s" });
    assert!(helped.ask("store", &entry.to_string()).succeeded());
    succeed(&mut helped.command(&["logout", &address(&basic)]));
    assert_eq!(helped.ask("list", "").stdout.trim(), "{}");
}

//! `docker-credential-roadstead`: this program as a credential helper of docker, podman and others. It keeps what its users sign in
//! with in a file of its own, and gives a token that ends soon in the place of a password.
//!
//! The protocol is docker's: the act is the argument, what it is about comes by standard input, the answer and also why there is
//! none go to standard output.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::docker_config::{DockerConfig, Login, TOKEN_USER};
use super::host::{RegistryHost, normal};
use super::{runtime, table};
use crate::cli::connection::ConnectionArguments;
use crate::client::Credentials;

/// The name by which this program is the helper.
const NAME: &str = "docker-credential-roadstead";

/// What docker takes for: it knows nothing of the registry.
const ABSENT: &str = "credentials not found in native keychain";

/// How long a token is good for that is given in the place of a password.
const LIFETIME: Duration = Duration::from_hours(1);

/// The longest input that is read.
const LONGEST: u64 = 1 << 20;

/// Tells whether the program was started as the helper.
pub(in crate::cli) fn is_meant(program: Option<&OsString>) -> bool {
    let name = program.map(std::path::Path::new).and_then(std::path::Path::file_name);
    name.is_some_and(|name| name == NAME)
}

/// Carries out what docker requests.
pub(in crate::cli) fn run(act: Option<&str>) -> ExitCode {
    let answered = match act {
        Some("get") => read().and_then(|input| get(input.expose_secret())),
        Some("store") => read().and_then(|input| store(input.expose_secret())),
        Some("erase") => read().and_then(|input| erase(input.expose_secret())),
        Some("list") => list(),
        Some("version" | "--version") => Ok(format!("{NAME} {}", env!("CARGO_PKG_VERSION")).into()),
        _ => Err(anyhow!(
            "usage: {NAME} get|store|erase|list: docker runs it; docs/CLIENT.md says how to set it up"
        )),
    };
    let (text, code) = match answered {
        Ok(text) => (text, ExitCode::SUCCESS),
        // Docker shows what is at standard output. No message has a secret in it.
        Err(error) => (format!("{error:#}").into(), ExitCode::FAILURE),
    };
    let text = text.expose_secret();
    let is_printed = text.is_empty() || table::print(&format!("{text}\n")).is_ok();
    if is_printed { code } else { ExitCode::FAILURE }
}

/// Reads what the act is about.
fn read() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.context("cannot read standard input")?;
    Ok(text.trim().to_owned().into())
}

/// Splits what docker names a registry or a namespace by.
fn names(url: &str) -> anyhow::Result<(RegistryHost, Option<String>)> {
    let form = normal(url);
    let (host, path) = match form.split_once('/') {
        Some((host, path)) => (host, Some(path.to_owned())),
        None => (&*form, None),
    };
    // How it is spoken to is decided as for all commands: the scheme may be one that docker made up.
    let host = host.parse::<RegistryHost>();
    let host = host.map_err(|why| anyhow!("cannot use the name of the registry: {why}"))?;
    Ok((host, path))
}

/// Returns a user and a secret: a token that ends soon, where the registry makes some.
fn get(url: &str) -> anyhow::Result<SecretString> {
    let (host, path) = names(url)?;
    let own = DockerConfig::of_helper()?;
    let login = match own.login_without_helpers(host.as_str(), path.as_deref())? {
        Some(login) => Some(login),
        // What was there before the helper was set up.
        None => DockerConfig::of_user()?.login_without_helpers(host.as_str(), path.as_deref())?,
    };
    let (user, secret) = match login {
        None => bail!(ABSENT),
        Some(Login::IdentityToken(token)) => (TOKEN_USER.to_owned(), token),
        Some(Login::Password(credentials)) => {
            let login = Login::Password(credentials.clone());
            let arguments = ConnectionArguments::default();
            let token = runtime()?.block_on(async {
                let connection = arguments.connect_as(&host, Some(login)).await?;
                anyhow::Ok(connection.client.refresh_token(LIFETIME).await?)
            })?;
            match token {
                Some(token) => (TOKEN_USER.to_owned(), token),
                // Where users sign in by their password alone.
                None => (credentials.user, credentials.password),
            }
        }
    };
    let answer = json!({ "ServerURL": url, "Username": user, "Secret": secret.expose_secret() });
    Ok(answer.to_string().into())
}

/// Keeps what a user has signed in with.
fn store(input: &str) -> anyhow::Result<SecretString> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        #[serde(rename = "ServerURL")]
        server: String,
        username: String,
        secret: String,
    }

    // Its message could have a part of the secret in it.
    let entry = serde_json::from_str::<Entry>(input);
    let Ok(Entry { server, username, secret }) = entry else {
        bail!("cannot read the credentials: expected JSON with ServerURL, Username and Secret");
    };
    if username.is_empty() || username.contains(':') {
        bail!("cannot keep the credentials: a user has a name, and it has no colon");
    }
    names(&server)?;
    let credentials = Credentials { user: username, password: secret.into() };
    DockerConfig::of_helper()?.store(&normal(&server), &credentials)?;
    Ok(SecretString::default())
}

/// Forgets them.
fn erase(url: &str) -> anyhow::Result<SecretString> {
    names(url)?;
    DockerConfig::of_helper()?.erase(&normal(url))?;
    Ok(SecretString::default())
}

/// Lists registries and users.
fn list() -> anyhow::Result<SecretString> {
    let users: BTreeMap<String, String> = DockerConfig::of_helper()?.users()?.into_iter().collect();
    Ok(json!(users).to_string().into())
}

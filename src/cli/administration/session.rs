//! A session with the management API of a registry.

use std::env;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};

use super::authorities;
use super::docker_config::{self, DockerConfig};
use super::host::RegistryHost;
use super::noted;
use crate::cli::graphql::{PATH, Refusal, data};
use crate::client::{Client, ClientErrorKind, Options};

/// The variable that names the registry, whichever was signed in to last.
const VARIABLE: &str = "ROADSTEAD_REGISTRY";

/// How many entries are requested at a time.
const AT_ONCE: i32 = 200;

/// Which registry is administered, and how the result is printed.
#[derive(Debug, Args)]
pub(super) struct RegistryArguments {
    /// The registry (default: `$ROADSTEAD_REGISTRY`, else that of the last `roadstead login`)
    #[arg(long, global = true, value_name = "HOST")]
    pub(super) registry: Option<RegistryHost>,
    /// Prints JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Returns the registry that was named, else that of the environment, else that of the last login.
pub(in crate::cli) fn registry_or_default(
    registry: Option<&RegistryHost>,
) -> anyhow::Result<RegistryHost> {
    if let Some(host) = registry {
        return Ok(host.clone());
    }
    match env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|why| anyhow!("cannot use {VARIABLE}: {why}")),
        None => noted::registry(&docker_config::folder()?)?.context(
            "no registry: sign in with `roadstead login HOST -u NAME --password-stdin`, or name it by --registry",
        ),
    }
}

/// A session with the management API of a registry.
pub(super) struct Session {
    client: Client,
    host: RegistryHost,
}

impl Session {
    /// Begins one, with the credentials of the last login at that registry. Nothing is sent yet.
    pub(super) fn open(registry: Option<&RegistryHost>) -> anyhow::Result<Self> {
        let host = registry_or_default(registry)?;
        let credentials = DockerConfig::of_user()?.credentials(host.as_str())?;
        let authorities = authorities::of(&host)?;
        let options = Options { credentials, authorities, ..Options::default() };
        Ok(Self { client: Client::with(&host.url(), options)?, host })
    }

    /// Carries out one request, and returns its data.
    pub(super) async fn run(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        match self.answer(query, variables).await? {
            Ok(data) => Ok(data),
            Err(refusal) => bail!("{}", refusal.message),
        }
    }

    /// Carries out one request, and returns its data, or why it was refused.
    pub(super) async fn answer(
        &self,
        query: &str,
        variables: Value,
    ) -> anyhow::Result<Result<Value, Refusal>> {
        let answer = self.client.graphql(PATH, query, variables).await;
        let answer = answer.map_err(|error| match error.kind {
            ClientErrorKind::Unauthorized => {
                let (host, typed) = (&self.host, self.host.typed());
                anyhow!(
                    "{host} refuses the credentials, or there are none: sign in with \
                    `roadstead login {typed} -u NAME --password-stdin`"
                )
            }
            ClientErrorKind::NotFound => {
                anyhow!(
                    "{} has no accounts to administer: it is no Roadstead, or an older one",
                    self.host
                )
            }
            _ => error.into(),
        })?;
        Ok(data(answer))
    }

    /// Reads a list to its end. The query has the parameters `$after` and `$first`, and the fields `items` and `next` in
    /// that field; each page is handed on as it comes.
    pub(super) async fn each_page(
        &self,
        query: &str,
        field: &str,
        variables: &Value,
        mut with: impl FnMut(Vec<Value>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut after = Value::Null;
        loop {
            let mut variables = variables.clone();
            variables["after"] = after;
            variables["first"] = json!(AT_ONCE);
            let mut data = self.run(query, variables).await?;
            let page = &mut data[field];
            let Value::Array(items) = page["items"].take() else {
                bail!("cannot read what {} answers: it is no list", self.host);
            };
            with(items)?;
            let next = page["next"].take();
            if next.is_null() {
                return Ok(());
            }
            after = next;
        }
    }

    /// Reads a list to its end.
    pub(super) async fn list(
        &self,
        query: &str,
        field: &str,
        variables: Value,
    ) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        self.each_page(query, field, &variables, |items| {
            all.extend(items);
            Ok(())
        })
        .await?;
        Ok(all)
    }
}

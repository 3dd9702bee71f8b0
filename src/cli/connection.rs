//! Connections to registries: by which scheme, as whom, and with which authorities.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::cli::administration::{
    DockerConfig, Login, RegistryHost, authorities_of, docker_folder, token_services,
};
use crate::client::{Client, Options, Repository};
use crate::oci::RepositoryName;

/// How registries are spoken to.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ConnectionArguments {
    /// Speaks to registries without TLS, or whatever their certificates are: to all of this command, or to that one
    #[arg(
        long, value_name = "HOST", num_args = 0..=1, require_equals = true, default_missing_value = ALL,
        value_parser = insecure
    )]
    insecure: Vec<Insecure>,
    /// Trusts the authorities of a file (PEM) beside those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// Another host to which a registry sends its users for tokens, and which may have the password
    #[arg(long = "token-service", value_name = "HOST")]
    token_services: Vec<String>,
}

/// What `--insecure` without a host stands for.
const ALL: &str = "*";

/// A registry that is trusted as it is.
#[derive(Debug, Clone)]
enum Insecure {
    All,
    One(RegistryHost),
}

fn insecure(text: &str) -> Result<Insecure, String> {
    if text == ALL { Ok(Insecure::All) } else { text.parse().map(Insecure::One) }
}

/// A registry that a command speaks to.
pub(in crate::cli) struct Connection {
    pub(in crate::cli) host: RegistryHost,
    pub(in crate::cli) client: Client,
    pub(in crate::cli) is_signed_in: bool,
}

impl Connection {
    /// Returns one of its repositories.
    pub(in crate::cli) fn repository(&self, name: &RepositoryName) -> Repository {
        self.client.repository(name)
    }
}

impl ConnectionArguments {
    /// Connects to a registry as who has signed in there, for a repository if one is meant.
    pub(in crate::cli) async fn connect(
        &self,
        host: &RegistryHost,
        repository: Option<&RepositoryName>,
    ) -> anyhow::Result<Connection> {
        let login = DockerConfig::of_user()?
            .login(host.as_str(), repository.map(RepositoryName::as_str))?;
        self.connect_as(host, login).await
    }

    /// Connects to a registry as that user.
    pub(in crate::cli) async fn connect_as(
        &self,
        host: &RegistryHost,
        login: Option<Login>,
    ) -> anyhow::Result<Connection> {
        let is_named = |named: &Insecure| match named {
            Insecure::All => true,
            Insecure::One(named) => named.as_str() == host.as_str(),
        };
        let is_insecure = self.insecure.iter().any(is_named);
        let is_signed_in = login.is_some();
        let options = self.options(host, login, is_insecure)?;
        // This machine is spoken to without TLS if it takes that; others only where that is allowed.
        let candidates = match (is_insecure, host.is_local(), host.is_encrypted()) {
            (_, true, false) => vec![host.clone(), host.encrypted(true)],
            (true, false, _) => vec![host.clone(), host.encrypted(false)],
            _ => vec![host.clone()],
        };
        let mut failure = None;
        let is_one = candidates.len() == 1;
        for host in candidates {
            let client = Client::with(&host.url(), options.clone())?;
            if is_one {
                return Ok(Connection { host, client, is_signed_in });
            }
            match client.answers().await {
                // A server that speaks TLS alone refuses a request without it.
                Ok(400) if !host.is_encrypted() => {}
                Ok(_) => return Ok(Connection { host, client, is_signed_in }),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.map_or_else(
            || anyhow::anyhow!("cannot reach the registry {host}: it is no registry"),
            Into::into,
        ))
    }

    /// Returns the hosts that are named as token services.
    pub(in crate::cli) fn token_services(&self) -> &[String] {
        &self.token_services
    }

    fn options(
        &self,
        host: &RegistryHost,
        login: Option<Login>,
        is_insecure: bool,
    ) -> anyhow::Result<Options> {
        let (credentials, identity_token) = match login {
            Some(Login::Password(credentials)) => (Some(credentials), None),
            Some(Login::IdentityToken(token)) => (None, Some(token)),
            None => (None, None),
        };
        let mut authorities = authorities_of(host)?;
        for file in &self.ca_file {
            let read = fs::read(file);
            authorities.push(read.with_context(|| format!("cannot read {}", file.display()))?);
        }
        let mut services = self.token_services.clone();
        services.extend(token_services(&docker_folder()?, host)?);
        Ok(Options {
            credentials,
            identity_token,
            token_services: services,
            authorities,
            accepts_any_certificate: is_insecure,
            ..Options::default()
        })
    }
}

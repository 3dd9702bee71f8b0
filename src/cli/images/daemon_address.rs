//! Where the docker daemon is: as the docker command itself finds it.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::administration::docker_folder;
use crate::oci::{Algorithm, Digest};

/// Where it is if nothing else is said.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// What docker calls that context.
const DEFAULT_CONTEXT: &str = "default";

/// Returns the address of the daemon: that of `DOCKER_HOST`, else that of the context of `DOCKER_CONTEXT` or of docker's
/// settings, else docker's own socket.
pub(super) fn daemon_address() -> anyhow::Result<String> {
    let given = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
    let host = given("DOCKER_HOST");
    let address = match (host, given("DOCKER_CONTEXT")) {
        (Some(host), _) => host,
        (None, context) => of_context(&docker_folder()?, context)?,
    };
    if given("DOCKER_TLS_VERIFY").is_some() && !address.starts_with("unix://") {
        bail!(
            "cannot reach docker at {address}: a daemon behind TLS is not supported; \
             use `docker save` and `roadstead push -`, or an archive and `docker load`"
        );
    }
    Ok(address)
}

/// Returns the address of a context: the one that is named, else that of the settings in the folder.
fn of_context(folder: &Path, named: Option<String>) -> anyhow::Result<String> {
    let context = named.or_else(|| {
        let settings = read(&folder.join("config.json")).ok()?;
        settings["currentContext"].as_str().map(str::to_owned)
    });
    let Some(context) = context.filter(|it| !it.is_empty() && it != DEFAULT_CONTEXT) else {
        return Ok(DEFAULT.to_owned());
    };
    let digest = Digest::of(Algorithm::Sha256, context.as_bytes());
    let path = folder.join("contexts/meta").join(digest.hex()).join("meta.json");
    let failed = || format!("cannot use docker's context {context:?}: see `docker context ls`");
    let meta = read(&path).with_context(failed)?;
    let endpoint = &meta["Endpoints"]["docker"];
    if folder.join("contexts/tls").join(digest.hex()).exists() {
        bail!("cannot use docker's context {context:?}: a daemon behind TLS is not supported");
    }
    let host = endpoint["Host"].as_str().filter(|host| !host.is_empty());
    host.map(str::to_owned).context("it names no docker daemon").with_context(failed)
}

fn read(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_found_by_the_digest_of_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let folder = folder.path();
        let found = |named: Option<&str>| of_context(folder, named.map(str::to_owned));
        assert_eq!(found(None).unwrap(), DEFAULT);
        assert_eq!(found(Some("default")).unwrap(), DEFAULT);
        assert!(format!("{:#}", found(Some("absent")).unwrap_err()).contains("docker context ls"));
        let hex = Digest::of(Algorithm::Sha256, b"remote").hex();
        let meta = folder.join("contexts/meta").join(&hex);
        fs::create_dir_all(&meta).unwrap();
        let text = r#"{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://127.0.0.1:2375"}}}"#;
        fs::write(meta.join("meta.json"), text).unwrap();
        fs::write(folder.join("config.json"), r#"{"currentContext":"remote"}"#).unwrap();
        assert_eq!(found(None).unwrap(), "tcp://127.0.0.1:2375");
        assert_eq!(found(Some("default")).unwrap(), DEFAULT);
        fs::create_dir_all(folder.join("contexts/tls").join(&hex).join("docker")).unwrap();
        assert!(found(None).unwrap_err().to_string().contains("TLS"));
    }
}

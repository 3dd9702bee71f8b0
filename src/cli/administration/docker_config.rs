//! Docker's `config.json`: where credentials are, here as for docker itself.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::helper::Helper;
use crate::client::Credentials;

/// The mode of a new file: secrets are the user's own.
const OWN: u32 = 0o600;

/// Returns the folder of docker's settings: `DOCKER_CONFIG`, else `.docker` in the home folder.
pub(super) fn folder() -> anyhow::Result<PathBuf> {
    let given = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let home = env::var_os("HOME").filter(|home| !home.is_empty());
    match (given, home) {
        (Some(folder), _) => Ok(folder.into()),
        (None, Some(home)) => Ok(PathBuf::from(home).join(".docker")),
        (None, None) => bail!("cannot find docker's settings: set HOME or DOCKER_CONFIG"),
    }
}

/// Docker's settings, of which all that is not about credentials stays as it is.
#[derive(Debug)]
pub(super) struct DockerConfig {
    path: PathBuf,
    document: Map<String, Value>,
}

impl DockerConfig {
    /// Reads the settings of a folder; there may be none.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("config.json");
        let document = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, document })
    }

    /// Returns the credentials of a registry, if there are some.
    pub(super) fn credentials(&self, registry: &str) -> anyhow::Result<Option<Credentials>> {
        if let Some(helper) = self.helper(registry)?
            && let Some(found) = helper.get(registry)?
        {
            return Ok(Some(found));
        }
        let Some(entry) = self.document.get("auths").and_then(|auths| auths.get(registry)) else {
            return Ok(None);
        };
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
        if text("identitytoken").is_some() {
            bail!(
                "cannot use docker's login at {registry}: it holds a token for images only; run `roadstead login {registry} -u NAME --password-stdin`"
            );
        }
        let Some(encoded) = text("auth") else { return Ok(None) };
        let decoded = BASE64_STANDARD.decode(encoded).ok();
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
            bail!(
                "cannot read the credentials of {registry} in {}: run `roadstead login {registry} -u NAME --password-stdin` again",
                self.path.display()
            );
        };
        Ok(Some(Credentials { user: user.to_owned(), password: password.into() }))
    }

    /// Stores the credentials of a registry: by the helper that the settings name, else in the file.
    pub(super) fn store(
        &mut self,
        registry: &str,
        credentials: &Credentials,
    ) -> anyhow::Result<()> {
        let entry = if let Some(helper) = self.helper(registry)? {
            helper.store(registry, credentials)?;
            // As docker does it, to know where it has signed in.
            json!({})
        } else {
            let Credentials { user, password } = credentials;
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            json!({ "auth": pair })
        };
        self.auths()?.insert(registry.to_owned(), entry);
        self.write()
    }

    /// Removes the credentials of a registry.
    pub(super) fn erase(&mut self, registry: &str) -> anyhow::Result<()> {
        if let Some(helper) = self.helper(registry)? {
            helper.erase(registry)?;
        }
        if self.auths()?.remove(registry).is_some() {
            self.write()?;
        }
        Ok(())
    }

    /// Returns the helper that has the credentials of a registry, if one has.
    fn helper(&self, registry: &str) -> anyhow::Result<Option<Helper>> {
        let own = self.document.get("credHelpers").and_then(|helpers| helpers.get(registry));
        let name = own.or_else(|| self.document.get("credsStore")).and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(Helper::new).transpose()
    }

    fn auths(&mut self) -> anyhow::Result<&mut Map<String, Value>> {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        let path = self.path.display();
        auths.as_object_mut().with_context(|| format!("cannot use {path}: `auths` is no object"))
    }

    fn write(&self) -> anyhow::Result<()> {
        write_json(&self.path, &self.document)
    }
}

/// Reads an object out of a file, which need not be there.
pub(super) fn read_json(path: &Path) -> anyhow::Result<Option<Map<String, Value>>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let object = serde_json::from_slice(&text);
    object.map(Some).with_context(|| format!("cannot read {}: correct it", path.display()))
}

/// Replaces a file as a whole: a program that reads it meanwhile reads the old text or the new one. A symbolic link to the
/// file stays.
pub(super) fn write_json(path: &Path, object: &Map<String, Value>) -> anyhow::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(failed)?;
    let mode = fs::metadata(&path).map_or(OWN, |metadata| metadata.permissions().mode() & 0o777);
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let options = &mut File::options();
        let mut file =
            options.write(true).create(true).truncate(true).mode(OWN).open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(serde_json::to_string_pretty(object)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    })();
    if written.is_err() {
        // What is left over says nothing new.
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(failed)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn anna() -> Credentials {
        Credentials { user: "anna".to_owned(), password: "se:cret".into() }
    }

    #[test]
    fn credentials_are_stored_as_docker_does_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, r#"{"HttpHeaders": {"a": "b"}, "auths": {"other": {"auth": "eDp5"}}}"#)
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut config = DockerConfig::open(folder.path()).unwrap();
        config.store("localhost:5000", &anna()).unwrap();
        let mut config = DockerConfig::open(folder.path()).unwrap();
        let found = config.credentials("localhost:5000").unwrap().unwrap();
        assert_eq!((&*found.user, found.password.expose_secret()), ("anna", "se:cret"));
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(document["HttpHeaders"]["a"], "b");
        assert_eq!(document["auths"]["localhost:5000"]["auth"], "YW5uYTpzZTpjcmV0");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        config.erase("localhost:5000").unwrap();
        let config = DockerConfig::open(folder.path()).unwrap();
        assert!(config.credentials("localhost:5000").unwrap().is_none());
        assert!(config.credentials("other").unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_new_file_is_the_users_own() {
        let folder = TempDir::new().unwrap();
        let inner = folder.path().join("docker");
        DockerConfig::open(&inner).unwrap().store("a.example", &anna()).unwrap();
        let mode = fs::metadata(inner.join("config.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("real.json");
        fs::write(&target, "{}").unwrap();
        let path = folder.path().join("config.json");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        DockerConfig::open(folder.path()).unwrap().store("a.example", &anna()).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().contains("a.example"));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        for text in [
            r#"{"auths": {"a.example": {"auth": "", "identitytoken": "x"}}}"#,
            r#"{"auths": {"a.example": {"auth": "not base64"}}}"#,
            r#"{"credsStore": "../evil"}"#,
            r#"{"credHelpers": {"a.example": "a b"}}"#,
        ] {
            fs::write(&path, text).unwrap();
            let config = DockerConfig::open(folder.path()).unwrap();
            assert!(config.credentials("a.example").is_err(), "{text}");
        }
        fs::write(&path, "[]").unwrap();
        assert!(DockerConfig::open(folder.path()).is_err());
    }
}

//! Docker's `config.json`: where credentials are, here as for docker itself. podman and skopeo have theirs in a file of the
//! same form, which is read after it; `REGISTRY_AUTH_FILE` names one that is used instead.

use std::env;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::helper::Helper;
use super::host::normal;
use crate::client::Credentials;

/// The mode of a new file: secrets are the user's own.
const OWN: u32 = 0o600;

/// The user that a helper names where the secret is an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// The helper that this program is itself, and its file beside docker's settings.
const OWN_HELPER: &str = "roadstead";
const OWN_FILE: &str = "roadstead-credentials.json";

/// How docker names its Hub where it keeps credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// How a user signs in to a registry.
#[derive(Debug)]
pub(in crate::cli) enum Login {
    /// By a name and a password.
    Password(Credentials),
    /// By a token that the token service gives others for.
    IdentityToken(SecretString),
}

/// Returns the folder of docker's settings: `DOCKER_CONFIG`, else `.docker` in the home folder.
pub(in crate::cli) fn folder() -> anyhow::Result<PathBuf> {
    let given = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let home = env::var_os("HOME").filter(|home| !home.is_empty());
    match (given, home) {
        (Some(folder), _) => Ok(folder.into()),
        (None, Some(home)) => Ok(PathBuf::from(home).join(".docker")),
        (None, None) => bail!("cannot find docker's settings: set HOME or DOCKER_CONFIG"),
    }
}

/// The files in which podman and skopeo keep credentials.
fn containers_files() -> Vec<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let run = folder("XDG_RUNTIME_DIR");
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|it| it.join(".config")));
    run.into_iter().chain(config).map(|it| it.join("containers/auth.json")).collect()
}

/// Docker's settings, of which all that is not about credentials stays as it is.
#[derive(Debug)]
pub(in crate::cli) struct DockerConfig {
    path: PathBuf,
    document: Map<String, Value>,
    /// Files that are read after it.
    others: Vec<Self>,
}

impl DockerConfig {
    /// Reads the settings of a folder; there may be none.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Self::read(folder.join("config.json"))
    }

    /// Reads the settings of the user: the file that `REGISTRY_AUTH_FILE` names, else those of docker, and behind them
    /// those of podman.
    pub(in crate::cli) fn of_user() -> anyhow::Result<Self> {
        if let Some(file) = env::var_os("REGISTRY_AUTH_FILE").filter(|file| !file.is_empty()) {
            return Self::read(file.into());
        }
        let mut config = Self::open(&folder()?)?;
        for file in containers_files().into_iter().filter(|file| file.exists()) {
            config.others.push(Self::read(file)?);
        }
        Ok(config)
    }

    /// Reads what the helper `docker-credential-roadstead` keeps.
    pub(super) fn of_helper() -> anyhow::Result<Self> {
        Self::read(folder()?.join(OWN_FILE))
    }

    /// Returns what the files themselves have of a registry, or of a repository of it. No helper is run.
    pub(super) fn login_without_helpers(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> anyhow::Result<Option<Login>> {
        for config in [self].into_iter().chain(&self.others) {
            if let Some(found) = config.of_entry(registry, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns what is found without running a helper, but for the one that this program is.
    pub(in crate::cli) fn login_at_hand(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> anyhow::Result<Option<Login>> {
        match Self::of_helper()?.of_entry(registry, repository)? {
            Some(found) => Ok(Some(found)),
            None => self.login_without_helpers(registry, repository),
        }
    }

    /// Lists the registries of which the user may have credentials.
    pub(in crate::cli) fn registries(&self) -> Vec<String> {
        let mut found = Vec::new();
        for config in [self].into_iter().chain(&self.others) {
            for section in ["auths", "credHelpers"] {
                let keys = config.document.get(section).and_then(Value::as_object);
                let forms = keys.into_iter().flatten().map(|(key, _)| normal(key));
                found.extend(forms.map(|it| it.split('/').next().unwrap_or_default().to_owned()));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Lists the registries and namespaces that the file has, with their users.
    pub(super) fn users(&self) -> anyhow::Result<Vec<(String, String)>> {
        let auths = self.document.get("auths").and_then(Value::as_object).into_iter().flatten();
        let mut found = Vec::new();
        for (name, _) in auths {
            let form = normal(name);
            let (registry, path) = form
                .split_once('/')
                .map_or((&*form, None), |(registry, path)| (registry, Some(path)));
            match self.of_entry(registry, path)? {
                Some(Login::Password(credentials)) => found.push((name.clone(), credentials.user)),
                Some(Login::IdentityToken(_)) => found.push((name.clone(), TOKEN_USER.to_owned())),
                None => {}
            }
        }
        Ok(found)
    }

    fn read(path: PathBuf) -> anyhow::Result<Self> {
        let document = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, document, others: Vec::new() })
    }

    /// Returns how the user signs in to a registry, or to a repository of it, if they do.
    pub(in crate::cli) fn login(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> anyhow::Result<Option<Login>> {
        for config in [self].into_iter().chain(&self.others) {
            if let Some(found) = config.look_up(registry, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the credentials of a registry for its administration, if there are some.
    pub(super) fn credentials(&self, registry: &str) -> anyhow::Result<Option<Credentials>> {
        match self.login(registry, None)? {
            None => Ok(None),
            Some(Login::Password(credentials)) => Ok(Some(credentials)),
            Some(Login::IdentityToken(_)) => bail!(
                "cannot use docker's login at {registry}: it holds a token for images only; run `roadstead login {registry} -u NAME --password-stdin`"
            ),
        }
    }

    fn look_up(&self, registry: &str, repository: Option<&str>) -> anyhow::Result<Option<Login>> {
        let document = &self.document;
        if is_own(document, registry) {
            if let Some(found) = Self::of_helper()?.of_entry(registry, repository)? {
                return Ok(Some(found));
            }
        } else if let Some(helper) = helper(document, registry)? {
            for key in spellings(document, registry) {
                if let Some(Credentials { user, password }) = helper.get(&key)? {
                    return Ok(Some(if user == TOKEN_USER {
                        Login::IdentityToken(password)
                    } else {
                        Login::Password(Credentials { user, password })
                    }));
                }
            }
        }
        self.of_entry(registry, repository)
    }

    /// Returns what the file itself has of a registry, or of a repository of it.
    fn of_entry(&self, registry: &str, repository: Option<&str>) -> anyhow::Result<Option<Login>> {
        let Some(entry) = entry(&self.document, registry, repository) else { return Ok(None) };
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Login::IdentityToken(token.into())));
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
        // As docker pads it in old files.
        let password = password.trim_end_matches('\0');
        if user == TOKEN_USER {
            return Ok(Some(Login::IdentityToken(password.into())));
        }
        Ok(Some(Login::Password(Credentials { user: user.to_owned(), password: password.into() })))
    }

    /// Stores the credentials of a registry: by the helper that the settings name, else in the file. Other spellings of the
    /// registry go.
    pub(super) fn store(
        &mut self,
        registry: &str,
        credentials: &Credentials,
    ) -> anyhow::Result<()> {
        let is_own = is_own(&self.document, registry);
        if is_own {
            Self::of_helper()?.store(registry, credentials)?;
        }
        self.change(|config| {
            let entry = if is_own {
                json!({})
            } else if let Some(helper) = helper(&config.document, registry)? {
                helper.store(&key(registry), credentials)?;
                // As docker does it, to know where it has signed in.
                json!({})
            } else {
                let Credentials { user, password } = credentials;
                let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                json!({ "auth": pair })
            };
            let auths = config.auths()?;
            auths.retain(|key, _| normal(key) != registry);
            auths.insert(key(registry), entry);
            Ok(true)
        })
    }

    /// Removes the credentials of a registry and of its namespaces, by whatever spelling they are there, from all files in
    /// which they are looked up.
    ///
    /// # Errors
    /// What keeps some of them from going, with where these are. The others are gone.
    pub(super) fn erase(&mut self, registry: &str) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        let mut others = std::mem::take(&mut self.others);
        for config in [&mut *self].into_iter().chain(&mut others) {
            if let Err(error) = config.erase_own(registry) {
                failures.push(format!("{}: {error:#}", config.path.display()));
            }
        }
        self.others = others;
        if failures.is_empty() {
            return Ok(());
        }
        bail!("credentials of {registry} may be left in {}", failures.join("; and in "))
    }

    fn erase_own(&mut self, registry: &str) -> anyhow::Result<()> {
        let is_own = is_own(&self.document, registry);
        if is_own {
            Self::of_helper()?.erase(registry)?;
        }
        self.change(|config| {
            if !is_own && let Some(helper) = helper(&config.document, registry)? {
                // Some helpers cannot list what they have; then those of the file are known alone.
                let listed = helper.list().unwrap_or_default().into_iter();
                let within = listed.filter(|key| is_within(&normal(key), registry));
                let mut keys = spellings(&config.document, registry);
                keys.extend(within);
                erase_by(&helper, &keys)?;
            }
            for (key, name) in helpers(&config.document) {
                // Those of namespaces, which have helpers of their own.
                let form = normal(key);
                if form != registry && is_within(&form, registry) && name != OWN_HELPER {
                    erase_by(&Helper::new(name)?, &[key.to_owned()])?;
                }
            }
            let auths = config.auths()?;
            let before = auths.len();
            auths.retain(|key, _| !is_within(&normal(key), registry));
            Ok(auths.len() < before)
        })
    }

    /// Locks the file and changes it, so that what another login has written meanwhile stays. `change` tells
    /// whether there is something to be written.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let _lock = lock(folder_of(&self.path))?;
        self.document = read_json(&self.path)?.unwrap_or_default();
        if change(self)? {
            write_json(&self.path, &self.document)?;
        }
        Ok(())
    }

    fn auths(&mut self) -> anyhow::Result<&mut Map<String, Value>> {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        let path = self.path.display();
        auths.as_object_mut().with_context(|| format!("cannot use {path}: `auths` is no object"))
    }
}

/// Returns the helper that has the credentials of a registry, if one has.
fn helper(document: &Map<String, Value>, registry: &str) -> anyhow::Result<Option<Helper>> {
    helper_name(document, registry).map(Helper::new).transpose()
}

/// Tells whether that is this program itself.
fn is_own(document: &Map<String, Value>, registry: &str) -> bool {
    helper_name(document, registry) == Some(OWN_HELPER)
}

fn helper_name<'a>(document: &'a Map<String, Value>, registry: &str) -> Option<&'a str> {
    let own = helpers(document).find(|(key, _)| normal(key) == registry).map(|(_, name)| name);
    let general = || document.get("credsStore").and_then(Value::as_str);
    own.or_else(general).filter(|name| !name.is_empty())
}

/// Lists the registries and namespaces that have helpers of their own.
fn helpers(document: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    let entries = document.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, name)| Some((&**key, name.as_str()?)))
}

/// Has a helper forget what it knows of these. Some helpers fail to forget what they do not know.
fn erase_by(helper: &Helper, keys: &[String]) -> anyhow::Result<()> {
    for key in keys {
        if helper.get(key)?.is_some() {
            helper.erase(key)?;
        }
    }
    Ok(())
}

/// Returns the spellings by which a helper may know a registry: docker's own, and those of the file.
fn spellings(document: &Map<String, Value>, registry: &str) -> Vec<String> {
    let mut found = vec![key(registry), format!("https://{registry}")];
    for section in ["auths", "credHelpers"] {
        let keys = document.get(section).and_then(Value::as_object).into_iter().flatten();
        found.extend(keys.map(|(key, _)| key.clone()).filter(|key| normal(key) == registry));
    }
    let mut known = Vec::new();
    found.retain(|key| {
        !known.contains(key) && {
            known.push(key.clone());
            true
        }
    });
    found
}

/// Returns the name by which docker keeps the credentials of a registry.
fn key(registry: &str) -> String {
    if registry == normal(HUB_KEY) { HUB_KEY.to_owned() } else { registry.to_owned() }
}

/// Finds the entry of a repository: that of its registry, or of the longest namespace that it is in.
fn entry<'a>(
    document: &'a Map<String, Value>,
    registry: &str,
    repository: Option<&str>,
) -> Option<&'a Value> {
    let whole = repository.map_or_else(|| registry.to_owned(), |it| format!("{registry}/{it}"));
    let auths = document.get("auths").and_then(Value::as_object)?;
    let covers = |form: &str| is_within(&whole, form);
    let entries = auths.iter().map(|(key, entry)| (normal(key), entry));
    // The spelling that docker writes is preferred to others of the same length.
    let found = entries.filter(|(form, _)| covers(form));
    found.max_by_key(|(form, entry)| (form.len(), has_secret(entry))).map(|(_, entry)| entry)
}

/// Tells whether a name is that of a registry or a namespace, or of something in it.
fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn has_secret(entry: &Value) -> bool {
    ["auth", "identitytoken"].iter().any(|name| entry.get(name).is_some())
}

/// Returns the folder of a file; a name alone is of a file in the folder that the command was started in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Locks the files of a folder, which is made if it is not there, as long as the returned file is open. The files themselves
/// are replaced, so they cannot be the lock.
pub(super) fn lock(folder: &Path) -> anyhow::Result<File> {
    let failed = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    let lock = File::open(folder).with_context(failed)?;
    lock.lock().with_context(failed)?;
    Ok(lock)
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
    fs::create_dir_all(folder_of(&path)).with_context(failed)?;
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
mod tests;

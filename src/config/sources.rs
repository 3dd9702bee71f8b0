//! Where settings are read from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use config::{ConfigError, File, FileFormat, Source, Value, ValueKind};

use super::nearest::nearest;
use super::{Origin, SETTINGS, Setting, SettingsError};

/// The variable that names the file of settings.
const CONFIG_VARIABLE: &str = "ROADSTEAD_CONFIG";

/// The file that is read from the working directory where no other file is named.
const LOCAL_FILE: &str = "./roadstead.toml";

/// Beginnings of variables that are not settings: those of the scripts and tests, and those that
/// Kubernetes gives every container when a service is called `roadstead`, and the one by which commands find the registry
/// that they administer.
const OTHER_VARIABLES: &[&str] = &[
    "ROADSTEAD_BIN",
    "ROADSTEAD_CONFORMANCE",
    "ROADSTEAD_TEST_",
    "ROADSTEAD_TOOLS",
    "ROADSTEAD_PORT",
    "ROADSTEAD_REGISTRY",
    "ROADSTEAD_SERVICE_",
];

/// Where settings are read from, the weakest first.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file that `--config` names; without it, the one that `ROADSTEAD_CONFIG` names.
    pub file: Option<PathBuf>,
    /// The file that is read where neither names one, if it is there.
    pub local_file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `ROADSTEAD_` are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags that set a setting.
    pub flags: Vec<Flag>,
}

/// A flag that sets a setting.
#[derive(Debug)]
pub struct Flag {
    /// The flag, such as `--listen`.
    pub flag: &'static str,
    /// The name of the setting, such as `server.listen`.
    pub setting: &'static str,
    /// The value.
    pub value: String,
}

/// A value as it was given.
pub(super) type Given = (&'static Setting, Value, Origin);

impl Sources {
    /// Takes the environment of this process, a file and flags. Where neither `--config` nor `ROADSTEAD_CONFIG` names
    /// a file, `roadstead.toml` of the working directory is read.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let local_file = Some(PathBuf::from(LOCAL_FILE));
        Self { file, local_file, environment: env::vars_os().collect(), flags }
    }

    /// Returns the file that settings are read from, if any.
    ///
    /// # Errors
    /// [`SettingsError::Untrusted`] when it is the one of the working directory and others may write to it.
    pub fn settings_file(&self) -> Result<Option<PathBuf>, SettingsError> {
        let variables = self.variables();
        let from_variable = variables.get(CONFIG_VARIABLE).filter(|path| !path.is_empty());
        if let Some(path) = self.file.clone().or_else(|| from_variable.map(PathBuf::from)) {
            return Ok(Some(path));
        }
        let Some(path) = &self.local_file else { return Ok(None) };
        // Settings can name programs to run: a file that another user left in a common folder is not read.
        match fs::metadata(path) {
            Ok(file) if is_trusted(&file) => Ok(Some(path.clone())),
            Ok(_) => Err(SettingsError::Untrusted { path: path.clone() }),
            Err(_) => Ok(None),
        }
    }

    /// Lists all values that were given, so that later ones replace earlier ones.
    pub(super) fn given(&self) -> Result<Vec<Given>, SettingsError> {
        let variables = self.variables();
        let mut given = match self.settings_file()? {
            Some(path) => in_file(&path)?,
            None => Vec::new(),
        };
        given.extend(in_environment(&variables)?);
        for Flag { flag, setting, value } in &self.flags {
            let setting = Setting::find(setting).expect("a flag sets a row of the table");
            given.push((setting, value.as_str().into(), Origin::Flag(flag)));
        }
        Ok(given)
    }

    fn variables(&self) -> BTreeMap<String, OsString> {
        let readable = |(name, value): &(OsString, OsString)| {
            let name = name.to_str().filter(|name| name.starts_with("ROADSTEAD_"))?;
            let is_other = OTHER_VARIABLES.iter().any(|beginning| name.starts_with(beginning));
            (!is_other).then(|| (name.to_owned(), value.clone()))
        };
        self.environment.iter().filter_map(readable).collect()
    }
}

/// Returns whether only the user of this process and root can have written a file.
fn is_trusted(file: &fs::Metadata) -> bool {
    let is_own = file.uid() == 0 || file.uid() == rustix::process::geteuid().as_raw();
    is_own && file.mode() & 0o022 == 0
}

fn in_environment(variables: &BTreeMap<String, OsString>) -> Result<Vec<Given>, SettingsError> {
    let mut given = Vec::new();
    for (name, value) in variables.iter().filter(|(name, _)| *name != CONFIG_VARIABLE) {
        let origin = Origin::Variable(name.clone());
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) {
            let Some(text) = value.to_str() else {
                let value = value.to_string_lossy().into_owned();
                return Err(SettingsError::bad_value(setting, value, origin));
            };
            given.push((setting, text.into(), origin));
            continue;
        }
        let is_file = |setting: &&Setting| setting.file_variable().as_ref() == Some(name);
        let Some(setting) = SETTINGS.iter().find(is_file) else {
            return Err(unknown_variable(name));
        };
        if variables.contains_key(&setting.variable()) {
            return Err(SettingsError::Twice { variable: setting.variable() });
        }
        given.push((setting, secret_in_file(name, Path::new(value))?.into(), origin));
    }
    Ok(given)
}

fn secret_in_file(variable: &str, path: &Path) -> Result<String, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::UnreadableSecret {
        variable: variable.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unknown_variable(name: &str) -> SettingsError {
    let file_variables = SETTINGS.iter().filter_map(Setting::file_variable);
    let known: Vec<String> = SETTINGS
        .iter()
        .map(Setting::variable)
        .chain(file_variables)
        .chain([CONFIG_VARIABLE.to_owned()])
        .collect();
    let nearest = nearest(name, known.iter().map(String::as_str));
    SettingsError::unknown(name, "in the environment".to_owned(), nearest)
}

fn in_file(path: &Path) -> Result<Vec<Given>, SettingsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    let origin = Origin::File(path.to_owned());
    let table =
        toml(&text).map_err(|message| SettingsError::NotToml { path: path.to_owned(), message })?;

    let mut given = Vec::new();
    for (name, value) in leaves("", table) {
        let Some(setting) = Setting::find(&name) else {
            let nearest = nearest(&name, SETTINGS.iter().map(|setting| setting.name));
            return Err(SettingsError::unknown(&name, origin.to_string(), nearest));
        };
        given.push((setting, value, origin.clone()));
    }
    Ok(given)
}

/// Parses TOML; what is wrong comes as one line that says where.
pub(super) fn toml(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        let message = match error {
            ConfigError::FileParse { cause, .. } => cause.to_string(),
            other => other.to_string(),
        };
        // The parser draws the line between these two.
        let mut lines = message.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
    })?;
    Ok(table.into_iter().collect())
}

/// Lists the values of nested tables under dotted names, in order of name. An empty table counts as
/// a value, unless settings stand below that name.
pub(super) fn leaves(prefix: &str, table: BTreeMap<String, Value>) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let below = format!("{name}.");
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => {
                found.extend(leaves(&below, inner.into_iter().collect()));
            }
            ValueKind::Table(_) if SETTINGS.iter().any(|row| row.name.starts_with(&below)) => {}
            _ => found.push((name, value)),
        }
    }
    found
}

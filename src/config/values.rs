//! The value of every setting, and where it came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;

use super::sources::{leaves, toml};
use super::{Kind, Origin, SETTINGS, Setting, SettingsError, Sources, duration};

/// What a secret is shown as.
const HIDDEN: &str = "***";

/// The value of every setting, in the form that its row tells, and where it came from.
/// [`Settings::read`](super::Settings::read) checks what they mean.
#[derive(Debug)]
pub struct Values(BTreeMap<&'static str, Stored>);

/// A value in force, ready to be shown.
#[derive(Debug)]
pub struct Effective<'a> {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value; of a secret that was given, no more than the scheme if it is a URL.
    pub value: Json,
    /// Where the value came from.
    pub origin: &'a Origin,
}

#[derive(Debug)]
struct Stored {
    value: StoredValue,
    origin: Origin,
}

#[derive(Debug)]
enum StoredValue {
    Plain(Json),
    Secret(SecretString),
}

impl Values {
    /// Gathers the values: defaults, then the file, the environment and flags.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or whose value has the wrong form, or a file that cannot
    /// be read.
    pub fn gather(sources: &Sources) -> Result<Self, SettingsError> {
        let mut values = Self(BTreeMap::new());
        for (setting, value) in defaults() {
            values.put(setting, value, Origin::Default)?;
        }
        for (setting, value, origin) in sources.given()? {
            values.put(setting, value, origin)?;
        }
        Ok(values)
    }

    /// Lists the values in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = Effective<'_>> {
        SETTINGS.iter().map(|setting| {
            let Stored { value, origin } = self.stored(setting.name);
            let value = match value {
                StoredValue::Plain(value) => value.clone(),
                StoredValue::Secret(secret) if *origin == Origin::Default => {
                    secret.expose_secret().into()
                }
                StoredValue::Secret(secret) => match secret.expose_secret().split_once("://") {
                    Some((scheme, _)) => format!("{scheme}://{HIDDEN}").into(),
                    None => HIDDEN.into(),
                },
            };
            Effective { setting, value, origin }
        })
    }

    fn put(
        &mut self,
        setting: &'static Setting,
        value: Value,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let given = value.to_string();
        // A secret that was left empty is none: the default stands again.
        if setting.kind == Kind::Secret && given.is_empty() && origin != Origin::Default {
            let default = defaults().find(|(row, _)| row.name == setting.name);
            let (_, value) = default.expect("each row has a default");
            return self.put(setting, value, Origin::Default);
        }
        let Some(value) = normal_form(setting.kind, value) else {
            return Err(SettingsError::bad_value(setting, given, origin));
        };
        self.0.insert(setting.name, Stored { value, origin });
        Ok(())
    }

    fn stored(&self, name: &str) -> &Stored {
        self.0.get(name).expect("each setting that is read has a row, and so a default")
    }

    fn plain(&self, name: &str) -> &Json {
        match &self.stored(name).value {
            StoredValue::Plain(value) => value,
            StoredValue::Secret(_) => &Json::Null,
        }
    }

    /// Refuses the value of a setting.
    pub(super) fn refuse(&self, name: &str) -> SettingsError {
        let setting = Setting::find(name).expect("each setting that is read has a row");
        let value = match self.plain(name) {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        SettingsError::bad_value(setting, value, self.stored(name).origin.clone())
    }

    /// Parses a text.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        self.plain(name).as_str().and_then(parse).ok_or_else(|| self.refuse(name))
    }

    /// Finds a text among those that its row lists.
    pub(super) fn choice(&self, name: &str) -> Result<&'static str, SettingsError> {
        let kind = Setting::find(name).map(|setting| setting.kind);
        let Some(Kind::Choice(choices)) = kind else { return Err(self.refuse(name)) };
        self.parse(name, |text| choices.iter().find(|choice| **choice == text).copied())
    }

    /// Returns a secret that passes the check.
    pub(super) fn secret(
        &self,
        name: &str,
        check: impl FnOnce(&str) -> bool,
    ) -> Result<SecretString, SettingsError> {
        match &self.stored(name).value {
            StoredValue::Secret(secret) if check(secret.expose_secret()) => Ok(secret.clone()),
            _ => Err(self.refuse(name)),
        }
    }

    /// Returns a path; none when it is empty.
    pub(super) fn path(&self, name: &str) -> Result<Option<PathBuf>, SettingsError> {
        self.parse(name, |text| Some((!text.is_empty()).then(|| PathBuf::from(text))))
    }

    /// Returns a duration.
    pub(super) fn duration(&self, name: &str) -> Result<Duration, SettingsError> {
        self.parse(name, duration::parse)
    }

    /// Returns a duration that is not zero.
    pub(super) fn positive_duration(&self, name: &str) -> Result<Duration, SettingsError> {
        self.parse(name, |text| duration::parse(text).filter(|duration| !duration.is_zero()))
    }

    /// Returns a flag.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.plain(name).as_bool().expect("the row says that it is a flag")
    }

    /// Returns a number.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.plain(name).as_u64().expect("the row says that it is a number")
    }

    /// Returns tables.
    pub(super) fn tables(&self, name: &str) -> &[Json] {
        self.plain(name).as_array().expect("the row says that it has tables")
    }

    /// Returns a list.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.plain(name).as_array().expect("the row says that it is a list");
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }
}

/// Reads the defaults out of the table, as if it were a file.
fn defaults() -> impl Iterator<Item = (&'static Setting, Value)> {
    let lines: Vec<String> =
        SETTINGS.iter().map(|row| format!("{} = {}", row.name, row.default)).collect();
    let table = toml(&lines.join("\n")).expect("the defaults in the table are TOML");
    leaves("", table).into_iter().map(|(name, value)| {
        let setting = Setting::find(&name).expect("the name came from the table");
        (setting, value)
    })
}

/// Brings a value, which is a text when it comes from the environment, to the form of its kind.
fn normal_form(kind: Kind, value: Value) -> Option<StoredValue> {
    let plain: Json = match (kind, value.kind) {
        (Kind::Secret, ValueKind::String(text)) => return Some(StoredValue::Secret(text.into())),
        (Kind::Text | Kind::Choice(_) | Kind::Duration, ValueKind::String(text)) => text.into(),
        (Kind::Duration, ValueKind::I64(seconds)) if seconds >= 0 => format!("{seconds}s").into(),
        (Kind::Flag, ValueKind::Boolean(flag)) => flag.into(),
        (Kind::Flag, ValueKind::String(text)) => text.parse::<bool>().ok()?.into(),
        (Kind::Number, ValueKind::I64(number)) => u64::try_from(number).ok()?.into(),
        (Kind::Number, ValueKind::String(text)) => text.parse::<u64>().ok()?.into(),
        (Kind::List, ValueKind::String(text)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        }
        (Kind::List, ValueKind::Array(items)) => {
            let text = |item: Value| match item.kind {
                ValueKind::String(text) => Some(Json::String(text)),
                _ => None,
            };
            items.into_iter().map(text).collect::<Option<Vec<Json>>>()?.into()
        }
        (Kind::Tables, ValueKind::String(text)) if text.trim().is_empty() => {
            Json::Array(Vec::new())
        }
        (Kind::Tables, ValueKind::String(text)) => tables(serde_json::from_str(&text).ok()?)?,
        (Kind::Tables, ValueKind::Array(items)) => {
            tables(items.into_iter().map(json).collect::<Option<Vec<Json>>>()?.into())?
        }
        _ => return None,
    };
    Some(StoredValue::Plain(plain))
}

/// Takes a list of tables, and nothing else.
fn tables(value: Json) -> Option<Json> {
    value.as_array()?.iter().all(Json::is_object).then_some(value)
}

/// Brings a value of a file to the form in which values are stored.
fn json(value: Value) -> Option<Json> {
    Some(match value.kind {
        ValueKind::String(text) => text.into(),
        ValueKind::Boolean(flag) => flag.into(),
        ValueKind::I64(number) => number.into(),
        ValueKind::Array(items) => {
            items.into_iter().map(json).collect::<Option<Vec<Json>>>()?.into()
        }
        ValueKind::Table(table) => {
            let member = |(name, value)| Some((name, json(value)?));
            Json::Object(table.into_iter().map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

//! Settings out of any file and any environment: never a panic, and what was taken reads back the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;

use proptest::prelude::*;
use proptest::sample::select;
use roadstead::config::{SETTINGS, Setting, Settings, Sources, Values};
use serde_json::Value;
use tempfile::TempDir;

/// Values that some setting takes, and such as none takes.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "true",
    "false",
    "yes",
    "127.0.0.1:5000",
    "[::1]:0",
    "localhost:5000",
    "0.0.0.0:80",
    "a",
    "a,b",
    ",",
    "30s",
    "1.5h",
    "99999999999999999999",
    "18446744073709551615ms",
    "embedded",
    "open",
    "htpasswd",
    "sqlite:x",
    "sqlite:",
    "postgres://u:p@h/d",
    "https://example.com",
    "https://example.com/x",
    "./data",
    "/",
    "\0",
    "\n",
    "info",
    "debug,sqlx=warn",
    "json",
    "text",
    "auto",
    "example.com",
    "ä",
    "'",
    "\"",
    "]]",
    "= =",
];

/// A line of TOML as somebody might write it.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    let name = prop_oneof![4 => select(names).prop_map(str::to_owned), 1 => "[a-z_.\\[\\]]{0,12}"];
    let value = prop_oneof![
        4 => select(VALUES).prop_map(|value| format!("{value:?}")),
        2 => select(VALUES).prop_map(str::to_owned),
        1 => "\\PC{0,10}",
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => select(VALUES).prop_map(|value| format!("[{value:?}, 'x']")),
        1 => Just("{ a = 1 }".to_owned()),
    ];
    (name, value).prop_map(|(name, value)| format!("{name} = {value}\n"))
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let name = prop_oneof![6 => select(names), 1 => "ROADSTEAD_[A-Z_]{0,9}"];
    (name, prop_oneof![5 => select(VALUES).prop_map(str::to_owned), 1 => "\\PC{0,12}"])
}

/// Whether the setting is a secret, which is not shown, so that it cannot be written again.
fn is_secret(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name && setting.file_variable().is_some())
}

/// The values in force, by name.
fn values(sources: &Sources) -> Option<Vec<(&'static str, Value)>> {
    Settings::load(sources).ok()?;
    let values = Values::gather(sources).unwrap();
    Some(values.iter().map(|effective| (effective.setting.name, effective.value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_file_is_taken_or_refused(lines in prop::collection::vec(line(), 0..4), rest in "\\PC{0,20}|") {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("roadstead.toml");
        fs::write(&file, lines.concat() + &rest).unwrap();
        let sources = Sources { file: Some(file.clone()), ..Sources::default() };
        if let Err(error) = Settings::load(&sources) {
            prop_assert!(!error.to_string().is_empty());
            return Ok(());
        }
        let taken = values(&sources).unwrap();
        let shown = taken.iter().filter(|(name, _)| !is_secret(name));
        let again: Vec<String> = shown.map(|(name, value)| format!("{name} = {value}\n")).collect();
        fs::write(&file, again.concat()).unwrap();
        let again = values(&sources).expect("what was taken is taken again");
        for (one, other) in taken.iter().zip(&again).filter(|(one, _)| !is_secret(one.0)) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn an_environment_is_taken_or_refused_with_the_variables_name(
        variables in prop::collection::btree_map("[a-z]{3}", variable(), 0..3),
    ) {
        let environment = variables.into_values().map(|(name, value)| (name.into(), value.into()));
        let sources = Sources { environment: environment.collect(), ..Sources::default() };
        if let Err(error) = Settings::load(&sources) {
            let error = error.to_string();
            let is_named = sources.environment.iter().any(|(name, _)| error.contains(name.to_str().unwrap()));
            // Together two may be senseless that are not each on its own: then the settings are named.
            let names_a_setting = SETTINGS.iter().any(|setting| error.contains(setting.name));
            prop_assert!(is_named || names_a_setting, "{error}");
        } else {
            prop_assert!(values(&sources).is_some());
        }
    }
}

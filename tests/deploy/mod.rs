//! The files by which Roadstead is run beside Kubo and Postgres: they say what their pages say, and what they
//! say is accepted by who reads them. Images are not built, since they cannot be pulled everywhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod akash;
mod compose;
mod image;
mod node;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use roadstead::config::{Settings, SettingsError, Sources};
use serde_json::Value;

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The keys of a mapping.
fn keys(mapping: &Value) -> Vec<&str> {
    let mapping = mapping.as_object().unwrap_or_else(|| panic!("no mapping: {mapping}"));
    mapping.keys().map(String::as_str).collect()
}

/// The items of a list, none if there is no list.
fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// The words of a list.
fn words(list: &Value) -> Vec<&str> {
    items(list).iter().map(|word| word.as_str().unwrap()).collect()
}

/// Reads settings as the image would that is started with these variables.
fn settings(variables: &[(String, String)]) -> Result<Settings, SettingsError> {
    let of_image = image::variables();
    let all = of_image.iter().chain(variables);
    let environment = all.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::load(&Sources { environment: environment.collect(), ..Sources::default() })
}

/// Checks that those are the settings of a registry over the other two services.
fn assert_is_over_kubo_and_postgres(settings: &Settings) {
    use secrecy::ExposeSecret;

    assert_eq!(settings.storage.driver, "kubo");
    let text = format!("{:?}", settings.storage);
    for address in ["kubo:5001", "kubo:8080"] {
        assert!(text.contains(address), "{address} is not in {text}");
    }
    let url = settings.index.url.expose_secret();
    assert!(url.starts_with("postgres://roadstead:"), "{url}");
    assert!(url.ends_with("@postgres/roadstead"), "{url}");
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:5000");
    assert_eq!(settings.server.data, Path::new("/var/lib/roadstead"));
}

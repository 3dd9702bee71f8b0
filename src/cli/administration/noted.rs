//! The registry that was signed in to last: noted in `roadstead.json`, beside docker's settings.

use std::path::Path;

use serde_json::{Map, Value};

use super::docker_config::{lock, read_json, write_json};
use super::host::RegistryHost;

const FILE: &str = "roadstead.json";
const REGISTRY: &str = "registry";
const TOKEN_SERVICES: &str = "tokenServices";

/// Returns the registry that is noted in a folder, if one is.
pub(super) fn registry(folder: &Path) -> anyhow::Result<Option<RegistryHost>> {
    let document = read_json(&folder.join(FILE))?.unwrap_or_default();
    let text = document.get(REGISTRY).and_then(Value::as_str);
    // What cannot be read is as if nothing were noted: the next login writes it anew.
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Notes a registry.
pub(super) fn note(folder: &Path, registry: &RegistryHost) -> anyhow::Result<()> {
    change(folder, |document| {
        document.insert(REGISTRY.to_owned(), registry.url().into());
        true
    })
}

/// Removes what is noted of a registry.
pub(super) fn forget(folder: &Path, registry: &RegistryHost) -> anyhow::Result<()> {
    if !folder.join(FILE).exists() {
        return Ok(());
    }
    change(folder, |document| {
        let noted = document.get(REGISTRY).and_then(Value::as_str);
        let noted = noted.and_then(|text| text.parse::<RegistryHost>().ok());
        let is_last = noted.is_some_and(|noted| noted.as_str() == registry.as_str());
        if is_last {
            document.remove(REGISTRY);
        }
        let all = document.get_mut(TOKEN_SERVICES).and_then(Value::as_object_mut);
        all.is_some_and(|all| all.remove(registry.as_str()).is_some()) || is_last
    })
}

/// Locks the file and changes it. `change` tells whether there is something to be written.
fn change(
    folder: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> anyhow::Result<()> {
    let _lock = lock(folder)?;
    let path = folder.join(FILE);
    let mut document = read_json(&path)?.unwrap_or_default();
    if change(&mut document) {
        write_json(&path, &document)?;
    }
    Ok(())
}

/// Returns the hosts that may have the credentials of a registry, as its login named them.
pub(in crate::cli) fn token_services(
    folder: &Path,
    registry: &RegistryHost,
) -> anyhow::Result<Vec<String>> {
    let document = read_json(&folder.join(FILE))?.unwrap_or_default();
    let hosts = document.get(TOKEN_SERVICES).and_then(|all| all.get(registry.as_str()));
    let hosts = hosts.and_then(Value::as_array).into_iter().flatten();
    Ok(hosts.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Notes the hosts that may have the credentials of a registry, in the place of those before; without any, those before
/// stay.
pub(super) fn note_token_services(
    folder: &Path,
    registry: &RegistryHost,
    hosts: &[String],
) -> anyhow::Result<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    change(folder, |document| {
        let all = document.entry(TOKEN_SERVICES).or_insert_with(|| Map::new().into());
        if !all.is_object() {
            *all = Map::new().into();
        }
        all[registry.as_str()] = hosts.into();
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_registry_is_noted() {
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(registry(folder.path()).unwrap(), None);
        for text in ["localhost:5000", "https://localhost:5000", "registry.example"] {
            let host: RegistryHost = text.parse().unwrap();
            note(folder.path(), &host).unwrap();
            assert_eq!(registry(folder.path()).unwrap(), Some(host));
        }
        forget(folder.path(), &"other.example".parse().unwrap()).unwrap();
        assert!(registry(folder.path()).unwrap().is_some());
        forget(folder.path(), &"registry.example".parse().unwrap()).unwrap();
        assert_eq!(registry(folder.path()).unwrap(), None);
    }

    #[test]
    fn token_services_stay_until_others_are_named_or_the_user_signs_out() {
        let folder = tempfile::TempDir::new().unwrap();
        let host: RegistryHost = "registry.example".parse().unwrap();
        let noted = || token_services(folder.path(), &host).unwrap();
        forget(folder.path(), &host).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for (hosts, expected) in [
            (&["auth.example"][..], ["auth.example"]),
            (&[][..], ["auth.example"]),
            (&["other.example"][..], ["other.example"]),
        ] {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            note_token_services(folder.path(), &host, &hosts).unwrap();
            assert_eq!(noted(), expected);
        }
        forget(folder.path(), &host).unwrap();
        assert_eq!(noted(), [""; 0]);
    }

    #[test]
    fn logins_at_once_lose_no_note() {
        let folder = tempfile::TempDir::new().unwrap();
        let host = |number: usize| format!("r{number}.example").parse::<RegistryHost>().unwrap();
        std::thread::scope(|scope| {
            for number in 0..50 {
                let path = folder.path();
                scope.spawn(move || {
                    let services = [format!("auth{number}.example")];
                    note_token_services(path, &host(number), &services).unwrap();
                });
            }
        });
        for number in 0..50 {
            let noted = token_services(folder.path(), &host(number)).unwrap();
            assert_eq!(noted, [format!("auth{number}.example")]);
        }
    }
}

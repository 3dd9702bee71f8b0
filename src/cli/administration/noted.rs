//! The registry that was signed in to last: noted in `roadstead.json`, beside docker's settings.

use std::path::Path;

use serde_json::{Map, Value};

use super::docker_config::{read_json, write_json};
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

/// Notes a registry, or that there is none.
pub(super) fn note(folder: &Path, registry: Option<&RegistryHost>) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let mut document = read_json(&path)?.unwrap_or_else(Map::new);
    match registry {
        Some(registry) => document.insert(REGISTRY.to_owned(), registry.url().into()),
        None => document.remove(REGISTRY),
    };
    write_json(&path, &document)
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

/// Notes the hosts that may have the credentials of a registry, in the place of those before.
pub(super) fn note_token_services(
    folder: &Path,
    registry: &RegistryHost,
    hosts: &[String],
) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let mut document = read_json(&path)?.unwrap_or_else(Map::new);
    let is_noted =
        document.get(TOKEN_SERVICES).is_some_and(|it| it.get(registry.as_str()).is_some());
    if hosts.is_empty() && !is_noted {
        return Ok(());
    }
    let all = document.entry(TOKEN_SERVICES).or_insert_with(|| Map::new().into());
    all[registry.as_str()] = hosts.into();
    write_json(&path, &document)
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
            note(folder.path(), Some(&host)).unwrap();
            assert_eq!(registry(folder.path()).unwrap(), Some(host));
        }
        note(folder.path(), None).unwrap();
        assert_eq!(registry(folder.path()).unwrap(), None);
    }
}

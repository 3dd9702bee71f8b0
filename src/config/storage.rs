//! Where bytes and names live.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::external_url::ExternalUrl;
use super::{SettingsError, Values};
use crate::kubo::Address;

/// Where bytes and names live.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// The driver's name in the table of the storage room.
    pub driver: &'static str,
    /// What the Kubo driver needs to know.
    pub kubo: KuboSettings,
}

/// A Kubo node, and the registry's path on it.
#[derive(Debug, Clone)]
pub struct KuboSettings {
    /// Its RPC.
    pub api: Address,
    /// Its gateway.
    pub gateway: Address,
    /// The folder of MFS, without a slash at its end.
    pub mfs_root: String,
    /// The token of one of its `API.Authorizations`, if it has some.
    pub token: Option<SecretString>,
    /// The beginning of the URLs of a gateway that clients are sent to for blobs, if there is one.
    pub redirect: Option<String>,
    /// How often names that are of no more use are taken away.
    pub clean_interval: Duration,
    /// Whether a collection has the node remove blocks that nothing names.
    pub collect: bool,
}

impl StorageSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self { driver: values.choice("storage.driver")?, kubo: KuboSettings::read(values)? })
    }
}

impl KuboSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let address = |name| values.parse(name, |text| text.parse::<Address>().ok());
        Ok(Self {
            api: address("storage.kubo.api")?,
            gateway: address("storage.kubo.gateway")?,
            mfs_root: values.parse("storage.kubo.mfs_root", folder)?,
            token: token(values, "storage.kubo.token")?,
            redirect: values.parse("storage.kubo.redirect", |text| match text {
                "" => Some(None),
                _ => Some(Some(ExternalUrl::parse(text)?.to_string())),
            })?,
            clean_interval: values.positive_duration("storage.kubo.clean_interval")?,
            collect: values.flag("storage.kubo.collect"),
        })
    }
}

/// Reads the token of a node; none if it is empty.
pub(super) fn token(
    values: &Values,
    name: &'static str,
) -> Result<Option<SecretString>, SettingsError> {
    // It has to stand in a header.
    let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = values.secret(name, is_token)?;
    Ok(Some(token).filter(|token| !token.expose_secret().is_empty()))
}

/// Reads an absolute path of MFS that is not its root.
fn folder(text: &str) -> Option<String> {
    let is_name = |name: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !matches!(name, "" | "." | "..") && name.bytes().all(is_known)
    };
    let names = text.strip_prefix('/')?;
    names.split('/').all(is_name).then(|| text.to_owned())
}

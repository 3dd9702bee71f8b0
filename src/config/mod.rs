//! The settings: every one with its default, where its value came from, and what is refused.
//!
//! `cli` and `app` call this room at start and hand each room its own part; a driver's file may read
//! its own section. Defaults give way to the file, the file to the environment, the environment to
//! flags. Whatever is wrong is refused here, by name, so no other room meets an unchecked value. This
//! room opens no socket and creates no folder.
//!
//! A new setting is a row of [`SETTINGS`] and a field of the struct of its concern.

mod accounts;
mod audit;
mod auth;
mod dnslink;
mod duration;
mod error;
mod external_url;
mod federation;
mod gateway;
mod gc;
mod index;
mod jwks;
mod log;
mod manifests;
mod nearest;
mod origin;
mod publish;
mod retention;
mod server;
mod setting;
mod sources;
mod storage;
mod table;
mod uploads;
mod values;
mod workloads;

pub use accounts::AccountsSettings;
pub use audit::AuditSettings;
pub use auth::{AuthSettings, HtpasswdSettings, SignInSettings, TokenSettings};
pub use dnslink::{DnsServer, DnslinkSettings};
pub use duration::parse as parse_duration;
pub use error::SettingsError;
pub use external_url::ExternalUrl;
pub use federation::{AnonymousAccess, FederationKubo, FederationNode, FederationSettings};
pub use gateway::GatewaySettings;
pub use gc::GcSettings;
pub use index::{IndexSettings, PostgresSettings};
pub use jwks::JwksSource;
pub use log::{LogFormat, LogSettings};
pub use manifests::ManifestSettings;
pub use origin::Origin;
pub use publish::{CloudflareSettings, ExecSettings, NameServer, PublishSettings, Rfc2136Settings};
pub use retention::RetentionSettings;
pub use server::{RateSetting, ServerLimits, ServerSettings, TlsSettings};
pub use setting::{Kind, Setting};
pub use sources::{Flag, Sources};
pub use storage::{KuboSettings, StorageSettings};
pub use table::SETTINGS;
pub use uploads::UploadSettings;
pub use values::{Effective, Values};
pub use workloads::WorkloadSettings;

/// Every setting, checked. Its `Debug` is safe to log.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the registry listens, and where its data stand.
    pub server: ServerSettings,
    /// Where bytes and names live.
    pub storage: StorageSettings,
    /// Where look-ups are answered.
    pub index: IndexSettings,
    /// How names are looked up.
    pub dnslink: DnslinkSettings,
    /// Who may do what.
    pub auth: AuthSettings,
    /// What all clients may read by its CID.
    pub gateway: GatewaySettings,
    /// Whose images are served beside the registry's own.
    pub federation: FederationSettings,
    /// Where the public root is published, and by whom.
    pub publish: PublishSettings,
    /// How long unfinished uploads stay.
    pub uploads: UploadSettings,
    /// When garbage is collected.
    pub gc: GcSettings,
    /// Which manifests are accepted.
    pub manifests: ManifestSettings,
    /// Which tags and manifests go by themselves, and which tags cannot be changed.
    pub retention: Vec<RetentionSettings>,
    /// How long it is remembered who did what.
    pub audit: AuditSettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Settings {
    /// Gathers the settings from their sources and checks them.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or has a bad value, or a file that cannot be read.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        Self::read(&Values::gather(sources)?)
    }

    /// Checks values that were gathered before.
    ///
    /// # Errors
    ///
    /// The first setting that has a bad value, or does not go together with another.
    pub fn read(values: &Values) -> Result<Self, SettingsError> {
        let settings = Self {
            server: ServerSettings::read(values)?,
            storage: StorageSettings::read(values)?,
            index: IndexSettings::read(values)?,
            dnslink: DnslinkSettings::read(values)?,
            auth: AuthSettings::read(values)?,
            gateway: GatewaySettings::read(values)?,
            federation: FederationSettings::read(values)?,
            publish: PublishSettings::read(values)?,
            uploads: UploadSettings::read(values)?,
            gc: GcSettings::read(values)?,
            manifests: ManifestSettings::read(values)?,
            retention: RetentionSettings::read(values)?,
            audit: AuditSettings::read(values)?,
            log: LogSettings::read(values)?,
        };
        settings.refuse_exposure()?;
        Ok(settings)
    }

    /// Returns what anonymous clients get of foreign images.
    #[must_use]
    pub fn anonymous_access(&self) -> AnonymousAccess {
        let is_local = self.server.listen.ip().to_canonical().is_loopback();
        self.federation.anonymous.unwrap_or(match self.federation.domains.as_slice() {
            _ if is_local => AnonymousAccess::Any,
            [] => AnonymousAccess::Cached,
            _ => AnonymousAccess::Listed,
        })
    }

    /// Open access lets every client that reaches the port push and delete, so a mere `listen` must not be
    /// enough to offer it to a network; and never to have what strangers push published. What is published
    /// all clients may read, so it must not be what clients have to sign in for.
    fn refuse_exposure(&self) -> Result<(), SettingsError> {
        let listen = self.server.listen;
        let is_local = listen.ip().to_canonical().is_loopback();
        if self.auth.method == "open" && !self.auth.allow_open && !is_local {
            return Err(SettingsError::Exposed { listen });
        }
        if self.publish.is_enabled() && self.auth.method == "open" && !is_local {
            return Err(SettingsError::AnybodyPublishes { listen });
        }
        if self.publish.is_enabled() && !self.auth.lets_everybody_pull() {
            return Err(SettingsError::PublishesSecrets);
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::load(&Sources::default()).expect("the defaults in the table are valid")
    }
}

//! Who may do what.

use std::path::PathBuf;
use std::time::Duration;

use super::external_url::is_http_url;
use super::{AccountsSettings, JwksSource, SettingsError, Values, WorkloadSettings};

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The way to sign in, by its name in the table of the auth room.
    pub method: &'static str,
    /// Whether open access may be offered to other machines; loading refuses it otherwise.
    pub allow_open: bool,
    /// How many passwords are checked.
    pub sign_ins: SignInSettings,
    /// For the method of that name.
    pub htpasswd: HtpasswdSettings,
    /// For the method of that name.
    pub accounts: AccountsSettings,
    /// For the method of that name.
    pub token: TokenSettings,
    /// How long the registry's own tokens are valid.
    pub token_lifetime: Duration,
    /// Which workloads are let in.
    pub workloads: Vec<WorkloadSettings>,
    /// How long they stay signed in.
    pub workload_session: Duration,
}

/// How many passwords are checked.
#[derive(Debug, Clone, Copy)]
pub struct SignInSettings {
    /// How many may wait.
    pub waiting: usize,
    /// How many of them may be of one client.
    pub per_client: usize,
    /// How many wrong ones a client may send until it has to pause.
    pub wrong_passwords: u32,
    /// How long it pauses at the most.
    pub longest_pause: Duration,
}

impl SignInSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        let number = |name: &str, most: u32| {
            let number = u32::try_from(values.number(name)).ok();
            number.filter(|number| (1..=most).contains(number)).ok_or_else(|| values.refuse(name))
        };
        let longest_pause = "auth.sign_ins.longest_pause";
        Ok(Self {
            waiting: number("auth.sign_ins.waiting", 10_000)? as usize,
            per_client: number("auth.sign_ins.per_client", 10_000)? as usize,
            wrong_passwords: number("auth.sign_ins.wrong_passwords", 1_000_000)?,
            longest_pause: values
                .positive_duration(longest_pause)
                .ok()
                .filter(|pause| *pause <= Duration::from_mins(10))
                .ok_or_else(|| values.refuse(longest_pause))?,
        })
    }
}

/// Users and passwords in a file.
#[derive(Debug, Clone)]
pub struct HtpasswdSettings {
    /// The file; empty only where the method is another one.
    pub file: PathBuf,
    /// Whether all clients may pull.
    pub anonymous_pull: bool,
}

/// An external token service.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// Its URL; all of this is empty only where the method is another one.
    pub realm: String,
    /// The name by which it knows this registry.
    pub service: String,
    /// The issuer of its tokens.
    pub issuer: String,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// The authorities that its certificate may be of.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be at a private address.
    pub allow_private_addresses: bool,
}

impl TokenSettings {
    fn read(values: &Values, is_used: bool) -> Result<Self, SettingsError> {
        let text = |name: &str, is_good: fn(&str) -> bool| {
            values.parse(name, |text| (text.is_empty() || is_good(text)).then(|| text.to_owned()))
        };
        let is_plain = |text: &str| {
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte))
        };
        let allow_private_addresses = values.flag("auth.token.allow_private_addresses");
        let realm = text("auth.token.realm", is_http_url)?;
        let service = text("auth.token.service", is_plain)?;
        let issuer = text("auth.token.issuer", |_| true)?;
        let url = text("auth.token.jwks_url", is_http_url)?;
        let is_fetched = |url: &str| url.starts_with("https://") || allow_private_addresses;
        if !url.is_empty() && !is_fetched(&url) {
            return Err(values.refuse("auth.token.jwks_url"));
        }
        let given = "auth.method = \"token\"";
        for (text, missing) in [
            (&realm, "auth.token.realm"),
            (&service, "auth.token.service"),
            (&issuer, "auth.token.issuer"),
        ] {
            if is_used && text.is_empty() {
                return Err(SettingsError::Needs { given, missing });
            }
        }
        let jwks = match (values.path("auth.token.jwks_file")?, url) {
            (Some(file), url) if url.is_empty() => JwksSource::File(file),
            (Some(_), _) => return Err(values.refuse("auth.token.jwks_url")),
            (None, url) if !url.is_empty() => JwksSource::Url(url),
            (None, _) if is_used && !(is_http_url(&issuer) && is_fetched(&issuer)) => {
                return Err(SettingsError::Needs { given, missing: "auth.token.jwks_file" });
            }
            (None, _) => JwksSource::Discovery,
        };
        let ca_file = values.path("auth.token.ca_file")?;
        Ok(Self { realm, service, issuer, jwks, ca_file, allow_private_addresses })
    }
}

impl AuthSettings {
    /// Returns whether all clients may pull, be it only from public repositories.
    #[must_use]
    pub fn lets_everybody_pull(&self) -> bool {
        match self.method {
            // Of accounts, what is public.
            "open" | "accounts" => true,
            "htpasswd" => self.htpasswd.anonymous_pull,
            _ => false,
        }
    }

    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let method = values.choice("auth.method")?;
        let file = values.path("auth.htpasswd.file")?;
        if method == "htpasswd" && file.is_none() {
            return Err(SettingsError::Needs {
                given: "auth.method = \"htpasswd\"",
                missing: "auth.htpasswd.file",
            });
        }
        Ok(Self {
            method,
            allow_open: values.flag("auth.allow_open"),
            sign_ins: SignInSettings::read(values)?,
            htpasswd: HtpasswdSettings {
                file: file.unwrap_or_default(),
                anonymous_pull: values.flag("auth.htpasswd.anonymous_pull"),
            },
            accounts: AccountsSettings::read(values)?,
            token: TokenSettings::read(values, method == "token")?,
            token_lifetime: values
                .duration("auth.token_lifetime")
                .ok()
                .filter(|it| (Duration::from_mins(1)..=Duration::from_hours(24)).contains(it))
                .ok_or_else(|| values.refuse("auth.token_lifetime"))?,
            workloads: WorkloadSettings::read(values)?,
            workload_session: values
                .duration("auth.workload_session")
                .ok()
                .filter(|it| (Duration::from_mins(1)..=Duration::from_hours(24)).contains(it))
                .ok_or_else(|| values.refuse("auth.workload_session"))?,
        })
    }
}

//! By which method clients sign in, as the index has it for all processes, and what a start with another one is.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::accounts::now;
use super::{App, AppError, accounts};
use crate::config::Settings;
use crate::index::{Actor, Changed, Index};

/// How often a process looks whether another one has changed the method.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How a start relates to the ones before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing is recorded: the registry is new, or of a version before methods were recorded.
    Unknown,
    /// Clients signed in by this method, as it was recorded.
    Recorded(String),
}

/// Returns by which method clients signed in before. Where other processes may use the index, another one than this is
/// refused unless `may_change` says that they do not.
///
/// # Errors
/// [`AppError::OtherMethod`]; those of the index.
pub(super) async fn expect(
    settings: &Settings,
    index: &Index,
    may_change: bool,
) -> Result<Before, AppError> {
    let Some(recorded) = index.sign_in_method().await? else { return Ok(Before::Unknown) };
    let method = settings.auth.method;
    if method_of(&recorded) != method && index.is_shared() && !may_change {
        return Err(other(method, &recorded));
    }
    Ok(Before::Recorded(recorded))
}

/// Records the method, once everything is as it needs.
///
/// # Errors
/// [`AppError::OtherMethod`] when another process has recorded another one meanwhile; those of the index.
pub(super) async fn record(
    settings: &Settings,
    index: &Index,
    before: &Before,
) -> Result<(), AppError> {
    let (method, text) = (settings.auth.method, text(settings));
    let (actor, now) = (Actor::default(), now());
    let recorded = match before {
        Before::Unknown => index.ensure_sign_in_method(text, &actor, now).await?,
        Before::Recorded(recorded) => {
            match index.set_sign_in_method(recorded, text, &actor, now).await? {
                Changed::Unknown => index.sign_in_method().await?.unwrap_or_default(),
                _ => text.to_owned(),
            }
        }
    };
    if method_of(&recorded) == method { Ok(()) } else { Err(other(method, &recorded)) }
}

/// Does what a change of the method needs, so that it exposes nothing: without accounts no repository may be hidden, and
/// at a first start with accounts those are hidden from anonymous clients that they could not pull before.
///
/// # Errors
/// [`AppError::NotPublic`]; [`AppError::NoPrivateTree`]; those of the registry.
pub(super) async fn hide(
    settings: &Settings,
    app: &App,
    before: &Before,
    make_public: bool,
) -> Result<(), AppError> {
    if !accounts::are_used(settings) {
        return app.expect_public(make_public).await;
    }
    if make_public {
        tracing::warn!("made nothing public: --make-public is for an auth.method without accounts");
    }
    match before {
        Before::Recorded(recorded) if method_of(recorded) == settings.auth.method => Ok(()),
        before => {
            app.keep_from_anonymous(before.was_open()).await?;
            let made = app.index.adopt_namespaces(&Actor::default(), now()).await?;
            if made > 0 {
                tracing::info!(namespaces = made, "gave namespaces to the administrators");
            }
            Ok(())
        }
    }
}

impl Before {
    /// Tells whether anonymous clients could pull everything. What is not known is not taken for granted.
    fn was_open(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Recorded(recorded) => ["open", ANONYMOUS_PULL].contains(&recorded.as_str()),
        }
    }
}

/// Users in a file, and pulls without signing in.
const ANONYMOUS_PULL: &str = "htpasswd with anonymous pulls";

/// Waits until another process has recorded another method than this one serves by; forever where no other can.
pub(super) async fn changed(settings: &Settings, index: &Index) -> AppError {
    let method = settings.auth.method;
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if !index.is_shared() {
            std::future::pending::<()>().await;
        }
        look.tick().await;
        match index.sign_in_method().await {
            Ok(Some(recorded)) if method_of(&recorded) != method => {
                return other(method, &recorded);
            }
            Ok(_) => {}
            // Requests need the index, too, and say so.
            Err(error) => tracing::debug!(%error, "failed to look for the sign-in method"),
        }
    }
}

/// Returns the method as it is recorded.
fn text(settings: &Settings) -> &'static str {
    match settings.auth.method {
        "htpasswd" if settings.auth.htpasswd.anonymous_pull => ANONYMOUS_PULL,
        method => method,
    }
}

fn method_of(recorded: &str) -> &str {
    recorded.split(' ').next().unwrap_or_default()
}

fn other(method: &'static str, recorded: &str) -> AppError {
    AppError::OtherMethod { method, recorded: method_of(recorded).to_owned() }
}

//! The server: the API on a listener, and what goes on in the background.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::Server;
use actix_web::web::Data;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, timeout};

use super::accounts::Setup;
use super::application::{DISCONNECT_TIMEOUT, KEEP_ALIVE, WRITE_BUFFER, application};
use super::commands::{self, Commands};
use super::tls::Certificate;
use super::{
    App, AppError, accounts, authority, encrypted, federation, housekeeping, publish,
    sign_in_method,
};
use crate::auth::passwords::{Bounds, Checks};
use crate::auth::{Act, Action, Caller, Directory, NoDirectory, Refusals};
use crate::config::{RateSetting, Settings};
use crate::dnslink::{Gateway, key_of_seed};
use crate::http::{
    Api, LimitSettings, Limits, ManifestMemory, Metrics, OwnNames, Peer, Rate, RateLimitSettings,
    RateLimits, Readiness, TrustedProxies,
};
use crate::index::Index;
use crate::registry::Registry;
use crate::telemetry;

/// How many bytes of an answer the system takes before they can be sent. Without it a connection takes more only
/// once a third of its buffer is free, of megabytes: a client that reads slowly would seem to read nothing.
const UNSENT: u32 = 128 * 1024;

/// How many threads each worker may have for what blocks: a fast upload holds one, and a pull of what
/// is not in the page cache.
const BLOCKING_THREADS: usize = 256;

/// How soon after the first signal another one is still the same.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// How often the server looks for changed users.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// What is allowed for one start.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions {
    /// Whether clients may sign in otherwise than before, where other processes may use the index: none does now.
    pub change_sign_in: bool,
    /// Whether repositories that are not public become so, where clients have no accounts.
    pub make_public: bool,
}

/// Serves until the process has to stop; then finishes transfers for as long as the settings
/// allow. `ready` is called with the address once requests are answered.
///
/// # Errors
/// [`AppError::Listen`] when the address is taken; [`AppError::Auth`] and [`AppError::Tls`] when a
/// file that the settings name is bad; those of [`App::open`].
pub async fn serve(
    settings: &Settings,
    options: StartOptions,
    ready: impl AsyncFnOnce(SocketAddr, &Registry),
) -> Result<(), AppError> {
    let signals = StopSignals::new()?;
    let descriptors = allow_many_connections();
    let limits = limits(settings, descriptors);
    let address = settings.server.listen;
    let listener =
        TcpListener::bind(address).map_err(|source| AppError::Listen { address, source })?;
    // Inherited by each connection.
    if let Err(error) = SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT) {
        tracing::warn!(%error, "failed to limit the send buffer of a connection");
    }
    let address = listener.local_addr().map_err(AppError::Server)?;
    // Whether it can be made is reported before anything else is; the key is in the index.
    let no_directory: Arc<dyn Directory> = Arc::new(NoDirectory);
    let bounds = Bounds::of_accounts(settings.auth.sign_ins);
    let checks = Arc::new(Checks::new(bounds).rehashing());
    authority(settings, &[0; 32], &no_directory, &checks)?;
    let certificate = settings.server.tls.as_ref().map(Certificate::open).transpose()?;
    warn_of_plain_passwords(settings);
    warn_of_unknown_url(settings);
    warn_of_workloads(settings);
    let mut app = App::open(settings).await?;
    let before = sign_in_method::expect(settings, &app.index, options.change_sign_in).await?;
    sign_in_method::hide(settings, &app, &before, options.make_public).await?;
    let setup = accounts::prepare(settings, &app.index).await?;
    sign_in_method::record(settings, &app.index, &before).await?;
    app.registry = app.registry.mending_from(federation::sources(settings)?);
    if let Some(federation) = federation::open(settings)? {
        app.registry = app.registry.federating(federation);
    }
    let publisher = publish::publisher(settings, &app.registry)?;
    if let Some(publisher) = &publisher {
        app.registry = app.registry.published_by(publisher);
    }
    let directory: Arc<dyn Directory> =
        Arc::new(accounts::IndexDirectory::new(Arc::clone(&app.index)));
    let secret = app.index.secret("tokens").await?;
    let refusals = Arc::new(Refusals::default());
    let authority = authority(settings, &secret, &directory, &checks)?.noting(&refusals);
    // What anonymous clients may pull, they may read by its CID.
    let anonymous = authority.decide(&Caller::anonymous(), Act::Any(Action::Pull)).await;
    let peer = Peer {
        id: key_of_seed(&app.index.secret("peer").await?),
        gateway: reached_at(settings, address),
    };
    let proxies = Arc::new(TrustedProxies::new(settings.server.trusted_proxies.clone()));
    let metrics = Metrics::new();
    let api = Data::new(Api {
        registry: app.registry.clone(),
        authority,
        administration: accounts::administration(settings, &app.index, &checks, &refusals),
        external_url: settings.server.external_url.as_ref().map(ToString::to_string),
        own_names: own_names(settings),
        address,
        is_encrypted: settings.server.tls.is_some(),
        body_idle: settings.uploads.idle_timeout,
        manifest_idle: settings.manifests.idle_timeout,
        limits: Limits::new(limits, Arc::clone(&proxies)),
        rate_limits: RateLimits::new(rate_limits(settings)),
        proxies,
        gateway: (settings.gateway.enabled && anonymous.is_ok()).then_some(peer),
        readiness: Readiness::default(),
        manifest_memory: ManifestMemory::new(
            settings.manifests.max_memory,
            settings.manifests.max_bytes,
            metrics.clone(),
        ),
        metrics,
    });
    let refreshed = api.clone();
    let stop = signals.stop(settings.server.shutdown_grace);
    let running = begin(settings, listener, certificate.as_ref(), api, stop);
    let running = running.map_err(AppError::Server)?;

    let housekeeping = housekeeping::begin(&app.registry, settings, &app.index, &refusals);
    let publisher = publisher.map(Arc::new);
    let data = settings.server.data.clone();
    let commands = Commands {
        registry: app.registry.clone(),
        index: app.index.clone(),
        publisher: publisher.clone(),
        purging: Mutex::default(),
        mending: commands::Mending::default(),
    };
    let commanded = tokio::spawn(commands::serve(commands, data));
    let publishing = publisher.map(|publisher| tokio::spawn(async move { publisher.run().await }));
    let refreshing = tokio::spawn(refresh_users(refreshed));
    let is_encrypted = certificate.is_some();
    let watching = certificate.map(|certificate| tokio::spawn(certificate.keep_current()));
    Setup::print(setup.as_ref(), settings, address);
    tracing::info!(%address, tls = is_encrypted, data = %settings.server.data.display(), "listening");
    ready(address, &app.registry).await;
    let ended = end_of(running, settings, &app.index).await;
    drop(housekeeping);
    commanded.abort();
    refreshing.abort();
    for task in publishing.into_iter().chain(watching) {
        task.abort();
    }
    housekeeping::end(&app.registry, settings.server.shutdown_grace).await;
    housekeeping::write_last_refusals(&app.index, &refusals).await;
    tracing::info!("stopped");
    ended
}

/// Serves until the process has to stop, or another one has changed how clients sign in.
async fn end_of(running: Server, settings: &Settings, index: &Index) -> Result<(), AppError> {
    let handle = running.handle();
    let mut running = pin!(running);
    tokio::select! {
        ended = &mut running => ended.map_err(AppError::Server),
        other = sign_in_method::changed(settings, index) => {
            tracing::error!(%other, "stopping: another process has changed how clients sign in");
            // What goes on may be what is not allowed any more.
            let ((), _) = tokio::join!(handle.stop(false), running);
            Err(other)
        }
    }
}

/// Begins to answer requests.
fn begin(
    settings: &Settings,
    listener: TcpListener,
    certificate: Option<&Arc<Certificate>>,
    api: Data<Api>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Server> {
    let grace = settings.server.shutdown_grace.as_secs();
    let Some(certificate) = certificate else {
        let connected = api.clone();
        return Ok(HttpServer::new(move || application(api.clone()))
            .on_connect(move |stream, data| {
                connected.limits.connect(&connected.metrics, stream, data);
            })
            .h1_write_buffer_size(WRITE_BUFFER)
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .keep_alive(KEEP_ALIVE)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .shutdown_timeout(grace)
            .shutdown_signal(stop)
            .listen(listener)?
            .run());
    };
    let builder = Server::build()
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .shutdown_timeout(grace)
        .shutdown_signal(stop);
    Ok(encrypted::listen(builder, listener, certificate, api)?.run())
}

/// Looks each second whether the operator has changed the users.
async fn refresh_users(api: Data<Api>) {
    let mut interval = tokio::time::interval(REFRESH_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        api.authority.refresh().await;
    }
}

/// Returns the names that clients reach this server under.
fn own_names(settings: &Settings) -> OwnNames {
    let server = &settings.server;
    let is_local = server.listen.ip().to_canonical().is_loopback();
    OwnNames {
        external_url: server.external_url.as_ref().map(ToString::to_string),
        hosts: server.hosts.clone(),
        domains: [&server.domains[..], &settings.federation.hosts[..]].concat(),
        is_open_on_loopback: settings.auth.method == "open" && is_local,
    }
}

/// Returns where others reach this server, if that is known.
fn reached_at(settings: &Settings, address: SocketAddr) -> Option<Gateway> {
    if let Some(url) = &settings.server.external_url {
        return Gateway::from_url(url.as_str());
    }
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    (!address.ip().is_unspecified()).then(|| Gateway::from_url(&format!("{scheme}://{address}")))?
}

/// Raises the number of files and connections to what the system allows, and returns it; by default it
/// is low, for the sake of programs that are no longer written.
fn allow_many_connections() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "failed to raise the limit of open files");
        limit.current = before;
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Returns what clients may have under way, within what the system allows.
fn limits(settings: &Settings, descriptors: u64) -> LimitSettings {
    let set = &settings.server.limits;
    let limits = LimitSettings {
        requests_per_connection: set.requests_per_connection,
        transfers: set.transfers,
        transfers_per_client: set.transfers_per_client,
        connections: set.connections,
        connections_per_client: set.connections_per_client,
        send_timeout: set.send_timeout,
    };
    let within = limits.within(descriptors);
    tracing::info!(
        descriptors,
        connections = within.connections,
        connections_per_client = within.connections_per_client,
        transfers = within.transfers,
        transfers_per_client = within.transfers_per_client,
        "limits of connections and transfers"
    );
    within
}

/// Returns how often users and clients may pull and push.
fn rate_limits(settings: &Settings) -> RateLimitSettings {
    let set = &settings.server.limits;
    let rate = |it: Option<RateSetting>| it.map(|it| Rate { count: it.count, period: it.period });
    RateLimitSettings {
        pulls: rate(set.pulls),
        anonymous_pulls: rate(set.anonymous_pulls),
        pushes: rate(set.pushes),
    }
}

/// Says so when passwords would cross a network in plain text. It is not refused, since a
/// proxy that encrypts may be in front.
fn warn_of_plain_passwords(settings: &Settings) {
    let server = &settings.server;
    let is_local = server.listen.ip().to_canonical().is_loopback();
    let is_proxied =
        server.external_url.as_ref().is_some_and(|url| url.as_str().starts_with("https:"));
    if settings.auth.method != "open" && server.tls.is_none() && !is_local && !is_proxied {
        tracing::warn!("passwords are sent unencrypted: set `server.tls.certificate`");
    }
}

/// Says what rules for workloads may let in more than they seem to, and that they let in nothing without accounts.
fn warn_of_workloads(settings: &Settings) {
    let rules = &settings.auth.workloads;
    if !rules.is_empty() && !accounts::are_used(settings) {
        tracing::warn!(
            "auth.workloads is not used: workloads sign in where auth.method is \"accounts\""
        );
        return;
    }
    for (number, rule) in rules.iter().enumerate() {
        for warning in rule.warnings() {
            tracing::warn!(rule = number + 1, "{warning} (auth.workloads)");
        }
    }
}

/// Says so when clients are sent for tokens to whatever host they name, by the scheme of the connection:
/// behind a proxy that encrypts, that is the wrong one unless the proxy says otherwise.
fn warn_of_unknown_url(settings: &Settings) {
    let server = &settings.server;
    let auth = &settings.auth;
    let has_tokens =
        auth.method == "accounts" || (auth.method == "htpasswd" && auth.htpasswd.anonymous_pull);
    if has_tokens && server.tls.is_none() && server.external_url.is_none() {
        tracing::warn!(
            "the address for tokens is taken from each request: behind a proxy, set `server.external_url`"
        );
    }
}

/// The signals that stop the process, from the moment that it was made.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, AppError> {
        let signals = signal(SignalKind::terminate()).and_then(|terminate| {
            Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
        });
        signals.map_err(AppError::Server)
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the signal to stop, and logs how long transfers may still run. At a second signal the process ends
    /// at once.
    async fn stop(mut self, grace: Duration) {
        self.next().await;
        tracing::info!(
            grace_seconds = grace.as_secs(),
            "stopping: new requests are refused, and running transfers have `grace_seconds` to finish"
        );
        tokio::spawn(async move {
            // `timeout`, and any signal to a group, sends the same thing twice.
            let same = async {
                loop {
                    self.next().await;
                }
            };
            let _: Result<(), _> = timeout(SAME_SIGNAL, same).await;
            self.next().await;
            tracing::warn!("stopped at once");
            telemetry::end();
            std::process::exit(1);
        });
    }
}

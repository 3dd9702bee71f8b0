//! What a client may not see. `open` allows everything, so that these tests bring a way to decide of
//! their own, and the API runs in the test's process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Data;
use async_trait::async_trait;
use roadstead::accounts::Administration;
use roadstead::auth::accounts::State;
use roadstead::auth::{
    AccessControl, Act, AuthError, Authority, Caller, Challenge, Credentials, Decision,
    IdentityProvider, Names, Policy, TokenIssuer, TokenService,
};
use roadstead::config::Settings;
use roadstead::http::{self, Api, ManifestMemory, Metrics, OwnNames, Readiness, routes};
use roadstead::index::Index;
use roadstead::registry::{Limits, Registry};
use roadstead::storage::{Lease, Locks, StorageContext};
use roadstead::{index, storage};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::common::content::sha256;

/// Whoever says a name may do everything below it, and nothing elsewhere.
pub(super) struct ByName;

#[async_trait]
impl IdentityProvider for ByName {
    async fn identify(&self, credentials: &Credentials, _: IpAddr) -> Result<Caller, AuthError> {
        Ok(match credentials {
            Credentials::Bearer(user) => Caller::user(user.expose_secret()),
            _ => Caller::anonymous(),
        })
    }

    async fn refresh(&self) {}

    fn challenge(&self, _: Act<'_>) -> Option<Challenge> {
        Some(Challenge::Basic)
    }

    fn issuer(&self) -> Option<&dyn TokenIssuer> {
        None
    }

    fn token_service(&self) -> Option<&TokenService> {
        None
    }
}

#[async_trait]
impl Policy for ByName {
    async fn decide(&self, caller: &Caller, act: Act<'_>, _: State) -> Decision {
        let is_allowed = match (caller.subject(), act) {
            (None, _) | (_, Act::List | Act::Metrics) => false,
            (Some(_), Act::Ask | Act::SignIn | Act::Any(_)) => true,
            (Some(user), Act::On(_, repository)) => repository.namespace() == Some(user),
        };
        if is_allowed { Decision::Allow } else { Decision::Challenge }
    }
}

fn bearer(user: &str) -> String {
    format!("Bearer {user}")
}

/// A storage of one process, which needs no locks.
struct NoOtherProcess;

#[async_trait]
impl Locks for NoOtherProcess {
    async fn begin_linking(&self) -> storage::Result<Option<Box<dyn Lease>>> {
        unreachable!("nothing is shared")
    }

    async fn begin_cleaning(&self) -> storage::Result<Box<dyn Lease>> {
        unreachable!("nothing is shared")
    }
}

async fn api(data: &TempDir) -> Data<Api> {
    api_with(data, Box::new(ByName), None, open_index(data).await).await
}

pub(super) async fn open_index(data: &TempDir) -> Arc<Index> {
    let url = format!("sqlite:{}", data.path().join("index.sqlite").display());
    index::open(&url).await.expect("the folder is new")
}

/// The API of callers who are found out in that way, and may do what is below their names.
pub(super) async fn api_with(
    data: &TempDir,
    provider: Box<dyn IdentityProvider>,
    administration: Option<Arc<Administration>>,
    index: Arc<Index>,
) -> Data<Api> {
    let embedded = storage::DRIVERS.iter().find(|driver| driver.name == "embedded");
    let settings = Settings::default();
    let context = StorageContext {
        data: data.path(),
        settings: &settings.storage,
        locks: Arc::new(NoOtherProcess),
    };
    let storage = (embedded.expect("it is a row").open)(context).await.expect("the folder is new");
    storage.repair().await.expect("the folder is new");
    let limits = Limits { commit_wait: Duration::from_secs(10), ..Limits::default() };
    Data::new(Api {
        gateway: None,
        registry: Registry::new(index, storage, limits),
        authority: Authority::new(
            AccessControl { provider, policy: Box::new(ByName) },
            Names::default(),
        ),
        administration,
        external_url: None,
        address: ([127, 0, 0, 1], 5000).into(),
        is_encrypted: false,
        own_names: OwnNames::default(),
        body_idle: std::time::Duration::from_mins(1),
        manifest_idle: Duration::from_mins(1),
        limits: http::Limits::new(http::LimitSettings::default(), Arc::default()),
        rate_limits: http::RateLimits::new(http::RateLimitSettings::default()),
        proxies: Arc::default(),
        readiness: Readiness::default(),
        manifest_memory: ManifestMemory::new(64 << 20, 4 << 20, Metrics::new()),
        metrics: Metrics::new(),
    })
}

#[actix_web::test]
async fn a_mount_takes_blobs_only_from_where_the_client_may_pull() {
    let data = TempDir::new().expect("a temporary folder can be made");
    let service = init_service(
        actix_web::App::new()
            .app_data(api(&data).await)
            .configure(|config| routes(config, &Metrics::new())),
    )
    .await;
    let post = |user: &str, name: &str, query: &str| {
        let uri = format!("/v2/{name}/blobs/uploads/?{query}");
        TestRequest::post().uri(&uri).insert_header(("Authorization", bearer(user)))
    };
    let digest = sha256(b"secret");
    let pushed = post("alice", "alice/app", &format!("digest={digest}"));
    let pushed = call_service(&service, pushed.set_payload("secret").to_request()).await;
    assert_eq!(pushed.status(), StatusCode::CREATED);

    // Neither by name nor by search, and with no hint that somebody has it.
    for query in [format!("mount={digest}&from=alice/app"), format!("mount={digest}")] {
        let response = call_service(&service, post("bob", "bob/app", &query).to_request()).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{query}");
        let location = response.headers().get(LOCATION).expect("an upload has begun");
        assert!(location.as_bytes().starts_with(b"/v2/bob/app/blobs/uploads/"), "{query}");
        let path = format!("/v2/bob/app/blobs/{digest}");
        let get = TestRequest::get().uri(&path).insert_header(("Authorization", bearer("bob")));
        let response = call_service(&service, get.to_request()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{query}");
    }
    for query in [format!("mount={digest}&from=alice/app"), format!("mount={digest}")] {
        let other = format!("alice/other{}", query.len());
        let response = call_service(&service, post("alice", &other, &query).to_request()).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{query}");
    }
}

#[actix_web::test]
async fn every_path_asks_for_leave() {
    let data = TempDir::new().expect("a temporary folder can be made");
    let service = init_service(
        actix_web::App::new()
            .app_data(api(&data).await)
            .configure(|config| routes(config, &Metrics::new())),
    )
    .await;
    let digest = sha256(b"content");
    for (method, path) in [
        ("GET", "tags/list".to_owned()),
        ("GET", format!("referrers/{digest}")),
        ("GET", format!("blobs/{digest}")),
        ("HEAD", format!("blobs/{digest}")),
        ("DELETE", format!("blobs/{digest}")),
        ("GET", "manifests/v1".to_owned()),
        ("HEAD", "manifests/v1".to_owned()),
        ("PUT", "manifests/v1".to_owned()),
        ("DELETE", "manifests/v1".to_owned()),
        ("POST", "blobs/uploads/".to_owned()),
        ("POST", "blobs/uploads".to_owned()),
        ("GET", "blobs/uploads/x".to_owned()),
        ("PATCH", "blobs/uploads/x".to_owned()),
        ("PUT", format!("blobs/uploads/x?digest={digest}")),
        ("DELETE", "blobs/uploads/x".to_owned()),
        ("GET", "../../_catalog".to_owned()),
    ] {
        let method = method.parse().expect("it is a method");
        let path = match path.strip_prefix("../../") {
            Some(path) => format!("/v2/{path}"),
            None => format!("/v2/alice/app/{path}"),
        };
        let request = TestRequest::default().method(method).uri(&path);
        let request = request.insert_header(("Authorization", bearer("bob")));
        let response = call_service(&service, request.to_request()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

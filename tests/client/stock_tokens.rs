//! The stock registry with tokens: a service of the test's own signs them, as the operator of one would have it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use roadstead::client::ClientErrorKind;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::fake::{Fake, answer};
use crate::client::{client, client_of, digest, repository};
use crate::clients::stock_registry::StockRegistry;
use crate::common::require;

/// Signs tokens; its certificate is what the registry trusts.
struct Signer {
    key: EcdsaKeyPair,
    certificate: rcgen::Certificate,
}

impl Signer {
    fn new() -> Self {
        let key = KeyPair::generate().expect("it needs nothing from outside");
        let params = CertificateParams::new(["tokens".to_owned()]).expect("it is a name");
        let certificate = params.self_signed(&key).expect("it can be signed");
        let der = key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        Self { key: key.expect("it is such a key"), certificate }
    }

    /// Makes a JWT (RFC 7519) that allows this for a minute.
    fn sign(&self, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
        let x5c = BASE64_STANDARD.encode(self.certificate.der());
        let header = json!({ "alg": "ES256", "typ": "JWT", "x5c": [x5c] });
        let claims = json!({
            "iss": "tests", "aud": "stock", "sub": "anna", "jti": "1",
            "iat": now, "nbf": now - 10, "exp": now + 60, "access": access,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).expect("it signs");
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Reads the scopes of a request for a token: `repository:a:pull,push`.
fn scopes(head: &str) -> Vec<Value> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
    let scopes = scopes.map(|it| it.replace("%3a", ":").replace("%2c", ",").replace("%2f", "/"));
    let access = scopes.map(|scope| {
        let parts: Vec<_> = scope.split(':').collect();
        let actions: Vec<_> = parts[2].split(',').collect();
        json!({ "type": parts[0], "name": parts[1], "actions": actions })
    });
    access.collect()
}

/// A stock registry whose tokens come from a service that knows anna, whose password is sesame.
pub(crate) struct Guarded {
    pub(crate) stock: StockRegistry,
    _service: Fake,
    _folder: TempDir,
}

impl Guarded {
    /// Starts it, if the registry is there.
    pub(crate) fn start() -> Option<Self> {
        let program = require("registry")?;
        let signer = Signer::new();
        let folder = TempDir::new().expect("a temporary folder can be made");
        let bundle = folder.path().join("bundle.pem");
        std::fs::write(&bundle, signer.certificate.pem()).expect("a file can be written");
        let service = Fake::start(move |head| {
            // Basic credentials of anna and sesame, in lower case as the whole head.
            if !head.contains("authorization: basic yw5uytpzzxnhbwu=") {
                return answer(401, "", br#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#);
            }
            let token = signer.sign(&scopes(head));
            answer(200, "", json!({ "token": token, "expires_in": 60 }).to_string().as_bytes())
        });
        let auth = json!({ "token": {
            "realm": format!("{}/token", service.url()),
            "service": "stock",
            "issuer": "tests",
            "rootcertbundle": bundle,
        }});
        let data = folder.path().join("data");
        let stock = StockRegistry::start_with(&program, &data, false, Some(auth));
        Some(Self { stock, _service: service, _folder: folder })
    }
}

#[tokio::test]
async fn the_stock_registry_takes_the_tokens_that_its_service_issues() {
    let Some(guarded) = Guarded::start() else { return };
    let stock = &guarded.stock;
    let url = format!("http://{}", stock.address());

    let anna = client_of(&url, "anna", "sesame");
    anna.ping().await.unwrap();
    let (base, app) = (repository(&anna, "team/base"), repository(&anna, "team/app"));
    base.push_blob(&digest(b"layer"), &"layer".into()).await.unwrap();
    app.mount_or_push_blob(&digest(b"layer"), base.name(), &"layer".into()).await.unwrap();
    let blob = app.blob(&digest(b"layer")).await.unwrap();
    assert_eq!(blob.read_to_end(5).await.unwrap(), "layer");
    app.delete_blob(&digest(b"layer")).await.unwrap();
    let names = anna.repositories().all().await.unwrap();
    assert!(names.len() <= 2, "{names:?}");

    let error = client_of(&url, "anna", "wrong").ping().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unauthorized, "{error}");
    let stranger = repository(&client(&url), "team/app");
    let error = stranger.blob_size(&digest(b"layer")).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unauthorized, "{error}");
}

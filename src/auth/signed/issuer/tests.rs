use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::super::own_tokens::compact;
use super::super::{Algorithm, FetchError, KeyRing, SigningKey, generate};
use super::*;

const NAME: &str = "https://issuer.example";
const KEYS: &str = "https://issuer.example/keys";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_100)
}

/// Documents by URL, and how often one was fetched.
#[derive(Default)]
struct Web {
    documents: Mutex<HashMap<String, Vec<u8>>>,
    count: AtomicUsize,
    delay: Duration,
}

impl Web {
    fn put(&self, url: &str, document: &(impl ToString + ?Sized)) {
        self.documents.lock().unwrap().insert(url.to_owned(), document.to_string().into_bytes());
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeyFetcher for Web {
    async fn fetch(&self, url: &str, _: usize) -> Result<Vec<u8>, FetchError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        self.documents.lock().unwrap().get(url).cloned().ok_or_else(|| "it is away".into())
    }
}

fn key() -> SigningKey {
    let bytes = generate(Algorithm::EdDsa).unwrap();
    SigningKey::from_pkcs8(Algorithm::EdDsa, bytes.expose_secret()).unwrap()
}

fn set(keys: &[&SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| json!(key.jwk())).collect::<Vec<_>>() })
}

fn claims() -> Value {
    json!({ "iss": NAME, "sub": "job", "aud": "registry", "exp": 1_800_000_300, "nbf": 1_800_000_000 })
}

fn signed(key: &SigningKey, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": key.algorithm().name() });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    compact(&header, claims, |message| key.sign(message)).unwrap()
}

fn token(key: &SigningKey) -> String {
    signed(key, Some(key.id()), &claims())
}

fn pace(milliseconds: u64) -> Pace {
    let pause = Duration::from_millis(milliseconds);
    Pace { pause, first_pause: pause, ..Pace::default() }
}

fn by_url(web: &Arc<Web>, pace: Pace) -> Issuer {
    let source = KeySource::Url(KEYS.to_owned(), Arc::clone(web) as _);
    Issuer::with(NAME.to_owned(), source, pace).unwrap()
}

async fn refusal(issuer: &Issuer, text: &str) -> TokenError {
    issuer.verify(text, now()).await.expect_err(text)
}

#[tokio::test]
async fn tokens_of_an_independent_library_are_verified() {
    let vectors: Value = serde_json::from_str(include_str!("pyjwt.json")).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, vectors["jwks"].to_string()).unwrap();
    let issuer = Issuer::open(NAME, KeySource::File(path)).unwrap();
    for (algorithm, text) in vectors["tokens"].as_object().unwrap() {
        let text = text.as_str().unwrap();
        let claims = issuer.verify(text, now()).await.unwrap();
        assert_eq!(claims.subject(), "anna", "{algorithm}");
        assert!(claims.is_for("registry.example") && !claims.is_for("registry"));
        let access = claims.scopes().unwrap().access();
        assert_eq!((access.len(), &*access[0].name), (1, "team/app"));
        assert_eq!(claims.until(), now() + Duration::from_secs(260));
        assert_eq!(claimed_issuer(text).as_deref(), Some(NAME));
        let forged = format!("{}x", &text[..text.len() - 1]);
        assert!(issuer.verify(&forged, now()).await.is_err() || forged == text);
        let late = now() + Duration::from_secs(260);
        assert_eq!(issuer.verify(text, late).await, Err(TokenError::Expired), "{algorithm}");
    }
}

#[tokio::test]
async fn times_issuer_and_audience_are_checked_in_each_form() {
    let (web, key) = (Arc::new(Web::default()), key());
    web.put(KEYS, &set(&[&key]));
    let issuer = by_url(&web, Pace::default());
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        if claims[claim].is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        }
        signed(&key, Some(key.id()), &claims)
    };
    for (claim, value, expected) in [
        ("exp", json!(null), Err(TokenError::Claim("exp"))),
        ("exp", json!("1800000300"), Err(TokenError::Claim("exp"))),
        ("exp", json!([1_800_000_300]), Err(TokenError::Claim("exp"))),
        ("exp", json!(-1), Err(TokenError::Claim("exp"))),
        ("exp", json!(1e300), Err(TokenError::Claim("exp"))),
        ("exp", json!(1_800_000_300.5), Ok(())),
        ("exp", json!(u64::MAX), Ok(())),
        ("exp", json!(0), Err(TokenError::Expired)),
        ("nbf", json!(null), Ok(())),
        ("nbf", json!("1800000000"), Err(TokenError::Claim("nbf"))),
        ("nbf", json!([]), Err(TokenError::Claim("nbf"))),
        ("nbf", json!(-5), Err(TokenError::Claim("nbf"))),
        ("nbf", json!(1_800_000_000.9), Ok(())),
        ("nbf", json!(1_800_000_161), Err(TokenError::NotYetValid)),
        ("nbf", json!(1_800_000_160), Ok(())),
        ("iat", json!("now"), Err(TokenError::Claim("iat"))),
        ("sub", json!(7), Err(TokenError::Claim("sub"))),
        ("sub", json!(null), Ok(())),
        ("iss", json!(null), Err(TokenError::Issuer)),
        ("iss", json!([NAME]), Err(TokenError::Issuer)),
        ("iss", json!("https://issuer.example/"), Err(TokenError::Issuer)),
        ("iss", json!("https://ISSUER.example"), Err(TokenError::Issuer)),
        ("iss", json!("https://issu\u{435}r.example"), Err(TokenError::Issuer)),
        ("iss", json!("https://issuer.example/realm"), Err(TokenError::Issuer)),
    ] {
        let verified = issuer.verify(&with(claim, value.clone()), now()).await.map(|_| ());
        // Some forms are refused by the library already.
        let is_malformed =
            verified == Err(TokenError::Malformed) && matches!(expected, Err(TokenError::Claim(_)));
        assert!(verified == expected || is_malformed, "{claim} {value} {verified:?}");
    }
    for (audience, is_for) in [
        (json!("registry"), true),
        (json!(["other", "registry"]), true),
        (json!(["registry", 7]), false),
        (json!(["other"]), false),
        (json!("registry/"), false),
        (json!("Registry"), false),
        (json!({ "registry": true }), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        let claims = issuer.verify(&with("aud", audience.clone()), now()).await.unwrap();
        assert_eq!(claims.is_for("registry"), is_for, "{audience}");
    }
    let malformed = issuer.verify(&with("access", json!("*")), now()).await.unwrap();
    assert_eq!(malformed.scopes(), Err(TokenError::Claim("access")));
    assert_eq!(web.count(), 1);
}

#[tokio::test]
async fn keys_are_found_where_the_discovery_document_of_the_issuer_says() {
    let key = key();
    for (name, address) in [
        (NAME, "https://issuer.example/.well-known/openid-configuration"),
        ("https://issuer.example/", "https://issuer.example/.well-known/openid-configuration"),
        ("https://a.example/realm/x", "https://a.example/realm/x/.well-known/openid-configuration"),
    ] {
        let mut own = claims();
        own["iss"] = name.into();
        let text = signed(&key, Some(key.id()), &own);
        let other = format!("{}/", name.trim_end_matches('/'));
        let other = if other == name { NAME } else { &other };
        for (said, is_good) in [(name, true), (other, false), ("https://evil.example", false)] {
            let web = Arc::new(Web::default());
            web.put(address, &json!({ "issuer": said, "jwks_uri": KEYS }));
            web.put(KEYS, &set(&[&key]));
            let source = KeySource::Discovery(Arc::clone(&web) as _);
            let issuer = Issuer::open(name, source).unwrap();
            let verified = issuer.verify(&text, now()).await.map(|_| ());
            assert_eq!(verified, if is_good { Ok(()) } else { Err(TokenError::NoKeys) }, "{said}");
        }
    }
    let web = Arc::new(Web::default());
    for document in ["", "{}", "[]", r#"{"issuer":"https://issuer.example"}"#] {
        web.put("https://issuer.example/.well-known/openid-configuration", document);
        let source = KeySource::Discovery(Arc::clone(&web) as _);
        let issuer = Issuer::open(NAME, source).unwrap();
        assert_eq!(refusal(&issuer, &token(&key)).await, TokenError::NoKeys, "{document}");
    }
}

#[tokio::test]
async fn unknown_keys_are_looked_for_once_a_minute() {
    let (web, old, new) = (Arc::new(Web::default()), key(), key());
    web.put(KEYS, &set(&[&old]));
    let issuer = by_url(&web, Pace::default());
    assert!(issuer.verify(&token(&old), now()).await.is_ok());
    for number in 0..1000 {
        let text = signed(&old, Some(&number.to_string()), &claims());
        assert_eq!(refusal(&issuer, &text).await, TokenError::UnknownKey);
    }
    let forged = signed(&new, Some(old.id()), &claims());
    assert_eq!(refusal(&issuer, &forged).await, TokenError::Signature);
    assert_eq!(web.count(), 1);

    let issuer = by_url(&web, pace(20));
    assert!(issuer.verify(&token(&old), now()).await.is_ok());
    let version = issuer.version().await;
    web.put(KEYS, &set(&[&old, &new]));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(issuer.verify(&token(&new), now()).await.is_ok(), "rotated");
    assert_ne!(issuer.version().await, version);
    // Another key under the same name.
    let mut renamed = json!(old.jwk());
    renamed["kid"] = new.id().into();
    web.put(KEYS, &json!({ "keys": [renamed] }));
    tokio::time::sleep(Duration::from_millis(30)).await;
    let text = signed(&old, Some(new.id()), &claims());
    assert!(issuer.verify(&text, now()).await.is_ok(), "rotated under one name");
    assert_eq!(refusal(&issuer, &token(&new)).await, TokenError::Signature, "withdrawn");
}

#[tokio::test]
async fn keys_count_while_the_issuer_is_away() {
    let (web, key) = (Arc::new(Web::default()), key());
    let mut often = pace(10);
    let issuer = by_url(&web, often);
    assert_eq!(refusal(&issuer, &token(&key)).await, TokenError::NoKeys);
    web.put(KEYS, &set(&[&key]));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(issuer.verify(&token(&key), now()).await.is_ok(), "it came later");

    often.fresh = Duration::from_millis(20);
    let issuer = by_url(&web, often);
    assert!(issuer.verify(&token(&key), now()).await.is_ok());
    let count = web.count();
    for broken in ["", "{}", r#"{"keys":[]}"#] {
        web.put(KEYS, broken);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(issuer.verify(&token(&key), now()).await.is_ok(), "{broken}");
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(web.count() > count, "it was tried");
    often.stale = Duration::from_millis(40);
    web.put(KEYS, &set(&[&key]));
    let issuer = by_url(&web, often);
    assert!(issuer.verify(&token(&key), now()).await.is_ok());
    web.put(KEYS, "");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(refusal(&issuer, &token(&key)).await, TokenError::NoKeys, "for too long");
}

#[tokio::test]
async fn all_who_wait_share_one_fetch_and_it_survives_a_client_that_leaves() {
    let web = Arc::new(Web { delay: Duration::from_millis(100), ..Web::default() });
    let key = key();
    web.put(KEYS, &set(&[&key]));
    let issuer = Arc::new(by_url(&web, Pace::default()));
    let text = token(&key);
    let left = tokio::time::timeout(Duration::from_millis(10), issuer.verify(&text, now())).await;
    assert!(left.is_err(), "the client has left");
    let waiting = (0..20).map(|_| {
        let (issuer, text) = (Arc::clone(&issuer), text.clone());
        tokio::spawn(async move { issuer.verify(&text, now()).await })
    });
    for verified in waiting.collect::<Vec<_>>() {
        assert!(verified.await.unwrap().is_ok());
    }
    assert_eq!(web.count(), 1);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (old, new) = (key(), key());
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    let opened = || Issuer::open(NAME, KeySource::File(path.clone())).err();
    assert!(opened().is_some(), "absent");
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#] {
        std::fs::write(&path, bad).unwrap();
        assert!(opened().is_some(), "{bad}");
    }
    std::fs::write(&path, set(&[&old]).to_string()).unwrap();
    let issuer = Issuer::open(NAME, KeySource::File(path.clone())).unwrap();
    assert!(issuer.verify(&token(&old), now()).await.is_ok());
    std::fs::write(&path, "half a fi").unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(issuer.verify(&token(&old), now()).await.is_ok(), "the previous keys");
    std::fs::write(&path, set(&[&new]).to_string()).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(issuer.verify(&token(&new), now()).await.is_ok());
    assert_eq!(refusal(&issuer, &token(&old)).await, TokenError::UnknownKey);
}

#[tokio::test]
async fn keys_for_other_uses_are_passed_over_and_an_unnamed_key_has_to_be_the_only_one() {
    let (web, key, other) = (Arc::new(Web::default()), key(), key());
    let plain = json!(key.jwk());
    let edited = |edits: &[(&str, Value)]| {
        let mut jwk = plain.clone();
        for (member, value) in edits {
            jwk[member] = value.clone();
        }
        jwk
    };
    for (jwk, is_good) in [
        (edited(&[]), true),
        (edited(&[("use", json!("enc"))]), false),
        (edited(&[("key_ops", json!(["sign"]))]), false),
        (edited(&[("key_ops", json!(["verify"]))]), true),
        (edited(&[("alg", json!("HS256"))]), false),
        (edited(&[("alg", json!("RS256"))]), false),
        (edited(&[("alg", json!("none"))]), false),
        (edited(&[("crv", json!("Ed448"))]), false),
        (edited(&[("kty", json!("oct")), ("k", plain["x"].clone())]), false),
        (edited(&[("x", json!("AAAA"))]), false),
        (edited(&[("x", json!(7))]), false),
    ] {
        // Keys that are not known here spoil no others.
        let unknown = json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AA" });
        web.put(KEYS, &json!({ "keys": [7, unknown, jwk, other.jwk()] }));
        let issuer = by_url(&web, Pace::default());
        assert_eq!(issuer.verify(&token(&key), now()).await.is_ok(), is_good, "{jwk}");
        assert!(issuer.verify(&token(&other), now()).await.is_ok(), "{jwk}");
    }
    let unnamed = signed(&key, None, &claims());
    let mut alone = plain.clone();
    for member in ["kid", "alg"] {
        alone.as_object_mut().unwrap().remove(member);
    }
    for (keys, is_good) in [
        (json!([alone.clone()]), true),
        (json!([plain.clone()]), true),
        (json!([plain, other.jwk()]), false),
        (json!([alone, other.jwk()]), false),
    ] {
        web.put(KEYS, &json!({ "keys": keys }));
        let issuer = by_url(&web, Pace::default());
        assert_eq!(issuer.verify(&unnamed, now()).await.is_ok(), is_good, "{keys}");
        assert!(issuer.verify(&token(&key), now()).await.is_ok(), "by its thumbprint");
    }
    let ring = KeyRing::new(key, vec![other]);
    web.put(KEYS, &ring.public_set());
    let issuer = by_url(&web, Pace::default());
    assert!(issuer.verify(&token(ring.current()), now()).await.is_ok(), "our own set");
}

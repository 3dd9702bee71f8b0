use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;

use super::super::super::passwords::{Bounds, Checks};
use super::super::super::signed::{
    Algorithm, KeyRing, OwnTokens, SigningKey, Subject, SubjectKind, generate,
};
use super::super::super::{Authority, Names, Scopes};
use super::super::{Directory, METHODS, NoDirectory};
use super::*;
use crate::config::{Flag, Settings, Sources};
use crate::oci::RepositoryName;

const ISSUER: &str = "https://auth.example";

fn open_with(file: &Path) -> Result<AccessControl, SetupError> {
    let file = file.to_str().unwrap();
    let flag = |(setting, value): (&'static str, &str)| Flag {
        flag: "--flag",
        setting,
        value: value.to_owned(),
    };
    let flags = [
        ("auth.method", "token"),
        ("auth.token.realm", "https://auth.example/token"),
        ("auth.token.service", "registry.example"),
        ("auth.token.issuer", ISSUER),
        ("auth.token.jwks_file", file),
    ];
    let flags = flags.map(flag).into();
    let settings = Settings::load(&Sources { flags, ..Sources::default() }).unwrap();
    let fetcher = |_: &FetchOptions| panic!("nothing is fetched");
    let directory: Arc<dyn Directory> = Arc::new(NoDirectory);
    let checks = Arc::new(Checks::new(Bounds::wide()).rehashing());
    let context = AuthContext {
        checks: &checks,
        key: &[0; 32],
        open_fetcher: &fetcher,
        directory: &directory,
        anonymous_foreign: false,
    };
    let method = METHODS.iter().find(|method| method.name == "token").unwrap();
    (method.open)(&settings.auth, &context)
}

fn service(name: &str) -> OwnTokens {
    let bytes = generate(Algorithm::Es256).unwrap();
    let key = SigningKey::from_pkcs8(Algorithm::Es256, bytes.expose_secret()).unwrap();
    OwnTokens::new(ISSUER, name, KeyRing::new(key, Vec::new()))
}

fn bearer(tokens: &OwnTokens, name: &str, scopes: &str) -> Credentials {
    let subject = Subject::new(SubjectKind::User, "1", name);
    let (scopes, lifetime) = (Scopes::requested([scopes]), Duration::from_mins(5));
    let token = tokens.access(&subject, &scopes, lifetime, SystemTime::now()).unwrap();
    Credentials::Bearer(token.text)
}

#[tokio::test]
async fn the_bearer_of_a_token_may_do_what_the_token_says() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    assert!(open_with(&path).is_err(), "no keys");
    let tokens = service("registry.example");
    std::fs::write(&path, tokens.ring().public_set().to_string()).unwrap();
    let authority = Authority::new(open_with(&path).unwrap(), Names::default());
    let client = IpAddr::from([192, 0, 2, 1]);
    let realm = authority.token_service().unwrap().realm.as_str();
    assert_eq!(realm, "https://auth.example/token");
    let name = |text: &str| text.parse::<RepositoryName>().unwrap();

    let credentials = bearer(&tokens, "anna", "repository:team/app:pull,push");
    for _ in 0..2 {
        let anna = authority.identify(&credentials, client).await.unwrap();
        assert_eq!(anna.subject(), Some("anna"));
        assert!(authority.pull(&anna, name("team/app")).await.is_ok());
        assert!(authority.push(&anna, name("team/app")).await.is_ok());
        let lacking = |scope: &str| {
            AuthError::Unauthorized(Challenge::Token {
                scope: Some(scope.to_owned()),
                fault: Some(TokenFault::InsufficientScope),
            })
        };
        let refused = authority.delete(&anna, name("team/app")).await.err();
        assert_eq!(refused, Some(lacking("repository:team/app:delete")));
        let refused = authority.pull(&anna, name("team/other")).await.err();
        assert_eq!(refused, Some(lacking("repository:team/other:pull")));
        assert_eq!(authority.catalog(&anna).await.err(), Some(lacking("registry:catalog:*")));
    }
    let everything = bearer(&tokens, "", "repository:a:* registry:catalog:*");
    let unnamed = authority.identify(&everything, client).await.unwrap();
    assert!(unnamed.is_anonymous() && authority.delete(&unnamed, name("a")).await.is_ok());
    assert!(authority.catalog(&unnamed).await.is_ok());

    let challenge = |fault| AuthError::Unauthorized(Challenge::Token { scope: None, fault });
    let basic = Credentials::Basic { user: "anna".to_owned(), password: "secret".into() };
    let opaque = Credentials::Bearer(SecretString::from("opaque"));
    let invalid = Some(TokenFault::Invalid);
    for (credentials, fault) in [
        (Credentials::None, None),
        (Credentials::Malformed, None),
        (basic, None),
        (opaque, invalid),
        (bearer(&service("registry.example"), "anna", ""), invalid),
        (bearer(&service("other.example"), "anna", ""), invalid),
    ] {
        let refused = authority.identify(&credentials, client).await;
        assert_eq!(refused.err(), Some(challenge(fault)), "{credentials:?}");
    }
    let refused = authority.pull(&Caller::anonymous(), name("team/app")).await;
    assert!(matches!(refused, Err(AuthError::Unauthorized(_))));
    assert!(authority.sign_in(&credentials, client).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_for_another_service_or_of_a_withdrawn_key_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("jwks.json");
    let (tokens, elsewhere) = (service("registry.example"), service("other.example"));
    let both = [&tokens, &elsewhere].map(|it| it.ring().public_set()["keys"][0].clone());
    std::fs::write(&path, serde_json::json!({ "keys": both }).to_string()).unwrap();
    let access = open_with(&path).unwrap();
    let client = IpAddr::from([192, 0, 2, 1]);
    let identify = async |credentials: &Credentials| {
        access.provider.identify(credentials, client).await.is_ok()
    };
    let anna = bearer(&tokens, "anna", "");
    assert!(identify(&anna).await);
    assert!(!identify(&bearer(&elsewhere, "anna", "")).await, "its key is good");
    std::fs::write(&path, elsewhere.ring().public_set().to_string()).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!identify(&anna).await, "also if it was remembered");
}

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::signed::{
    Algorithm, FetchError, KeyFetcher, KeyRing, OwnTokens, SigningKey, generate,
};
use super::*;
use crate::config::{Settings, SettingsError, Sources};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_100)
}

/// Reads rules as a file of settings has them.
fn read(rules: &str) -> Result<Vec<WorkloadSettings>, SettingsError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("roadstead.toml");
    std::fs::write(&path, rules).unwrap();
    let sources = Sources { file: Some(path), ..Sources::default() };
    Settings::load(&sources).map(|settings| settings.auth.workloads)
}

/// An issuer with a file of keys.
struct Ci {
    folder: TempDir,
    key: SigningKey,
}

impl Ci {
    fn new() -> Self {
        let bytes = generate(Algorithm::Rs256).unwrap();
        let key = || SigningKey::from_pkcs8(Algorithm::Rs256, bytes.expose_secret()).unwrap();
        let folder = TempDir::new().unwrap();
        let set = KeyRing::new(key(), Vec::new()).public_set().to_string();
        std::fs::write(folder.path().join("jwks.json"), set).unwrap();
        Self { folder, key: key() }
    }

    /// Rules that differ in what they say, each of this issuer.
    fn rules(&self, rules: &[&str]) -> Workloads {
        let file = self.folder.path().join("jwks.json");
        let rules: Vec<String> = rules
            .iter()
            .map(|rule| {
                let rule = rule.split("; ").collect::<Vec<_>>().join("\n");
                let audience = if rule.contains("audience") { "" } else { "audience = 'registry'" };
                format!(
                    "[[auth.workloads]]\nissuer = '{GITHUB}'\njwks_file = '{}'\n{audience}\n{rule}\n",
                    file.display()
                )
            })
            .collect();
        let settings = read(&rules.concat()).unwrap_or_else(|error| panic!("{error}"));
        Workloads::open(&settings, &|_| panic!("nothing is fetched")).unwrap()
    }

    /// The token of a job on the main branch, with these differences.
    fn token(&self, edits: &Value) -> String {
        let mut claims = json!({
            "iss": GITHUB, "aud": "registry", "sub": "repo:org/app:ref:refs/heads/main",
            "exp": 1_800_000_300, "nbf": 1_800_000_000, "iat": 1_800_000_000,
            "repository": "org/app", "repository_id": "7", "repository_owner_id": "70",
            "ref": "refs/heads/main", "event_name": "push", "run_attempt": 1,
            "job_workflow_ref": "org/ci/.github/workflows/build.yml@refs/heads/main",
            "kubernetes.io": { "namespace": "ci", "serviceaccount": { "uid": "u1" } },
            "groups": ["a", "b"],
        });
        for (name, value) in edits.as_object().unwrap() {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
        }
        super::super::signed::sign_claims(&self.key, &claims)
    }
}

#[tokio::test]
async fn a_rule_lets_in_what_all_its_claims_say() {
    let ci = Ci::new();
    let rule = "claims = { repository_id = '7', ref = ['refs/heads/main', 'refs/tags/v*'] }; role = 'writer'; \
        pattern = 'org/**'";
    let workloads = ci.rules(&[rule]);
    let workload = workloads.identify(&ci.token(&json!({})), now()).await.unwrap();
    assert_eq!(workload.issuer, GITHUB);
    assert_eq!(workload.subject, "repo:org/app:ref:refs/heads/main");
    let [grant] = &workload.grants[..] else { panic!("{workload:?}") };
    assert_eq!((grant.role, grant.pattern.as_str()), ("writer", "org/**"));
    assert_eq!(workload.as_subject().rules.as_slice(), std::slice::from_ref(&grant.rule));
    assert_eq!(workloads.grants(&workload.as_subject().rules), workload.grants);
    assert_eq!(workloads.grants(&["other".to_owned()]), []);
    let changed = ci.rules(&[&rule.replace("v*", "w*")]);
    assert_eq!(changed.grants(&workload.as_subject().rules), [], "another rule by now");

    for (edits, expected) in [
        (json!({ "ref": "refs/tags/v1" }), None),
        (json!({ "repository": "org/renamed", "sub": "repo:org/renamed" }), None),
        (json!({ "repository_id": 7 }), None),
        (json!({ "repository_id": "8" }), Some(TokenError::NoRule)),
        (json!({ "repository_id": null }), Some(TokenError::NoRule)),
        (json!({ "repository_id": { "7": "7" } }), Some(TokenError::NoRule)),
        (json!({ "ref": "refs/heads/evil" }), Some(TokenError::NoRule)),
        (json!({ "ref": "refs/tags/v1/x" }), Some(TokenError::NoRule)),
        (json!({ "event_name": "pull_request_target" }), Some(TokenError::NoRule)),
        (json!({ "event_name": "workflow_run" }), Some(TokenError::NoRule)),
        (json!({ "event_name": ["push"] }), Some(TokenError::NoRule)),
        (json!({ "event_name": null }), None),
        (json!({ "aud": ["registry", "other"] }), None),
        (json!({ "aud": "https://github.com/org" }), Some(TokenError::Audience)),
        (json!({ "aud": null }), Some(TokenError::Audience)),
        (json!({ "sub": null }), Some(TokenError::Claim("sub"))),
        (json!({ "sub": "" }), Some(TokenError::Claim("sub"))),
        (json!({ "exp": 1_800_000_000 }), Some(TokenError::Expired)),
        (json!({ "nbf": 1_800_000_300 }), Some(TokenError::NotYetValid)),
        (json!({ "iss": "https://evil.example" }), Some(TokenError::Issuer)),
        (json!({ "iss": format!("{GITHUB}/") }), Some(TokenError::Issuer)),
    ] {
        let identified = workloads.identify(&ci.token(&edits), now()).await;
        // A token that is good until a moment ago has its leeway.
        let identified = if expected == Some(TokenError::Expired) {
            workloads.identify(&ci.token(&edits), now() + Duration::from_mins(1)).await
        } else {
            identified
        };
        assert_eq!(identified.err(), expected, "{edits}");
    }
    let other = Ci::new();
    let forged = workloads.identify(&other.token(&json!({})), now()).await;
    assert_eq!(forged.err(), Some(TokenError::UnknownKey));
    for text in ["", "a.b.c", "password", "rds_1_secret"] {
        let refused = workloads.identify(text, now()).await.err();
        assert_eq!(refused, Some(TokenError::Malformed), "{text}");
    }
}

#[tokio::test]
async fn rules_add_up_and_each_has_its_own_audience_and_claims() {
    let ci = Ci::new();
    let workloads = ci.rules(&[
        "claims = { repository_owner_id = '70' }; role = 'reader'; pattern = 'org/**'",
        "claims = { repository_id = '7', ref = 'refs/heads/main' }; role = 'writer'; pattern = 'org/app'",
        "audience = 'other'; claims = { repository_id = '7', ref = 'x' }; role = 'maintainer'; pattern = '**'",
        "claims = { repository_id = '7', 'kubernetes.io/serviceaccount/uid' = 'u1' }; role = 'reader'; pattern = 'pods/*'",
        "claims = { repository_id = '7', groups = 'b' }; role = 'reader'; pattern = 'groups/*'",
        "claims = { repository_id = '7', 'kubernetes.io/namespace/x' = '*x' }; role = 'reader'; pattern = 'none'",
        "claims = { repository_id = '7', event_name = 'workflow_run' }; role = 'reader'; pattern = 'runs'",
    ]);
    let patterns = async |edits: Value| {
        let workload = workloads.identify(&ci.token(&edits), now()).await;
        let patterns =
            |it: Workload| it.grants.into_iter().map(|it| it.pattern).collect::<Vec<_>>();
        workload.map(patterns)
    };
    let all = ["org/**", "org/app", "pods/*", "groups/*"].map(str::to_owned).to_vec();
    assert_eq!(patterns(json!({})).await, Ok(all));
    assert_eq!(patterns(json!({ "repository_id": "8" })).await, Ok(vec!["org/**".to_owned()]));
    let run = patterns(json!({ "event_name": "workflow_run" })).await;
    assert_eq!(run, Ok(vec!["runs".to_owned()]), "what a rule names itself");
    assert_eq!(patterns(json!({ "aud": "other" })).await, Err(TokenError::NoRule));
    let both = patterns(json!({ "aud": "other", "ref": "x" })).await;
    assert_eq!(both, Ok(vec!["**".to_owned()]));
}

#[tokio::test]
async fn without_rules_nobody_is_let_in() {
    let ci = Ci::new();
    let workloads = Workloads::open(&[], &|_| panic!("nothing is fetched")).unwrap();
    let refused = workloads.identify(&ci.token(&json!({})), now()).await;
    assert_eq!(refused.err(), Some(TokenError::Issuer));
    let own = OwnTokens::new(GITHUB, "registry", KeyRing::new(ci.key, Vec::new()));
    let anna = Subject::new(SubjectKind::User, "1", "anna");
    let token = own.refresh(&anna, Duration::from_mins(5), now()).unwrap();
    assert!(workloads.identify(token.text.expose_secret(), now()).await.is_err());
}

const GOOD: &str = "[[auth.workloads]]\nissuer = 'https://ci.example'\naudience = 'registry'\nrole = 'reader'\n\
    pattern = 'org/**'\nclaims = { project_id = '7' }\n";

#[test]
fn a_rule_that_lets_in_too_many_is_refused() {
    assert_eq!(read(GOOD).unwrap().len(), 1);
    let github = GOOD.replace("https://ci.example", GITHUB);
    let with = |claims: &str| github.replace("{ project_id = '7' }", claims);
    for (text, part) in [
        (GOOD.replace("{ project_id = '7' }", "{}"), "all workloads"),
        (GOOD.replace("'7'", "[]"), "has no value"),
        (GOOD.replace("'7'", "''"), "says something"),
        (GOOD.replace("'7'", "'**'"), "says something"),
        (GOOD.replace("'7'", "'7*'"), "is an id"),
        (GOOD.replace("'7'", "7"), ""),
        (GOOD.replace("'reader'", "'owner'"), "`role`"),
        (GOOD.replace("'registry'", "'https://ci.example'"), "API server"),
        (GOOD.replace("'registry'", "'https://kubernetes.default.svc'"), "API server"),
        (
            GOOD.replace("'registry'", "'https://kubernetes.default.svc.cluster.local'"),
            "API server",
        ),
        (GOOD.replace("'registry'", "'kubernetes.default.svc'"), "API server"),
        (GOOD.replace("'registry'", "''"), "`audience`"),
        (GOOD.replace("'registry'", "'a b'"), "`audience`"),
        (GOOD.replace("https://ci", "http://ci"), "cannot be fetched"),
        (GOOD.replace("https://ci.example", "ci"), "cannot be fetched"),
        (format!("{GOOD}jwks_url = 'http://ci.example/keys'"), "cannot be fetched"),
        (format!("{GOOD}jwks_url = 'https://a/keys'\njwks_file = 'x'"), "only one"),
        (format!("{GOOD}token_file = 'x'\n{GOOD}"), "fetches its keys otherwise"),
        (format!("{GOOD}audiences = ['x']"), "unknown field `audiences`"),
        (GOOD.replace("audience = 'registry'\n", ""), "missing field `audience`"),
        (with("{ ref = 'refs/heads/main' }"), "everyone"),
        (with("{ job_workflow_ref = 'org/ci/x.yml@refs/heads/main' }"), "called workflow"),
        (with("{ job_workflow_ref = 'org/ci/x.yml@main', repository = 'a/b' }"), "called workflow"),
    ] {
        let refused = read(&text).expect_err(&text).to_string();
        assert!(refused.contains("rule ") && refused.contains(part), "{text}: {refused}");
    }
    assert!(read("auth.workloads = ['x']").is_err() && read("auth.workloads = 5").is_err());
    assert!(
        read(&with("{ job_workflow_ref = 'o/ci/x.yml@main', repository_owner_id = '7' }")).is_ok()
    );
    assert!(
        read(&format!("{}allow_private_addresses = true", GOOD.replace("https:", "http:"))).is_ok()
    );
}

#[test]
fn a_rule_that_may_let_in_too_many_is_warned_of() {
    let github = GOOD.replace("https://ci.example", GITHUB);
    let warnings = |claims: &str, role: &str| {
        let text = github.replace("{ project_id = '7' }", claims).replace("reader", role);
        let found = read(&text).unwrap()[0].warnings();
        found.into_iter().map(|it| it.split('`').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (claims, role, expected) in [
        ("{ repository_id = '7' }", "reader", &[][..]),
        ("{ repository_id = '7' }", "writer", &["ref"]),
        ("{ repository_id = '7', ref = 'refs/heads/main' }", "writer", &[]),
        ("{ repository_id = '7', environment = 'prod' }", "maintainer", &[]),
        ("{ sub = 'repo:org/app:ref:refs/heads/main' }", "reader", &["sub"]),
        ("{ repository = 'org/app' }", "reader", &["repository"]),
        ("{ repository = 'org/app', repository_id = '7' }", "reader", &[]),
        (
            "{ repository_id = '7', ref = 'x', event_name = ['push', 'pull_request_target'] }",
            "writer",
            &["pull_request_target"],
        ),
    ] {
        assert_eq!(warnings(claims, role), expected, "{claims} {role}");
    }
    let pod = GOOD.replace("project_id = '7'", "sub = 'system:serviceaccount:ci:builder'");
    assert!(read(&pod.replace("reader", "writer")).unwrap()[0].warnings().is_empty());
}

#[test]
fn each_issuer_is_opened_once_as_its_rules_say() {
    struct Nothing;
    #[async_trait::async_trait]
    impl KeyFetcher for Nothing {
        async fn fetch(&self, _: &str, _: usize) -> Result<Vec<u8>, FetchError> {
            Err("nothing is fetched".into())
        }
    }
    let text = format!("{GOOD}token_file = 'x'\nca_file = 'y'\nallow_private_addresses = true\n");
    let rules = read(&[text.as_str(), &text.replace("'7'", "'8'")].concat()).unwrap();
    let opened = std::sync::Mutex::new(Vec::new());
    let fetcher = |options: &FetchOptions| {
        opened.lock().unwrap().push(options.clone());
        Ok(Arc::new(Nothing) as Arc<dyn KeyFetcher>)
    };
    Workloads::open(&rules, &fetcher).unwrap();
    let opened = opened.into_inner().unwrap();
    let [options] = &opened[..] else { panic!("{opened:?}") };
    assert!(options.allow_private_addresses);
    assert_eq!(options.token_file.as_deref(), Some("x".as_ref()));
    assert_eq!(options.ca_file.as_deref(), Some("y".as_ref()));
}

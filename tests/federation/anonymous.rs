//! What anonymous clients get of other people's images, by `federation.anonymous`.

use std::sync::{Arc, Mutex};

use bcrypt::Version;
use reqwest::Method;
use reqwest::header::HOST;
use tempfile::TempDir;

use crate::common::content::sha256;
use crate::common::http::{self, Response};
use crate::common::repository::{Pushed, Repository, assert_refused};
use crate::federation::operators::{DOMAIN, Operators};

/// Every request that could have something looked up or fetched, by its path in a repository.
fn routes(pushed: &Pushed) -> Vec<(Method, String)> {
    let paths = [
        "manifests/v1".to_owned(),
        format!("manifests/{}", pushed.digest),
        format!("blobs/{}", sha256(&pushed.layer)),
        format!("blobs/{}", crate::common::content::sha512(&pushed.layer)),
        format!("blobs/{}", sha256(b"absent")),
        "tags/list".to_owned(),
        format!("referrers/{}", pushed.digest),
    ];
    let all = paths.iter().map(|path| (Method::GET, path.clone()));
    let heads = paths[..5].iter().map(|path| (Method::HEAD, path.clone()));
    all.chain(heads).collect()
}

fn assert_all_refused(repository: &Repository<'_>, pushed: &Pushed) {
    for (method, path) in routes(pushed) {
        let response = repository.send(method.clone(), &path, |request| request);
        assert_eq!(response.status, 403, "{method} {path}: {}", response.text());
        if method == Method::GET {
            assert_refused(&response, 403, "DENIED");
            assert!(!response.text().contains("federation."), "{}", response.text());
        }
    }
}

/// Asks the other registry on behalf of the publisher's domain, by each way that there is.
fn by_other_names(operators: &Operators, path: &str) -> [Response; 2] {
    let url = operators.other.url(&format!("/v2/team/app/{path}"));
    let by_host = http::send(|client| client.get(&url).header(HOST, DOMAIN));
    [by_host, http::get(&format!("{url}?ns={DOMAIN}"))]
}

/// Two operators of whom the other one bounds anonymous clients in this way, until that is changed and the
/// server started again.
fn start(access: &'static str) -> Option<(Operators, Arc<Mutex<&'static str>>)> {
    let access = Arc::new(Mutex::new(access));
    let value = Arc::clone(&access);
    let operators = Operators::start_with(move |command| {
        command
            .env("ROADSTEAD_FEDERATION__ANONYMOUS", *value.lock().unwrap())
            .env("ROADSTEAD_FEDERATION__HOSTS", DOMAIN);
    });
    Some((operators?, access))
}

#[test]
fn with_none_nothing_foreign_is_served_and_own_images_are() {
    let Some((operators, _)) = start("none") else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    operators.publish();
    assert_all_refused(&operators.foreign("team/app"), &pushed);
    for name in [
        operators.root(),
        "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r".to_owned(),
    ] {
        assert_all_refused(&Repository::of(&operators.other, &format!("{name}/team/app")), &pushed);
    }
    for response in by_other_names(&operators, "manifests/v1") {
        assert_refused(&response, 403, "DENIED");
    }
    let own = Repository::of(&operators.other, "mine").push_image("v1", "own");
    assert_eq!(Repository::of(&operators.other, "mine").get("manifests/v1").body, own.manifest);
}

#[test]
fn with_cached_only_the_cache_is_served_and_no_source_is_contacted() {
    let Some((mut operators, access)) = start("any") else { return };
    let own = operators.own("team/app");
    let pushed = own.push_image("v1", "word");
    let unseen = own.push_image("v2", "unseen");
    operators.publish();
    let blob = format!("blobs/{}", sha256(&pushed.layer));
    let manifest = format!("manifests/{}", pushed.digest);
    let root = operators.root();
    {
        let foreign = operators.foreign("team/app");
        assert_eq!(foreign.get("manifests/v1").status, 200);
        assert_eq!(foreign.get(&blob).status, 200);
    }
    *access.lock().unwrap() = "cached";
    operators.other.stop();
    operators.other.start_again();
    for are_others_up in [true, false] {
        let foreign = operators.foreign("team/app");
        for path in ["manifests/v1", &manifest] {
            let found = foreign.get(path);
            assert_eq!((found.status, &found.body), (200, &pushed.manifest), "{}", found.text());
            assert_eq!(foreign.head(path).status, 200);
        }
        assert_eq!(foreign.get(&blob).body, pushed.layer);
        assert_eq!(foreign.head(&blob).header("content-length"), pushed.layer.len().to_string());
        for response in by_other_names(&operators, "manifests/v1") {
            assert_eq!(response.body, pushed.manifest, "{}", response.text());
        }
        for path in ["manifests/v2", &format!("manifests/{}", unseen.digest), "tags/list"] {
            assert_refused(&foreign.get(path), 403, "DENIED");
        }
        assert_refused(&foreign.get(&format!("blobs/{}", sha256(&unseen.layer))), 403, "DENIED");
        assert_refused(&foreign.get(&format!("referrers/{}", pushed.digest)), 403, "DENIED");
        // Names that nobody has asked for, below the same root and elsewhere.
        for name in [format!("other.test/{}", "team/app"), format!("{DOMAIN}/team/other")] {
            assert_all_refused(&Repository::of(&operators.other, &name), &pushed);
        }
        let by_cid = Repository::of(&operators.other, &format!("{root}/team/other"));
        assert_all_refused(&by_cid, &unseen);
        if are_others_up {
            operators.publisher.kill();
            operators.dns.stop();
        }
    }
    // Its time is over, and nobody has asked whether there is a newer one.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let old = operators.foreign("team/app").get("manifests/v1");
    assert_eq!(old.status, 200);
    assert!(!old.header("roadstead-stale-since").is_empty());
}

#[test]
fn with_listed_only_domains_of_the_list_are_served() {
    let operators = Operators::start_with(|command| {
        command
            .env("ROADSTEAD_FEDERATION__ANONYMOUS", "listed")
            .env("ROADSTEAD_FEDERATION__DOMAINS", DOMAIN);
    });
    let Some(operators) = operators else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    operators.publish();
    assert_eq!(operators.foreign("team/app").get("manifests/v1").body, pushed.manifest);
    for name in ["other.test".to_owned(), format!("sub.{DOMAIN}"), operators.root()] {
        assert_all_refused(&Repository::of(&operators.other, &format!("{name}/team/app")), &pushed);
    }
}

#[test]
fn where_there_are_users_anonymous_clients_are_challenged_and_users_are_served() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_result("sesame", 4).unwrap().format_for_version(Version::TwoY);
    std::fs::write(&file, format!("anna:{hash}\n")).unwrap();
    for access in ["none", "cached", "listed"] {
        let file = file.clone();
        let operators = Operators::start_with(move |command| {
            command
                .env("ROADSTEAD_FEDERATION__ANONYMOUS", access)
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", "true");
        });
        let Some(operators) = operators else { return };
        let pushed = operators.own("team/app").push_image("v1", "word");
        operators.publish();
        let foreign = operators.foreign("team/app");
        let token = http::get(&operators.other.url("/v2/token")).json()["token"].clone();
        let token = token.as_str().expect("anonymous clients get one").to_owned();
        for (method, path) in routes(&pushed) {
            let response = foreign.send(method.clone(), &path, |request| request);
            assert_eq!(response.status, 401, "{access}: {method} {path}");
            let challenge = response.header("www-authenticate");
            let scope = format!("scope=\"repository:{DOMAIN}/team/app:pull\"");
            assert!(challenge.starts_with("Bearer ") && challenge.contains(&scope), "{challenge}");
            let response = foreign.send(method, &path, |request| request.bearer_auth(&token));
            assert_eq!(response.status, 401, "{access}: {path} with an anonymous token");
        }
        let by_anna = foreign.send(Method::GET, "manifests/v1", |request| {
            request.basic_auth("anna", Some("sesame"))
        });
        assert_eq!((by_anna.status, by_anna.body), (200, pushed.manifest), "{access}");
    }
}

//! The list of repositories.

use serde_json::json;

use crate::api::tags::next;
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

#[test]
fn repositories_that_have_a_manifest_are_listed_bytewise() {
    let server = Server::start();
    let catalog = || http::get(&server.url("/v2/_catalog"));
    assert_eq!(catalog().text(), r#"{"repositories":[]}"#);
    for name in ["b", "a/z", "a", "a-b", "a/b/c", "my.app"] {
        Repository::of(&server, name).push_image("v1", "word");
    }
    Repository::of(&server, "only-blobs").push_blob(b"content");
    let response = catalog();
    assert_eq!(response.header("content-type"), "application/json");
    let expected = ["a", "a-b", "a/b/c", "a/z", "b", "my.app"];
    assert_eq!(response.json(), json!({ "repositories": expected }));
}

#[test]
fn a_repository_leaves_the_list_with_its_last_manifest() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    assert_eq!(repository.delete("manifests/v1").status, 202);
    let catalog = || http::get(&server.url("/v2/_catalog")).json();
    assert_eq!(catalog(), json!({ "repositories": ["team/app"] }));
    assert_eq!(repository.delete(&format!("manifests/{}", pushed.digest)).status, 202);
    assert_eq!(catalog(), json!({ "repositories": [] }));
}

#[test]
fn the_list_has_pages() {
    let server = Server::start();
    let expected: Vec<String> = (0..25).map(|number| format!("team/app{number:02}")).collect();
    for name in &expected {
        Repository::of(&server, name).push_image("v1", "word");
    }
    for n in [1, 7, 24, 25, 26] {
        let mut found: Vec<String> = Vec::new();
        let mut target = Some(format!("/v2/_catalog?n={n}"));
        while let Some(path) = target {
            let response = http::get(&server.url(&path));
            let page: Vec<String> = serde_json::from_value(response.json()["repositories"].clone())
                .expect("it is a list of texts");
            assert!(!page.is_empty() && page.len() <= n, "{path}: {page:?}");
            found.extend(page);
            target = next(&response);
        }
        assert_eq!(found, expected, "{n}");
    }
    let none = http::get(&server.url("/v2/_catalog?n=0"));
    assert_eq!((none.text().as_str(), next(&none)), (r#"{"repositories":[]}"#, None));
    let rest = http::get(&server.url("/v2/_catalog?last=team/app22")).json();
    assert_eq!(rest, json!({ "repositories": ["team/app23", "team/app24"] }));
    for n in ["-1", "x", ""] {
        let response = http::get(&server.url(&format!("/v2/_catalog?n={n}")));
        assert_refused(&response, 400, "PAGINATION_NUMBER_INVALID");
    }
}

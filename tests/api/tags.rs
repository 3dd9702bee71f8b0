//! Lists of tags, and their pages.

use std::thread;

use serde_json::json;

use crate::common::content::OCI_MANIFEST;
use crate::common::http::Response;
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

/// Where a list goes on, if it does.
pub(crate) fn next(response: &Response) -> Option<String> {
    let link = response.header("link");
    if link.is_empty() {
        return None;
    }
    let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Some(target.unwrap_or_else(|| panic!("not a link: {link}")).to_owned())
}

fn tags(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_value(response.json()["tags"].clone()).expect("it is a list of texts")
}

#[test]
fn tags_are_listed_bytewise() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    for tag in ["latest", "V2", "v10", "_x", "v1.0-rc.1", "0", "v2", "é".to_uppercase().as_str()] {
        let accepted = tag.is_ascii();
        let response = repository.put(tag, OCI_MANIFEST, &pushed.manifest);
        assert_eq!(response.status, if accepted { 201 } else { 400 }, "{tag}");
    }
    let list = repository.get("tags/list");
    assert_eq!(list.header("content-type"), "application/json");
    assert_eq!(list.header("link"), "");
    let expected = ["0", "V2", "_x", "latest", "v1", "v1.0-rc.1", "v10", "v2"];
    assert_eq!(list.json(), json!({ "name": "team/app", "tags": expected }));
}

#[test]
fn an_unknown_repository_has_no_list() {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    for name in ["absent", "team", "team/app/sub"] {
        assert_refused(&Repository::of(&server, name).get("tags/list"), 404, "NAME_UNKNOWN");
    }
}

#[test]
fn a_repository_that_has_only_blobs_has_an_empty_list() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"content");
    assert_eq!(repository.get("tags/list").text(), r#"{"name":"team/app","tags":[]}"#);
}

/// OpenRegistry panicked when `n` was larger than the list.
#[test]
fn a_page_is_as_long_and_begins_where_the_client_says() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("a", "word");
    for tag in ["b", "c", "d", "e"] {
        assert_eq!(repository.put(tag, OCI_MANIFEST, &pushed.manifest).status, 201);
    }
    for (query, expected, last) in [
        ("n=2", "ab", Some("b")),
        ("n=4", "abcd", Some("d")),
        ("n=5", "abcde", None),
        ("n=6", "abcde", None),
        ("n=99999999999999999999", "abcde", None),
        ("n=0", "", None),
        ("n=0&last=b", "", None),
        ("last=b", "cde", None),
        ("n=2&last=b", "cd", Some("d")),
        ("n=3&last=b", "cde", None),
        ("n=2&last=e", "", None),
        ("n=2&last=z", "", None),
        ("n=1&last=bb", "c", Some("c")),
        ("n=1&last=", "a", Some("a")),
        ("n=2&last=%C3%A9", "", None),
    ] {
        let response = repository.get(&format!("tags/list?{query}"));
        assert_eq!(tags(&response).concat(), expected, "{query}");
        let link = next(&response);
        let following = last.map(|last| {
            let n = query.split('&').next().expect("a query has a first part");
            format!("/v2/team/app/tags/list?{n}&last={last}")
        });
        assert_eq!(link, following, "{query}");
        assert!(response.text().contains("\"tags\":["), "{query}");
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_image("v1", "word");
    for n in ["-1", "abc", "1.5", "", "+1", "0x10", "%00", "1%202"] {
        let response = repository.get(&format!("tags/list?n={n}"));
        assert_refused(&response, 400, "PAGINATION_NUMBER_INVALID");
    }
}

#[test]
fn all_tags_are_found_by_following_the_links() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("t000", "word");
    let expected: Vec<String> = (0..250).map(|number| format!("t{number:03}")).collect();
    for page in expected.chunks(50) {
        let query = page.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
        let reference = format!("{}?{query}", pushed.digest);
        assert_eq!(repository.put(&reference, OCI_MANIFEST, &pushed.manifest).status, 201);
    }
    let mut found = Vec::new();
    let mut lengths = Vec::new();
    let mut target = Some("/v2/team/app/tags/list?n=100".to_owned());
    while let Some(path) = target {
        let response = http::get(&server.url(&path));
        let page = tags(&response);
        lengths.push(page.len());
        found.extend(page);
        target = next(&response);
    }
    assert_eq!(lengths, [100, 100, 50]);
    assert_eq!(found, expected);
    assert_eq!(tags(&repository.get("tags/list")), expected);
}

/// Replicas of zot lose tags that are pushed at once.
#[test]
fn pushes_at_once_all_land() {
    let server = Server::start();
    thread::scope(|scope| {
        for worker in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let repository = Repository::of(server, "team/app");
                for number in 0..5 {
                    repository.push_image(&format!("t{worker}{number}"), &format!("w{number}"));
                    repository.push_image("latest", &format!("w{worker}"));
                }
            });
        }
    });
    let repository = Repository::of(&server, "team/app");
    let mut expected: Vec<String> =
        (0..4).flat_map(|worker| (0..5).map(move |number| format!("t{worker}{number}"))).collect();
    expected.insert(0, "latest".to_owned());
    assert_eq!(tags(&repository.get("tags/list")), expected);
    for tag in expected {
        assert_eq!(repository.get(&format!("manifests/{tag}")).status, 200, "{tag}");
    }
}

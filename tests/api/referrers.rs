//! Referrers: signatures, attestations, lists of parts. distribution and artifact-keeper have none.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::tags::next;
use crate::common::content::{
    NOBODYS, OCI_ARTIFACT, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, descriptor, image, index, sha256,
    sha512,
};
use crate::common::http::Response;
use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};

const SIGNATURE: &str = "application/vnd.example.signature.v1";
const SBOM: &str = "application/vnd.example.sbom.v1+json";

/// The document with that subject.
fn referring(mut manifest: Value, subject: &[u8]) -> Value {
    manifest["subject"] = descriptor(OCI_MANIFEST, subject);
    manifest
}

/// A manifest of that type which refers to the subject; told apart by its word.
fn artifact(subject: &[u8], artifact_type: &str, word: &str) -> Value {
    let mut manifest = referring(image(b"{}", &[]), subject);
    manifest["artifactType"] = artifact_type.into();
    manifest["annotations"] = json!({ "word": word });
    manifest
}

fn listed(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), OCI_INDEX);
    let body = response.json();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(OCI_INDEX)));
    body["manifests"].as_array().expect("it is a list").clone()
}

/// A server's repository with an image, and the empty config that artifacts have.
fn with_subject(server: &Server) -> (Repository<'_>, Vec<u8>) {
    let repository = Repository::of(server, "team/app");
    repository.push_blob(b"{}");
    let subject = repository.push_image("v1", "word").manifest;
    (repository, subject)
}

#[test]
fn what_refers_to_a_manifest_is_listed_as_the_specification_says() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    let path = format!("referrers/{}", sha256(&subject));
    assert_eq!(listed(&repository.get(&path)), Vec::<Value>::new());

    let mut of_index = referring(index(&[]), &subject);
    of_index["annotations"] = json!({ "of": "index" });
    let mut typed_index = of_index.clone();
    typed_index["artifactType"] = SBOM.into();
    let mut empty_type = artifact(&subject, "", "empty");
    empty_type["annotations"] = json!({});
    let withdrawn = json!({
        "mediaType": OCI_ARTIFACT,
        "artifactType": SBOM,
        "blobs": [descriptor("text/plain", b"{}")],
        "subject": descriptor(OCI_MANIFEST, &subject),
    });
    // Manifest, its type in the list, its annotations there.
    let mut expected = Vec::new();
    for (manifest, artifact_type) in [
        (artifact(&subject, SIGNATURE, "one"), Some(SIGNATURE)),
        (referring(image(b"{}", &[]), &subject), Some(OCI_CONFIG)),
        (empty_type, Some(OCI_CONFIG)),
        (of_index, None),
        (typed_index, Some(SBOM)),
        (withdrawn, Some(SBOM)),
    ] {
        let bytes = manifest.to_string().into_bytes();
        let media_type = manifest["mediaType"].as_str().expect("it is a text");
        let response = repository.put(&sha256(&bytes), media_type, &bytes);
        assert_eq!(response.status, 201, "{}", response.text());
        assert_eq!(response.header("oci-subject"), sha256(&subject));
        let mut descriptor = descriptor(media_type, &bytes);
        if let Some(artifact_type) = artifact_type {
            descriptor["artifactType"] = artifact_type.into();
        }
        let annotations = manifest["annotations"].as_object().filter(|it| !it.is_empty());
        if let Some(annotations) = annotations {
            descriptor["annotations"] = annotations.clone().into();
        }
        expected.push(descriptor);
    }
    let by_digest = |one: &Value| one["digest"].as_str().map(str::to_owned);
    expected.sort_by_key(by_digest);
    let mut found = listed(&repository.get(&path));
    found.sort_by_key(by_digest);
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_subject_has_an_empty_list_whatever_the_repository() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    repository.push_untagged(&artifact(&subject, SIGNATURE, "one"));
    let other = Repository::of(&server, "other");
    for (repository, digest) in
        [(&repository, NOBODYS), (&repository, &*sha512(&subject)), (&other, &*sha256(&subject))]
    {
        let response = repository.get(&format!("referrers/{digest}"));
        assert_eq!(listed(&response), Vec::<Value>::new());
        assert_eq!(next(&response), None);
    }
    for digest in ["v1", "sha256:abc", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        assert_refused(&repository.get(&format!("referrers/{digest}")), 400, "DIGEST_INVALID");
    }
}

#[test]
fn referrers_may_come_before_their_subject() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"{}");
    let subject = image(b"{}", &[]);
    let bytes = subject.to_string().into_bytes();
    let referrer = repository.push_untagged(&artifact(&bytes, SIGNATURE, "early"));
    let path = format!("referrers/{}", sha256(&bytes));
    for _ in 0..2 {
        let found = listed(&repository.get(&path));
        assert_eq!((found.len(), &found[0]["digest"]), (1, &json!(sha256(&referrer))));
        repository.push_manifest("v1", &subject);
    }
}

#[test]
fn a_referrer_goes_and_its_subject_may_go_before_it() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    let referrer = repository.push_untagged(&artifact(&subject, SIGNATURE, "one"));
    let path = format!("referrers/{}", sha256(&subject));
    let deleted = repository.delete(&format!("manifests/{}", sha256(&subject)));
    assert_eq!(deleted.status, 202, "{}", deleted.text());
    assert_eq!(listed(&repository.get(&path)).len(), 1);
    assert_eq!(repository.delete(&format!("manifests/{}", sha256(&referrer))).status, 202);
    assert_eq!(listed(&repository.get(&path)), Vec::<Value>::new());
}

#[test]
fn a_filter_says_that_it_was_applied() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    for word in ["one", "two"] {
        repository.push_untagged(&artifact(&subject, SIGNATURE, word));
    }
    repository.push_untagged(&artifact(&subject, SBOM, "three"));
    repository.push_untagged(&referring(image(b"{}", &[]), &subject));
    let path = format!("referrers/{}", sha256(&subject));
    for (artifact_type, count) in [
        (SIGNATURE, 2),
        // Its plus is no space, encoded or not by the client.
        (SBOM, 1),
        (OCI_CONFIG, 1),
        ("application/vnd.example.absent", 0),
    ] {
        let response = repository
            .send(Method::GET, &path, |request| request.query(&[("artifactType", artifact_type)]));
        let found = listed(&response);
        assert_eq!(found.len(), count, "{artifact_type}");
        assert!(found.iter().all(|one| one["artifactType"] == artifact_type), "{found:?}");
        assert_eq!(response.header("oci-filters-applied"), "artifactType", "{artifact_type}");
    }
    for path in [path.clone(), format!("{path}?artifactType=")] {
        let response = repository.get(&path);
        assert_eq!(listed(&response).len(), 4, "{path}");
        assert_eq!(response.header("oci-filters-applied"), "", "{path}");
    }
}

#[test]
fn all_referrers_are_found_by_following_the_links() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    let mut expected = Vec::new();
    for number in 0..20 {
        let artifact_type = if number % 2 == 0 { SBOM } else { SIGNATURE };
        let manifest = artifact(&subject, artifact_type, &number.to_string());
        expected.push((artifact_type, sha256(&repository.push_untagged(&manifest))));
    }
    expected.sort_by(|one, other| one.1.cmp(&other.1));
    for (filter, n) in [(None, 1), (None, 7), (None, 20), (Some(SBOM), 3), (Some(SBOM), 10)] {
        let mut target = Some(repository.path(&format!("referrers/{}?n={n}", sha256(&subject))));
        if let (Some(filter), Some(target)) = (filter, &mut target) {
            target.push_str("&artifactType=");
            target.push_str(&filter.replace('+', "%2B"));
        }
        let mut found = Vec::new();
        while let Some(path) = target {
            let response = http::get(&server.url(&path));
            let page = listed(&response);
            assert!(page.len() <= n, "{path}");
            let applied = if filter.is_some() { "artifactType" } else { "" };
            assert_eq!(response.header("oci-filters-applied"), applied, "{path}");
            found.extend(page.iter().map(|one| one["digest"].clone()));
            target = next(&response);
        }
        let expected: Vec<Value> = expected
            .iter()
            .filter(|(artifact_type, _)| filter.is_none_or(|filter| filter == *artifact_type))
            .map(|(_, digest)| json!(digest))
            .collect();
        assert_eq!(found, expected, "{filter:?}, {n}");
    }
}

/// A page must fit into what clients read of a manifest: 4 MiB.
#[test]
fn a_page_of_large_referrers_is_short() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    // C17: as JSON some are longer than they are.
    let words = ["0", "1", "2", "3", "\u{1}", "\u{2}", "\"", "\\"];
    for word in words {
        let length = serde_json::to_string(word).unwrap().len() - 2;
        let word = word.repeat(2_200_000 / length);
        repository.push_untagged(&artifact(&subject, SIGNATURE, &word));
    }
    // One that no page has room for is listed all the same.
    let word = "x".repeat((4 << 20) - 1000);
    let large = sha256(&repository.push_untagged(&artifact(&subject, SIGNATURE, &word)));
    let mut target = Some(repository.path(&format!("referrers/{}", sha256(&subject))));
    let (mut found, mut pages) = (0, 0);
    while let Some(path) = target {
        let response = http::get(&server.url(&path));
        assert!(response.body.len() <= 4 << 20, "{} bytes", response.body.len());
        for one in listed(&response) {
            found += 1;
            assert_eq!(one["annotations"].is_null(), one["digest"] == large, "{}", one["digest"]);
        }
        pages += 1;
        target = next(&response);
    }
    assert_eq!(found, words.len() + 1);
    assert!(pages > 4, "{pages}");
}

#[test]
fn a_subject_may_be_named_by_sha512() {
    let server = Server::start();
    let (repository, subject) = with_subject(&server);
    let mut manifest = artifact(&subject, SIGNATURE, "long");
    manifest["subject"]["digest"] = sha512(&subject).into();
    let bytes = manifest.to_string().into_bytes();
    let response = repository.put(&sha512(&bytes), OCI_MANIFEST, &bytes);
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.header("oci-subject"), sha512(&subject));
    let found = listed(&repository.get(&format!("referrers/{}", sha512(&subject))));
    assert_eq!((found.len(), &found[0]["digest"]), (1, &json!(sha512(&bytes))));
}

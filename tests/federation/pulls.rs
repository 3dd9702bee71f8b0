//! What a client of the other registry sees.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, RANGE};
use serde_json::json;

use crate::common::content::{OCI_MANIFEST, descriptor, image, index, noise, sha256, sha512};
use crate::common::multipart::assert_parts;
use crate::common::repository::{assert_refused, wait};
use crate::federation::operators::{DOMAIN, Operators};

#[test]
fn an_image_comes_by_tag_and_by_digest_as_it_was_pushed() {
    let Some(operators) = Operators::start() else { return };
    let layer = noise(5_000_000, 1);
    let (own, foreign) = (operators.own("team/app"), operators.foreign("team/app"));
    own.push_blob(&layer);
    own.push_blob(b"{}");
    let manifest = own.push_manifest("v1", &image(b"{}", &[&layer]));
    operators.publish();
    for reference in ["v1".to_owned(), sha256(&manifest)] {
        let path = format!("manifests/{reference}");
        let (ours, theirs) = (own.get(&path), foreign.get(&path));
        assert_eq!((theirs.status, &theirs.body), (200, &manifest), "{}", theirs.text());
        for header in ["content-type", "docker-content-digest", "etag", "x-ipfs-path"] {
            assert_eq!(theirs.header(header), ours.header(header), "{header}");
        }
        let head = foreign.head(&path);
        assert_eq!(head.header("content-length"), manifest.len().to_string());
        assert_eq!(head.header("docker-content-digest"), sha256(&manifest));
    }
    let blob = format!("blobs/{}", sha256(&layer));
    let head = foreign.head(&blob);
    assert_eq!((head.status, head.header("content-length")), (200, "5000000"));
    assert_eq!(head.header("docker-content-digest"), sha256(&layer));
    // The first time from afar, the second time from what was kept.
    for _ in 0..2 {
        let theirs = foreign.get(&blob);
        assert_eq!(theirs.status, 200, "{}", theirs.text());
        assert!(theirs.body == layer);
        let ipfs_path = theirs.header("x-ipfs-path");
        assert!(
            ipfs_path.is_empty() || ipfs_path == own.head(&blob).header("x-ipfs-path"),
            "{ipfs_path}"
        );
    }
    let known = foreign.send(Method::GET, &blob, |request| {
        request.header(IF_NONE_MATCH, format!("\"{}\"", sha256(&layer)))
    });
    assert_eq!(known.status, 304);
}

#[test]
fn a_part_of_a_blob_comes_once_the_whole_is_verified() {
    let Some(operators) = Operators::start() else { return };
    let layer = noise(3_000_000, 2);
    let own = operators.own("team/app");
    own.push_blob(&layer);
    own.push_blob(b"{}");
    own.push_manifest("v1", &image(b"{}", &[&layer]));
    operators.publish();
    let blob = format!("blobs/{}", sha256(&layer));
    for (range, part) in
        [("bytes=1000000-1999999", 1_000_000..2_000_000), ("bytes=-5", 2_999_995..3_000_000)]
    {
        let foreign = operators.foreign("team/app");
        let theirs = foreign.send(Method::GET, &blob, |request| request.header(RANGE, range));
        assert_eq!(theirs.status, 206, "{}", theirs.text());
        assert!(theirs.body == layer[part.clone()]);
        let described = format!("bytes {}-{}/3000000", part.start, part.end - 1);
        assert_eq!(theirs.header("content-range"), described);
    }
    let beyond = operators
        .foreign("team/app")
        .send(Method::GET, &blob, |request| request.header(RANGE, "bytes=3000000-"));
    assert_eq!(beyond.status, 416);
}

#[test]
fn several_parts_of_a_blob_come_in_one_answer() {
    let Some(operators) = Operators::start() else { return };
    let layer = noise(3_000_000, 3);
    let own = operators.own("team/app");
    own.push_blob(&layer);
    own.push_blob(b"{}");
    own.push_manifest("v1", &image(b"{}", &[&layer]));
    operators.publish();
    let foreign = operators.foreign("team/app");
    let blob = format!("blobs/{}", sha256(&layer));
    let expected = [2_000_000..2_000_010, 5..1_100_000, 2_999_999..3_000_000];
    // The first time from afar, then from the cache.
    for _ in 0..2 {
        let theirs = foreign.send(Method::GET, &blob, |request| {
            request.header(RANGE, "bytes=2000000-2000009,5-1049999,1050000-1099999,-1")
        });
        assert_parts(&theirs, &layer, &expected);
    }
    let beyond = foreign.send(Method::GET, &blob, |request| {
        request.header(RANGE, "bytes=3000000-,4000000-4000001")
    });
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */3000000"));
}

#[test]
fn only_what_the_repositorys_own_links_name_is_served() {
    let Some(operators) = Operators::start() else { return };
    let of_another = operators.own("team/secret").push_image("v1", "hidden");
    let pushed = operators.own("team/app").push_image("v1", "open");
    let stray = operators.own("team/app").push_blob(b"nobody names it");
    operators.publish();
    let foreign = operators.foreign("team/app");
    for digest in [sha256(&of_another.layer), stray, sha256(b"absent")] {
        for method in [Method::GET, Method::HEAD] {
            let response = foreign.send(method.clone(), &format!("blobs/{digest}"), |it| it);
            assert_eq!(response.status, 404, "{method} {digest}");
        }
        assert_refused(&foreign.get(&format!("blobs/{digest}")), 404, "BLOB_UNKNOWN");
    }
    for reference in ["v2", &of_another.digest, &sha256(b"absent"), &sha256(&pushed.layer)] {
        let response = foreign.get(&format!("manifests/{reference}"));
        assert_refused(&response, 404, "MANIFEST_UNKNOWN");
    }
    // Nor is one what the other is, also once it was had as that.
    let (layer, manifest) = (sha256(&pushed.layer), &pushed.digest);
    assert_eq!(foreign.get(&format!("blobs/{layer}")).status, 200);
    assert_eq!(foreign.get(&format!("manifests/{manifest}")).status, 200);
    assert_refused(&foreign.get(&format!("manifests/{layer}")), 404, "MANIFEST_UNKNOWN");
    assert_refused(&foreign.get(&format!("blobs/{manifest}")), 404, "BLOB_UNKNOWN");
    // Also once somebody had it in a repository that does name it.
    let elsewhere = operators.foreign("team/secret");
    assert_eq!(elsewhere.get(&format!("blobs/{}", sha256(&of_another.layer))).status, 200);
    assert_eq!(elsewhere.get(&format!("manifests/{}", of_another.digest)).status, 200);
    let path = format!("blobs/{}", sha256(&of_another.layer));
    assert_refused(&foreign.get(&path), 404, "BLOB_UNKNOWN");
    let path = format!("manifests/{}", of_another.digest);
    assert_refused(&foreign.get(&path), 404, "MANIFEST_UNKNOWN");
}

#[test]
fn what_was_pushed_by_sha512_comes_by_it() {
    let Some(operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let layer = b"by another name".to_vec();
    own.push_blob_as(&layer, &sha512(&layer));
    own.push_blob(b"{}");
    let mut manifest = image(b"{}", &[&layer]);
    manifest["layers"][0]["digest"] = sha512(&layer).into();
    let bytes = manifest.to_string().into_bytes();
    let by = sha512(&bytes);
    assert_eq!(own.put(&by, OCI_MANIFEST, &bytes).status, 201);
    operators.publish();
    let foreign = operators.foreign("team/app");
    let theirs = foreign.get(&format!("manifests/{by}"));
    assert_eq!((theirs.status, &theirs.body), (200, &bytes), "{}", theirs.text());
    assert_eq!(theirs.header("docker-content-digest"), by);
    for _ in 0..2 {
        let theirs = foreign.get(&format!("blobs/{}", sha512(&layer)));
        assert_eq!((theirs.status, &theirs.body), (200, &layer), "{}", theirs.text());
    }
}

#[test]
fn tags_are_listed_page_by_page() {
    let Some(operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let pushed = own.push_image("v1", "word");
    for tag in ["latest", "v10", "V2"] {
        assert_eq!(own.put(tag, OCI_MANIFEST, &pushed.manifest).status, 201);
    }
    operators.own("team/untagged").push_blob(b"{}");
    operators.own("team/untagged").push_untagged(&image(b"{}", &[]));
    operators.publish();
    let foreign = operators.foreign("team/app");
    let all = foreign.get("tags/list").json();
    let name = format!("{DOMAIN}/team/app");
    assert_eq!(all, json!({ "name": name, "tags": ["V2", "latest", "v1", "v10"] }));
    let page = foreign.get("tags/list?n=2");
    assert_eq!(page.json()["tags"], json!(["V2", "latest"]));
    assert_eq!(
        page.header("link"),
        format!("</v2/{name}/tags/list?n=2&last=latest>; rel=\"next\"")
    );
    assert_eq!(foreign.get("tags/list?n=9&last=latest").json()["tags"], json!(["v1", "v10"]));
    assert_eq!(operators.foreign("team/untagged").get("tags/list").json()["tags"], json!([]));
    assert_refused(&operators.foreign("team/none").get("tags/list"), 404, "NAME_UNKNOWN");
}

#[test]
fn referrers_are_listed() {
    let Some(operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let subject = own.push_image("v1", "word").manifest;
    own.push_blob(b"{}");
    let artifact = |kind: &str| {
        let mut manifest = image(b"{}", &[]);
        manifest["subject"] = descriptor(OCI_MANIFEST, &subject);
        manifest["artifactType"] = kind.into();
        own.push_untagged(&manifest)
    };
    for kind in ["application/a", "application/b"] {
        artifact(kind);
    }
    operators.publish();
    let foreign = operators.foreign("team/app");
    for query in ["", "?artifactType=application/b", "?n=1"] {
        let path = format!("referrers/{}{query}", sha256(&subject));
        assert_eq!(foreign.get(&path).json(), own.get(&path).json(), "{query}");
    }
    let none = foreign.get(&format!("referrers/{}", sha256(b"absent")));
    assert_eq!((none.status, &none.json()["manifests"]), (200, &json!([])));
}

#[test]
fn an_index_and_its_images_come() {
    let Some(operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let (one, two) = (own.push_image("one", "one"), own.push_image("two", "two"));
    let list = own.push_manifest("all", &index(&[&one.manifest, &two.manifest]));
    operators.publish();
    let foreign = operators.foreign("team/app");
    let theirs = foreign.get("manifests/all");
    assert_eq!(theirs.body, list);
    assert_eq!(theirs.header("content-type"), "application/vnd.oci.image.index.v1+json");
    for image in [one, two] {
        assert_eq!(foreign.get(&format!("manifests/{}", image.digest)).body, image.manifest);
    }
}

#[test]
fn a_new_root_is_followed_within_its_ttl() {
    let Some(operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let first = own.push_image("v1", "first");
    operators.publish();
    let foreign = operators.foreign("team/app");
    assert_eq!(foreign.get("manifests/v1").body, first.manifest);
    let second = own.push_image("v1", "second");
    operators.publish();
    wait(|| foreign.get("manifests/v1").body == second.manifest, "the new root is not followed");
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(foreign.get(&format!("blobs/{}", sha256(&second.layer))).body, second.layer);
}

#[test]
fn a_blob_requested_by_sha512_is_read_once_to_prove_it() {
    let Some(mut operators) = Operators::start() else { return };
    let layer = noise(20_000_000, 7);
    let own = operators.own("team/app");
    own.push_blob_as(&layer, &sha512(&layer));
    own.push_blob(b"{}");
    let mut manifest = image(b"{}", &[&layer]);
    manifest["layers"][0]["digest"] = sha512(&layer).into();
    own.push_manifest("v1", &manifest);
    operators.publish();
    let path = format!("blobs/{}", sha512(&layer));
    for restart in [false, true] {
        if restart {
            operators.other.stop();
            operators.other.start_again();
        }
        let foreign = operators.foreign("team/app");
        // The end of it is sent once the whole is proved.
        let end = || foreign.send(Method::GET, &path, |request| request.header(RANGE, "bytes=-10"));
        assert_eq!(foreign.get(&path).body, layer);
        assert_eq!(end().body, layer[layer.len() - 10..]);
        let before = read_bytes(operators.other.id());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(end().status, 206));
            }
        });
        let read = read_bytes(operators.other.id()) - before;
        assert!(read < layer.len() as u64, "{read} bytes were read for 16 answers");
    }
}

/// How many bytes a process has read so far, from files and connections.
fn read_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

//! Conditional requests for other people's images: what the client has is not fetched for it.

use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;

use crate::common::content::{NOBODYS, image, sha256, sha512};
use crate::common::repository::wait;
use crate::federation::hostile::{Node, REPOSITORY, link};
use crate::federation::operators::Operators;
use crate::federation::publisher::{Publisher, add, leaves, tree_of};

/// A tree whose repository has a manifest, by both of its names and by a tag.
fn tree(manifest: &[u8]) -> Node {
    let mut tree = tree_of(b"known", b"known");
    add(&mut tree, manifest, manifest);
    let manifests = format!("{REPOSITORY}/_manifests");
    tree.put(&format!("{manifests}/tags/v1/current/link"), link(manifest));
    for digest in [sha256(manifest), sha512(manifest)] {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        tree.put(&format!("{manifests}/revisions/{algorithm}/{hex}/link"), link(manifest));
    }
    tree
}

#[test]
fn a_manifest_that_the_client_has_is_not_fetched() {
    let Some(operators) = Operators::start() else { return };
    let manifest = serde_json::to_vec(&image(b"{}", &[b"layer"])).unwrap();
    let publisher = Publisher::of(&tree(&manifest));
    publisher.publish(&operators);
    let foreign = operators.foreign("team/app");
    let known = format!("blobs/{}", sha256(b"known"));
    wait(|| foreign.get(&known).status == 200, "the domain is not found");

    let (short, long) = (sha256(&manifest), sha512(&manifest));
    let ask = |method, reference: &str, tags: &str| {
        let path = format!("manifests/{reference}");
        foreign.send(method, &path, |request| request.header(IF_NONE_MATCH, tags))
    };
    for method in [Method::GET, Method::HEAD] {
        for (reference, digest) in [("v1", &short), (&short, &short), (&long, &long)] {
            let listed = format!("\"x\", W/\"{digest}\"");
            for tags in [&format!("\"{digest}\""), "*", &listed] {
                let answer = ask(method.clone(), reference, tags);
                assert_eq!(answer.status, 304, "{method} {reference} {tags}: {}", answer.text());
                assert_eq!(answer.header("docker-content-digest"), *digest);
                assert_eq!(answer.header("etag"), format!("\"{digest}\""));
                assert!(answer.body.is_empty());
            }
        }
        // What is not there is nothing that a client has.
        for reference in ["v2", NOBODYS, &sha256(b"known")] {
            assert_eq!(ask(method.clone(), reference, "*").status, 404, "{reference}");
            let tag = format!("\"{reference}\"");
            assert_eq!(ask(method.clone(), reference, &tag).status, 404, "{reference}");
        }
    }
    assert_eq!(publisher.requests(&leaves(&manifest)), [0]);

    // One that the client does not have comes, and is kept.
    for _ in 0..2 {
        let whole = ask(Method::GET, "v1", &format!("\"{NOBODYS}\""));
        assert_eq!((whole.status, &whole.body), (200, &manifest));
        assert_eq!(ask(Method::GET, &short, &format!("\"{short}\"")).status, 304);
    }
    assert_eq!(publisher.requests(&leaves(&manifest)), [1]);
}

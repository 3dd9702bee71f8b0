//! The text files, and what every registry of them is used for.

use std::path::PathBuf;

use roadstead::ipld::raw_cid;
use serde_json::Value;
use sha2::Digest as _;

use crate::common::content::{OCI_INDEX, noise, sha256, sha512};
use crate::common::http;
use crate::common::repository::{Repository, Upload};
use crate::common::{Server, run, succeed};

/// One of the text files of a version.
pub(super) fn read(path: &str) -> String {
    let whole = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path);
    std::fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}

/// What was noted when the files were made.
pub(super) struct Facts(Value);

impl Facts {
    /// Reads a file of them.
    pub(super) fn read(path: &str) -> Self {
        Self(serde_json::from_str(&read(path)).expect("facts are JSON"))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("no fact {name}"))
    }

    pub(super) fn number(&self, name: &str) -> usize {
        let number = self.0[name].as_u64().unwrap_or_else(|| panic!("no fact {name}"));
        usize::try_from(number).expect("it is small")
    }
}

/// Bytes that stand in a file as hexadecimal digits, in any number of lines.
pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("they are digits"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("they are digits")).collect()
}

/// The layer of the image that was made with a word.
pub(super) fn layer_of(word: &str) -> Vec<u8> {
    format!("{word}\n").repeat(20).into_bytes()
}

/// Pulls what every one of these registries has.
pub(super) fn assert_pulls(server: &Server, facts: &Facts) {
    let repository = Repository::of(server, "team/hello");
    for (tag, fact) in [("v1", "hello"), ("both", "index")] {
        for reference in [tag, facts.text(fact)] {
            let found = repository.get(&format!("manifests/{reference}"));
            assert_eq!((found.status, sha256(&found.body).as_str()), (200, facts.text(fact)));
        }
    }
    let index = repository.get("manifests/both");
    assert_eq!(index.header("content-type"), OCI_INDEX);
    for word in ["hello", "other"] {
        let layer = layer_of(word);
        assert_eq!(repository.get(&format!("blobs/{}", sha256(&layer))).body, layer);
    }
    let mounted = Repository::of(server, "lab/copy");
    let layer = layer_of("hello");
    assert_eq!(mounted.get(&format!("blobs/{}", sha256(&layer))).body, layer);
    let aliased = b"by two names\n";
    for name in [sha256(aliased), sha512(aliased)] {
        assert_eq!(repository.get(&format!("blobs/{name}")).body, aliased);
    }
    let referrers = repository.get(&format!("referrers/{}", facts.text("hello"))).json();
    let found = referrers["manifests"].as_array().expect("it is a list");
    assert_eq!(found.len(), 1, "{referrers}");
    assert_eq!(found[0]["artifactType"], "application/x.signature");
}

/// Checks that the changes have landed that were queued: `pending` is what its tag and `v2` lead to.
pub(super) fn assert_landed(server: &Server, facts: &Facts, pending: &str, moved: &str) {
    let repository = Repository::of(server, "team/hello");
    for (tag, digest) in [("pending", pending), ("v2", moved)] {
        let found = repository.get(&format!("manifests/{tag}"));
        assert_eq!(found.header("docker-content-digest"), digest, "{tag}: {}", found.text());
    }
    for gone in ["gone", facts.text("lonely")] {
        assert_eq!(repository.get(&format!("manifests/{gone}")).status, 404, "{gone}");
    }
    assert_eq!(repository.get(&format!("blobs/{}", facts.text("loose"))).status, 404);
}

/// Checks that what was purged, and what was to be purged, is gone.
pub(super) fn assert_purged(server: &Server, facts: &Facts) {
    let repository = Repository::of(server, "team/hello");
    for gone in ["secret", "oops", facts.text("secret")] {
        assert_eq!(repository.get(&format!("manifests/{gone}")).status, 404, "{gone}");
    }
    for word in ["secret", "oops"] {
        let layer = layer_of(word);
        let cid = raw_cid(sha2::Sha256::digest(&layer).into());
        assert_eq!(http::get(&server.url(&format!("/ipfs/{cid}?format=raw"))).status, 404);
        let blob = repository.get(&format!("blobs/{}", sha256(&layer)));
        assert_eq!(blob.status, 404, "{word}");
    }
}

/// Ends the upload that was under way, whose bytes those are.
pub(super) fn finish_upload(server: &Server, facts: &Facts, whole: &[u8]) {
    let (offset, digest) = (facts.number("upload_offset"), facts.text("upload_digest"));
    let upload = Upload::at(server, facts.text("upload"));
    let status = upload.status();
    assert_eq!((status.status, status.header("range")), (204, &*format!("0-{}", offset - 1)));
    let finished = upload.finish_with_chunk(digest, offset, &whole[offset..]);
    assert_eq!(finished.status, 201, "{}", finished.text());
    let repository = Repository::of(server, "team/hello");
    assert_eq!(repository.get(&format!("blobs/{digest}")).body, whole);
}

/// Checks, by our own command, and by what the root is.
pub(super) fn assert_root(server: &Server, root: &str) {
    let checked = run(&mut server.command(["check"]));
    assert!(checked.succeeded(), "{checked}");
    assert_eq!(succeed(&mut server.command(["root"])), root);
    let path = format!("/ipfs/{root}?format=raw");
    assert_eq!(http::get(&server.url(&path)).status, 200, "the gateway has its root");
}

/// What `roadstead check` says.
fn report(server: &Server) -> Value {
    serde_json::from_str(&succeed(&mut server.command(["check", "--json"]))).expect("it is JSON")
}

/// Pushes, and makes the index anew, which leaves everything as it is but for what no manifest names: that goes from
/// the tree, too.
pub(super) fn assert_goes_on(server: &mut Server, facts: &Facts) {
    let pushed = Repository::of(server, "team/new").push_image("v1", "new");
    let before = report(server);
    server.stop();
    let planned = run(&mut server.command(["index", "rebuild", "--dry-run"]));
    assert!(planned.succeeded(), "{planned}");
    assert_eq!(report(server)["leftovers"], before["leftovers"], "nothing is changed by a look");
    let rebuilt = run(&mut server.command(["index", "rebuild"]));
    assert!(rebuilt.succeeded(), "{rebuilt}");
    assert_eq!(rebuilt.stdout, planned.stdout.replace("would remove", "removed"));
    let after = report(server);
    assert_eq!((&after["leftovers"], &after["leftover_bytes"]), (&0.into(), &0.into()));
    let has_leftovers = before["leftovers"] != 0;
    assert_eq!(after["root"] != before["root"], has_leftovers, "{before}");
    server.start_again();
    assert_root(server, after["root"].as_str().expect("it is a CID"));
    let repository = Repository::of(server, "team/new");
    assert_eq!(repository.get("manifests/v1").body, pushed.manifest);
    let found = Repository::of(server, "team/hello").get("manifests/v1");
    assert_eq!(found.header("docker-content-digest"), facts.text("hello"));
}

/// The bytes that are named by how they are made.
pub(super) fn noise_of(facts: &Facts, name: &str) -> Vec<u8> {
    let parts = facts.0[name].as_array().expect("length and seed");
    let [length, seed] = [0, 1].map(|index| parts[index].as_u64().expect("a number"));
    noise(usize::try_from(length).expect("it is small"), seed)
}

//! Every path of a tree, drawn. Roots depend on it, so it is frozen.
//!
//! ```text
//! docker/registry/v2/
//!   blobs/sha256/ab/<hex>/data                                 layers, configs and manifests
//!   repositories/<name>/
//!     _layers/<alg>/<hex>/link                                 a blob that a manifest names
//!     _manifests/revisions/<alg>/<hex>/link                    a manifest
//!     _manifests/tags/<tag>/current/link                       what the tag points to
//!     _manifests/tags/<tag>/index/<alg>/<hex>/link             the same, by the name it was tagged by
//!     _referrers/<alg>/<hex>/<alg>/<hex>/link                  subject, then referrer
//! ```
//!
//! Each `link` holds `sha256:<hex>`, the canonical digest, without a newline. The stock registry
//! keeps a tag's history in `index/`; here it holds the current digest alone, since a root must not
//! depend on history.

use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};
use crate::storage::TreePath;

/// Where the stock registry begins below a root.
const ROOT: &str = "docker/registry/v2";

/// The directories of a repository, which are beside the repositories below its name.
pub(super) const OF_REPOSITORY: [&str; 3] = ["_layers", "_manifests", "_referrers"];

/// The file name of every link.
const LINK: &str = "link";

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("names, tags and digests have no empty component and no `..`")
}

fn digest_path(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm(), digest.hex())
}

/// Where the stock registry begins.
pub(super) fn root() -> TreePath {
    path(ROOT)
}

/// The path of content.
pub(super) fn blob_data(digest: &CanonicalDigest) -> TreePath {
    let hex = digest.hex();
    path(&format!("{ROOT}/blobs/sha256/{}/{hex}/data", &hex[..2]))
}

/// The path of all content: two levels of directories, then `data`.
pub(super) fn blobs() -> TreePath {
    path(&format!("{ROOT}/blobs/sha256"))
}

/// The path of all repositories.
pub(super) fn repositories() -> TreePath {
    path(&format!("{ROOT}/repositories"))
}

/// The paths of all that a repository has, tags first; what is below them is no other repository's.
pub(super) fn parts(name: &RepositoryName) -> [TreePath; 4] {
    ["_manifests/tags", "_manifests", "_referrers", "_layers"]
        .map(|part| path(&format!("{ROOT}/repositories/{name}/{part}")))
}

/// Reads a repository out of the path of all of its manifests; none if it is another path.
pub(super) fn read_manifests(path: &TreePath) -> Option<RepositoryName> {
    let below = path.as_str().strip_prefix(ROOT)?.strip_prefix("/repositories/")?;
    below.strip_suffix("/_manifests")?.parse().ok()
}

/// The path of a repository.
pub(super) fn repository(name: &RepositoryName) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}"))
}

/// The link that makes a blob the repository's.
pub(super) fn layer_link(name: &RepositoryName, digest: &Digest) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_layers/{}/{LINK}", digest_path(digest)))
}

/// Reads a repository and the name of its blob out of the path of the link to that; none if it is another path.
pub(super) fn read_layer_link(path: &TreePath) -> Option<(RepositoryName, Digest)> {
    let below = path.as_str().strip_prefix(ROOT)?.strip_prefix("/repositories/")?;
    let (name, rest) = below.split_once("/_layers/")?;
    let (algorithm, hex) = rest.strip_suffix(LINK)?.strip_suffix('/')?.split_once('/')?;
    Some((name.parse().ok()?, format!("{algorithm}:{hex}").parse().ok()?))
}

/// The link that makes a manifest the repository's.
pub(super) fn revision_link(name: &RepositoryName, digest: &Digest) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_manifests/revisions/{}/{LINK}", digest_path(digest)))
}

/// All tags of a repository.
pub(super) fn tags(name: &RepositoryName) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_manifests/tags"))
}

/// All links from a subject to referrers, by the sha256 of each.
pub(super) fn referrers(name: &RepositoryName, subject: &Digest) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_referrers/{}/sha256", digest_path(subject)))
}

/// A tag, with all that belongs to it.
pub(super) fn tag(name: &RepositoryName, tag: &Tag) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_manifests/tags/{tag}"))
}

/// The link from a tag to what it points to.
pub(super) fn tag_current_link(name: &RepositoryName, tag: &Tag) -> TreePath {
    path(&format!("{ROOT}/repositories/{name}/_manifests/tags/{tag}/current/{LINK}"))
}

/// The link from a tag that keeps the name it was tagged by.
pub(super) fn tag_index_link(name: &RepositoryName, tag: &Tag, digest: &Digest) -> TreePath {
    path(&format!(
        "{ROOT}/repositories/{name}/_manifests/tags/{tag}/index/{}/{LINK}",
        digest_path(digest)
    ))
}

/// The link from a subject to a referrer.
pub(super) fn referrer_link(
    name: &RepositoryName,
    subject: &Digest,
    referrer: &Digest,
) -> TreePath {
    path(&format!(
        "{ROOT}/repositories/{name}/_referrers/{}/{}/{LINK}",
        digest_path(subject),
        digest_path(referrer)
    ))
}

/// A file of a tree, by its path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TreeFile {
    /// The path of that content.
    Content(CanonicalDigest),
    /// A link of that repository.
    Link(RepositoryName),
}

/// Reads a path back; none if no file of a tree has it.
pub(super) fn read(path: &TreePath) -> Option<TreeFile> {
    let below = path.as_str().strip_prefix(ROOT)?.strip_prefix('/')?;
    if let Some(blob) = below.strip_prefix("blobs/sha256/") {
        let (_, hex) = blob.strip_suffix("/data")?.split_once('/')?;
        let canonical: CanonicalDigest = format!("sha256:{hex}").parse().ok()?;
        return (blob_data(&canonical) == *path).then_some(TreeFile::Content(canonical));
    }
    // No component of a name begins so.
    let (name, rest) = below.strip_prefix("repositories/")?.split_once("/_")?;
    let parts: Vec<&str> = rest.split('/').collect();
    let is_digest = |algorithm: &str, hex: &str| {
        format!("{algorithm}:{hex}").parse::<Digest>().is_ok_and(|digest| digest.hex() == hex)
    };
    let is_link = match parts[..] {
        ["layers", algorithm, hex, LINK] | ["manifests", "revisions", algorithm, hex, LINK] => {
            is_digest(algorithm, hex)
        }
        ["manifests", "tags", tag, "current", LINK] => tag.parse::<Tag>().is_ok(),
        ["manifests", "tags", tag, "index", algorithm, hex, LINK] => {
            tag.parse::<Tag>().is_ok() && is_digest(algorithm, hex)
        }
        ["referrers", algorithm, hex, of, by, LINK] => {
            is_digest(algorithm, hex) && is_digest(of, by)
        }
        _ => false,
    };
    is_link.then_some(TreeFile::Link(name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn paths_are_those_of_the_stock_registry() {
        let name: RepositoryName = "team/app".parse().unwrap();
        let tag_name: Tag = "v1".parse().unwrap();
        let canonical = CanonicalDigest::of(b"");
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::from(canonical);
        let long = Digest::of(Algorithm::Sha512, b"");
        let repository = "docker/registry/v2/repositories/team/app";
        for (path, expected) in [
            (blob_data(&canonical), format!("docker/registry/v2/blobs/sha256/e3/{hex}/data")),
            (layer_link(&name, &digest), format!("{repository}/_layers/sha256/{hex}/link")),
            (
                revision_link(&name, &long),
                format!("{repository}/_manifests/revisions/sha512/{}/link", long.hex()),
            ),
            (tag(&name, &tag_name), format!("{repository}/_manifests/tags/v1")),
            (
                tag_current_link(&name, &tag_name),
                format!("{repository}/_manifests/tags/v1/current/link"),
            ),
            (
                tag_index_link(&name, &tag_name, &digest),
                format!("{repository}/_manifests/tags/v1/index/sha256/{hex}/link"),
            ),
            (
                referrer_link(&name, &digest, &long),
                format!("{repository}/_referrers/sha256/{hex}/sha512/{}/link", long.hex()),
            ),
        ] {
            assert_eq!(path.as_str(), expected);
            let layer = expected.contains("_layers").then_some((name.clone(), digest));
            assert_eq!(read_layer_link(&path), layer, "{expected}");
            match read(&path) {
                Some(TreeFile::Content(found)) => assert_eq!(found, canonical),
                Some(TreeFile::Link(found)) => assert_eq!(found, name),
                None => assert!(expected.ends_with("/v1"), "{expected}"),
            }
        }
    }

    #[test]
    fn what_is_no_file_of_a_tree_is_not_read() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let repository = "docker/registry/v2/repositories/app";
        for odd in [
            format!("docker/registry/v2/blobs/sha256/e4/{hex}/data"),
            format!("docker/registry/v2/blobs/sha256/e3/{}/data", hex.to_uppercase()),
            format!("docker/registry/v2/blobs/sha256/e3/{hex}/data/more"),
            format!("docker/registry/v1/blobs/sha256/e3/{hex}/data"),
            format!("{repository}/_layers/sha256/{hex}"),
            format!("{repository}/_layers/md5/{hex}/link"),
            format!("{repository}/_layers/sha256/{}/link", &hex[1..]),
            format!("{repository}/_uploads/1/data"),
            format!("{repository}/_manifests/tags/-/current/link"),
            format!("docker/registry/v2/repositories/UP/_layers/sha256/{hex}/link"),
            format!("docker/registry/v2/repositories/_layers/sha256/{hex}/link"),
            String::new(),
        ] {
            assert_eq!(read(&TreePath::parse(&odd).unwrap()), None, "{odd}");
        }
    }
}

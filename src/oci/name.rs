//! Names of repositories.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use cid::multibase::Base;
use cid::multihash::Multihash;
use thiserror::Error;

/// The longest text in bytes that is read as a domain. One has 253 characters, of which each has at most four bytes.
const MAX_DOMAIN: usize = 1024;

/// The multicodec of a libp2p public key, which an IPNS name is the CID of.
const LIBP2P_KEY: u64 = 0x72;

/// A repository's name: components of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, joined by slashes, at
/// most 255 characters (distribution-spec, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// A foreign root, as the first component of a repository's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RootName {
    /// A domain: the component has a dot.
    Domain(String),
    /// A root by its CID.
    Cid(Cid),
    /// An IPNS key, in base36 or base32; shown in base36.
    Ipns(Cid),
}

impl RepositoryName {
    /// The longest name in characters.
    pub const MAX_LENGTH: usize = 255;

    /// Returns the name as text.
    ///
    /// ```
    /// use roadstead::oci::RepositoryName;
    ///
    /// let name: RepositoryName = "team/app".parse()?;
    /// assert_eq!(name.as_str(), "team/app");
    /// assert!("Team/App".parse::<RepositoryName>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first component of a name that has more than one.
    ///
    /// ```
    /// use roadstead::oci::RepositoryName;
    ///
    /// assert_eq!("team/app".parse::<RepositoryName>()?.namespace(), Some("team"));
    /// assert_eq!("app".parse::<RepositoryName>()?.namespace(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('/').map(|(first, _)| first)
    }

    /// Returns whose root the first component names, if it names one. A name of one component
    /// never does.
    ///
    /// ```
    /// use roadstead::oci::{RepositoryName, RootName};
    ///
    /// let name: RepositoryName = "example.com/app".parse()?;
    /// assert_eq!(name.root(), Some(RootName::Domain("example.com".to_owned())));
    /// assert_eq!("team/app".parse::<RepositoryName>()?.root(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn root(&self) -> Option<RootName> {
        let first = self.namespace()?;
        if first.contains('.') {
            return Some(RootName::Domain(first.to_owned()));
        }
        let cid = Cid::try_from(first).ok().filter(|cid| cid.version() == cid::Version::V1)?;
        match (first.as_bytes().first(), cid.codec()) {
            (Some(b'k' | b'b'), LIBP2P_KEY) => Some(RootName::Ipns(cid)),
            (Some(b'b'), _) => Some(RootName::Cid(cid)),
            _ => None,
        }
    }

    /// Reads the name as one below a foreign root, if the first component names one.
    ///
    /// ```
    /// use roadstead::oci::RepositoryName;
    ///
    /// let foreign = "example.com/team/app".parse::<RepositoryName>()?.foreign().unwrap();
    /// assert_eq!(foreign.root.to_string(), "example.com");
    /// assert_eq!(foreign.repository.as_str(), "team/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn foreign(&self) -> Option<ForeignName> {
        let (_, rest) = self.0.split_once('/')?;
        Some(ForeignName { root: self.root()?, repository: Self(rest.to_owned()) })
    }

    /// Returns the name below that first component.
    ///
    /// ```
    /// use roadstead::oci::RepositoryName;
    ///
    /// let name: RepositoryName = "team/app".parse()?;
    /// assert_eq!(name.below("team"), Some("app".parse()?));
    /// assert_eq!(name.below("other"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn below(&self, namespace: &str) -> Option<Self> {
        let rest = self.0.strip_prefix(namespace)?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }
}

/// A repository below a foreign root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignName {
    /// Whose root.
    pub root: RootName,
    /// The name below it.
    pub repository: RepositoryName,
}

impl fmt::Display for RootName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => formatter.write_str(domain),
            Self::Cid(cid) => write!(formatter, "{cid}"),
            Self::Ipns(key) => match key.to_string_of_base(Base::Base36Lower) {
                Ok(text) => formatter.write_str(&text),
                Err(_) => write!(formatter, "{key}"),
            },
        }
    }
}

impl FromStr for RootName {
    type Err = NameError;

    /// Reads the first component of a repository's name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let below: Option<RepositoryName> = format!("{text}/name").parse().ok();
        let root = below.filter(|name| name.namespace() == Some(text)).and_then(|name| name.root());
        root.ok_or_else(|| NameError::Root(text.to_owned()))
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(NameError::TooLong(text.len()));
        }
        if !text.split('/').all(is_component) {
            let meant = respelled(text).map(|name| (text.to_owned(), name));
            return Err(meant.map_or_else(
                || NameError::Form(text.to_owned()),
                |(text, name)| NameError::Spelling { text, name },
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Tells whether a text is a domain as it begins a repository's name: with a dot, in lower case.
///
/// ```
/// use roadstead::oci::is_domain;
///
/// assert!(is_domain("example.com"));
/// assert!(!is_domain("localhost") && !is_domain("Example.com"));
/// ```
#[must_use]
pub fn is_domain(text: &str) -> bool {
    text.contains('.') && !text.contains('/') && text.parse::<RepositoryName>().is_ok()
}

/// Reads a domain however it is written: in upper case, in Unicode, with a dot at its end. Returns it as repository
/// names have it: in lower case, in ASCII (RFC 5891), and without that dot.
///
/// ```
/// use roadstead::oci::read_domain;
///
/// assert_eq!(read_domain("BÜCHER.example.").as_deref(), Some("xn--bcher-kva.example"));
/// assert_eq!(read_domain("localhost"), None);
/// ```
#[must_use]
pub fn read_domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if is_domain(text) {
        return Some(text.to_owned());
    }
    // Clients choose the text, and a long one takes long to convert.
    if text.len() > MAX_DOMAIN {
        return None;
    }
    idna::domain_to_ascii(text).ok().filter(|ascii| is_domain(ascii))
}

/// Reads what names a root however it is written, and returns it as repository names have it: a domain as
/// [`read_domain`] does, a CID (`Qm…` too, or in upper case) in base32, an IPNS key (`12D3KooW…` too) in base36.
///
/// ```
/// use roadstead::oci::read_root;
///
/// let root = read_root("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
/// let base32 = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
/// assert_eq!(root.as_deref(), Some(base32));
/// assert_eq!(read_root("Example.com").as_deref(), Some("example.com"));
/// ```
#[must_use]
pub fn read_root(text: &str) -> Option<String> {
    if let Some(domain) = read_domain(text) {
        return Some(domain);
    }
    // The library reads a CID out of a path, too; and a long text takes long.
    if text.len() > RepositoryName::MAX_LENGTH || text.contains('/') {
        return None;
    }
    let root = match Cid::try_from(text) {
        Ok(cid) if cid.codec() == LIBP2P_KEY => RootName::Ipns(cid),
        // Of version 0 it is the same content by the same hash (CID specification, "Version 0").
        Ok(cid) => RootName::Cid(Cid::new_v1(cid.codec(), *cid.hash())),
        // A key that stands in its own name, as a peer id in base58; no CID of version 1 begins with this.
        Err(_) if text.starts_with('1') => {
            let hash = Base::Base58Btc.decode(text).ok()?;
            let hash = Multihash::from_bytes(&hash).ok()?;
            // The shortest key, of Ed25519, has so many bytes (libp2p's peer ids).
            if usize::from(hash.size()) < 36 {
                return None;
            }
            RootName::Ipns(Cid::new_v1(LIBP2P_KEY, hash))
        }
        Err(_) => return None,
    };
    Some(root.to_string())
}

/// Writes the root that a text begins with as names of repositories have it; none if the text is no name then either.
fn respelled(text: &str) -> Option<String> {
    let (first, rest) = text.split_once('/')?;
    let name = format!("{}/{rest}", read_root(first)?);
    let is_name = name.len() <= RepositoryName::MAX_LENGTH && name.split('/').all(is_component);
    is_name.then_some(name)
}

fn is_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_alphanumeric(*first) || !is_alphanumeric(*last) {
        return false;
    }
    bytes.split(|byte| is_alphanumeric(*byte)).filter(|separator| !separator.is_empty()).all(
        |separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        },
    )
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is not a repository's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// A component breaks the grammar.
    #[error("`{0}` is not a repository name")]
    Form(String),
    /// The root that it begins with is written in another way than names of repositories have it.
    #[error("`{text}` is not a repository name: one has lower case and ASCII alone; use `{name}`")]
    Spelling {
        /// As it came.
        text: String,
        /// As it has to be.
        name: String,
    },
    /// The name has more than [`RepositoryName::MAX_LENGTH`] characters.
    #[error("a repository name has at most 255 characters, this one has {0}")]
    TooLong(usize),
    /// The text names no root.
    #[error(
        "`{0}` is neither a domain such as example.com, nor a CID of version 1 such as bafy…, \
         nor an IPNS key in base36 such as k51…"
    )]
    Root(String),
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::super::hostile;
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_the_specification() {
        for name in ["a", "hello", "my.app", "a/b/c/d/e", "a__b", "a--b", "a---b/c_d", "0"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a..b",
            "a/../b",
            "..",
            "_a",
            "a_",
            "a___b",
            "-a",
            ".a",
            "a.",
            "a.-b",
            "a b",
            "ä",
            "a%2fb",
            "a\0b",
            "a:b",
            "a/_catalog",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert_eq!("a".repeat(256).parse::<RepositoryName>(), Err(NameError::TooLong(256)));
    }

    #[test]
    fn a_name_below_a_domain_in_another_spelling_is_refused_with_the_right_one() {
        let right = |text: &str| match text.parse::<RepositoryName>() {
            Err(NameError::Spelling { name, .. }) => Some(name),
            other => {
                assert!(other.is_err(), "{text}");
                None
            }
        };
        let expected = Some("xn--bcher-kva.example/team/app".to_owned());
        for domain in ["b\u{fc}cher.example", "B\u{dc}cher.Example.", "XN--bcher-kva.example"] {
            assert_eq!(right(&format!("{domain}/team/app")), expected, "{domain}");
        }
        assert_eq!(
            right("Docker.IO/library/busybox").as_deref(),
            Some("docker.io/library/busybox")
        );
        let old = "QmaCveU7uyVKUSczmiCc85N7jtdZuBoKMrmcHbnnP26DCx";
        let cid = Cid::new_v1(0x70, *Cid::try_from(old).unwrap().hash()).to_string();
        let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        let peer = Base::Base58Btc.encode(Cid::try_from(key).unwrap().hash().to_bytes());
        for (text, root) in
            [(old, &*cid), (&cid.to_uppercase(), &cid), (&peer, key), (&key.to_uppercase(), key)]
        {
            assert_eq!(right(&format!("{text}/app")), Some(format!("{root}/app")), "{text}");
            assert_eq!(read_root(text).as_deref(), Some(root));
        }
        for text in ["12D3KooW/app", "Qm/app", "K51/app"] {
            assert_eq!(right(text), None, "{text}");
        }
        for text in
            ["b\u{fc}cher.example", "b\u{fc}cher.example/", "b\u{fc}cher/app", "A.b/C", "a.b./_x"]
        {
            assert_eq!(right(text), None, "{text}");
        }
    }

    #[test]
    fn a_domain_is_read_in_any_spelling() {
        for text in ["bücher.example", "Bücher.EXAMPLE.", "xn--bcher-kva.example."] {
            assert_eq!(read_domain(text).as_deref(), Some("xn--bcher-kva.example"), "{text}");
        }
        assert_eq!(read_domain("Docker.IO").as_deref(), Some("docker.io"));
        for text in ["", ".", "a", "a b.c", "a..b", "a/b.c", "a.b..", "a.b:53", "[::1].a", "-.b"] {
            assert_eq!(read_domain(text), None, "{text}");
        }
        // Ignored characters shorten it; of a text that long nothing is converted.
        let ignored = |count| format!("b\u{fc}cher{}.example", "\u{ad}".repeat(count));
        assert_eq!(read_domain(&ignored(500)).as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(read_domain(&ignored(50_000)), None);
    }

    #[test]
    fn a_first_component_may_name_a_root() {
        let root = |name: &str| name.parse::<RepositoryName>().unwrap().root();
        assert_eq!(root("myorg/api"), None);
        assert_eq!(root("my.app"), None, "a name of one component is always local");
        assert_eq!(root("example.com/api"), Some(RootName::Domain("example.com".to_owned())));
        let cid = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
        assert_eq!(root(&format!("{cid}/api")), Some(RootName::Cid(cid.parse().unwrap())));
        let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        assert_eq!(root(&format!("{key}/api")), Some(RootName::Ipns(key.parse().unwrap())));
        let base32 = Cid::try_from(key).unwrap().to_string();
        assert!(base32.starts_with("bafz"), "{base32}");
        assert_eq!(root(&format!("{base32}/api")), Some(RootName::Ipns(key.parse().unwrap())));
        assert_eq!(root("bafybeiczsscdsbs7ffqz55/api"), None);
    }

    #[test]
    fn a_root_is_read_as_it_stands_in_a_name() {
        for text in [
            "example.com",
            "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
            "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
        ] {
            let root: RootName = text.parse().unwrap();
            assert_eq!(root.to_string(), text);
        }
        for text in ["", "api", "example.com/api", "Example.com", "https://example.com", "a..b"] {
            assert_eq!(text.parse::<RootName>(), Err(NameError::Root(text.to_owned())));
        }
    }

    /// As the specification writes it.
    static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
        let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
        Regex::new(&format!("^{component}(\\/{component})*$")).unwrap()
    });

    proptest! {
        #[test]
        fn what_is_a_name_the_specification_says(
            text in hostile::texts("[a-z0-9]{1,4}((\\.|_|__|-+)[a-z0-9]{1,9}){0,3}(/[a-z0-9]{1,70}){0,5}")
        ) {
            let expected = GRAMMAR.is_match(&text) && text.len() <= 255;
            match text.parse::<RepositoryName>() {
                Ok(name) => {
                    prop_assert!(expected, "{text:?} was taken");
                    prop_assert_eq!(name.as_str(), &text);
                    prop_assert_eq!(name.namespace().is_some(), text.contains('/'));
                    let _ = name.root();
                }
                Err(error) => prop_assert!(!expected, "{text:?} was refused: {error}"),
            }
        }
    }
}

//! The target of a record: `/ipfs/<cid>`, `/ipns/<domain>` or `/ipns/<key>`, and a path below.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use thiserror::Error;

use super::Domain;
use super::key::{ipns_name, parse_key};

/// The longest link as text; a TXT record of one segment has 255 bytes.
const MAX_LENGTH: usize = 2048;

/// The start of a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A root: the end of the way.
    Cid(Cid),
    /// A domain, whose own record has the rest.
    Domain(Domain),
    /// An IPNS key, whose owner has signed the rest.
    Key(Cid),
}

/// The target of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its start.
    pub target: Target,
    /// The path below. No component is empty, `.` or `..`, or has a slash.
    pub path: Vec<String>,
}

/// Why a text is not a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It does not begin with a slash and a namespace.
    #[error("does not begin with /ipfs/ or /ipns/")]
    Form,
    /// It leads into another system.
    #[error("namespace is neither ipfs nor ipns")]
    Namespace,
    /// It has other characters than printable ones of ASCII.
    #[error("has characters that are not printable ASCII")]
    Characters,
    /// What follows `/ipfs/` is no CID.
    #[error("what follows /ipfs/ is not a CID")]
    Cid,
    /// What follows `/ipns/` is neither a domain nor a key.
    #[error("what follows /ipns/ is neither a domain nor a key")]
    Name,
    /// The path has a component that could lead elsewhere.
    #[error("path has an empty component, `.` or `..`")]
    Path,
    /// It is too long.
    #[error("longer than {MAX_LENGTH} characters")]
    Length,
}

impl FromStr for Link {
    type Err = LinkError;

    /// Reads a link as the DNSLink specification has it: printable ASCII, a slash, a namespace, a slash,
    /// and a name. A slash at the end is passed over.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        if text.len() > MAX_LENGTH {
            return Err(LinkError::Length);
        }
        let rest = text.strip_prefix('/').ok_or(LinkError::Form)?;
        if !rest.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(LinkError::Characters);
        }
        let (namespace, rest) = rest.split_once('/').ok_or(LinkError::Form)?;
        let mut parts = rest.strip_suffix('/').unwrap_or(rest).split('/');
        let name = parts.next().unwrap_or_default();
        let target = match namespace {
            "" => return Err(LinkError::Form),
            "ipfs" => Target::Cid(Cid::try_from(name).map_err(|_| LinkError::Cid)?),
            "ipns" => Target::read_name(name).ok_or(LinkError::Name)?,
            _ => return Err(LinkError::Namespace),
        };
        let path: Vec<String> = parts.map(str::to_owned).collect();
        if path.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
            return Err(LinkError::Path);
        }
        Ok(Self { target, path })
    }
}

impl Target {
    /// Reads what follows `/ipns/`. No domain is a key, since a domain has a dot.
    fn read_name(name: &str) -> Option<Self> {
        parse_key(name).map(Self::Key).or_else(|| name.parse().ok().map(Self::Domain))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cid(cid) => write!(formatter, "/ipfs/{cid}"),
            Self::Domain(domain) => write!(formatter, "/ipns/{domain}"),
            Self::Key(key) => write!(formatter, "/ipns/{}", ipns_name(key)),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.target)?;
        self.path.iter().try_for_each(|part| write!(formatter, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze";
    const OLD_CID: &str = "QmaCveU7uyVKUSczmiCc85N7jtdZuBoKMrmcHbnnP26DCx";
    const PEER: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

    fn read(text: &str) -> Result<Link, LinkError> {
        text.parse()
    }

    #[test]
    fn a_link_leads_to_a_cid_a_domain_or_a_key() {
        for cid in [CID, OLD_CID] {
            let link = read(&format!("/ipfs/{cid}")).unwrap();
            assert_eq!((link.target, link.path.len()), (Target::Cid(cid.parse().unwrap()), 0));
        }
        let link = read("/ipns/Example.com/a/b%20c/d?e").unwrap();
        assert_eq!(link.target, Target::Domain("example.com".parse().unwrap()));
        assert_eq!(link.path, ["a", "b%20c", "d?e"], "a path is taken as it stands");
        let link = read(&format!("/ipns/{PEER}/")).unwrap();
        assert!(matches!(link.target, Target::Key(_)) && link.path.is_empty());
        assert!(link.to_string().starts_with("/ipns/k51"), "{link}");
        assert_eq!(read(&link.to_string()), Ok(link));
    }

    #[test]
    fn what_is_no_link_is_recognized() {
        let long = format!("/ipns/example.com/{}", "a".repeat(MAX_LENGTH));
        for (text, error) in [
            (String::new(), LinkError::Form),
            (CID.to_owned(), LinkError::Form),
            (" /ipfs/a".to_owned(), LinkError::Form),
            ("/ipfs".to_owned(), LinkError::Form),
            ("//a".to_owned(), LinkError::Form),
            ("/hyper/abc".to_owned(), LinkError::Namespace),
            (format!("/IPFS/{CID}"), LinkError::Namespace),
            ("/ipfs/".to_owned(), LinkError::Cid),
            ("/ipfs/abc".to_owned(), LinkError::Cid),
            (format!("/ipfs/{CID} "), LinkError::Cid),
            ("/ipns/com".to_owned(), LinkError::Name),
            ("/ipns/".to_owned(), LinkError::Name),
            (format!("/ipns/{CID}"), LinkError::Name),
            (format!("/ipfs/{CID}/../x"), LinkError::Path),
            (format!("/ipfs/{CID}/./x"), LinkError::Path),
            (format!("/ipfs/{CID}//x"), LinkError::Path),
            (format!("/ipfs/{CID}/ä"), LinkError::Characters),
            (format!("/ipfs/{CID}/\0"), LinkError::Characters),
            (long, LinkError::Length),
        ] {
            assert_eq!(read(&text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_back_the_same(text in "/(ipfs|ipns)/(example\\.com|[a-zA-Z0-9./]{0,60}|.{0,20})(/.{0,5}){0,3}") {
            let Ok(link) = read(&text) else { return Ok(()) };
            prop_assert!(link.path.iter().all(|part| !part.contains('/') && part != ".."));
            prop_assert_eq!(read(&link.to_string()), Ok(link));
        }
    }
}

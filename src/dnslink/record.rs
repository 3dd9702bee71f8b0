//! Reads the TXT records of a name, and chooses the one that counts.
//!
//! Domains have TXT records for many purposes, so those that are not understood are passed
//! over, and only reported to an operator who runs `roadstead resolve`.

use std::collections::BTreeSet;

use serde_json::Value;
use thiserror::Error;

use super::{Hint, Link, LinkError, MAX_HINTS, MultiaddrError};

/// The longest record that is read. Eight of these fill an answer.
const MAX_LENGTH: usize = 8 * 1024;

/// The content of a TXT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// `dnslink=`: where the root is.
    Link(Link),
    /// `ipfsnode=` or `dnsaddr=`: where the publisher can be reached.
    Hints {
        /// The valid addresses; at least one.
        hints: Vec<Hint>,
        /// How many are not valid.
        ignored: usize,
    },
}

/// Why a TXT record is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ignored {
    /// It is about something else.
    #[error("not about IPFS")]
    Other,
    /// It begins with `dnslink=`, and what follows is no link.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// What follows is no address.
    #[error("{0}")]
    Address(#[from] MultiaddrError),
    /// What follows is a list, and none of it is an address.
    #[error("not a JSON list of multiaddrs that can be dialled")]
    Addresses,
    /// It has bytes that are no text.
    #[error("not UTF-8")]
    Text,
    /// It is too long.
    #[error("longer than {MAX_LENGTH} bytes")]
    Length,
    /// Another record of the same name is taken.
    #[error("another record comes before it")]
    NotFirst,
    /// There are more hints than the limit.
    #[error("only the first {MAX_HINTS} addresses are used")]
    TooMany,
}

impl Ignored {
    /// Returns whether the record was meant for us, but is malformed.
    ///
    /// ```
    /// use roadstead::dnslink::record::read;
    ///
    /// assert!(read(b"dnslink=example.com").unwrap_err().is_mistake());
    /// assert!(!read(b"v=spf1 -all").unwrap_err().is_mistake());
    /// ```
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::Other | Self::Link(LinkError::Namespace) | Self::NotFirst | Self::TooMany => {
                false
            }
            Self::Link(_) | Self::Address(_) | Self::Addresses | Self::Text | Self::Length => true,
        }
    }
}

/// Reads a TXT record, whose segments were joined.
///
/// ```
/// use roadstead::dnslink::record::{Ignored, Record, read};
///
/// let Record::Link(link) = read(b"dnslink=/ipns/example.com/a")? else { panic!() };
/// assert_eq!(link.path, ["a"]);
/// assert_eq!(read(b"v=spf1 -all"), Err(Ignored::Other));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Why it is passed over.
pub fn read(bytes: &[u8]) -> Result<Record, Ignored> {
    let starts = |prefix: &str| bytes.starts_with(prefix.as_bytes());
    if !["dnslink=", "ipfsnode=", "dnsaddr="].into_iter().any(starts) {
        return Err(Ignored::Other);
    }
    if bytes.len() > MAX_LENGTH {
        return Err(Ignored::Length);
    }
    let text = str::from_utf8(bytes).map_err(|_| Ignored::Text)?;
    let (prefix, value) = text.split_once('=').ok_or(Ignored::Other)?;
    match prefix {
        "dnslink" => Ok(Record::Link(value.parse()?)),
        "ipfsnode" if value.trim_start().starts_with('[') => addresses(value),
        _ => Ok(Record::Hints { hints: vec![value.trim().parse()?], ignored: 0 }),
    }
}

/// Reads a JSON list of multiaddrs.
fn addresses(json: &str) -> Result<Record, Ignored> {
    let items: Vec<Value> = serde_json::from_str(json).map_err(|_| Ignored::Addresses)?;
    let read = |item: &Value| item.as_str()?.trim().parse().ok();
    let hints: Vec<Hint> = items.iter().filter_map(read).collect();
    if hints.is_empty() {
        return Err(Ignored::Addresses);
    }
    Ok(Record::Hints { ignored: items.len() - hints.len(), hints })
}

/// The content of all TXT records of a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Where the root is.
    pub link: Option<Link>,
    /// Where the publisher can be reached, at most [`MAX_HINTS`].
    pub hints: Vec<Hint>,
    /// Whether there is any record that begins with `dnslink=` and is about IPFS, valid or not.
    pub has_link: bool,
    /// For each record in the order of `read_all`'s argument: why it was passed over, if it was.
    pub verdicts: Vec<Option<Ignored>>,
}

/// Reads all TXT records of a name.
///
/// The DNS returns them in any order. Of several valid links the first in lexicographical order counts,
/// as the DNSLink specification suggests under "Sorting"; it lets a system refuse them instead, which
/// Kubo does. The first is deterministic, and an operator who moves a root by adding
/// a record before removing the old one is not cut off meanwhile.
///
/// ```
/// use roadstead::dnslink::record::{Ignored, read_all};
///
/// let texts = ["v=spf1 -all", "dnslink=/ipns/b.example", "dnslink=/ipns/a.example"];
/// let found = read_all(&texts.map(|text| text.as_bytes().to_vec()));
/// assert_eq!(found.link, Some("/ipns/a.example".parse()?));
/// assert_eq!(found.verdicts, [Some(Ignored::Other), Some(Ignored::NotFirst), None]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn read_all(records: &[Vec<u8>]) -> Records {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|index| &records[*index]);
    let mut found = Records { verdicts: vec![None; records.len()], ..Records::default() };
    let mut known = BTreeSet::new();
    for index in order {
        found.verdicts[index] = match read(&records[index]) {
            Ok(Record::Link(link)) => {
                found.has_link = true;
                let is_first = found.link.is_none();
                found.link.get_or_insert(link);
                (!is_first).then_some(Ignored::NotFirst)
            }
            Ok(Record::Hints { hints, .. }) => {
                let is_full = found.hints.len() >= MAX_HINTS;
                for hint in hints {
                    if found.hints.len() < MAX_HINTS && known.insert(hint.to_string()) {
                        found.hints.push(hint);
                    }
                }
                is_full.then_some(Ignored::TooMany)
            }
            Err(why) => {
                let is_link = records[index].starts_with(b"dnslink=");
                found.has_link |= is_link && why.is_mistake();
                Some(why)
            }
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dnslink::Target;

    const A: &str = "dnslink=/ipfs/bafkqaaa/a";
    const B: &str = "dnslink=/ipfs/bafkqaaa/b";
    const GATEWAY: &str = "/dns4/example.com/tcp/443/tls/http";

    fn all(texts: &[&str]) -> Records {
        read_all(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn of_several_valid_links_the_first_in_order_counts_however_they_arrive() {
        for texts in [[A, B], [B, A]] {
            let found = all(&texts);
            assert_eq!(found.link.unwrap().path, ["a"]);
            let passed_over = texts.iter().position(|text| *text == B).unwrap();
            assert_eq!(found.verdicts[passed_over], Some(Ignored::NotFirst));
            assert_eq!(found.verdicts[1 - passed_over], None);
        }
    }

    #[test]
    fn an_invalid_link_is_passed_over_wherever_it_stands() {
        let found = all(&["dnslink=/ipfs/", "v=spf1 -all", B, "dnslink=/hyper/x", "dnslink"]);
        assert_eq!(found.link.unwrap().path, ["b"]);
        assert_eq!(
            found.verdicts,
            [
                Some(Ignored::Link(LinkError::Cid)),
                Some(Ignored::Other),
                None,
                Some(Ignored::Link(LinkError::Namespace)),
                Some(Ignored::Other),
            ]
        );
    }

    #[test]
    fn only_a_link_of_ours_counts_as_one_that_went_wrong() {
        assert!(all(&["dnslink=/ipfs/"]).has_link);
        assert!(all(&["dnslink= /ipfs/bafkqaaa"]).has_link);
        assert!(!all(&["dnslink=/hyper/x", "other", "ipfsnode=x"]).has_link);
    }

    #[test]
    fn hints_come_one_by_one_or_as_a_list() {
        let list =
            format!("ipfsnode=[\"{GATEWAY}\", \"/nonsense\", 1, \"/ip4/192.0.2.1/tcp/80/http\"]");
        let Ok(Record::Hints { hints, ignored }) = read(list.as_bytes()) else {
            panic!("it is one")
        };
        assert_eq!((hints.len(), ignored), (2, 2));
        let single = format!("ipfsnode={GATEWAY}");
        let by_dnsaddr = format!("dnsaddr={GATEWAY}");
        let found = all(&[&list, &single, &by_dnsaddr]);
        assert_eq!(found.hints.len(), 2, "what was told twice is one");
        assert_eq!(found.verdicts, [None, None, None]);
    }

    #[test]
    fn what_is_no_hint_is_recognized() {
        assert_eq!(read(b"ipfsnode=[]"), Err(Ignored::Addresses));
        assert_eq!(read(b"ipfsnode=[\"/x\"]"), Err(Ignored::Addresses));
        assert_eq!(read(b"ipfsnode=[\"/x\""), Err(Ignored::Addresses));
        assert_eq!(read(b"ipfsnode=/x"), Err(Ignored::Address(MultiaddrError::Form)));
        assert_eq!(read(b"dnsaddr="), Err(Ignored::Address(MultiaddrError::Form)));
        assert_eq!(read(b"dnslink=\xff"), Err(Ignored::Text));
        let mut long = b"ipfsnode=".to_vec();
        long.resize(MAX_LENGTH + 1, b' ');
        assert_eq!(read(&long), Err(Ignored::Length));
    }

    #[test]
    fn the_number_of_hints_is_bounded() {
        let texts: Vec<Vec<u8>> = (1..=60_u8)
            .map(|host| format!("ipfsnode=/ip4/192.0.2.{host}/tcp/80/http").into_bytes())
            .collect();
        let found = read_all(&texts);
        assert_eq!(found.hints.len(), MAX_HINTS);
        let too_many = found.verdicts.iter().filter(|it| **it == Some(Ignored::TooMany)).count();
        assert_eq!(too_many, 60 - MAX_HINTS);
    }

    #[test]
    fn a_link_leads_on_to_a_domain() {
        let link = all(&["dnslink=/ipns/other.example/sub"]).link.unwrap();
        assert_eq!(link.target, Target::Domain("other.example".parse().unwrap()));
        assert_eq!(link.path, ["sub"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_all_are_judged(
            records in prop::collection::vec(
                ("(dnslink=|ipfsnode=|dnsaddr=|)", prop::collection::vec(any::<u8>(), 0..40)),
                0..6,
            ),
        ) {
            let join = |(prefix, rest): &(String, Vec<u8>)| [prefix.as_bytes(), rest].concat();
            let records: Vec<Vec<u8>> = records.iter().map(join).collect();
            prop_assert_eq!(read_all(&records).verdicts.len(), records.len());
        }
    }
}

//! Roots to names: the records that publish a root, and the providers that write them.
//!
//! A [`Provider`] knows how to write records; its caller knows when, and which. Of the
//! TXT records of a name only our own are touched; a foreign link is a conflict, which is
//! reported and not overwritten.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::domain::DNSLINK;
use super::{Domain, Link};

/// How many bytes of a text one segment of a TXT record holds (RFC 1035, 3.3).
pub(super) const SEGMENT: usize = 255;

/// The TXT records that we publish for a domain.
#[derive(Debug, Clone)]
pub struct Change {
    /// The domain whose root they publish.
    pub domain: Domain,
    /// Their texts: one link, then hints.
    pub expected: Vec<String>,
    /// Texts that we may have written before, and may remove, the newest last.
    pub ours: Vec<String>,
    /// How long others may cache them.
    pub ttl: Duration,
    /// Whether foreign links are removed too.
    pub force: bool,
}

/// The changes from the current records to the expected ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The texts to remove.
    pub remove: Vec<String>,
    /// The texts to add, the link first.
    pub add: Vec<String>,
}

/// A provider that can write records of a domain.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Makes `_dnslink.<domain>` hold the expected records beside those of others, and none of the earlier ones, with
    /// the expected TTL. If it does already, nothing is changed, so it may be repeated after its answer was lost.
    ///
    /// # Errors
    /// [`Conflict`](PublishErrorKind::Conflict) when there is a link that is not ours, and nothing was changed.
    async fn write(&self, change: &Change) -> Result<(), PublishError>;

    /// Returns why [`write`](Self::write) would fail, as far as that is known without changing anything.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    async fn check(&self, change: &Change) -> Result<(), PublishError>;

    /// Returns whether [`write`](Self::write) itself checks for foreign links. Otherwise its caller does, at the
    /// servers of the zone.
    fn compares(&self) -> bool {
        true
    }
}

/// A failure to publish: its kind says what a caller can do about it.
#[derive(Debug)]
pub struct PublishError {
    /// What a caller can do about it.
    pub kind: PublishErrorKind,
    /// What was being done, and what is wrong.
    pub context: String,
    /// How long the server says to wait before a retry, if it does.
    pub retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a caller can do about a failure to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishErrorKind {
    /// Another writer has changed the record: an operator has to decide.
    Conflict,
    /// The key or the token is not accepted, or not for this: an operator has to mend it.
    Refused,
    /// The server does not answer, or says to try later; the change may have been made. Try again.
    Unavailable,
    /// Anything else.
    Failed,
}

impl Change {
    /// Returns the name of the records, without a dot at its end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use roadstead::dnslink::Change;
    ///
    /// let (domain, ttl) = ("example.com".parse()?, Duration::from_mins(1));
    /// let change = Change { domain, expected: vec![], ours: vec![], ttl, force: false };
    /// assert_eq!(change.name(), "_dnslink.example.com");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.domain)
    }

    /// Compares the expected records with the current ones.
    ///
    /// ```
    /// use roadstead::dnslink::{Change, PublishErrorKind};
    /// # let ttl = std::time::Duration::from_mins(1);
    /// # let domain = "example.com".parse()?;
    ///
    /// let [old, new] = ["dnslink=/ipns/a.example", "dnslink=/ipns/b.example"].map(str::to_owned);
    /// let (expected, ours) = (vec![new.clone()], vec![old.clone()]);
    /// let change = Change { domain, expected, ours, ttl, force: false };
    /// let difference = change.against(&[old.clone(), "v=spf1 -all".to_owned()])?;
    /// assert_eq!((difference.remove, difference.add), (vec![old], vec![new]));
    /// let conflict = change.against(&["dnslink=/ipns/c.example".to_owned()]).unwrap_err();
    /// assert_eq!(conflict.kind, PublishErrorKind::Conflict);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](PublishErrorKind::Conflict) when there is a link that is neither expected nor ours.
    pub fn against(&self, current: &[String]) -> Result<Difference, PublishError> {
        let is_expected = |text: &String| self.expected.contains(text);
        let (ours, others): (Vec<&String>, Vec<&String>) = current
            .iter()
            .filter(|text| !is_expected(text))
            .partition(|text| self.ours.contains(text));
        let foreign: Vec<&String> = others.into_iter().filter(|text| is_link(text)).collect();
        if !foreign.is_empty() && !self.force {
            return Err(conflict(&self.name(), &foreign));
        }
        Ok(Difference {
            remove: ours.into_iter().chain(foreign).cloned().collect(),
            add: self.expected.iter().filter(|text| !current.contains(text)).cloned().collect(),
        })
    }
}

impl Difference {
    /// Returns whether there is nothing to do.
    ///
    /// ```
    /// use roadstead::dnslink::Difference;
    ///
    /// assert!(Difference { remove: vec![], add: vec![] }.is_empty());
    /// assert!(!Difference { remove: vec![], add: vec!["a text".to_owned()] }.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

/// Returns the name of a domain's records, without a dot at its end.
pub(super) fn name(domain: &Domain) -> String {
    format!("{DNSLINK}{domain}")
}

/// Returns whether a text is a valid DNSLink.
///
/// ```
/// use roadstead::dnslink::is_link;
///
/// assert!(is_link("dnslink=/ipns/example.com"));
/// assert!(!is_link("dnslink=example.com") && !is_link("v=spf1 -all"));
/// ```
#[must_use]
pub fn is_link(text: &str) -> bool {
    text.strip_prefix("dnslink=").is_some_and(|link| link.parse::<Link>().is_ok())
}

fn conflict(name: &str, foreign: &[&String]) -> PublishError {
    let texts: Vec<String> = foreign.iter().map(|text| format!("`{text}`")).collect();
    let context = format!(
        "{name} has {}, which this registry did not write; run `roadstead publish --force` to replace it",
        texts.join(", ")
    );
    PublishError::new(PublishErrorKind::Conflict, context)
}

/// Cuts a text into segments.
pub(super) fn segments(text: &str) -> Vec<&[u8]> {
    text.as_bytes().chunks(SEGMENT).collect()
}

impl PublishError {
    /// Makes an error that has no cause of its own.
    ///
    /// ```
    /// use roadstead::dnslink::{PublishError, PublishErrorKind};
    ///
    /// let error = PublishError::new(PublishErrorKind::Refused, "the key is unknown");
    /// assert!(error.to_string().ends_with("refused the change: the key is unknown"));
    /// ```
    pub fn new(kind: PublishErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), retry_after: None, source: None }
    }

    /// Makes an error of that kind with a cause.
    ///
    /// ```
    /// use roadstead::dnslink::{PublishError, PublishErrorKind};
    ///
    /// let cause = std::io::Error::other("unplugged");
    /// let error = PublishError::wrap(PublishErrorKind::Unavailable, "no answer", cause);
    /// assert!(error.to_string().ends_with("no answer: unplugged"));
    /// ```
    pub fn wrap(
        kind: PublishErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, context) }
    }

    /// Sets how long the server says to wait before a retry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use roadstead::dnslink::{PublishError, PublishErrorKind};
    ///
    /// let error = PublishError::new(PublishErrorKind::Unavailable, "too many requests");
    /// let pause = Some(Duration::from_secs(30));
    /// assert_eq!(error.after(pause).retry_after, pause);
    /// ```
    #[must_use]
    pub fn after(self, pause: Option<Duration>) -> Self {
        Self { retry_after: pause, ..self }
    }
}

impl PublishErrorKind {
    /// Returns one word for it.
    ///
    /// ```
    /// use roadstead::dnslink::PublishErrorKind;
    ///
    /// assert_eq!(PublishErrorKind::Conflict.as_str(), "conflict");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.kind {
            PublishErrorKind::Conflict => "cannot replace the record, which has another owner: ",
            PublishErrorKind::Refused => "the DNS provider refused the change: ",
            PublishErrorKind::Unavailable => "cannot write the record now: ",
            PublishErrorKind::Failed => "cannot write the record: ",
        })?;
        formatter.write_str(&self.context)?;
        // Operators see nothing but this line.
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "dnslink=/ipfs/bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze";
    const B: &str = "dnslink=/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    const HINT: &str = "ipfsnode=/ip4/192.0.2.1/tcp/443/tls/http";
    const OTHER_HINT: &str = "ipfsnode=/ip4/192.0.2.2/tcp/443/tls/http";

    fn change(expected: &[&str], ours: &[&str], force: bool) -> Change {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let domain = "example.com".parse().unwrap();
        let (expected, ours) = (texts(expected), texts(ours));
        Change { domain, expected, ours, ttl: Duration::from_mins(1), force }
    }

    fn against(
        change: &Change,
        current: &[&str],
    ) -> Result<(Vec<String>, Vec<String>), PublishErrorKind> {
        let current: Vec<String> = current.iter().map(|&text| text.to_owned()).collect();
        let found = change.against(&current).map_err(|error| error.kind)?;
        Ok((found.remove, found.add))
    }

    #[test]
    fn what_was_ours_gives_way_and_what_is_others_stays() {
        let change = change(&[B, HINT], &[A, HINT], false);
        let nothing = Vec::<String>::new();
        for current in
            [&[][..], &["v=spf1 -all", OTHER_HINT, "dnslink=/hyper/abc", "dnslink=no link"]]
        {
            assert_eq!(
                against(&change, current),
                Ok((nothing.clone(), vec![B.into(), HINT.into()]))
            );
        }
        let found = against(&change, &[A, HINT, "v=spf1 -all"]);
        assert_eq!(found, Ok((vec![A.to_owned()], vec![B.to_owned()])));
        assert_eq!(against(&change, &[HINT, B]), Ok((nothing.clone(), nothing)));
    }

    #[test]
    fn a_foreign_link_is_a_conflict_unless_it_is_to_be_removed() {
        for foreign in [
            A,
            "dnslink=/ipns/example.net",
            "dnslink=/ipfs/QmaCveU7uyVKUSczmiCc85N7jtdZuBoKMrmcHbnnP26DCx",
        ] {
            let found = against(&change(&[B], &[], false), &[foreign, B]);
            assert_eq!(found, Err(PublishErrorKind::Conflict), "{foreign}");
            let found = against(&change(&[B], &[], true), &[foreign, B]);
            assert_eq!(found, Ok((vec![foreign.to_owned()], Vec::new())), "{foreign}");
        }
    }

    #[test]
    fn a_long_text_has_several_segments() {
        let text = "x".repeat(600);
        let lengths: Vec<usize> = segments(&text).into_iter().map(<[u8]>::len).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }
}

//! The node itself.

use std::fmt;

use cid::Cid;
use serde::Deserialize;

use super::{Kubo, KuboError, KuboErrorKind, Result};

/// A version of Kubo, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second one.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl Kubo {
    /// Asks for the node's version.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn version(&self) -> Result<Version> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Version")]
            version: String,
        }

        let answer: Answer = self.call("version").json(None).await?;
        let odd = || {
            let text = format!("`{}` is not a version", answer.version);
            KuboError::new(KuboErrorKind::Failed, "version", text)
        };
        let mut numbers = answer.version.split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(odd());
        };
        Ok(Version { major, minor })
    }

    /// Reads one of the node's settings; none where it is not set, or is not to be known.
    pub async fn setting(&self, name: &'static str) -> Option<String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Value")]
            value: serde_json::Value,
        }

        // One that is not set is an error too, and a token may be good for other calls alone.
        let answer: Answer = self.call("config").argument(name).json(None).await.ok()?;
        match answer.value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Lists where other nodes can reach this one, as multiaddrs with its id; also those that lead nowhere
    /// from outside.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn addresses(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Addresses")]
            addresses: Option<Vec<String>>,
        }

        let answer: Answer = self.call("id").json(None).await?;
        Ok(answer.addresses.unwrap_or_default())
    }

    /// Has the node announce to the network that it has a block.
    ///
    /// # Errors
    /// [`Disabled`](KuboErrorKind::Disabled) when it is to announce nothing.
    pub async fn provide(&self, cid: &Cid) -> Result<()> {
        self.call("provide/once").argument(cid.to_string()).send(None).await.map(drop)
    }
}

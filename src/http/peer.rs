//! This registry, as a peer that others find.

use cid::Cid;

use crate::dnslink::Gateway;

/// This registry, as a peer that others find.
pub struct Peer {
    /// Its key as a peer id, the same after every start.
    pub id: Cid,
    /// Where its gateway is, if that is known.
    pub gateway: Option<Gateway>,
}

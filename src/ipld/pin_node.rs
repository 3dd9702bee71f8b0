//! Pin nodes: nodes that only keep other blocks from being collected.

use cid::Cid;

use super::{Block, dag_pb, unixfs};

/// The most blocks that one pin node can link to, so that it is no larger than peers exchange.
pub const PIN_NODE_LINKS: usize = 40_000;

/// A node that links to blocks, whatever they are: a directory whose names are their numbers. It is no
/// part of any tree.
///
/// ```
/// use roadstead::ipld::{Node, describe, pin_node, raw_cid};
///
/// let node = pin_node(&[raw_cid([7; 32])]);
/// let Node::Directory(entries) = describe(&node.cid, &node.bytes)? else { panic!() };
/// assert_eq!((&*entries[0].name, entries[0].cid), ("00000", raw_cid([7; 32])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// When there are more than [`PIN_NODE_LINKS`].
#[must_use]
pub fn pin_node(cids: &[Cid]) -> Block {
    assert!(cids.len() <= PIN_NODE_LINKS, "a pin node of {} links", cids.len());
    // The names of a directory are in order.
    let names: Vec<String> = (0..cids.len()).map(|number| format!("{number:05}")).collect();
    let links = cids.iter().zip(&names).map(|(cid, name)| (cid, name.as_str(), 0));
    Block::dag_pb(dag_pb::encode(links, unixfs::DIRECTORY))
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_BLOCK_SIZE, links, raw_cid};
    use super::*;

    #[test]
    fn a_full_pin_node_can_be_exchanged_and_names_all_it_keeps() {
        let cids = vec![raw_cid([7; 32]); PIN_NODE_LINKS];
        let pin_node = pin_node(&cids);
        assert!(pin_node.bytes.len() < MAX_BLOCK_SIZE, "{}", pin_node.bytes.len());
        assert_eq!(links(&pin_node.cid, &pin_node.bytes).unwrap().len(), PIN_NODE_LINKS);
    }
}

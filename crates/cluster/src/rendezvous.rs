//! Who should own a shard.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::node::NodeId;

/// Of `nodes` the one that should own `shard`: that of the highest score, so that all who know the same nodes agree, and a
/// node that comes or goes moves no shards but its own.
pub(crate) fn choose<'a>(nodes: &'a [NodeId], space: &str, shard: u16) -> Option<&'a NodeId> {
    let seed = xxh3_64_with_seed(space.as_bytes(), u64::from(shard));
    nodes.iter().max_by_key(|node| (xxh3_64_with_seed(node.as_str().as_bytes(), seed), node.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: u16 = 1024;

    fn owners(nodes: &[NodeId]) -> Vec<NodeId> {
        (0..SHARDS).filter_map(|shard| choose(nodes, "presence", shard).cloned()).collect()
    }

    #[test]
    fn shards_are_shared_about_evenly() {
        let nodes: Vec<_> = (0..4).map(|_| NodeId::generate()).collect();
        let owners = owners(&nodes);
        for node in &nodes {
            let share = owners.iter().filter(|owner| *owner == node).count();
            // 256 ± 14; ten times that does not happen.
            assert!((116..396).contains(&share), "{share} of {SHARDS}");
        }
    }

    // 39
    #[test]
    fn a_node_that_comes_takes_its_share_and_nothing_else_moves() {
        let mut nodes = vec![NodeId::generate()];
        for _ in 0..8 {
            let before = owners(&nodes);
            nodes.push(NodeId::generate());
            let moved: Vec<_> =
                before.into_iter().zip(owners(&nodes)).filter(|(before, after)| before != after).collect();
            assert!(moved.iter().all(|(_, after)| Some(after) == nodes.last()));
            // Chance makes it 16 more at most (one in six), and eight times that does not happen.
            let most = usize::from(SHARDS).div_ceil(nodes.len()) + 128;
            assert!(moved.len() <= most, "{} of {SHARDS} move to the last of {}", moved.len(), nodes.len());
        }
    }

    #[test]
    fn a_node_that_goes_moves_no_shards_but_its_own() {
        let nodes: Vec<_> = (0..4).map(|_| NodeId::generate()).collect();
        let (before, after) = (owners(&nodes), owners(&nodes[1..]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == nodes[0]);
        }
        assert!(choose(&[], "presence", 0).is_none());
    }

    #[test]
    fn the_order_of_nodes_does_not_matter() {
        let mut nodes: Vec<_> = (0..7).map(|_| NodeId::generate()).collect();
        let before = owners(&nodes);
        nodes.reverse();
        assert_eq!(owners(&nodes), before);
    }
}

//! Merkle trees over signed readings, in the form that Dispatch proves lanes by, and over the needs of a plan: a leaf is
//! hashed twice, pairs are hashed in ascending order, an odd node moves up unchanged (OpenZeppelin's `MerkleProof`).

use crate::abi;
use alloy::primitives::{B256, keccak256};
use alloy::sol_types::SolValue;
use optimizer::certificate::{Certificate, Leaf, Refused, leaves};

/// Leaf of a lane: digests of the signed readings from which and up to which it counts; both zero where the meter was
/// silent and the lane is an estimate.
pub fn leaf(lane: u16, start: B256, stop: B256) -> B256 {
    keccak256(keccak256((alloy::primitives::U256::from(lane), start, stop).abi_encode_params()))
}

/// Leaf of a need of a certified plan, as `Certificate.root` of IProtocol.sol has them.
pub fn need_leaf(leaf: &Leaf) -> B256 {
    let lane = alloy::primitives::U256::from(leaf.lane);
    let fields = (lane, keccak256(&leaf.need), keccak256(&leaf.cells), keccak256(need_prices(leaf)));
    keccak256(keccak256(fields.abi_encode_params()))
}

/// The prices of a need as its leaf hashes them: by interval eight bytes of node price and four of the lower grid price.
pub fn need_prices(leaf: &Leaf) -> Vec<u8> {
    // Prices of a series have 28 bits.
    let of = |(node, least): (&i64, &i64)| [node.to_be_bytes().as_slice(), &(*least as i32).to_be_bytes()].concat();
    leaf.price.iter().zip(&leaf.least_price).flat_map(of).collect()
}

/// A certificate as it is posted, with the root over its needs.
pub fn rooted(certificate: &Certificate) -> Result<abi::Certificate, Refused> {
    let Certificate { inputs, schedule, multipliers, .. } = certificate;
    let leaves = leaves(inputs, schedule, multipliers)?;
    Ok(abi::Certificate {
        inputs: inputs.clone().into(),
        schedule: schedule.clone().into(),
        multipliers: multipliers.clone().into(),
        root: root(&leaves.iter().map(need_leaf).collect::<Vec<_>>()),
    })
}

/// What leads from the leaf at `index` up to the root.
pub fn siblings(leaves: &[B256], mut index: usize) -> Vec<B256> {
    let (mut level, mut path) = (leaves.to_vec(), Vec::new());
    while level.len() > 1 {
        path.extend(level.get(index ^ 1));
        level = above(&level);
        index /= 2;
    }
    path
}

/// Root over `leaves`; zero where there are none.
pub fn root(leaves: &[B256]) -> B256 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or_default()
}

fn above(level: &[B256]) -> Vec<B256> {
    level.chunks(2).map(|pair| if let [a, b] = pair { node(*a, *b) } else { pair[0] }).collect()
}

/// What two nodes make.
pub fn node(a: B256, b: B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([low, high].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_folds_to_the_root() {
        let leaves: Vec<_> = (0u8..5).map(|i| keccak256([i])).collect();
        let left = node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3]));
        assert_eq!(root(&leaves), node(left, leaves[4]));
        assert_eq!(root(&leaves[..1]), leaves[0]);
        assert_eq!(root(&[]), B256::ZERO);
        for count in 1..12 {
            let leaves: Vec<_> = (0..count).map(|i| leaf(i, B256::with_last_byte(i as u8), B256::ZERO)).collect();
            for (index, leaf) in leaves.iter().enumerate() {
                let folded = siblings(&leaves, index).into_iter().fold(*leaf, node);
                assert_eq!(folded, root(&leaves), "leaf {index} of {count}");
            }
        }
    }
}

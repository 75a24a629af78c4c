//! Merkle trees over signed readings, in the form that OpenZeppelin's `MerkleProof` verifies: pairs are hashed in
//! ascending order, an odd node moves up unchanged.

use alloy::primitives::{B256, keccak256};

/// Root over `leaves`; zero where there are none.
pub fn root(leaves: &[B256]) -> B256 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [a, b] = pair { node(*a, *b) } else { pair[0] }).collect();
    }
    level.first().copied().unwrap_or_default()
}

fn node(a: B256, b: B256) -> B256 {
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
    }
}

//! Faults by seed: what mobile networks do to charge points.

use std::time::Duration;

/// Of so many moments at which a fault can happen, one has it.
const ONE_IN: u64 = 12;
/// Longest delay of an answer.
const DELAY_MAX_MS: u64 = 20;

/// What goes wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection breaks before it is sent.
    LostBefore,
    /// The connection breaks after it is sent, before the answer.
    LostAfter,
    /// It is sent twice.
    Twice,
    /// It is late.
    Late(Duration),
}

/// A sequence of faults: the same for the same seed and charge point.
pub(super) struct Faults {
    state: u64,
}

impl Faults {
    pub(super) fn new(seed: u64, point: &str) -> Self {
        let name = alloy::primitives::keccak256(point);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&name[..8]);
        Self { state: seed ^ u64::from_be_bytes(bytes) }
    }

    /// What happens to the next message.
    pub(super) fn next(&mut self) -> Option<Fault> {
        if !self.random().is_multiple_of(ONE_IN) {
            return None;
        }
        Some(match self.random() % 4 {
            0 => Fault::LostBefore,
            1 => Fault::LostAfter,
            2 => Fault::Twice,
            _ => Fault::Late(Duration::from_millis(self.random() % DELAY_MAX_MS)),
        })
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

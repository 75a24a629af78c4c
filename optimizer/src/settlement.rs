//! Bills: the arithmetic of the Settlement contract, to the unit.

use crate::units::{Micro, MicroPerKwh, WattHours};

/// Share of what its flexibility is worth that a driver earns, in basis points; fixed for a session when it opens.
pub const REWARD_BPS: u16 = 5_000;

/// Node prices count for at most this (1 credit per kWh): scarcity sets them to the shortfall penalty, which is no money
/// that anybody saved.
pub const REWARD_CAP: MicroPerKwh = MicroPerKwh(1_000_000);

/// What a session costs: floor(Wh · price / 1000), never above what was held.
pub fn bill(energy: WattHours, price: MicroPerKwh, held: Micro) -> Micro {
    price.bill(energy).min(held)
}

/// What a driver signs as total ceiling for `energy`: rounded up, so that the declared energy can always be paid.
pub fn total_ceiling(energy: WattHours, price: MicroPerKwh) -> Micro {
    Micro(-MicroPerKwh(-price.0).bill(energy).0)
}

/// What flexibility of some worth earns, in tokens.
pub fn reward(worth: Micro) -> Micro {
    Micro(worth.0.max(0).saturating_mul(REWARD_BPS.into()) / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_covers_the_declared_energy_and_no_more() {
        let (energy, price) = (WattHours(1001), MicroPerKwh(333_333));
        let held = total_ceiling(energy, price);
        assert_eq!(held, Micro(333_667));
        assert_eq!(bill(energy, price, held), Micro(333_666));
        assert_eq!(bill(WattHours(5000), price, held), held);
    }

    #[test]
    fn a_reward_rounds_down_and_is_never_a_debt() {
        assert_eq!(reward(Micro(7)), Micro(3));
        assert_eq!(reward(Micro(-7)), Micro::ZERO);
    }
}

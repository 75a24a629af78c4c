//! Bills: the arithmetic of the Settlement contract, to the unit.

use crate::units::{Micro, MicroPerKwh, WattHours};

/// What a session costs: floor(Wh · price / 1000), never above what was held.
pub fn bill(energy: WattHours, price: MicroPerKwh, held: Micro) -> Micro {
    price.bill(energy).min(held)
}

/// What a driver signs as total ceiling for `energy`: rounded up, so that the declared energy can always be paid.
pub fn total_ceiling(energy: WattHours, price: MicroPerKwh) -> Micro {
    Micro(-MicroPerKwh(-price.0).bill(energy).0)
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
}

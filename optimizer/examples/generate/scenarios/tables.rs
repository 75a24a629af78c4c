//! Published distributions, coarse enough to read. Sources and licences: `data/README.md`.

/// Where a car charges, which decides when it comes, how long it stays and how much it takes.
#[derive(Clone, Copy)]
pub(crate) struct Habit {
    /// Share of arrivals by hour of the day, per mille.
    pub(crate) arrival: [u32; 24],
    /// Connection time at the 0, 10, ... 90 and 98 % quantiles, minutes.
    pub(crate) stay_min: [i64; 11],
    /// Energy at the same quantiles, Wh.
    pub(crate) energy_wh: [i64; 11],
}

/// ElaadNL, distribution of arrival (weekday), connection time and energy demand: workplace.
pub(crate) const WORKPLACE: Habit = Habit {
    arrival: [0, 0, 0, 0, 1, 14, 43, 143, 267, 181, 77, 49, 54, 53, 40, 30, 20, 10, 6, 5, 3, 1, 1, 0],
    stay_min: [6, 72, 120, 174, 228, 294, 390, 480, 528, 588, 1542],
    energy_wh: [500, 2700, 4700, 6200, 7400, 8800, 10_900, 14_400, 19_200, 26_100, 41_000],
};

/// ElaadNL, the same: public charge points.
pub(crate) const PUBLIC: Habit = Habit {
    arrival: [10, 5, 2, 2, 2, 2, 7, 32, 79, 77, 51, 47, 53, 53, 50, 51, 57, 83, 109, 81, 51, 40, 34, 23],
    stay_min: [6, 36, 78, 126, 180, 264, 444, 624, 810, 1026, 2328],
    energy_wh: [500, 1600, 3400, 4900, 6200, 7200, 8600, 11_300, 17_200, 29_000, 56_000],
};

/// ElaadNL, the same: private (home) charge points.
pub(crate) const PRIVATE: Habit = Habit {
    arrival: [21, 5, 2, 1, 1, 1, 2, 6, 14, 11, 11, 15, 22, 22, 27, 37, 57, 121, 170, 115, 91, 89, 91, 66],
    stay_min: [6, 90, 186, 390, 570, 660, 750, 828, 942, 1218, 2580],
    energy_wh: [500, 3300, 6600, 10_100, 14_600, 19_400, 24_900, 31_900, 40_400, 51_400, 68_100],
};

/// Dutch fleet: registrations in thousands, battery in Wh, largest AC power in W (ElaadNL/RVO as in EV2Gym's
/// `ev_specs_v2g_enabled2024.json`). The last two, a plug-in hybrid and a car with a 22 kW charger, are added so that
/// every rating of an EVSE meets a car that is weaker and one that is stronger.
pub(crate) const FLEET: [(u32, i64, i64); 10] = [
    (48, 57_500, 11_040),
    (39, 57_500, 11_040),
    (28, 64_800, 11_040),
    (23, 58_000, 11_040),
    (21, 58_000, 11_040),
    (20, 64_000, 11_040),
    (18, 46_300, 7360),
    (16, 77_000, 11_040),
    (14, 12_000, 3680),
    (14, 52_000, 22_080),
];

/// Load of a trading or office building by hour, per mille of its peak (shape of the BDEW profile G1, weekday).
pub(crate) const OFFICE: [i64; 24] = [
    190, 185, 180, 180, 185, 200, 260, 450, 700, 850, 920, 960, 950, 930, 940, 900, 830, 680, 480, 340, 270, 240, 220,
    200,
];

/// Load of a household by hour, per mille of its peak (shape of the BDEW profile H0, summer weekday).
pub(crate) const HOUSEHOLD: [i64; 24] = [
    300, 240, 210, 200, 200, 240, 380, 520, 560, 560, 570, 620, 680, 620, 560, 540, 580, 700, 880, 960, 980, 900, 720,
    470,
];

/// Clear-sky PV in June by hour of local summer time (13:30 is noon), per mille of the rating, at the full hour.
pub(crate) const CLEAR_SKY: [i64; 24] =
    [0, 0, 0, 0, 0, 0, 20, 90, 210, 350, 490, 620, 720, 780, 790, 750, 660, 540, 400, 260, 140, 50, 10, 0];

/// Day-ahead price of a summer weekday by hour, micro per kWh (1000 = 1 EUR/MWh): morning and evening peaks around a
/// dip at noon.
pub(crate) const PRICE_DIP: [i64; 24] = [
    92_000, 86_000, 82_000, 80_000, 82_000, 90_000, 108_000, 128_000, 122_000, 98_000, 72_000, 48_000, 32_000, 21_000,
    18_000, 26_000, 46_000, 78_000, 118_000, 152_000, 164_000, 148_000, 124_000, 104_000,
];

/// The same on a sunny day with little demand: below zero from 12 to 16 h.
pub(crate) const PRICE_NEGATIVE: [i64; 24] = [
    78_000, 74_000, 70_000, 69_000, 71_000, 80_000, 96_000, 104_000, 88_000, 60_000, 31_000, 8000, -22_000, -41_000,
    -48_000, -26_000, 4000, 42_000, 92_000, 128_000, 139_000, 126_000, 106_000, 90_000,
];

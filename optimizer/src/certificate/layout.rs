//! Where bytes are, as `docs/proof.md` lays them out: for those who write a certificate and those who read it.

/// First byte of the inputs.
pub(super) const VERSION: u8 = 1;
/// Most intervals: seven words of sixteen, a day of 25 hours.
pub(super) const INTERVALS_MAX: usize = 112;
/// Most groups, as in the registry.
pub(super) const GROUPS_MAX: usize = 64;
/// Where penalty and surcharge are.
pub(super) const TERMS: std::ops::Range<usize> = 12..20;
/// Where the price of the peak is.
pub(super) const PEAK_PRICE: std::ops::Range<usize> = 24..28;
/// Bytes of a battery, and which of them do not change: percentages and capacity, floor, wear.
pub(super) const BATTERY: usize = 29;
pub(super) const BATTERY_TERMS: [std::ops::Range<usize>; 3] = [5..13, 17..21, 25..29];
/// Bytes of a need.
pub(super) const NEED: usize = 16;
/// Bytes of lane and group before a forecast's series.
pub(super) const FORECAST: usize = 3;
/// Bytes of a bound of a row.
pub(super) const BOUND: usize = 8;
/// What is added to a node price, to make it positive.
pub(super) const BIAS: i64 = 1 << 27;
/// Node prices with their bias are below this.
pub(super) const PRICE_END: i64 = 1 << 28;
/// Powers are below this: 15 bits.
pub(super) const POWER_END: i64 = 1 << 15;
/// Limits in steps of 10 W are below this.
pub(super) const LIMIT_END: i64 = 1 << 30;
/// Most needs: with limits below 2³⁰ no difference of limit and power leaves 32 bits.
pub(super) const NEEDS_MAX: usize = 4096;
/// Cost and bound count in this part of a micro: a hundredth of (2.5 Wh × 1 micro per kWh).
pub(super) const UNITS_PER_MICRO: i128 = 40_000;
/// Hundredths of a quantum per Wh: what contents are counted in.
pub(super) const CONTENT_PER_WH: i64 = 40;

/// Bytes of a series of 32-bit numbers over `intervals`: all even ones, then all odd ones, because sixteen 16-bit lanes
/// fall apart into a word of eight even and a word of eight odd ones. Each half is padded to whole words.
pub(super) fn series_len(intervals: usize) -> usize {
    64 * intervals.div_ceil(16)
}

/// Where interval `t` is in such a series.
pub(super) fn place(intervals: usize, t: usize) -> usize {
    series_len(intervals) / 2 * (t % 2) + 4 * (t / 2)
}

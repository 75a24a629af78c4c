//! What each driver can be shown of a certified plan: its own need, its own powers, and the node prices beside them.

use super::layout::{BATTERY, BIAS, FORECAST, NEED};
use super::verify::{Plan, Reader, Refused};

/// One need of a certified plan, in the order of the inputs. `docs/proof.md` says how it becomes a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Lane of the EVSE.
    pub lane: usize,
    /// Group that it sits in directly.
    pub group: usize,
    /// First interval of its window, counted from the plan's.
    pub from: usize,
    /// First interval after it.
    pub until: usize,
    /// Its bytes in the inputs.
    pub need: Vec<u8>,
    /// Its bytes in the schedule: two for each interval of its window, in steps of 10 W.
    pub cells: Vec<u8>,
    /// Price of one more kWh at its EVSE in each interval of its window, micro per kWh; the risk price apart.
    pub price: Vec<i64>,
    /// The lower of import and feed-in price in the same intervals, micro per kWh: least that a node price counts for.
    pub least_price: Vec<i64>,
}

impl Leaf {
    /// Energy of the need, Wh.
    pub fn energy_wh(&self) -> i64 {
        Reader { bytes: &self.need, at: 0 }.peek(10, 4)
    }

    /// Most power of the need, W.
    pub fn max_w(&self) -> i64 {
        10 * Reader { bytes: &self.need, at: 0 }.peek(6, 2)
    }

    /// Least power other than zero of the need in its first interval, W; zero where any will do.
    pub fn least_w(&self) -> i64 {
        10 * Reader { bytes: &self.need, at: 0 }.peek(8, 2)
    }

    /// First interval in which the car may well have gone; `until` where none is expected.
    pub fn likely_until(&self) -> usize {
        self.need.get(4).copied().map_or(self.until, usize::from)
    }

    /// Power planned in interval `k` of its window, W.
    pub fn power_w(&self, k: usize) -> i64 {
        10 * Reader { bytes: &self.cells, at: 0 }.cell(k)
    }
}

/// The leaves of a certificate, from its bytes. They are as good as those: [`super::verify`] says whether they hold.
pub fn leaves(inputs: &[u8], schedule: &[u8], multipliers: &[u8]) -> Result<Vec<Leaf>, Refused> {
    let plan = priced(inputs, multipliers)?;
    let prices: Vec<&[i64]> = plan.node_prices().collect();
    let (import, feed_in) = plan.prices();
    let [_, (mut reader, count), ..] = plan.assets();
    let mut at = 0;
    let mut leaves = Vec::with_capacity(count);
    for index in 0..count {
        let record = reader.skip(NEED);
        let need = record.bytes.get(record.at..record.at + NEED).unwrap_or_default().to_vec();
        let mut fields = record;
        let (lane, group) = (fields.index(2), fields.index(1));
        let (from, _, until) = (fields.index(1), fields.index(1), fields.index(1));
        plan.check_group(group)?;
        if from >= until || until > plan.intervals {
            return Err(Refused::NeedOutOfRange { need: index as u64 });
        }
        let cells = schedule.get(at..at + 2 * (until - from)).ok_or(Refused::WrongPartLength {
            part: super::Part::Schedule,
            length: schedule.len() as u64,
            expected: (at + 2 * (until - from)) as u64,
        })?;
        at += cells.len();
        leaves.push(Leaf {
            lane,
            group,
            from,
            until,
            need,
            cells: cells.to_vec(),
            price: prices[group][from..until].to_vec(),
            least_price: (from..until).map(|t| import[t].min(feed_in[t]) - BIAS).collect(),
        });
    }
    Ok(leaves)
}

/// Node prices by group and interval, micro per kWh, of what draws there directly.
pub fn node_prices(inputs: &[u8], multipliers: &[u8]) -> Result<Vec<Vec<i64>>, Refused> {
    let plan = priced(inputs, multipliers)?;
    Ok(plan.node_prices().map(|price| price[..plan.intervals].to_vec()).collect())
}

/// A group as the inputs have it, limits in steps of 10 W.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupClaim {
    /// The group above; itself for the first.
    pub parent: usize,
    /// The highest import limit of any interval.
    pub import: i64,
    /// Whether limits differ by interval, and so may be below that of the site.
    pub by_interval: bool,
    /// Export limit.
    pub export: i64,
}

/// Where an asset is, and what the inputs say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// Its lane.
    pub lane: usize,
    /// Its group.
    pub group: usize,
    /// What is said.
    pub of: T,
}

/// A battery as the inputs have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatteryClaim {
    /// Most power in steps of 10 W.
    pub most: i64,
    /// Wh stored per 100 Wh drawn.
    pub charge_percent: i64,
    /// Wh taken from store per 100 Wh fed.
    pub discharge_percent: i64,
    /// Capacity in Wh.
    pub capacity_wh: i64,
    /// Content when the plan's interval begins, in Wh.
    pub content_wh: i64,
    /// What it shall keep, in Wh.
    pub floor_wh: i64,
    /// Worth of what it holds at the end, micro per kWh.
    pub end_value: i64,
    /// Cost of what it feeds, micro per kWh.
    pub wear: i64,
}

/// What the inputs say of a site apart from its needs, for those who compare it with what is known otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Intervals.
    pub intervals: usize,
    /// Lanes.
    pub lanes: usize,
    /// Groups, parents first.
    pub groups: Vec<GroupClaim>,
    /// What [`super::terms`] writes of the same problem.
    pub terms: Vec<u8>,
    /// Import price by interval, micro per kWh.
    pub import_price: Vec<i64>,
    /// Feed-in price by interval, micro per kWh.
    pub feed_in_price: Vec<i64>,
    /// Base loads: forecast by interval in W.
    pub base_loads: Vec<Placed<Vec<i64>>>,
    /// PV inverters: forecast by interval in W.
    pub pv: Vec<Placed<Vec<i64>>>,
    /// Highest import before, in W, where it has a price.
    pub peak_w: Option<i64>,
    /// Batteries.
    pub batteries: Vec<Placed<BatteryClaim>>,
}

/// See [`Claims`].
pub fn claims(inputs: &[u8], multipliers: &[u8]) -> Result<Claims, Refused> {
    let plan = Plan::open(inputs, multipliers)?;
    let [base_loads, _, pv, batteries] = plan.assets();
    let prices = |biased: Vec<i64>| biased.into_iter().map(|price| price - BIAS).collect();
    let (import, feed_in) = plan.prices();
    let forecasts = |mut reader: Reader<'_>, count: usize| {
        let forecast = |_| {
            let mut record = reader.skip(FORECAST + 2 * plan.intervals);
            let (lane, group) = (record.index(2), record.index(1));
            Placed { lane, group, of: (0..plan.intervals).map(|t| 10 * record.cell(t)).collect() }
        };
        (0..count).map(forecast).collect()
    };
    let mut reader = batteries.0;
    let battery = |_| {
        let mut record = reader.skip(BATTERY);
        let (lane, group) = (record.index(2), record.index(1));
        let of = BatteryClaim {
            most: record.uint(2),
            charge_percent: record.uint(2),
            discharge_percent: record.uint(2),
            capacity_wh: record.uint(4),
            content_wh: record.uint(4),
            floor_wh: record.uint(4),
            end_value: record.int(4),
            wear: record.uint(4),
        };
        Placed { lane, group, of }
    };
    Ok(Claims {
        intervals: plan.intervals,
        lanes: plan.lanes,
        groups: plan.groups(),
        terms: plan.terms(),
        import_price: prices(import),
        feed_in_price: prices(feed_in),
        base_loads: forecasts(base_loads.0, base_loads.1),
        pv: forecasts(pv.0, pv.1),
        peak_w: plan.peak_w(),
        batteries: (0..batteries.1).map(battery).collect(),
    })
}

fn priced<'a>(inputs: &'a [u8], multipliers: &'a [u8]) -> Result<Plan<'a>, Refused> {
    let mut plan = Plan::open(inputs, multipliers)?;
    plan.price_groups()?;
    plan.price_rows()?;
    Ok(plan)
}

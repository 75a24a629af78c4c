//! What an audit came to: how many facts of each kind were checked, and every difference with its transaction.

use super::facts::At;
use alloy::primitives::B256;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What kind of fact was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Code of a contract, against the build.
    Bytecode,
    /// Sites, groups, assets, tariffs, meters, owners, delegates and drivers.
    Registry,
    /// Whether who acted had the right to.
    Right,
    /// Setpoints and readings against the clock of the chain, and the order of an interval's states.
    Timing,
    /// The chained hash of everything posted for a site.
    History,
    /// Setpoints against the rating of their asset.
    Rating,
    /// Setpoints against the limit of a group.
    GroupLimit,
    /// Signs of posted readings, and disputes of them.
    Reading,
    /// A plan's certificate.
    Certificate,
    /// What a driver signed: requests, amendments, bookings, withdrawals.
    Signature,
    /// What a session was opened on, against the registry.
    Terms,
    /// A meter's signature over a reading of a bill.
    MeterSignature,
    /// Registers and counters of a meter that only rise, and times inside the session.
    Register,
    /// A bill, recomputed.
    Bill,
    /// Order of a session's states, reclaims and corrections.
    Session,
    /// What was paid out of bills.
    Claim,
    /// Bookings: no overlap, prices, deposits, fees.
    Booking,
    /// Flexibility: rewards, minting, redeeming, pools.
    Flexibility,
    /// Tokens that moved, against what the contracts say was moved.
    Transfer,
    /// Balances and states rebuilt from events, against the contracts' own answers.
    Balance,
}

impl Kind {
    /// All, in the order of the table.
    pub const ALL: [Self; 20] = [
        Self::Bytecode,
        Self::Registry,
        Self::Right,
        Self::Timing,
        Self::History,
        Self::Rating,
        Self::GroupLimit,
        Self::Reading,
        Self::Certificate,
        Self::Signature,
        Self::Terms,
        Self::MeterSignature,
        Self::Register,
        Self::Bill,
        Self::Session,
        Self::Claim,
        Self::Booking,
        Self::Flexibility,
        Self::Transfer,
        Self::Balance,
    ];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytecode => "bytecode",
            Self::Registry => "registry",
            Self::Right => "rights",
            Self::Timing => "timing",
            Self::History => "dispatch history",
            Self::Rating => "ratings",
            Self::GroupLimit => "group limits",
            Self::Reading => "readings",
            Self::Certificate => "certificates",
            Self::Signature => "signatures",
            Self::Terms => "terms",
            Self::MeterSignature => "meter signatures",
            Self::Register => "registers",
            Self::Bill => "bills",
            Self::Session => "sessions",
            Self::Claim => "claims",
            Self::Booking => "bookings",
            Self::Flexibility => "flexibility",
            Self::Transfer => "token transfers",
            Self::Balance => "balances and state",
        }
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind of fact.
    pub kind: Kind,
    /// What is wrong.
    pub what: String,
    /// What it should have been.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// In which transaction; none for what holds at the last block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// In which block.
    pub block: u64,
}

/// Something that cannot be decided from the chain alone, or that is worth knowing and no error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// About which kind of fact.
    pub kind: Kind,
    /// What.
    pub what: String,
    /// In which transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// In which block.
    pub block: u64,
}

/// How many facts of a kind were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// Which.
    pub kind: Kind,
    /// Comparisons made.
    pub checked: u64,
    /// Of them wrong.
    pub findings: u64,
    /// Notes beside them.
    pub notes: u64,
}

/// Of many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The lower of the two in the middle.
    pub median: i64,
    /// The largest.
    pub largest: i64,
}

impl Spread {
    /// From how often each number was there.
    pub fn of(counts: &BTreeMap<i64, u64>) -> Option<Self> {
        let mut middle = counts.values().sum::<u64>().div_ceil(2);
        let mut reached = |count: &u64| {
            middle = middle.saturating_sub(*count);
            middle == 0
        };
        let median = counts.iter().find(|(_, count)| reached(count)).map(|(number, _)| *number)?;
        Some(Self { median, largest: counts.last_key_value().map_or(median, |(number, _)| *number) })
    }
}

/// How far forecasts of one kind were from what was metered, over an asset and an interval each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ForecastError {
    /// Of what.
    pub of: &'static str,
    /// Made a day before the interval, or just before it.
    pub day_ahead: bool,
    /// How many were scored.
    pub scored: u64,
    /// Mean absolute error, W.
    pub mean_w: i64,
}

/// What happened at a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SiteCount {
    /// Clear-text id.
    pub site: String,
    /// Intervals with setpoints.
    pub plans: u64,
    /// Of them certified: by a certificate that was verified, or that nobody has challenged in time.
    pub plans_certified: u64,
    /// The others: nothing proves how good they are.
    pub plans_uncertified: u64,
    /// Of those, a CPO's own setpoints.
    pub plans_own: u64,
    /// Those without a certificate by why there is none, numbers and ids left out.
    pub uncertified: BTreeMap<String, u64>,
    /// Of plans with a certificate, how far above the optimum they can be at most, base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_micro: Option<Spread>,
    /// What their posting took, gas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_gas: Option<Spread>,
    /// How far plans' forecasts were from what meters signed afterwards.
    pub forecasts: Vec<ForecastError>,
    /// Intervals with readings.
    pub readings: u64,
    /// Of them contradicted.
    pub readings_disputed: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Sessions billed.
    pub settled: u64,
}

/// The whole audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Chain id.
    pub chain_id: u64,
    /// First block that was looked at.
    pub first_block: u64,
    /// Last block, at which state was compared.
    pub block: u64,
    /// Its time, unix seconds.
    pub time: u64,
    /// Whether there is no finding.
    pub clean: bool,
    /// Events read.
    pub events: u64,
    /// By kind.
    pub kinds: Vec<KindCount>,
    /// By site, in the order of registration.
    pub sites: Vec<SiteCount>,
    /// Every difference, in the order of the chain.
    pub findings: Vec<Finding>,
    /// What is no difference and worth knowing.
    pub notes: Vec<Note>,
}

/// Counts while an audit runs.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    checked: BTreeMap<Kind, u64>,
    /// Differences so far.
    pub findings: Vec<Finding>,
    /// Notes so far.
    pub notes: Vec<Note>,
}

impl Tally {
    /// Checks that two values are the same.
    pub fn equal<T: PartialEq + fmt::Display>(
        &mut self,
        kind: Kind,
        at: At,
        what: fmt::Arguments<'_>,
        expected: T,
        found: T,
    ) -> bool {
        let same = expected == found;
        self.holds(kind, at, same, what, format_args!("{expected}"), format_args!("{found}"))
    }

    /// Checks that something holds.
    pub fn holds(
        &mut self,
        kind: Kind,
        at: At,
        holds: bool,
        what: fmt::Arguments<'_>,
        expected: fmt::Arguments<'_>,
        found: fmt::Arguments<'_>,
    ) -> bool {
        *self.checked.entry(kind).or_default() += 1;
        if !holds {
            self.findings.push(Finding {
                kind,
                what: what.to_string(),
                expected: expected.to_string(),
                found: found.to_string(),
                transaction: transaction(at),
                block: at.block,
            });
        }
        holds
    }

    /// Turns the findings about a transaction into notes, because somebody has decided about them; returns how many there were.
    pub fn decided(&mut self, kind: Kind, by: B256, about: impl Fn(&str) -> bool, how: &str) -> usize {
        let is_about = |f: &Finding| f.kind == kind && f.transaction == Some(by) && about(&f.what);
        let (decided, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.findings).into_iter().partition(is_about);
        self.findings = open;
        let note = |f: &Finding| Note {
            kind,
            what: format!("{}: expected {}, found {}, {how}", f.what, f.expected, f.found),
            transaction: f.transaction,
            block: f.block,
        };
        self.notes.extend(decided.iter().map(note));
        decided.len()
    }

    /// Remembers something that is no difference.
    pub fn note(&mut self, kind: Kind, at: At, what: fmt::Arguments<'_>) {
        self.notes.push(Note { kind, what: what.to_string(), transaction: transaction(at), block: at.block });
    }

    /// All kinds, those without facts too: nobody shall have to guess what was not looked at.
    pub fn kinds(&self) -> Vec<KindCount> {
        let count = |kind| KindCount {
            kind,
            checked: self.checked.get(&kind).copied().unwrap_or_default(),
            findings: self.findings.iter().filter(|f| f.kind == kind).count() as u64,
            notes: self.notes.iter().filter(|n| n.kind == kind).count() as u64,
        };
        Kind::ALL.map(count).to_vec()
    }
}

fn transaction(at: At) -> Option<B256> {
    (!at.transaction.is_zero()).then_some(at.transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_lower_of_two_in_the_middle() {
        let spread = |counts: &[(i64, u64)]| Spread::of(&counts.iter().copied().collect());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[(7, 1)]), Some(Spread { median: 7, largest: 7 }));
        assert_eq!(spread(&[(1, 2), (5, 1), (9, 1)]), Some(Spread { median: 1, largest: 9 }));
        assert_eq!(spread(&[(1, 1), (5, 3), (9, 1)]), Some(Spread { median: 5, largest: 9 }));
    }

    #[test]
    fn a_finding_that_was_decided_is_a_note() {
        let (mut tally, at) = (Tally::default(), At { transaction: B256::repeat_byte(1), ..At::default() });
        tally.equal(Kind::Certificate, at, say!("plan: root"), 1, 2);
        tally.equal(Kind::Certificate, at, say!("plan: cost"), 1, 2);
        assert_eq!(tally.decided(Kind::Certificate, at.transaction, |what| what == "plan: root", "and was refuted"), 1);
        assert_eq!((tally.findings.len(), tally.notes.len()), (1, 1));
        assert_eq!(tally.notes[0].what, "plan: root: expected 1, found 2, and was refuted");
    }
}

//! Facts about plans and their certificates, corrupted one at a time.

use super::{Told, add, last};
use alloy::primitives::{Address, B256, I256, U256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use anyhow::{Context, Result};
use optimizer::certificate::{Leaf, claims, leaves, verify};
use oracle::abi::IDispatch::IDispatchEvents as D;
use oracle::abi::IPlans::{self, IPlansEvents as P, PlanPosted, postProvedCall};
use oracle::abi::ISettlement::{FlexibilityClaimed, ISettlementEvents as S, RewardCorrected, SessionOpened};
use oracle::abi::{Bill, IAssetRegistry::IAssetRegistryEvents as R, Plan, Refutation};
use oracle::audit::explain::explain;
use oracle::audit::facts::{Event, Fact, Range};
use oracle::audit::report::{Finding, Kind};
use oracle::chain::Protocol;
use oracle::merkle;

/// Where a need has its window's end and its energy.
const UNTIL: usize = 5;
const LEAST: usize = 8;
const ENERGY: usize = 10;
/// A battery, at the end of the inputs, and where it has its members.
const BATTERY: usize = 29;
const CONTENT: usize = 13;
const VALUE: usize = 21;
const WEAR: usize = 25;
/// Where the inputs have the peak so far, and its price.
const PEAK: usize = 20;
const PEAK_PRICE: usize = 24;
/// Bytes of a series over 96 intervals.
const SERIES: usize = 384;
/// Plans before the one that is changed: what a battery holds is known by the third.
const BEFORE: usize = 8;

/// Changes a plan that has a need which ends before the horizon, and what follows from it: a planner that cheats, and not a
/// byte that was lost.
fn replan(range: &mut Range, change: impl Fn(&mut postProvedCall, &mut PlanPosted)) -> B256 {
    let fits = |e: &PlanPosted, call: &postProvedCall| {
        let c = &call.certificate;
        let leaves = leaves(&c.inputs, &c.schedule, &c.multipliers).unwrap_or_default();
        !e.plan.root.is_zero() && leaves.first().is_some_and(|leaf| leaf.until < 96)
    };
    let mut before = 0;
    for fact in &mut range.facts {
        let Event::Plans(event) = &mut fact.event else { continue };
        let P::PlanPosted(e) = &mut **event else { continue };
        before += 1;
        if before <= BEFORE {
            continue;
        }
        let transaction = range.transactions.get_mut(&fact.at.transaction).unwrap();
        let mut call = postProvedCall::abi_decode(&transaction.input).unwrap();
        if fits(e, &call) {
            change(&mut call, e);
            transaction.input = call.abi_encode().into();
            let (of, hash) = (fact.at.transaction, keccak256(e.plan.abi_encode()));
            for fact in range.facts.iter_mut().filter(|f| f.at.transaction == of) {
                if let Event::Dispatch(event) = &mut fact.event
                    && let D::SetpointsPosted(e) = &mut **event
                {
                    e.planHash = hash;
                }
            }
            return of;
        }
    }
    panic!("no such plan")
}

/// The parts of a certificate, to be changed.
struct Parts {
    inputs: Vec<u8>,
    schedule: Vec<u8>,
    multipliers: Vec<u8>,
}

impl Parts {
    fn battery(&mut self) -> &mut [u8] {
        let at = self.inputs.len() - BATTERY;
        &mut self.inputs[at..]
    }

    /// Another content, as far from the true one as the schedule lets it be.
    fn lie_about_content(&mut self) {
        let honest = claims(&self.inputs, &self.multipliers).unwrap().batteries[0].of.clone();
        // What it would do after the first interval would need what it has.
        let cells = self.schedule.len() - 2 * 95..;
        self.schedule[cells].fill(0);
        let contents = (0..=10).map(|part| part * honest.capacity_wh / 10);
        let holds = |content: &i64| {
            let mut inputs = self.inputs.clone();
            let at = inputs.len() - BATTERY + CONTENT;
            inputs[at..at + 4].copy_from_slice(&u32::try_from(*content).unwrap().to_be_bytes());
            verify(&inputs, &self.schedule, &self.multipliers).is_ok()
        };
        let content = contents.filter(holds).max_by_key(|content| (content - honest.content_wh).abs()).unwrap();
        self.battery()[CONTENT..CONTENT + 4].copy_from_slice(&u32::try_from(content).unwrap().to_be_bytes());
    }

    /// A price of the peak, and what it was so far; the bound says nothing of it.
    fn price_peak(&mut self, so_far_w: u32) {
        self.inputs[PEAK..PEAK_PRICE].copy_from_slice(&so_far_w.to_be_bytes());
        self.inputs[PEAK_PRICE + 3] = 1;
        self.multipliers.splice(SERIES..SERIES, [0; SERIES]);
    }
}

/// As [`replan`], with a certificate that holds together.
fn recertify(range: &mut Range, change: impl Fn(&mut Parts, &Leaf)) -> B256 {
    replan(range, |call, e| {
        let c = &mut call.certificate;
        let first = leaves(&c.inputs, &c.schedule, &c.multipliers).unwrap().remove(0);
        let [inputs, schedule, multipliers] = [&c.inputs, &c.schedule, &c.multipliers].map(|part| part.to_vec());
        let mut parts = Parts { inputs, schedule, multipliers };
        change(&mut parts, &first);
        let Parts { inputs, schedule, multipliers } = parts;
        (c.inputs, c.schedule, c.multipliers) = (inputs.into(), schedule.into(), multipliers.into());
        let verdict = verify(&c.inputs, &c.schedule, &c.multipliers).unwrap();
        let hashes: Vec<B256> =
            leaves(&c.inputs, &c.schedule, &c.multipliers).unwrap().iter().map(merkle::need_leaf).collect();
        c.root = merkle::root(&hashes);
        let plan = &mut e.plan;
        plan.root = c.root;
        (plan.inputsHash, plan.scheduleHash) = (keccak256(&c.inputs), keccak256(&c.schedule));
        plan.multipliersHash = keccak256(&c.multipliers);
        (plan.cost, plan.bound) = (verdict.cost.try_into().unwrap(), verdict.bound.try_into().unwrap());
    })
}

/// As [`recertify`], of a need.
fn reneed(range: &mut Range, change: impl Fn(&mut [u8], &mut Vec<u8>, usize)) -> B256 {
    recertify(range, |parts, first| {
        let inputs = &mut parts.inputs;
        let at = inputs.windows(first.need.len()).position(|bytes| bytes == first.need).unwrap();
        change(&mut inputs[at..at + first.need.len()], &mut parts.schedule, first.cells.len());
    })
}

/// Leaves out the first fact that fits; returns its transaction.
fn without(range: &mut Range, fits: impl Fn(&Event) -> bool) -> B256 {
    let at = range.facts.iter().position(|fact| fits(&fact.event)).expect("no such event");
    range.facts.remove(at).at.transaction
}

fn first_plan(range: &Range) -> (PlanPosted, B256) {
    plan(range, |_| true)
}

fn plan(range: &Range, fits: impl Fn(&PlanPosted) -> bool) -> (PlanPosted, B256) {
    let plan = range.facts.iter().find_map(|fact| match &fact.event {
        Event::Plans(event) => match &**event {
            P::PlanPosted(e) if fits(e) => Some((e.clone(), fact.at.transaction)),
            _ => None,
        },
        _ => None,
    });
    plan.expect("no plan")
}

/// Every one is named, by what is wrong with it.
pub(super) fn corrupted(told: &Told, protocol: &Protocol) -> Result<()> {
    type Change = fn(&mut Range) -> B256;
    let posted = |event: &Event| matches!(event, Event::Plans(e) if matches!(**e, P::PlanPosted(_)));
    assert!(told.ranges.iter().flat_map(|r| &r.facts).any(|f| posted(&f.event)), "no plan to corrupt");
    let changes: Vec<(&str, Kind, &str, Change)> = vec![
        ("a byte of a certificate", Kind::Certificate, "hash of its multipliers", |r| {
            replan(r, |call, _| {
                let mut bytes = call.certificate.multipliers.to_vec();
                bytes[7] ^= 1;
                call.certificate.multipliers = bytes.into();
            })
        }),
        ("a multiplier that is no price", Kind::Certificate, ": certificate", |r| {
            replan(r, |call, e| {
                let mut bytes = call.certificate.multipliers.to_vec();
                bytes[0] = 0xff;
                e.plan.multipliersHash = keccak256(&bytes);
                call.certificate.multipliers = bytes.into();
            })
        }),
        ("a cost misstated", Kind::Certificate, ": cost", |r| replan(r, |_, e| e.plan.cost += I256::ONE)),
        ("a bound misstated", Kind::Certificate, ": bound", |r| replan(r, |_, e| e.plan.bound -= I256::ONE)),
        ("a wrong root", Kind::Certificate, ": root", |r| {
            replan(r, |call, e| {
                e.plan.root[0] ^= 1;
                call.certificate.root = e.plan.root;
            })
        }),
        ("other setpoints than the schedule's", Kind::Certificate, "first column", |r| {
            replan(r, |call, e| {
                let mut lanes = call.lanes.to_vec();
                lanes[1] ^= 1;
                e.plan.columnHash = keccak256(&lanes);
                call.lanes = lanes.into();
            })
        }),
        ("another algorithm", Kind::Certificate, "code hash of its verifier", |r| {
            replan(r, |_, e| e.plan.algorithm[0] ^= 1)
        }),
        ("rules that nobody set", Kind::Certificate, "its rules", |r| replan(r, |_, e| e.plan.rules.tolerance += 1)),
        ("a gap above what is tolerated", Kind::Certificate, ": gap", |r| {
            replan(r, |_, e| e.plan.bound -= I256::unchecked_from(1_i64 << 50))
        }),
        ("more energy than was asked for", Kind::Certificate, "energy of the need", |r| {
            reneed(r, |need, _, _| need[ENERGY + 1] = 1)
        }),
        ("a need that may stay longer", Kind::Certificate, "window of the need", |r| {
            reneed(r, |need, schedule, cells| {
                need[UNTIL] += 1;
                schedule.splice(cells..cells, [0, 0]);
            })
        }),
        ("a need that cannot have little", Kind::Certificate, "least power of the need", |r| {
            reneed(r, |need, _, _| need[LEAST + 1] += 1)
        }),
        ("a battery that holds something else", Kind::Certificate, ": content of battery", |r| {
            recertify(r, |parts, _| parts.lie_about_content())
        }),
        ("energy that no price is worth", Kind::Certificate, ": end value of battery", |r| {
            recertify(r, |parts, _| parts.battery()[VALUE] = 1)
        }),
        ("energy that is worth less than nothing", Kind::Certificate, ": end value of battery", |r| {
            recertify(r, |parts, _| parts.battery()[VALUE] = 0xff)
        }),
        ("another wear than the owner's", Kind::Certificate, "rows and batteries", |r| {
            recertify(r, |parts, _| parts.battery()[WEAR + 3] = 1)
        }),
        ("a peak that was metered and forgotten", Kind::Certificate, ": peak so far", |r| {
            recertify(r, |parts, _| parts.price_peak(0))
        }),
        ("a planner without the right", Kind::Right, "planner 0x0909", |r| {
            replan(r, |_, e| (e.poster, e.plan.poster) = (Address::repeat_byte(9), Address::repeat_byte(9)))
        }),
        (
            "another plan's hash",
            Kind::Certificate,
            "plan hash",
            |r| edit!(r, Dispatch, D::SetpointsPosted(e) if !e.planHash.is_zero() => e.planHash[0] ^= 1),
        ),
        (
            "setpoints that no plan has",
            Kind::Certificate,
            "as the plan has them",
            |r| edit!(r, Dispatch, D::SetpointsPosted(e) => { let mut lanes = e.lanes.to_vec(); lanes[1] ^= 1; e.lanes = lanes.into() }),
        ),
        ("inputs of another site", Kind::Certificate, "the site in its inputs", |r| {
            edit!(r, Registry, R::GroupRegistered(e) => e.limitImportW += 10);
            first_plan(r).1
        }),
        (
            "a claim above its worth",
            Kind::Flexibility,
            "worth of its flexibility",
            |r| edit!(r, Settlement, S::FlexibilityClaimed(e) => e.flexibility.worth += 1_100),
        ),
        ("a reward lowered below its worth", Kind::Flexibility, ": corrected reward", |r| {
            correct(r, |bill| bill.reward = bill.reward * 9 / 10)
        }),
        ("a reward raised", Kind::Flexibility, ": corrected reward", |r| correct(r, |bill| bill.reward += 1)),
        ("an amount corrected with a reward", Kind::Flexibility, ": corrected reward", |r| {
            correct(r, |bill| (bill.reward, bill.amount) = (bill.reward - 1, 0))
        }),
        ("a reward corrected after its window", Kind::Flexibility, ": time of its reward's correction", |r| {
            let transaction = correct(r, |bill| bill.reward -= 1);
            r.facts.last_mut().unwrap().at.time += 3 * 86_400;
            transaction
        }),
        ("a reward corrected that nobody claimed", Kind::Flexibility, ": reward corrected", |r| {
            let transaction = correct(r, |bill| bill.reward -= 1);
            edit!(r, Settlement, S::RewardCorrected(e) => e.session[0] ^= 1);
            transaction
        }),
        ("a count of uncertified plans", Kind::Certificate, "uncertified up to now", |r| {
            let (plan, _) = first_plan(r);
            let (site, poster, interval) = (plan.site, plan.poster, (last(r).time / 900) as u32 + 5);
            let (reason, count) = ("a test".to_owned(), U256::from(7));
            let event = IPlans::UncertifiedPosted { site, interval, poster, reason, count };
            add(r, vec![Event::Plans(Box::new(P::UncertifiedPosted(event)))])
        }),
        ("a stake that nobody has", Kind::Balance, "stake of", |r| {
            let (account, amount) = (Address::repeat_byte(9), U256::from(5));
            let event = IPlans::StakeWithdrawn { account, to: account, amount };
            add(r, vec![Event::Plans(Box::new(P::StakeWithdrawn(event)))])
        }),
        ("a plan refuted that holds", Kind::Certificate, ": refuted", |r| {
            let (plan, _) = first_plan(r);
            let event = refuted(&plan.plan);
            add(r, vec![Event::Plans(Box::new(P::PlanRefuted(event)))])
        }),
        ("setpoints of Plans without a plan", Kind::Certificate, "by Plans", |r| {
            without(r, |event| matches!(event, Event::Plans(e) if matches!(**e, P::PlanPosted(_))))
        }),
    ];
    for (what, kind, fragment, change) in changes {
        let (report, transaction) = told.doctored(protocol, change);
        let named = |f: &&Finding| f.kind == kind && f.transaction == Some(transaction) && f.what.contains(fragment);
        let about = format!("{what}: {:#?}", report.findings.iter().take(4).collect::<Vec<_>>());
        assert!(report.findings.iter().any(|f| named(&f)), "{about}");
    }

    // What changed of a battery is told, and nothing that it held before is held against it.
    let (report, _) = told.doctored(protocol, |r| recertify(r, |parts, _| parts.battery()[CONTENT - 1] ^= 1));
    assert!(report.notes.iter().any(|n| n.what.contains("has a capacity of")), "{:#?}", report.notes);
    assert!(!report.findings.iter().any(|f| f.what.contains(": content of battery")), "{:#?}", report.findings);

    // A driver sees that the own row is in no plan of a wrong root.
    let mut ranges = told.ranges.clone();
    replan(ranges.last_mut().context("no ranges")?, |call, e| {
        e.plan.root[0] ^= 1;
        call.certificate.root = e.plan.root;
    });
    let sessions = told.ranges.iter().flat_map(|r| &r.facts).filter_map(|fact| match &fact.event {
        Event::Settlement(event) => match &**event {
            S::SessionOpened(e) => Some(e.terms.session),
            _ => None,
        },
        _ => None,
    });
    let stories = sessions.filter_map(|id| explain(&protocol.setting(), &ranges, &told.report, id));
    let proofs: Vec<bool> = stories.flat_map(|s| s.quarters).filter_map(|q| q.proof).map(|p| p.checked).collect();
    assert!(proofs.contains(&true) && proofs.contains(&false), "{proofs:?}");
    // A need of nobody's is named in the plans that have it, in other transactions than the session's.
    let opened = |event: &Event| matches!(event, Event::Settlement(e) if matches!(**e, S::SessionOpened(_)));
    let (report, _) = told.doctored(protocol, |r| without(r, opened));
    let found = report.findings.iter().find(|f| f.kind == Kind::Certificate && f.what.contains("need at"));
    found.context("a need of nobody's")?;
    // Nor is a stay certified with a plan that was refuted before the claim.
    let (report, transaction) = told.doctored(protocol, |r| {
        let (claim, claimed) = claim(r);
        let within = (claim.bill.startTime.to::<u64>() / 900 + 1) as u32;
        let (plan, transaction) = plan(r, |e| e.interval == within);
        let event = refuted(&plan.plan);
        let after = r.facts.iter().rposition(|fact| fact.at.transaction == transaction).unwrap();
        let fact = Fact { at: r.facts[after].at, event: Event::Plans(Box::new(P::PlanRefuted(event))) };
        r.facts.insert(after + 1, fact);
        claimed
    });
    let named = |f: &&Finding| f.transaction == Some(transaction) && f.expected == "all certified";
    assert!(report.findings.iter().any(|f| named(&f)), "{:#?}", report.findings);
    Ok(())
}

/// Adds the correction of the first reward, within its time.
fn correct(range: &mut Range, change: impl Fn(&mut Bill)) -> B256 {
    let (claim, _) = claim(range);
    let (session, mut bill) = (claim.session, claim.bill.clone());
    let opened = range.facts.iter().find_map(|fact| match &fact.event {
        Event::Settlement(event) => match &**event {
            S::SessionOpened(e) if e.terms.session == session => Some(e.clone()),
            _ => None,
        },
        _ => None,
    });
    let SessionOpened { site, driver, evse, .. } = opened.expect("never opened");
    change(&mut bill);
    let event = RewardCorrected { site, driver, evse, session, challenger: Address::repeat_byte(9), bill };
    add(range, vec![Event::Settlement(Box::new(S::RewardCorrected(event)))])
}

fn claim(range: &Range) -> (&FlexibilityClaimed, B256) {
    let claim = range.facts.iter().find_map(|fact| match &fact.event {
        Event::Settlement(event) => match &**event {
            S::FlexibilityClaimed(e) => Some((e, fact.at.transaction)),
            _ => None,
        },
        _ => None,
    });
    claim.expect("no claim")
}

/// The event of its root being refuted by whoever posted it, who had no bond on it.
fn refuted(plan: &Plan) -> IPlans::PlanRefuted {
    let (site, interval, challenger) = (plan.site, plan.interval, plan.poster);
    let (what, index, reward) = (Refutation::Root, U256::ZERO, U256::ZERO);
    IPlans::PlanRefuted { site, interval, challenger, what, index, reward }
}

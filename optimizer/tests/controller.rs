//! What the controller does when something goes wrong: no plan, a bad plan, a refusing chain, repeated messages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use optimizer::certificate::Planned;
use optimizer::controller::{Action, Asked, Controller, Event};
use optimizer::device::{Context, Reading};
use optimizer::problem::Problem;
use optimizer::report::{PlanNote, SessionStage};
use optimizer::scenario::{self, Scenario};
use optimizer::schedule::Schedule;
use optimizer::session::PastSession;
use optimizer::solve;
use optimizer::units::{Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use std::collections::BTreeMap;
use std::path::Path;

const SESSION: &str = "0x01";

fn quickstart() -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios/quickstart");
    let files: BTreeMap<_, _> =
        scenario::FILES.iter().map(|f| ((*f).to_owned(), std::fs::read(folder.join(f)).unwrap())).collect();
    scenario::parse("quickstart", &files).unwrap().0
}

/// A controller at the cut for the second interval, with one car that came in the first.
struct Bench {
    controller: Controller,
    evse: String,
    lane: usize,
    first: Interval,
    stay_s: i64,
    car_w: Watts,
}

impl Bench {
    fn new() -> Self {
        Self::with_history(None)
    }

    fn with_history(history: Option<Vec<PastSession>>) -> Self {
        Self::with(history, 8 * 3600, Watts(11_000))
    }

    fn with(history: Option<Vec<PastSession>>, stay_s: i64, car_w: Watts) -> Self {
        let scenario = Scenario { history, ..quickstart() };
        let (lane, asset, _) = scenario.sites[0].evses().next().unwrap();
        let (evse, first) = (asset.id.clone(), scenario.signals.first);
        let mut bench = Self { controller: Controller::new(scenario), evse, lane, first, stay_s, car_w };
        bench.plug(SESSION, 60, 0, 1);
        bench
    }

    fn plug(&mut self, session: &str, second: i64, import_wh: i64, counter: u64) {
        let asked = Asked {
            session: session.to_owned(),
            driver: "driver".to_owned(),
            evse: self.evse.clone(),
            energy_wh: WattHours(20_000),
            departure: UnixTime(self.first.start().0 + second - 60 + self.stay_s),
            max_w: self.car_w,
            price: MicroPerKwh(300_000),
        };
        assert!(self.controller.handle(Event::Requested(asked)).is_empty());
        let reading = self.reading(second, import_wh, counter, Context::Begin);
        assert!(self.controller.handle(Event::Plugged { session: session.to_owned(), reading }).is_empty());
    }

    fn reading(&self, second: i64, import_wh: i64, counter: u64, context: Context) -> Reading {
        Reading {
            asset: self.evse.clone(),
            import_wh: WattHours(import_wh),
            export_wh: WattHours::ZERO,
            time: UnixTime(self.first.start().0 + second),
            counter,
            context,
        }
    }

    fn second(&self) -> Interval {
        self.first.plus(1)
    }

    /// Cuts the facts: the session opens, and a plan is asked for.
    fn cut(&mut self) -> Problem {
        let actions = self.controller.handle(Event::Cut { interval: self.second() });
        assert_eq!(actions[0], Action::Open { session: SESSION.to_owned() });
        let Action::Solve { site: 0, problem } = &actions[1] else { panic!("{actions:?}") };
        assert_eq!(problem.needs.len(), 1);
        (**problem).clone()
    }

    fn note(&mut self) -> PlanNote {
        self.controller.handle(Event::Ended { interval: self.first });
        self.controller.handle(Event::Ended { interval: self.second() });
        self.controller.report().sites[0].plans[1].clone()
    }
}

fn planned(schedule: Schedule) -> Box<Planned> {
    Box::new(Planned::uncertified(schedule, "nobody asked"))
}

/// The problem that a cut asks to solve, whatever else it asks for.
fn asked_to_solve(actions: Vec<Action>) -> Problem {
    let problem = |action| if let Action::Solve { problem, .. } = action { Some(*problem) } else { None };
    actions.into_iter().find_map(problem).unwrap()
}

fn posted(actions: &[Action]) -> Vec<Watts> {
    let [Action::PostSetpoints { power_w, .. }] = actions else { panic!("{actions:?}") };
    power_w.clone()
}

#[test]
fn a_late_plan_falls_back_and_says_so() {
    let mut bench = Bench::new();
    bench.cut();
    let interval = bench.second();
    let late = Event::SolveFailed { site: 0, interval, reason: "too late".to_owned() };
    let power_w = posted(&bench.controller.handle(late));
    assert_eq!(power_w[bench.lane], Watts(11_000), "least laxity first charges the only car at once");
    let drive = bench.controller.handle(Event::Posted { site: 0, interval, uncertified: None, gas: 0 });
    assert_eq!(drive, [Action::Drive { site: 0, interval, power_w }]);
    let PlanNote::Fallback(reason) = bench.note() else { panic!("not flagged") };
    assert!(reason.contains("too late"), "{reason}");
}

#[test]
fn a_plan_that_breaks_a_limit_is_never_posted() {
    let mut bench = Bench::new();
    let problem = bench.cut();
    let mut schedule = solve::solve(&problem, 10_000).unwrap();
    schedule.power_w[bench.lane][0] = Watts(300_000);
    let interval = bench.second();
    let power_w = posted(&bench.controller.handle(Event::Solved { site: 0, interval, plan: planned(schedule) }));
    assert!(power_w[bench.lane] <= Watts(11_000), "{power_w:?}");
    bench.controller.handle(Event::Posted { site: 0, interval, uncertified: None, gas: 0 });
    assert!(matches!(bench.note(), PlanNote::Fallback(reason) if reason.contains("breaks")));
}

#[test]
fn a_refused_plan_lets_nothing_flow_but_a_cpos_own_wins() {
    for cpo in [None, Some(Watts(4_200))] {
        let mut bench = Bench::new();
        let problem = bench.cut();
        let interval = bench.second();
        let plan = planned(solve::solve(&problem, 10_000).unwrap());
        let own = posted(&bench.controller.handle(Event::Solved { site: 0, interval, plan }));
        if let Some(power) = cpo {
            let mut power_w = vec![Watts::ZERO; own.len()];
            power_w[bench.lane] = power;
            bench.controller.handle(Event::CpoPosted { site: 0, interval, power_w });
        }
        let refused = Event::PostRefused { site: 0, interval, reason: "AlreadyDispatched".to_owned() };
        let actions = bench.controller.handle(refused);
        let [Action::Drive { power_w, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(power_w[bench.lane], cpo.unwrap_or_default());
        match bench.note() {
            PlanNote::Cpo => assert!(cpo.is_some()),
            PlanNote::Undispatched(reason) => assert!(cpo.is_none() && reason.contains("AlreadyDispatched")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_that_the_chain_refuses_is_stopped_and_not_billed() {
    let mut bench = Bench::new();
    bench.cut();
    let refused = Event::OpenRefused { session: SESSION.to_owned(), reason: "NonceUsed".to_owned() };
    assert_eq!(bench.controller.handle(refused), [Action::Stop { session: SESSION.to_owned() }]);
    let reading = bench.reading(900, 0, 2, Context::End);
    bench.controller.handle(Event::Unplugged { session: SESSION.to_owned(), reading });
    let actions = bench.controller.handle(Event::DayEnded);
    assert!(actions.is_empty(), "{actions:?}");
    let report = bench.controller.report();
    assert_eq!(report.sessions[0].state, SessionStage::Refused);
    assert_eq!(report.sessions[0].refusal.as_deref(), Some("NonceUsed"));
    assert!(bench.controller.finished());
}

#[test]
fn repeated_messages_change_nothing_and_one_bill_is_made() {
    let mut bench = Bench::new();
    bench.cut();
    bench.controller.handle(Event::Opened { session: SESSION.to_owned() });
    let begin = bench.reading(60, 0, 1, Context::Begin);
    bench.controller.handle(Event::Plugged { session: SESSION.to_owned(), reading: begin });
    for _ in 0..2 {
        let metered = bench.reading(1_700, 2_500, 2, Context::Interval);
        bench.controller.handle(Event::Metered(metered));
    }
    for _ in 0..2 {
        let reading = bench.reading(1_750, 2_600, 3, Context::End);
        bench.controller.handle(Event::Unplugged { session: SESSION.to_owned(), reading });
    }
    let mut actions = bench.controller.handle(Event::Ended { interval: bench.first });
    actions.extend(bench.controller.handle(Event::Ended { interval: bench.second() }));
    let bills = actions.iter().filter(|a| matches!(a, Action::Settle { .. })).count();
    assert_eq!(bills, 1, "{actions:?}");
    let settled = Event::Settled { session: SESSION.to_owned(), receipt: "0x02".to_owned(), paid: Micro(780_000) };
    bench.controller.handle(settled);
    assert_eq!(bench.controller.report().sessions[0].delivered_wh, WattHours(2_600));
}

/// A past session like the one of [`Bench`], `days` before it, over after `stay_s`.
fn past(bench: &Bench, days: i64, stay_s: i64) -> PastSession {
    let arrival = UnixTime(bench.first.start().0 + 60 - days * 86_400);
    PastSession {
        site: quickstart().sites[0].id.clone(),
        driver: "driver".to_owned(),
        arrival,
        unplugged: UnixTime(arrival.0 + stay_s),
        departure: Some(UnixTime(arrival.0 + 8 * 3600 - 60)),
        energy_wh: Some(WattHours(20_000)),
        delivered_wh: WattHours(9_000),
    }
}

#[test]
fn words_are_taken_unless_there_is_a_history() {
    let likely = |history| {
        let problem = Bench::with_history(history).cut();
        (problem.needs[0].likely_until, problem.needs[0].until, problem.risk_price.0 > 0)
    };
    assert_eq!(likely(None), (Some(18), 31, true), "the word, but for the time that the taper costs");
    assert_eq!(likely(Some(Vec::new())), (Some(11), 31, true), "the prior: 401 per mille of eight hours");
    let known: Vec<_> = (1..30).map(|days| past(&Bench::new(), days, 3_600)).collect();
    assert_eq!(likely(Some(known.clone())), (Some(3), 31, true));
    let elsewhere = known.into_iter().map(|past| PastSession { site: "another".to_owned(), ..past }).collect();
    assert_eq!(likely(Some(elsewhere)), (Some(11), 31, true), "other sites have other habits");
}

#[test]
fn a_session_of_the_day_teaches_where_there_is_a_history() {
    for (history, expected) in [(None, Some(18)), (Some(Vec::new()), Some(1))] {
        let mut bench = Bench::with_history(history);
        bench.cut();
        let reading = bench.reading(1_750, 2_600, 3, Context::End);
        bench.controller.handle(Event::Unplugged { session: SESSION.to_owned(), reading });
        bench.plug("0x02", 1_760, 2_600, 4);
        let actions = bench.controller.handle(Event::Cut { interval: bench.first.plus(2) });
        let needs: Vec<_> = asked_to_solve(actions).needs.iter().map(|need| need.likely_until).collect();
        assert_eq!(needs, [expected], "the one before stayed for half an hour");
    }
}

#[test]
fn a_car_is_planned_with_what_it_takes_now() {
    let mut bench = Bench::new();
    let problem = bench.cut();
    let interval = bench.second();
    let schedule = solve::fallback(&problem, "a test");
    bench.controller.handle(Event::Solved { site: 0, interval, plan: planned(schedule) });
    bench.controller.handle(Event::Posted { site: 0, interval, uncertified: None, gas: 0 });
    bench.controller.handle(Event::Ended { interval: bench.first });
    // 2,567 Wh were to flow in these 14 minutes: the car is near full.
    let metered = bench.reading(1_740, 1_400, 2, Context::Interval);
    bench.controller.handle(Event::Metered(metered));
    let need = asked_to_solve(bench.controller.handle(Event::Cut { interval: bench.first.plus(2) })).needs.remove(0);
    assert_eq!(need.max_w, Watts(6_900), "6 kW, and some more");
    assert_eq!(need.energy_wh, WattHours(18_500), "in the last minute it takes no more than before");
    assert!(need.likely_until.unwrap() < 18, "it is slower than was expected");
}

#[test]
fn who_is_about_to_leave_is_believed_and_who_stays_gets_what_is_left() {
    let mut bench = Bench::with(None, 1_800, Watts(11_000));
    assert_eq!(bench.cut().needs[0].until, 1);
    let needs = |bench: &mut Bench, k| {
        asked_to_solve(bench.controller.handle(Event::Cut { interval: bench.first.plus(k) })).needs
    };
    assert!(needs(&mut bench, 2).is_empty(), "it leaves as this interval begins");
    assert_eq!(needs(&mut bench, 3)[0].until, 1);
}

#[test]
fn an_evse_is_given_what_it_can_hold_also_for_a_smaller_car() {
    // Six amperes in three phases are 4,140 W; a car with one phase takes less of them.
    let need = Bench::with(None, 8 * 3600, Watts(3_680)).cut().needs.remove(0);
    assert_eq!((need.min_w, need.max_w), (Watts(4_140), Watts(4_140)));
}

#[test]
fn what_a_driver_changes_is_planned_and_a_departure_that_has_passed_ends_the_session() {
    let mut bench = Bench::new();
    let before = bench.cut().needs[0].clone();
    let session = SESSION.to_owned();
    let departure = UnixTime(bench.first.plus(7).start().0);
    let energy_wh = WattHours(before.energy_wh.0 + 500);
    let amended = Event::Amended { session: session.clone(), energy_wh, departure };
    assert!(bench.controller.handle(amended).is_empty());
    let interval = bench.second();
    bench.controller.handle(Event::SolveFailed { site: 0, interval, reason: "late".to_owned() });
    bench.controller.handle(Event::Posted { site: 0, interval, uncertified: None, gas: 0 });
    let next = asked_to_solve(bench.controller.handle(Event::Cut { interval: interval.plus(1) }));
    assert_eq!(next.needs[0].until, 5, "from the third interval to the seventh");
    let now = UnixTime(bench.first.start().0);
    let stopped = Event::Amended { session: session.clone(), energy_wh, departure: now };
    assert_eq!(bench.controller.handle(stopped), [Action::Stop { session }]);
}

#[test]
fn a_plan_is_posted_as_certified_where_its_gap_is_tolerated() {
    for (most, certified) in [(Micro(-1), false), (Micro(i64::MAX), true)] {
        let mut bench = Bench::new();
        let problem = bench.cut();
        let interval = bench.second();
        bench.controller.handle(Event::Tolerated { site: 0, most });
        let plan = Box::new(Planned::of(&mut solve::Planner::new(), &problem, 10_000).unwrap());
        let actions = bench.controller.handle(Event::Solved { site: 0, interval, plan });
        let [Action::PostSetpoints { certificate, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(certificate.is_ok(), certified, "{certificate:?}");
        if let Err(reason) = certificate {
            assert!(reason.ends_with("above its bound, at most -1 are tolerated"), "{reason}");
        }
    }
}

/// Energy that a full battery finds no room for is lost, and missed later; what a meter catches up with counts in no plan
/// beyond what the rating lets through in one interval.
#[test]
fn the_books_of_a_battery_end_at_its_capacity() {
    let scenario = quickstart();
    let (first, battery) = (scenario.signals.first, "QS-BATTERY".to_owned());
    let mut controller = Controller::new(scenario);
    let mut content = |k: usize, second: i64, import_wh: i64, export_wh: i64| {
        let time = UnixTime(first.plus(k).start().0 + second);
        let reading = Reading {
            asset: battery.clone(),
            import_wh: WattHours(import_wh),
            export_wh: WattHours(export_wh),
            time,
            counter: 1 + time.0 as u64,
            context: Context::Interval,
        };
        controller.handle(Event::Metered(reading));
        if second == 900 {
            controller.handle(Event::Ended { interval: first.plus(k) });
        }
        let problem = asked_to_solve(controller.handle(Event::Cut { interval: first.plus(k + 2) }));
        problem.storages[0].content_wh
    };
    // 16 of 40 kWh, and 95 % of 30.
    assert_eq!(content(0, 900, 30_000, 0), WattHours(40_000));
    assert_eq!(content(1, 900, 30_000, 10_001), WattHours(29_498), "105 % of 10.001 kWh less");
    // At 20 kW.
    assert_eq!(content(2, 300, 31_000, 10_001), WattHours(30_448));
    assert_eq!(content(2, 600, 40_000, 10_001), WattHours(34_248));
    assert_eq!(content(2, 900, 40_000, 10_001), WattHours(38_998));
    assert_eq!(content(3, 900, 40_000, 60_001), WattHours(0));
    assert_eq!(content(4, 900, 41_001, 60_001), WattHours(950), "rounded down");
}

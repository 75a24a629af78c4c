//! Whole days: the real binaries against a real Anvil, killed at the wrong moment.

use alloy::primitives::Address;
use anyhow::{Context, Result, bail, ensure};
use optimizer::device::{Context as Why, Reading};
use optimizer::report::{Proof, Report, SessionStage};
use optimizer::scenario::Scenario;
use optimizer::simulate::simulate;
use optimizer::site::{AssetKind, Site};
use optimizer::units::{Micro, UnixTime, WattHours, Watts};
use oracle::abi::{Bill, CPO_REASON, ForecastScore, SessionState};
use oracle::chain::anvil::{self, Anvil};
use oracle::chain::events::Which;
use oracle::chain::scores::MeanScore;
use oracle::chain::{Chain, Deployment, Protocol};
use oracle::commands::{ChainArgs, status};
use oracle::keys::Keyring;
use oracle::payout::{Scored, pay_out};
use oracle::store::Store;
use oracle::summary::Summary;
use oracle::{signing, table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A day at full speed takes seconds; this is for a machine under load.
const DAY_DEADLINE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// The binaries are built by `cargo build --workspace`, which scripts/test does first.
pub(super) fn binary(name: &str) -> Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let path = path.join(name);
    ensure!(path.is_file(), "{}: missing; run `cargo build --workspace` first", path.display());
    Ok(path)
}

pub(super) fn scenario_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios").join(name)
}

fn load(name: &str) -> Result<Scenario> {
    Ok(oracle::files::load_scenario(&scenario_folder(name))?.0)
}

/// A chain that starts an hour before the scenario, and a folder for the run.
pub(super) struct Ground {
    anvil: Option<Anvil>,
    folder: tempfile::TempDir,
    pub(super) scenario: Scenario,
}

impl Ground {
    pub(super) fn new(scenario: &str) -> Result<Self> {
        let scenario = load(scenario)?;
        let folder = tempfile::tempdir()?;
        let genesis = UnixTime(scenario.signals.first.start().0 - 3600);
        let anvil = anvil::spawn(&anvil::Options::new(genesis, folder.path().join("chain.log")))?;
        Ok(Self { anvil: Some(anvil), folder, scenario })
    }

    pub(super) fn rpc(&self) -> &str {
        self.anvil.as_ref().map_or("", |a| &a.rpc)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, extra: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("provolt")?);
        command.arg("run").arg(scenario_folder(&self.scenario.name)).args([
            "--speed",
            "max",
            "--json",
            "--rpc",
            self.rpc(),
        ]);
        command.arg("--state").arg(self.state()).args(extra);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    /// When the scenario is over.
    fn end(&self) -> UnixTime {
        let signals = &self.scenario.signals;
        signals.first.plus(signals.len()).start()
    }

    pub(super) fn run(&self, extra: &[&str]) -> Result<Summary> {
        let output = wait(self.command(extra)?.spawn()?)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "provolt run failed:\n{out}\n{err}");
        Ok(serde_json::from_str(out.lines().last().context("no output")?)?)
    }

    pub(super) fn report(&self) -> Result<Report> {
        Ok(serde_json::from_slice(&std::fs::read(self.state().join("report.json"))?)?)
    }

    pub(super) fn journal(&self) -> Result<rusqlite::Connection> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        Ok(rusqlite::Connection::open_with_flags(self.state().join("journal.sqlite"), flags)?)
    }

    fn journal_length(&self) -> usize {
        let count =
            || -> Result<i64> { Ok(self.journal()?.query_row("SELECT COUNT(*) FROM journal", [], |r| r.get(0))?) };
        // Not there yet, or just being written.
        count().ok().and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
    }

    pub(super) fn args(&self) -> ChainArgs {
        let deployment = Some(self.state().join("deployment.json"));
        ChainArgs { rpc: self.rpc().to_owned(), keys: None, deployment }
    }

    pub(super) async fn protocol(&self) -> Result<Protocol> {
        let chain = Chain::connect(self.rpc(), &Keyring::local()?).await?;
        let deployment = Deployment::load(&self.state().join("deployment.json"), &chain).await?;
        Ok(Protocol::new(chain, deployment))
    }

    /// Every person's wallet, by name.
    async fn wallets(&self) -> Result<BTreeMap<String, Micro>> {
        let (protocol, keys) = (self.protocol().await?, Keyring::local()?);
        let owners = self.scenario.sites.iter().map(|s| &s.owner);
        let mut wallets = BTreeMap::new();
        for name in self.scenario.drivers.iter().map(|d| &d.id).chain(owners) {
            wallets.insert(name.clone(), protocol.wallet(keys.person(name)?.address()).await?);
        }
        Ok(wallets)
    }

    /// What was posted, by site and interval; fails where anything was posted twice.
    async fn posted(&self) -> Result<BTreeMap<(String, u32), Vec<Watts>>> {
        let mut posted = BTreeMap::new();
        for post in self.protocol().await?.setpoints_posted(0, None).await? {
            let site =
                self.scenario.sites.iter().find(|s| signing::id(&s.id) == post.event.site).context("unknown site")?;
            let lanes =
                post.event.lanes.chunks_exact(2).map(|b| Watts::from_lane(i16::from_be_bytes([b[0], b[1]]))).collect();
            let again = posted.insert((site.id.clone(), post.event.interval), lanes);
            ensure!(again.is_none(), "{} {} was posted twice", site.id, post.event.interval);
        }
        Ok(posted)
    }
}

fn wait(child: Child) -> Result<Output> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(DAY_DEADLINE) {
        Ok(output) => Ok(output?),
        Err(_) => {
            Command::new("kill").args(["-9", &id.to_string()]).status()?;
            bail!("provolt did not end within {DAY_DEADLINE:?}")
        }
    }
}

/// The setpoints of a simulation without a chain, in the same form as [`Ground::posted`].
fn simulated(scenario: &Scenario) -> BTreeMap<(String, u32), Vec<Watts>> {
    let day = simulate(scenario, |_| {});
    let mut setpoints = BTreeMap::new();
    for (site, by_interval) in scenario.sites.iter().zip(day.setpoints) {
        for (k, lanes) in by_interval.into_iter().enumerate() {
            setpoints.insert((site.id.clone(), scenario.signals.first.plus(k).0), lanes);
        }
    }
    setpoints
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_day_adds_up_everywhere() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    let summary = ground.run(&[])?;
    let report = ground.report()?;
    assert_eq!(summary.sessions, ground.scenario.sessions.len());
    assert_eq!(summary.settled, summary.sessions, "every session is settled");
    assert_eq!(summary.credit_accounted, summary.credit_supply, "credits are accounted for");
    assert_eq!(summary.limit_violations, 0);
    assert_eq!((summary.plans_certified, summary.plans_uncertified), (96, 0));
    assert!(report.finished && report.sessions.iter().all(|s| s.state == SessionStage::Settled));
    chain_agrees(&ground, &report).await?;
    meters_agree(&ground, &report).await?;
    assert_eq!(ground.posted().await?, simulated(&ground.scenario), "run and simulate reach the same setpoints");
    proofs_agree(&ground, &report).await?;
    rewards_are_minted(&ground, &report).await?;
    let page = std::fs::read_to_string(ground.state().join("report.html"))?;
    for session in &report.sessions {
        let receipt = session.receipt.as_deref().context("a settled session without receipt")?;
        assert!(page.contains(receipt), "the report page lacks receipt {receipt}");
    }
    Ok(())
}

/// Receipts, wallets and bills on chain against the report, to the unit.
async fn chain_agrees(ground: &Ground, report: &Report) -> Result<()> {
    let protocol = ground.protocol().await?;
    let settled = protocol.sessions_settled(&Which::default()).await?;
    assert_eq!(settled.len(), report.sessions.len(), "one settlement per session");
    let mut expected: BTreeMap<String, Micro> = BTreeMap::new();
    for driver in &ground.scenario.drivers {
        *expected.entry(driver.id.clone()).or_default() += driver.deposit;
    }
    let mut earned = vec![Micro::ZERO; ground.scenario.sites.len()];
    for session in &report.sessions {
        let event = settled.iter().find(|s| s.event.session.to_string() == session.id).context("no receipt")?;
        let bill = &event.event.bill;
        let (terms, _) = protocol.terms_of(event.event.session).await?.context("a session without terms")?;
        let energy = WattHours(i64::try_from((bill.stopMilliWh - bill.startMilliWh) / 1000)?);
        assert_eq!(energy, session.delivered_wh, "{}", session.id);
        assert_eq!(i64::try_from(bill.amount)?, session.paid.0, "{}", session.id);
        let receipt = signing::receipt(&terms, bill);
        assert_eq!(Some(receipt.to_string()), session.receipt);
        let rewarded = Bill { reward: u128::try_from(session.flex_reward.0)?, ..bill.clone() };
        let kept_for_it = signing::receipt(&terms, &rewarded);
        let (kept, state) = protocol.place(terms.evse, terms.place).await?;
        // A place is used again by a later session once its bill is final, which no day lasts.
        assert_eq!((kept[..] == kept_for_it[..26], state), (true, SessionState::Settled), "{}", session.id);
        assert_eq!(session.paid, session.price.bill(session.delivered_wh), "the bill follows from energy and price");
        *expected.entry(session.driver.clone()).or_default() -= session.paid;
        earned[session.site] += session.paid;
    }
    for site in &ground.scenario.sites {
        expected.entry(site.owner.clone()).or_default();
    }
    assert_eq!(ground.wallets().await?, expected);
    for (site, earned) in ground.scenario.sites.iter().zip(&earned) {
        let money = protocol.claimable(signing::id(&site.id)).await?;
        assert_eq!(
            (money.claimable, money.pending),
            (Micro::ZERO, *earned),
            "{}: bills can still be disputed",
            site.id
        );
    }
    let (pool, _) = protocol.pool(protocol.chain.operator()).await?;
    let all: Micro = expected.values().chain(&earned).chain([&pool]).copied().sum();
    assert_eq!(protocol.accounted().await?, all, "nothing is held any more");
    audit_finds_nothing(ground).await
}

/// What the report says of each plan is what the chain has verified, and what a simulation finds.
async fn proofs_agree(ground: &Ground, report: &Report) -> Result<()> {
    let protocol = ground.protocol().await?;
    let posted = protocol.plans_posted(0, None).await?;
    let simulated = simulate(&ground.scenario, |_| {}).report;
    for ((site, report), simulated) in ground.scenario.sites.iter().zip(&report.sites).zip(&simulated.sites) {
        let id = signing::id(&site.id);
        let mut certified = 0;
        for (at, (proof, dry)) in report.proofs.iter().zip(&simulated.proofs).enumerate() {
            let interval = ground.scenario.signals.first.plus(at);
            let Proof::Certified { cost, gap, gas } = proof else { continue };
            certified += 1;
            let Proof::Certified { cost: dry_cost, gap: dry_gap, gas: 0 } = dry else { bail!("{interval}: {dry:?}") };
            assert_eq!((cost, gap), (dry_cost, dry_gap), "interval {interval}");
            let told = posted.iter().find(|p| p.event.site == id && p.event.interval == interval.0);
            let told = told.with_context(|| format!("interval {interval}: no plan on chain"))?;
            let units = i128::try_from(told.event.plan.cost - told.event.plan.bound)?;
            assert_eq!(i128::from(gap.0), (units + 39_999) / 40_000, "interval {interval}");
            assert_eq!(*gas, protocol.chain.gas_used(told.transaction).await?);
        }
        assert_eq!(protocol.uncertified(id).await?, report.proofs.len() as u64 - certified, "{}", site.id);
    }
    for session in &report.sessions {
        let (evse, arrival) = (&session.evse, session.arrival);
        let dry =
            simulated.sessions.iter().find(|s| s.evse == *evse && s.arrival == arrival).context("no such stay")?;
        assert_eq!((session.flex_worth, session.flex_reward), (dry.flex_worth, dry.flex_reward), "{evse} {arrival}");
    }
    Ok(())
}

/// Once nobody can dispute them any more, drivers have the tokens that the report promised.
async fn rewards_are_minted(ground: &Ground, report: &Report) -> Result<()> {
    let (protocol, keys) = (ground.protocol().await?, Keyring::local()?);
    let promised: Micro = report.sessions.iter().map(|s| s.flex_reward).sum();
    assert!(promised > Micro::ZERO, "no session of the day earns anything");
    let head = protocol.chain.head().await?;
    protocol.chain.mine_at(UnixTime(head.time.0 + 3 * 86_400)).await?;
    let folder = ground.folder.path().join("payout");
    std::fs::create_dir(&folder)?;
    let store = Store::open(&folder)?;
    let mut minted = Micro::ZERO;
    for site in &ground.scenario.sites {
        let paid = pay_out(&protocol, &store, signing::id(&site.id)).await?;
        minted += paid.minted;
        scores_agree(&protocol, site, &paid.scored).await?;
        let again = pay_out(&protocol, &store, signing::id(&site.id)).await?;
        assert_eq!(again.rewards, 0, "nothing is minted twice");
        assert!(table::scored(&site.id, &again.scored).is_empty(), "nothing is scored twice");
    }
    assert_eq!((minted, protocol.flexibility_supply().await?), (promised, promised));
    for driver in &ground.scenario.drivers {
        let own = report.sessions.iter().filter(|s| s.driver == driver.id).map(|s| s.flex_reward).sum();
        assert_eq!(protocol.flexibility_balance(keys.person(&driver.id)?.address()).await?, own, "{}", driver.id);
    }
    audit_finds_nothing(ground).await
}

/// What the chain makes of forecasts is what a loop over everything posted makes of them, in the sum of its events.
async fn scores_agree(protocol: &Protocol, site: &Site, scored: &Scored) -> Result<()> {
    let id = signing::id(&site.id);
    let mut readings = protocol.readings_posted(0, None).await?;
    readings.retain(|r| r.event.site == id);
    let mut expected = ForecastScore { scored: u32::try_from(readings.len())?, ..ForecastScore::default() };
    let setpoints = protocol.setpoints_posted(0, None).await?;
    for metered in &readings {
        let planned = setpoints.iter().find(|s| (s.event.site, s.event.interval) == (id, metered.event.interval));
        let lanes = planned.context("readings without setpoints")?.event.lanes.chunks_exact(2);
        for ((asset, planned), metered) in site.assets.iter().zip(lanes).zip(metered.event.lanes.chunks_exact(4)) {
            let planned_w = 10 * i64::from(i16::from_be_bytes(planned.try_into()?));
            let metered_w = 4 * i64::from(i32::from_be_bytes(metered.try_into()?));
            let (power_w, error_w) = (planned_w.unsigned_abs(), planned_w.abs_diff(metered_w));
            match asset.kind {
                AssetKind::BaseLoad => {
                    expected.baseLoadW += power_w;
                    expected.baseLoadErrorW += error_w;
                }
                AssetKind::Pv => {
                    expected.pvW += power_w;
                    expected.pvErrorW += error_w;
                }
                _ => {}
            }
        }
    }
    let sum = |of: fn(&ForecastScore) -> u64| scored.scores.iter().map(of).sum::<u64>();
    assert_eq!(sum(|s| s.scored.into()), u64::from(expected.scored));
    assert_eq!(sum(|s| s.baseLoadW), expected.baseLoadW);
    assert_eq!(sum(|s| s.baseLoadErrorW), expected.baseLoadErrorW);
    assert_eq!(sum(|s| s.pvW), expected.pvW);
    assert_eq!(sum(|s| s.pvErrorW), expected.pvErrorW);
    assert!(expected.baseLoadW > 0 && expected.pvW > 0, "{expected:?}");
    let days = scored.scores.iter().map(|s| (s.first / 96, s.last / 96));
    assert!(days.clone().all(|(first, last)| first == last) && days.clone().is_sorted(), "{days:?}");
    let events = protocol.forecasts_scored(id).await?.into_iter().map(|e| e.event.score);
    assert_eq!(events.collect::<Vec<_>>(), scored.scores);

    let told = table::scored(&site.id, scored).join("\n");
    assert!(told.contains("forecasts, scored on chain: base load off by ") && told.contains("96 intervals"), "{told}");
    let status = status::gather(protocol).await?;
    let newest = status.sites.iter().find(|s| s.site == site.id).and_then(|s| s.score.as_ref()).context("no score")?;
    assert_eq!(Some(newest.mean), MeanScore::of(scored.scores.last()));
    Ok(())
}

/// From what the chain tells anybody.
async fn audit_finds_nothing(ground: &Ground) -> Result<()> {
    let report = oracle::commands::verify::audit(&ground.protocol().await?, |_| {}).await?;
    assert!(report.clean, "{}: {:#?}", ground.scenario.name, report.findings);
    let settled: u64 = report.sites.iter().map(|s| s.settled).sum();
    assert_eq!(settled, u64::try_from(ground.scenario.sessions.len())?);
    Ok(())
}

/// The last signed register of every meter against posted readings, sessions and the site's totals.
async fn meters_agree(ground: &Ground, report: &Report) -> Result<()> {
    let registers = last_registers(ground)?;
    let mut posted: BTreeMap<String, i64> = BTreeMap::new();
    for post in ground.protocol().await?.readings_posted(0, None).await? {
        let site =
            ground.scenario.sites.iter().find(|s| signing::id(&s.id) == post.event.site).context("unknown site")?;
        for (asset, lane) in site.assets.iter().zip(post.event.lanes.chunks_exact(4)) {
            *posted.entry(asset.id.clone()).or_default() += i64::from(i32::from_be_bytes(lane.try_into()?));
        }
    }
    for (asset, reading) in &registers {
        assert_eq!(posted.get(asset).copied(), Some(reading.import_wh.0 - reading.export_wh.0), "{asset}");
    }
    for (site, site_report) in ground.scenario.sites.iter().zip(&report.sites) {
        let net: i64 = site.assets.iter().filter_map(|a| posted.get(&a.id)).sum();
        assert_eq!(net, site_report.import_wh.0 - site_report.export_wh.0, "{}", site.id);
        for (_, asset, _) in site.evses() {
            let delivered: WattHours =
                report.sessions.iter().filter(|s| s.evse == asset.id).map(|s| s.delivered_wh).sum();
            assert_eq!(posted.get(&asset.id).copied().unwrap_or_default(), delivered.0, "{}", asset.id);
        }
    }
    Ok(())
}

/// From the journal: the newest reading of every meter, its signature checked.
fn last_registers(ground: &Ground) -> Result<BTreeMap<String, Reading>> {
    let (journal, keys) = (ground.journal()?, Keyring::local()?);
    let mut select = journal.prepare("SELECT body FROM journal ORDER BY seq")?;
    let mut registers: BTreeMap<String, Reading> = BTreeMap::new();
    for body in select.query_map([], |row| row.get::<_, String>(0))? {
        let entry: serde_json::Value = serde_json::from_str(&body?)?;
        let Some(signed) = entry.get("Read") else { continue };
        let signed: signing::SignedReading = serde_json::from_value(signed.clone())?;
        let meter: Address = keys.meter_address(&signed.reading.asset)?;
        assert_eq!(signing::reading_signer(&signed)?, meter, "signed by its own meter");
        assert_eq!(signed.reading.context, Why::Interval);
        registers.insert(signed.reading.asset.clone(), signed.reading);
    }
    Ok(registers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campus_and_a_street_keep_every_limit_and_equal_their_simulation() -> Result<()> {
    for name in ["campus", "street"] {
        let ground = Ground::new(name)?;
        let summary = ground.run(&[])?;
        assert_eq!((summary.settled, summary.limit_violations), (summary.sessions, 0), "{name}");
        assert_eq!(summary.credit_accounted, summary.credit_supply, "{name}");
        assert_eq!(ground.posted().await?, simulated(&ground.scenario), "{name}: run and simulate");
        audit_finds_nothing(&ground).await?;
    }
    Ok(())
}

/// Plans that nobody verifies when they are posted: what a day earns is the same, once nobody has challenged them.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_claimed_plans_earns_when_its_plans_are_released() -> Result<()> {
    for name in ["quickstart", "street"] {
        let ground = Ground::new(name)?;
        let summary = ground.run(&["--plans", "optimistic"])?;
        assert_eq!((summary.settled, summary.limit_violations), (summary.sessions, 0), "{name}");
        assert_eq!(ground.posted().await?, simulated(&ground.scenario), "{name}: run and simulate");
        let plans = ground.scenario.signals.len() * ground.scenario.sites.len();
        assert_eq!((summary.plans_certified, summary.plans_uncertified), (plans, 0), "{name}");
        let protocol = ground.protocol().await?;
        audit_finds_nothing(&ground).await?;

        let folder = ground.folder.path().join("payout");
        std::fs::create_dir(&folder)?;
        let store = Store::open(&folder)?;
        let mut minted = Micro::ZERO;
        for half_days in [1, 2, 8] {
            protocol.chain.mine_at(UnixTime(ground.end().0 + half_days * 43_200)).await?;
            for site in &ground.scenario.sites {
                minted += pay_out(&protocol, &store, signing::id(&site.id)).await?.minted;
                assert_eq!(
                    pay_out(&protocol, &store, signing::id(&site.id)).await?.released,
                    0,
                    "{name}: nothing twice"
                );
            }
        }
        let promised: Micro = simulate(&ground.scenario, |_| {}).report.sessions.iter().map(|s| s.flex_reward).sum();
        assert!(promised > Micro::ZERO, "{name}: no session earns anything");
        assert_eq!((minted, protocol.flexibility_supply().await?), (promised, promised), "{name}");
        let staked = protocol.stake(protocol.chain.operator()).await?;
        assert_eq!(staked.0, 145_000_000 * i64::try_from(ground.scenario.sites.len())?, "{name}: every bond is back");
        audit_finds_nothing(&ground).await?;
    }
    Ok(())
}

/// A plan that may have any gap is certified at once, and has its bond until nobody can undercut it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_plans_that_can_be_improved_is_proven_like_any_other() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    let summary = ground.run(&["--plans", "improved"])?;
    assert_eq!((summary.plans_certified, summary.plans_uncertified), (96, 0));
    proofs_agree(&ground, &ground.report()?).await?;
    let protocol = ground.protocol().await?;
    let site = signing::id(&ground.scenario.sites[0].id);
    let staked = protocol.stake(protocol.chain.operator()).await?;
    // The first plan's time to be challenged is over with the day.
    assert_eq!(staked, Micro((145 - 95) * 1_000_000), "a bond on every plan");
    protocol.chain.mine_at(UnixTime(ground.end().0 + 86_400)).await?;
    assert_eq!(protocol.releasable(site).await?.len(), 95);
    audit_finds_nothing(&ground).await
}

/// Random by a seed that is printed; PROVOLT_SEED gives it again.
fn seed() -> Result<u64> {
    let seed = match std::env::var("PROVOLT_SEED") {
        Ok(text) => text.parse().context("PROVOLT_SEED: expected a number")?,
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs(),
    };
    eprintln!("PROVOLT_SEED={seed}");
    Ok(seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_killed_ends_as_if_it_had_not_been() -> Result<()> {
    let undisturbed = Ground::new("quickstart")?;
    let expected = undisturbed.run(&[])?;
    let length = undisturbed.journal_length();
    let ground = Ground::new("quickstart")?;
    let mut random = seed()?;
    for round in 1..=3_usize {
        // xorshift64*: any spread will do, and the seed names it.
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        let span = length / 4;
        let at = round * span - span / 2 + usize::try_from(random % (span as u64))? / 2;
        kill_at(&ground, at)?;
    }
    let summary = ground.run(&[])?;
    assert_eq!(ground.wallets().await?, undisturbed.wallets().await?, "the same balances");
    assert_eq!(ground.posted().await?, undisturbed.posted().await?, "the same setpoints, none posted twice");
    let settled = ground.protocol().await?.sessions_settled(&Which::default()).await?;
    assert_eq!(settled.len(), expected.sessions, "every session is billed once");
    assert_eq!(Summary { wall_s: 0.0, ..summary }, Summary { wall_s: 0.0, ..expected });
    chain_agrees(&ground, &ground.report()?).await?;
    meters_agree(&ground, &ground.report()?).await
}

/// The chain keeps hashes of terms and tariff only; a journal that has lost them reads them from the chain's events.
#[tokio::test(flavor = "multi_thread")]
async fn lost_terms_are_read_from_the_chain() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    let opened = || -> Result<i64> {
        let count = "SELECT COUNT(*) FROM journal WHERE body LIKE '{\"Opened\"%'";
        Ok(ground.journal()?.query_row(count, [], |row| row.get(0))?)
    };
    let mut at = 400;
    kill_at(&ground, at)?;
    while opened()? == 0 {
        at += 100;
        kill_at(&ground, at)?;
    }
    let journal = rusqlite::Connection::open(ground.state().join("journal.sqlite"))?;
    let forget = "UPDATE journal SET body = json_object('Event', json_object('Opened', \
                  json_object('session', json_extract(body, '$.Opened.session')))) WHERE body LIKE '{\"Opened\"%'";
    assert!(journal.execute(forget, [])? > 0);
    drop(journal);
    let summary = ground.run(&[])?;
    assert_eq!((summary.settled, summary.credit_accounted), (summary.sessions, summary.credit_supply));
    chain_agrees(&ground, &ground.report()?).await
}

/// Starts the run and kills it, with no chance to tidy up, once its journal has `length` entries.
fn kill_at(ground: &Ground, length: usize) -> Result<()> {
    let mut child = ground.command(&[])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + DAY_DEADLINE;
    while ground.journal_length() < length {
        ensure!(child.try_wait()?.is_none(), "the run ended before entry {length}");
        ensure!(Instant::now() < deadline, "the journal does not reach entry {length}");
        std::thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_charge_points_change_nothing() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    let seed = seed()?.to_string();
    let summary = ground.run(&["--faults", &seed])?;
    assert_eq!((summary.settled, summary.limit_violations), (summary.sessions, 0));
    assert_eq!(ground.posted().await?, simulated(&ground.scenario));
    chain_agrees(&ground, &ground.report()?).await
}

/// A CPO posts for a coming interval while the day runs: its setpoints win, are driven, and the rest is planned around them.
#[tokio::test(flavor = "multi_thread")]
async fn a_cpos_own_setpoints_are_adopted() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    let child = ground.command(&[])?.spawn()?;
    let site = &ground.scenario.sites[0];
    // Base load at its forecast, everything else at rest; 12:00 of the day is far enough ahead of a run that just began.
    let chosen = ground.scenario.signals.first.plus(48);
    let base = |asset: &optimizer::site::Asset| match asset.kind {
        optimizer::site::AssetKind::BaseLoad => ground.scenario.signals.power_w[&asset.id][48],
        _ => Watts::ZERO,
    };
    let lanes: Vec<Watts> = site.assets.iter().map(base).collect();
    let csv = ground.folder.path().join("setpoints.csv");
    let start = chrono::DateTime::from_timestamp(chosen.start().0, 0).context("a time")?.to_rfc3339();
    let rows =
        site.assets.iter().zip(&lanes).map(|(asset, power)| format!("{},{start},{},{power}\n", site.id, asset.id));
    std::fs::write(&csv, format!("site,interval_start,asset,power_w\n{}", rows.collect::<String>()))?;
    // The state folder has the contracts' addresses once the day may begin.
    let deadline = Instant::now() + DAY_DEADLINE;
    while ground.journal_length() == 0 {
        ensure!(Instant::now() < deadline, "the day does not begin");
        std::thread::sleep(POLL);
    }
    let mut submit = Command::new(binary("provolt")?);
    submit.arg("submit").arg(&csv).args(["--rpc", ground.rpc(), "--as", &site.owner]);
    let submitted = submit.arg("--deployment").arg(ground.state().join("deployment.json")).output()?;
    ensure!(submitted.status.success(), "submit: {}", String::from_utf8_lossy(&submitted.stderr));
    let output = wait(child)?;
    ensure!(output.status.success(), "run: {}", String::from_utf8_lossy(&output.stderr));
    let report = ground.report()?;
    assert_eq!(report.sites[0].plans[48], optimizer::report::PlanNote::Cpo);
    assert_eq!(report.sites[0].proofs[48], Proof::Uncertified(CPO_REASON.to_owned()));
    let uncertified = ground.protocol().await?.uncertified_posted(0, None).await?;
    assert!(uncertified.iter().any(|u| (u.event.interval, u.event.reason.as_str()) == (chosen.0, CPO_REASON)));
    assert_eq!(report.sites[0].metered.evse_w[48], Watts::ZERO, "every EVSE was held at rest");
    assert_eq!(ground.posted().await?[&(site.id.clone(), chosen.0)], lanes);
    assert_eq!(report.sites[0].limit_violations, 0);
    assert!(report.sessions.iter().all(|s| s.state == SessionStage::Settled));
    chain_agrees(&ground, &report).await
}

/// With a key file and on a chain that is not local, a killed run must find its chain again by its own keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_on_a_foreign_chain_resumes() -> Result<()> {
    let mut ground = Ground::new("quickstart")?;
    let genesis = UnixTime(ground.scenario.signals.first.start().0 - 3600);
    let log = ground.folder.path().join("foreign.log");
    ground.anvil = Some(anvil::spawn(&anvil::Options { chain_id: 4242, ..anvil::Options::new(genesis, log) })?);
    let operator = alloy::signers::local::PrivateKeySigner::random();
    let params = serde_json::json!([operator.address(), "0x56bc75e2d63100000"]);
    let fund = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": params});
    reqwest::Client::new().post(ground.rpc()).json(&fund).send().await?.error_for_status()?;
    let keys = ground.folder.path().join("keys.json");
    let secrets = serde_json::json!({"operator": operator.to_bytes(), "seed": "a seed for this test only"});
    std::fs::write(&keys, secrets.to_string())?;
    Command::new("chmod").arg("600").arg(&keys).status()?;
    let options = ["--keys", keys.to_str().context("a path in UTF-8")?];
    let mut child = ground.command(&options)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + DAY_DEADLINE;
    while ground.journal_length() < 300 {
        ensure!(child.try_wait()?.is_none() && Instant::now() < deadline, "the run does not reach entry 300");
        std::thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    let output = wait(ground.command(&options)?.spawn()?)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("resuming"), "{said}");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary: Summary = serde_json::from_str(out.lines().last().context("no output")?)?;
    assert_eq!((summary.settled, summary.credit_accounted), (summary.sessions, summary.credit_supply));
    Ok(())
}

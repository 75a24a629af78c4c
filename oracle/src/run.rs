//! One run, wired: scenario, state folder, chain, contracts, pages, devices, engine.

use crate::abi::PlanRules;
use crate::chain::{Arguments, Chain, Deployment, Protocol, anvil, deploy, register};
use crate::clock::{self, Clock, Pace};
use crate::commands::plans::Mode;
use crate::engine::{Edges, Engine};
use crate::files;
use crate::keys::Keyring;
use crate::ocpp::Points;
use crate::store::Store;
use crate::summary::{ChainTotals, Summary};
use crate::{http, ocpp, page, process, signing, table};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use optimizer::report::Report;
use optimizer::scenario::Scenario;
use optimizer::simulate::compare_uncontrolled;
use optimizer::units::{Interval, Micro, UnixTime};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// Scenario seconds per wall second: a day passes in a minute.
const DEFAULT_SPEED: &str = "1440";
/// A local chain begins this long before the scenario: room for deployment and registration.
const CHAIN_BEFORE_S: i64 = 3600;
/// What is staked on a plan that is not proved at once.
const BOND: Micro = Micro(1_000_000);
/// Plans of a site whose bonds are out at the same time: a day that can be challenged, the next one, and half a day, which is
/// twice what the engine takes to release them.
const PLANS_STAKED: i64 = 96 + 48 + 1;
/// What charge points and drivers said, waiting for the engine. Each sender waits for its own answer, so more than one
/// message per connection is never under way.
const QUEUE: usize = 1024;

/// The other side of the sockets, a binary beside this one.
const DEVICES: &str = "devices";

/// Runs a day: plans, drives, meters and settles it.
///
/// Without a scenario the built-in quickstart day runs. Without --rpc a local Anvil is started and ended with the run.
/// A run that was killed goes on where it was when it is started again with the same --state.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Scenario folder, for example data/scenarios/campus.
    pub scenario: Option<PathBuf>,
    /// How to run.
    #[command(flatten)]
    pub options: RunOptions,
}

/// How to run a day.
#[derive(Args, Debug, Clone)]
pub struct RunOptions {
    /// Scenario seconds per second, or `max` for as fast as it goes.
    #[arg(long, default_value = DEFAULT_SPEED, conflicts_with = "realtime")]
    pub speed: String,
    /// Runs at wall time, from the next quarter hour on.
    #[arg(long)]
    pub realtime: bool,
    /// A chain that runs already, instead of an embedded Anvil.
    #[arg(long)]
    pub rpc: Option<String>,
    /// File with the operator's key and the seed of all other keys; required on any chain but a local one.
    #[arg(long)]
    pub keys: Option<PathBuf>,
    /// Folder for journal, logs and report [default: run/NAME of the scenario].
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// Forgets an unfinished run in the state folder.
    #[arg(long)]
    pub fresh: bool,
    /// Where pages and charge points connect.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Prints one JSON object as the last line of standard output.
    #[arg(long)]
    pub json: bool,
    /// Lets the simulated charge points misbehave: lost connections, repeated messages. Any number; the same gives the same.
    #[arg(long, value_name = "SEED")]
    pub faults: Option<u64>,
    /// Starts no simulated devices: others connect to the printed address.
    #[arg(long)]
    pub no_devices: bool,
    /// How plans are posted at sites that this run registers, with a bond of a credit where it is not `proved`.
    #[arg(long, value_name = "MODE", default_value = "proved")]
    pub plans: Mode,
}

/// Runs a day as the arguments say, and prints what it came to.
pub async fn run(args: RunArgs) -> Result<()> {
    let (scenario, warnings) = match &args.scenario {
        Some(folder) => files::load_scenario(folder)?,
        None => files::embedded_scenario()?,
    };
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    run_scenario(args.options, scenario).await
}

/// As [`run`], with the scenario at hand.
pub async fn run_scenario(args: RunOptions, scenario: Scenario) -> Result<()> {
    let pace = pace(&args)?;
    let keyring = args.keys.as_deref().map_or_else(Keyring::local, Keyring::load)?;
    let folder = args.state.clone().unwrap_or_else(|| Path::new("run").join(&scenario.name));
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    let (mut stage, store) = Stage::open(folder, &args, &keyring, scenario, pace).await?;
    let outcome = tokio::select! {
        outcome = day(&args, &keyring, &mut stage, store, pace) => outcome,
        () = process::told_to_stop() => Err(anyhow::anyhow!("interrupted")),
    };
    stage.clear();
    let (report, totals, wall) = outcome?;
    present(&args, &stage.folder, &report, totals, wall)
}

fn pace(args: &RunOptions) -> Result<Pace> {
    if args.realtime {
        return Ok(Pace::Real);
    }
    if args.speed == "max" {
        return Ok(Pace::Unbounded);
    }
    let speed = args.speed.parse::<u32>().ok().filter(|s| *s > 0);
    speed
        .map(Pace::Accelerated)
        .with_context(|| format!("--speed {}: expected a whole number above 0, or max", args.speed))
}

/// What a run stands on: its folder, and the processes it started.
struct Stage {
    folder: PathBuf,
    scenario: Arc<Scenario>,
    rpc: String,
    resumed: bool,
    anvil: Option<u32>,
    devices: Option<u32>,
}

impl Stage {
    /// Takes up an unfinished run of the same scenario if its chain still answers; else starts afresh.
    async fn open(
        folder: PathBuf,
        args: &RunOptions,
        keyring: &Keyring,
        scenario: Scenario,
        pace: Pace,
    ) -> Result<(Self, Store)> {
        let store = Store::open(&folder)?;
        let wanted = serde_json::to_string(&scenario)?;
        let pid = |key: &str| Ok::<_, anyhow::Error>(store.meta_get(key)?.and_then(|p| p.parse::<u32>().ok()));
        let (anvil, devices) = (pid("anvil_pid")?, pid("devices_pid")?);
        let unfinished = store.meta_get("ready")?.is_some() && store.meta_get("finished")?.is_none();
        if unfinished && !args.fresh {
            ensure!(
                store.meta_get("scenario")?.as_deref() == Some(&wanted),
                "{}: holds an unfinished run of another scenario; finish it, or forget it with --fresh",
                folder.display()
            );
            let rpc = store.meta_get("rpc")?.context("journal without the chain's address")?;
            if Chain::connect(&rpc, keyring).await.is_ok() {
                say(&format!("resuming the run in {}", folder.display()));
                let used = store.meta_get("used_scenario")?.context("journal without its scenario")?;
                let scenario = Arc::new(serde_json::from_str(&used).context("journal: scenario")?);
                return Ok((Self { folder, scenario, rpc, resumed: true, anvil, devices }, store));
            }
            say(&format!("the chain of the unfinished run in {} is gone; starting afresh", folder.display()));
        }
        anvil.into_iter().try_for_each(anvil::kill)?;
        devices.into_iter().try_for_each(|pid| process::end(pid, DEVICES))?;
        let store = store.reset()?;
        let scenario = if pace == Pace::Real { from_next_quarter(&scenario) } else { scenario };
        store.meta_set("scenario", &wanted)?;
        store.meta_set("used_scenario", &serde_json::to_string(&scenario)?)?;
        let mut stage = Self {
            folder,
            scenario: Arc::new(scenario),
            rpc: String::new(),
            resumed: false,
            anvil: None,
            devices: None,
        };
        stage.start_chain(args, &store)?;
        Ok((stage, store))
    }

    fn start_chain(&mut self, args: &RunOptions, store: &Store) -> Result<()> {
        self.rpc = match &args.rpc {
            Some(rpc) => rpc.clone(),
            None => {
                let genesis = UnixTime(self.scenario.signals.first.start().0 - CHAIN_BEFORE_S);
                let options = anvil::Options::new(genesis, self.folder.join("anvil.log")).detached();
                let anvil = anvil::spawn(&options)?;
                store.meta_set("anvil_pid", &anvil.pid.to_string())?;
                self.anvil = Some(anvil.pid);
                anvil.rpc.clone()
            }
        };
        store.meta_set("rpc", &self.rpc)
    }

    fn start_devices(&mut self, args: &RunOptions, store: &Store, address: SocketAddr) -> Result<()> {
        if args.no_devices || self.resumed {
            return Ok(());
        }
        let scenario = self.folder.join("scenario.json");
        std::fs::write(&scenario, serde_json::to_vec(&*self.scenario)?)?;
        let child = spawn_devices(args, &self.folder, &scenario, address)?;
        self.devices = Some(child.id());
        store.meta_set("devices_pid", &child.id().to_string())
    }

    /// Ends what this run started.
    fn clear(&mut self) {
        let ended = self
            .devices
            .take()
            .map_or(Ok(()), |pid| process::end(pid, DEVICES))
            .and(self.anvil.take().map_or(Ok(()), anvil::kill));
        if let Err(error) = ended {
            say(&format!("warning: {error:#}"));
        }
    }
}

fn from_next_quarter(scenario: &Scenario) -> Scenario {
    let next = Interval::containing(clock::wall()).plus(1);
    scenario.shifted(i64::from(next.0) - i64::from(scenario.signals.first.0))
}

fn spawn_devices(args: &RunOptions, folder: &Path, scenario: &Path, address: SocketAddr) -> Result<Child> {
    let program = std::env::current_exe()?.with_file_name(DEVICES);
    ensure!(program.is_file(), "{}: missing; build it with `cargo build -p oracle`", program.display());
    let log_path = folder.join("devices.log");
    let log = std::fs::File::create(&log_path).with_context(|| format!("{}: cannot write", log_path.display()))?;
    let mut command = Command::new(&program);
    command.arg("--oracle").arg(format!("http://{address}")).arg("--scenario").arg(scenario);
    if let Some(keys) = &args.keys {
        command.arg("--keys").arg(keys);
    }
    if let Some(seed) = args.faults {
        command.arg("--faults").arg(seed.to_string());
    }
    command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
    #[cfg(unix)]
    {
        // A Ctrl-C in the terminal is the oracle's to handle: it ends its devices itself.
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    command.spawn().with_context(|| format!("{}: does not run", program.display()))
}

type DayOutcome = (Report, ChainTotals, std::time::Duration);

async fn day(args: &RunOptions, keyring: &Keyring, stage: &mut Stage, store: Store, pace: Pace) -> Result<DayOutcome> {
    let chain = Chain::connect(&stage.rpc, keyring).await?;
    let protocol = prepare_chain(stage, chain, keyring, pace, args.plans).await?;
    let scenario = stage.scenario.clone();
    let listener = listen(args, &store).await?;
    let address = listener.local_addr()?;
    say(&format!("live page: http://{address}/"));

    let (heard_in, heard) = mpsc::channel(QUEUE);
    let (asks_in, asks) = mpsc::channel(QUEUE);
    let points = Points::new(point_ids(&scenario));
    let (live, watched) =
        watch::channel(Arc::new(optimizer::controller::Controller::new((*scenario).clone()).report()));
    let router = http::router(watched, scenario.clone(), asks_in).merge(ocpp::router(points.clone(), heard_in));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(http::serve(listener, router, async move {
        // Either way the server is to stop.
        let _ = stopped.await;
    }));
    stage.start_devices(args, &store, address)?;
    store.meta_set("ready", "yes")?;
    let clock = Clock::start(pace, stage_time(&scenario));
    let edges = Edges { protocol: protocol.clone(), store, points, heard, asks, live, clock };
    let mut engine = Engine::new(scenario.clone(), edges, keyring)?;
    let mut progress = Progress::new();
    let mut report = engine.run(|report| progress.show(report)).await?;
    progress.end();
    if stage.anvil.is_some() {
        let paid;
        (paid, report) = engine.pay_out().await.context("paying out")?;
        say(&table::paid_out(&paid));
        let scored = scenario.sites.iter().zip(&paid).flat_map(|(site, paid)| table::scored(&site.id, &paid.scored));
        scored.for_each(|line| say(&line));
    }
    compare_uncontrolled(&scenario, &mut report);
    let totals = totals(&protocol).await?;
    engine.finish()?;
    drop(engine);
    // The server ends with its last connection; the run does not wait for a browser.
    let _ = stop.send(());
    server.abort();
    Ok((report, totals, clock.elapsed()))
}

/// Scenario time at which a clock starts: the first cut.
fn stage_time(scenario: &Scenario) -> UnixTime {
    UnixTime(scenario.signals.first.start().0 - optimizer::controller::CUT_S)
}

async fn prepare_chain(stage: &Stage, chain: Chain, keyring: &Keyring, pace: Pace, mode: Mode) -> Result<Protocol> {
    let path = stage.folder.join("deployment.json");
    if stage.resumed {
        let deployment = Deployment::load(&path, &chain).await?;
        return Ok(Protocol::new(chain, deployment));
    }
    chain.drive_clock().await?;
    if pace != Pace::Real {
        if !chain.clock_driven() {
            bail!("{}: this chain's clock cannot be set, so it runs at wall time only; add --realtime", stage.rpc);
        }
        let (head, first) = (chain.head().await?.time, stage_time(&stage.scenario));
        ensure!(
            head < first,
            "{}: the chain's time {head} is past the scenario's start {first}; start Anvil with --timestamp",
            stage.rpc
        );
    }
    say("deploying the contracts");
    let deployment = deploy(&chain, &Arguments::of_a_run(&chain).await?).await?.deployment;
    deployment.save(&path)?;
    let protocol = Protocol::new(chain, deployment);
    let registered = register::register(&protocol, &stage.scenario, keyring).await?;
    say(&registered.to_string());
    if mode != Mode::Proved {
        set_mode(&protocol, &stage.scenario, keyring, mode).await?;
    }
    Ok(protocol)
}

/// Sets how plans are posted from the next interval on, and stakes what the operator needs for that.
async fn set_mode(protocol: &Protocol, scenario: &Scenario, keyring: &Keyring, mode: Mode) -> Result<()> {
    let from = Interval::containing(protocol.chain.head().await?.time).plus(1).0;
    for site in &scenario.sites {
        let id = signing::id(&site.id);
        let rules = protocol.plan_rules(id, from).await?;
        let rules = PlanRules { mode: mode.into(), bond: BOND.0.try_into()?, epsilon: rules.tolerance, ..rules };
        protocol.set_rules(&keyring.person(&site.owner)?, id, rules, from).await.with_context(|| site.id.clone())?;
    }
    let plans = PLANS_STAKED * i64::try_from(scenario.sites.len())?;
    let free = protocol.stake(protocol.chain.operator()).await?;
    let missing = Micro(BOND.0 * plans) - free;
    if missing > Micro::ZERO {
        protocol.deposit_stake(missing).await?;
    }
    Ok(())
}

async fn listen(args: &RunOptions, store: &Store) -> Result<TcpListener> {
    let known = store.meta_get("listen")?.and_then(|a| a.parse::<SocketAddr>().ok());
    let wanted = known.unwrap_or(args.listen);
    let listener = TcpListener::bind(wanted).await.with_context(|| format!("{wanted}: cannot listen"))?;
    store.meta_set("listen", &listener.local_addr()?.to_string())?;
    Ok(listener)
}

/// OCPP identities of the scenario.
fn point_ids(scenario: &Scenario) -> Vec<String> {
    let of_site =
        |site: &optimizer::site::Site| (0..site.assets.len()).map(|l| site.connection(l).0).collect::<Vec<_>>();
    let mut ids: Vec<_> = scenario.sites.iter().flat_map(of_site).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn present(
    args: &RunOptions,
    folder: &Path,
    report: &Report,
    totals: ChainTotals,
    wall: std::time::Duration,
) -> Result<()> {
    let summary = Summary::from_report(report, totals, wall);
    let path = folder.join("report.html");
    files::write_whole(&path, page::render(report, &summary).as_bytes())?;
    let json_path = folder.join("report.json");
    files::write_whole(&json_path, &serde_json::to_vec(report)?)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}\n{}\n{}", table::sessions(report), table::sites(report), table::proofs(report))?;
    writeln!(out, "{}", table::totals(&summary))?;
    writeln!(out, "report: {}", path.display())?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    }
    Ok(())
}

/// One line on standard error; nothing hangs on whether somebody reads it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The line that moves while the day passes; on a terminal it stays in place.
struct Progress {
    in_place: bool,
}

impl Progress {
    fn new() -> Self {
        Self { in_place: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, report: &Report) {
        let line = table::progress(report);
        if self.in_place {
            let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
        } else {
            say(&line);
        }
    }

    fn end(&mut self) {
        if self.in_place {
            say("");
        }
    }
}

async fn totals(protocol: &Protocol) -> Result<ChainTotals> {
    Ok(ChainTotals {
        credit_supply: protocol.credit_supply().await?,
        credit_accounted: protocol.accounted().await?,
        flex_minted: protocol.flexibility_supply().await?,
    })
}

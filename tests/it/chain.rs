//! Contracts, registration and transactions against a real Anvil.

use alloy::primitives::{B256, Bytes, keccak256};
use anyhow::Result;
use optimizer::scenario::Scenario;
use optimizer::site::{AssetKind, Site};
use optimizer::units::{Interval, Micro, UnixTime, Watts};
use oracle::abi::{CPO_REASON, IDispatch, IntervalState, Request, SessionState};
use oracle::chain::anvil::{self, Anvil, Options};
use oracle::chain::events::Which;
use oracle::chain::register::register;
use oracle::chain::{Arguments, Call, Chain, Deployment, Outcome, Protocol, deploy};
use oracle::commands::{ChainArgs, register as register_command, submit};
use oracle::keys::Keyring;
use oracle::{files, signing};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No single wait of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn scenario(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios").join(name);
    files::load_scenario(&folder).unwrap().0
}

pub(super) struct Local {
    pub(super) protocol: Protocol,
    pub(super) keyring: Keyring,
    scenario: Scenario,
    /// Ends with the test.
    _anvil: Anvil,
    pub(super) folder: TempDir,
}

impl Local {
    /// A chain with the scenario registered, half an hour before its first interval.
    pub(super) async fn start(name: &str) -> Result<Self> {
        let scenario = scenario(name);
        let folder = tempfile::tempdir()?;
        let genesis = UnixTime(scenario.signals.first.start().0 - 1800);
        let anvil = anvil::spawn(&Options::new(genesis, folder.path().join("anvil.log")))?;
        let keyring = Keyring::local()?;
        let chain = Chain::connect(&anvil.rpc, &keyring).await?;
        chain.drive_clock().await?;
        let arguments = Arguments::of(chain.operator());
        let protocol = Protocol::new(chain.clone(), deploy(&chain, &arguments).await?.deployment);
        register(&protocol, &scenario, &keyring).await?;
        Ok(Self { protocol, keyring, scenario, _anvil: anvil, folder })
    }

    pub(super) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(super) fn site(&self) -> &Site {
        &self.scenario.sites[0]
    }

    pub(super) fn args(&self) -> Result<ChainArgs> {
        let file = self.folder.path().join("deployment.json");
        self.protocol.deployment.save(&file)?;
        let rpc = self._anvil.rpc.clone();
        Ok(ChainArgs { rpc, keys: None, deployment: Some(file) })
    }

    /// What `provolt submit` makes of a file in which every EVSE of the first site holds `evse_w` during `interval`.
    async fn submit(&self, interval: Interval, evse_w: i64, sign_as: Option<&str>) -> Result<(ExitCode, String)> {
        let start = chrono_rfc3339(interval.start());
        let mut text = "site,interval_start,asset,power_w\n".to_owned();
        for asset in &self.site().assets {
            let power = if matches!(asset.kind, AssetKind::Evse(_)) { evse_w } else { 0 };
            text += &format!("{},{start},{},{power}\n", self.site().id, asset.id);
        }
        let file = self.folder.path().join("setpoints.csv");
        std::fs::write(&file, text)?;
        let args = submit::Args { file, sign_as: sign_as.map(str::to_owned), chain: self.args()? };
        let mut printed = Vec::new();
        let code = submit::run(&args, &mut printed).await?;
        Ok((code, String::from_utf8(printed)?))
    }

    pub(super) async fn outcome(&self, call: &Call) -> Result<Outcome> {
        let chain = &self.protocol.chain;
        let prepared = self.protocol.prepare(call, chain.next_nonce().await?).await?;
        chain.send(&prepared).await?;
        chain.mine_at(UnixTime(0)).await?;
        Ok(chain.await_outcomes(&[prepared.hash], Instant::now() + PATIENCE).await?.remove(0))
    }

    pub(super) async fn refusal(&self, call: &Call) -> Result<String> {
        Ok(self.outcome(call).await?.result.unwrap_err().name)
    }

    /// Setpoints of the quickstart site: `evse_w` for its first EVSE, nothing else.
    fn setpoints(&self, interval: Interval, evse_w: Watts) -> Call {
        let (lane, ..) = self.site().evses().next().unwrap();
        let mut lanes = vec![0; 2 * self.site().assets.len()];
        lanes[2 * lane..2 * lane + 2].copy_from_slice(&evse_w.lane().unwrap().to_be_bytes());
        let site = signing::id(&self.site().id);
        Call::PostUncertified { site, interval: interval.0, lanes, reason: "a test".to_owned() }
    }

    pub(super) fn request(&self, driver: &str, nonce: u64) -> Result<Call> {
        let (_, asset, evse) = self.site().evses().next().unwrap();
        let key = self.keyring.person(driver)?;
        let end = self.scenario.signals.first.start().0 + 36_000;
        let request = Request {
            driver: key.address(),
            evse: signing::id(&asset.id),
            meter: signing::meter_id(self.keyring.meter_address(&asset.id)?),
            tariffHash: signing::tariff_hash(&signing::flat_tariff(evse.price.0 as u64)),
            energyWh: 5000,
            departure: alloy::primitives::aliases::U40::from(end),
            priceCeiling: evse.price.0 as u64,
            totalCeiling: 2_000_000,
            nonce,
            validUntil: alloy::primitives::aliases::U40::from(end),
        };
        let digest = signing::request_digest(&request, self.protocol.chain.id(), self.protocol.deployment.settlement);
        let signature = signing::sign(&key, digest)?.parse::<Bytes>()?;
        let tariff = signing::flat_tariff(evse.price.0 as u64);
        Ok(Call::OpenSession { request, tariff, signature })
    }
}

fn chrono_rfc3339(time: UnixTime) -> String {
    chrono::DateTime::from_timestamp(time.0, 0).unwrap().to_rfc3339()
}

#[tokio::test]
async fn registering_twice_changes_nothing() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let Local { protocol, keyring, scenario, .. } = &local;
    let site = protocol.site(signing::id(&local.site().id)).await?.unwrap();
    assert_eq!(usize::from(site.assetCount), local.site().assets.len());
    assert_eq!(usize::from(site.groupCount), local.site().groups.len());
    let deposits: Micro = scenario.drivers.iter().map(|d| d.deposit).sum();
    let (pool, _) = protocol.pool(protocol.chain.operator()).await?;
    assert!(pool > Micro::ZERO);
    assert_eq!(protocol.credit_supply().await?, deposits + pool);
    assert_eq!(protocol.accounted().await?, deposits + pool);
    for driver in &scenario.drivers {
        assert_eq!(protocol.wallet(keyring.person(&driver.id)?.address()).await?, driver.deposit);
    }
    let head = protocol.chain.head().await?;
    let again = register(protocol, scenario, keyring).await?;
    assert_eq!(again, Default::default());
    assert_eq!(protocol.chain.head().await?, head);
    Ok(())
}

#[tokio::test]
async fn a_campus_registers_in_seconds_and_a_difference_is_named() -> Result<()> {
    let started = Instant::now();
    let mut local = Local::start("campus").await?;
    println!("campus registered after {:?}", started.elapsed());
    local.scenario.sites[0].groups[0].limit_import_w += Watts(1000);
    let error = register(&local.protocol, &local.scenario, &local.keyring).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("import limit in W") && error.contains(&local.site().id), "{error}");
    Ok(())
}

#[tokio::test]
async fn setpoints_are_refused_with_the_reason() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let first = local.scenario.signals.first;
    let posted = local.outcome(&local.setpoints(first, Watts(6000))).await?;
    assert!(posted.result.is_ok(), "{posted:?}");
    let site = signing::id(&local.site().id);
    assert_eq!(local.protocol.interval_state(site, first.0).await?, IntervalState::Dispatched);
    let logged = local.protocol.setpoints_posted(0, None).await?;
    assert_eq!((logged.len(), logged[0].event.interval, logged[0].block), (1, first.0, posted.block));

    let again = local.outcome(&local.setpoints(first, Watts(6000))).await?.result.unwrap_err();
    assert_eq!(again.text, format!("AlreadyDispatched(site {site}, interval {})", first.0));
    assert_eq!(local.refusal(&local.setpoints(Interval(first.0 - 9), Watts(0))).await?, "TooLate");
    assert_eq!(local.refusal(&local.setpoints(first.plus(500), Watts(0))).await?, "TooEarly");
    assert_eq!(local.refusal(&local.setpoints(first.plus(1), Watts(11_050))).await?, "RatingExceeded");
    // Every EVSE at once is more than the cabinet holds.
    let mut lanes = Vec::new();
    for asset in &local.site().assets {
        let evse = matches!(asset.kind, AssetKind::Evse(_));
        let power = if evse { asset.rated_w } else { Watts(0) };
        lanes.extend(power.lane().unwrap().to_be_bytes());
    }
    let all = Call::PostUncertified { site, interval: first.plus(1).0, lanes, reason: "a test".to_owned() };
    let refused = local.outcome(&all).await?.result.unwrap_err();
    assert_eq!(refused.name, "ImportLimitExceeded");
    let decoded: IDispatch::ImportLimitExceeded = alloy::sol_types::SolError::abi_decode(&refused.data).unwrap();
    assert_eq!(decoded.limitW, alloy::primitives::U256::from(50_000));
    let stranger = local.keyring.person("driver-01")?.address();
    let call = local.setpoints(first.plus(1), Watts(0));
    assert_eq!(local.protocol.dry_run(&call, stranger).await?.unwrap_err().name, "NotPlanner");
    // Past Plans, which alone may dispatch, not even the operator gets anything through.
    let Call::PostUncertified { site, interval, lanes, .. } = call else { unreachable!() };
    let past = Call::PostSetpoints { site, interval, lanes, plan_hash: B256::ZERO };
    assert_eq!(local.refusal(&past).await?, "NotAuthorised");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_within_one_block_still_has_its_reason() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let chain = &local.protocol.chain;
    let nonce = chain.next_nonce().await?;
    let call = local.setpoints(local.scenario.signals.first, Watts(6000));
    let (a, b) = (local.protocol.prepare(&call, nonce).await?, local.protocol.prepare(&call, nonce + 1).await?);
    // Sent out of order, and one of them twice.
    for prepared in [&b, &a, &a] {
        chain.send(prepared).await?;
    }
    let time = UnixTime(chain.head().await?.time.0 + 60);
    let head = chain.mine_at(time).await?;
    assert_eq!(head.time, time);
    chain.send(&a).await?;
    let outcomes = chain.await_outcomes(&[a.hash, b.hash], Instant::now() + PATIENCE).await?;
    assert_eq!(outcomes[0].block, outcomes[1].block);
    assert!(outcomes[0].result.is_ok());
    assert_eq!(outcomes[1].result.as_ref().unwrap_err().name, "AlreadyDispatched");
    // A time that has passed mines one second later, and only where something is pending.
    assert_eq!(chain.mine_at(UnixTime(0)).await?.time, time);
    chain.send(&local.protocol.prepare(&call, nonce + 2).await?).await?;
    assert_eq!(chain.mine_at(UnixTime(0)).await?.time.0, time.0 + 1);
    Ok(())
}

#[tokio::test]
async fn only_registered_drivers_open_sessions() -> Result<()> {
    let local = Local::start("quickstart").await?;
    assert_eq!(local.refusal(&local.request("nobody", 1)?).await?, "NotAdmitted");
    let opened = local.outcome(&local.request("driver-02", 1)?).await?;
    assert!(opened.result.is_ok(), "{opened:?}");
    assert_eq!(local.refusal(&local.request("driver-02", 2)?).await?, "EvseBusy");
    let evse = signing::id(&local.site().evses().next().unwrap().1.id);
    let place = local.protocol.open_at(evse).await?.unwrap();
    let opened = local.protocol.sessions_opened(&Which::default()).await?.remove(0).event;
    assert_eq!((opened.terms.held, opened.terms.place, opened.evse), (2_000_000, place, evse));
    // The chain keeps a hash of the terms, which the event told.
    let hash = keccak256(alloy::sol_types::SolValue::abi_encode(&opened.terms));
    let (kept, state) = local.protocol.place(evse, place).await?;
    assert_eq!((&kept[..], state), (&hash[..26], SessionState::Active));
    let told = local.protocol.terms_of(opened.terms.session).await?.unwrap();
    assert_eq!(told, (opened.terms, opened.tariff));
    assert_eq!(local.protocol.terms_of(hash).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_deployment_is_checked_before_it_is_used() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let path: PathBuf = local.folder.path().join("deployments/31337.json");
    local.protocol.deployment.save(&path)?;
    assert_eq!(Deployment::load(&path, &local.protocol.chain).await?, local.protocol.deployment);
    let elsewhere = Deployment { chain_id: 1, ..local.protocol.deployment.clone() };
    elsewhere.save(&path)?;
    let error = format!("{:#}", Deployment::load(&path, &local.protocol.chain).await.unwrap_err());
    assert!(error.contains("a deployment on chain 1"), "{error}");
    let empty = Deployment { dispatch: local.protocol.chain.operator(), ..local.protocol.deployment.clone() };
    let error = format!("{:#}", empty.validate(&local.protocol.chain).await.unwrap_err());
    assert!(error.contains("dispatch: no contract"), "{error}");
    Ok(())
}

#[tokio::test]
async fn well_known_keys_are_refused_on_another_chain() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Options { chain_id: 1234, ..Options::new(UnixTime(1_700_000_000), folder.path().join("anvil.log")) };
    let anvil = anvil::spawn(&options)?;
    let error = Chain::connect(&anvil.rpc, &Keyring::local()?).await.unwrap_err().to_string();
    assert!(error.contains("chain 1234: Anvil's well-known keys are refused"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_detached_anvil_outlives_its_owner_and_can_be_ended() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = Options::new(UnixTime(1_700_000_000), folder.path().join("anvil.log")).detached();
    let anvil = anvil::spawn(&options)?;
    let (rpc, pid) = (anvil.rpc.clone(), anvil.pid);
    drop(anvil);
    let chain = Chain::connect(&rpc, &Keyring::local()?).await?;
    assert!(chain.clock_driven());
    anvil::kill(pid)?;
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(rpc.trim_start_matches("http://")).is_ok() {
        assert!(Instant::now() < deadline, "anvil still listens");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whatever has its number now is none of ours.
    anvil::kill(pid)?;
    Ok(())
}

#[tokio::test]
async fn a_cpo_submits_its_own_setpoints_and_all_or_none_are_sent() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let first = local.scenario.signals.first;
    let owner = local.site().owner.clone();
    let (code, printed) = local.submit(first, 0, Some("driver-01")).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(printed.contains("driver-01 (") && printed.contains("has no right to post setpoints"), "{printed}");
    let (code, printed) = local.submit(first, 7000, Some(&owner)).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(printed.contains("group 0 would draw 56000 W, its import limit is 50000 W"), "{printed}");
    let (code, printed) = local.submit(first, 8000, Some(&owner)).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(printed.contains("DE*PVT*E107*1 cannot hold 8000 W, it is rated for 7360 W"), "{printed}");
    let (_, printed) = local.submit(Interval(first.0 - 9), 0, Some(&owner)).await?;
    assert!(printed.contains("too late: the interval has begun"), "{printed}");
    assert!(local.protocol.setpoints_posted(0, None).await?.is_empty());

    let (code, printed) = local.submit(first, 3000, Some(&owner)).await?;
    assert_eq!(code, ExitCode::SUCCESS, "{printed}");
    let (posts, next) = local.protocol.cpo_posts(0).await?;
    assert_eq!((posts.len(), posts[0].event.poster), (1, local.protocol.deployment.plans));
    let told = local.protocol.uncertified_posted(0, None).await?.remove(0).event;
    assert_eq!((told.poster, told.reason.as_str()), (local.keyring.person(&owner)?.address(), CPO_REASON));
    assert_eq!(local.protocol.cpo_posts(next).await?.0, []);
    let (code, printed) = local.submit(first, 3000, Some(&owner)).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(printed.contains("has setpoints already"), "{printed}");
    // By the operator's own hand, and not by its plans.
    let (code, _) = local.submit(first.plus(1), 3000, None).await?;
    assert_eq!((code, local.protocol.cpo_posts(next).await?.0.len()), (ExitCode::SUCCESS, 1));
    let planned = local.setpoints(first.plus(2), Watts(0));
    assert!(local.outcome(&planned).await?.result.is_ok());
    assert_eq!(local.protocol.cpo_posts(next).await?.0.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_register_command_deploys_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let anvil = anvil::spawn(&Options::new(UnixTime(1_700_000_000), folder.path().join("anvil.log")))?;
    let deployment = Some(folder.path().join("deployments/31337.json"));
    let args = register_command::Args {
        scenario: Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/scenarios/quickstart"),
        chain: ChainArgs { rpc: anvil.rpc.clone(), keys: None, deployment },
    };
    for expected in ["deployed on chain 31337", "everything was registered already"] {
        let mut printed = Vec::new();
        register_command::run(&args, &mut printed).await?;
        let printed = String::from_utf8(printed)?;
        assert!(printed.contains(expected), "{printed}");
    }
    Ok(())
}

//! Sessions, bills and claims on a real Anvil, and what status and history tell of them.

use super::chain::Local;
use anyhow::Result;
use optimizer::device::{Context, Reading};
use optimizer::units::{Micro, UnixTime, WattHours};
use oracle::abi::{SignedReading, Terms};
use oracle::chain::Call;
use oracle::chain::events::Which;
use oracle::commands::{claim, history, status};
use oracle::signing;

/// A session of driver-02 at the first EVSE: its meter, and its terms as the event told them.
struct Stay<'a> {
    local: &'a Local,
    evse: String,
    terms: Terms,
    begin: UnixTime,
}

impl<'a> Stay<'a> {
    async fn open(local: &'a Local) -> Result<Self> {
        assert!(local.outcome(&local.request("driver-02", 1)?).await?.result.is_ok());
        let evse = local.site().evses().next().unwrap().1.id.clone();
        let terms = local.protocol.sessions_opened(&Which::default()).await?.remove(0).event.terms;
        let begin = local.protocol.chain.head().await?.time;
        Ok(Self { local, evse, terms, begin })
    }

    fn reading(&self, import_wh: i64, after_s: i64, counter: u64, context: Context) -> signing::SignedReading {
        let reading = Reading {
            asset: self.evse.clone(),
            import_wh: WattHours(import_wh),
            export_wh: WattHours(0),
            time: UnixTime(self.begin.0 + after_s),
            counter,
            context,
        };
        signing::sign_reading(&self.local.keyring.meter(&self.evse).unwrap(), reading).unwrap()
    }

    fn settle(&self, stop_wh: i64) -> Result<Call> {
        let readings = [self.reading(1000, 0, 1, Context::Begin), self.reading(stop_wh, 900, 2, Context::End)];
        let readings = readings.iter().map(signing::to_signed_abi).collect::<Result<Vec<SignedReading>>>()?;
        let price = self.local.site().evses().next().unwrap().2.price.0 as u64;
        Ok(Call::Settle { terms: Box::new(self.terms.clone()), tariff: signing::flat_tariff(price), readings })
    }
}

async fn history_of(local: &Local, driver: Option<&str>, site: Option<&str>) -> Result<serde_json::Value> {
    let mut printed = Vec::new();
    let (driver, site) = (driver.map(str::to_owned), site.map(str::to_owned));
    let args = history::Args { driver, evse: None, site, json: true, chain: local.args()? };
    history::run(&args, &mut printed).await?;
    Ok(serde_json::from_slice(&printed)?)
}

#[tokio::test]
async fn status_and_history_tell_what_the_chain_knows() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let stay = Stay::open(&local).await?;
    let chain = &local.protocol.chain;
    chain.mine_at(UnixTime(stay.begin.0 + 900)).await?;
    assert_eq!(local.refusal(&stay.settle(999)?).await?, "RegisterBackwards");

    let status = status::gather(&local.protocol).await?;
    let wallet = |status: &status::Status, name: &str| {
        let account = local.keyring.person(name).unwrap().address();
        status.wallets.iter().find(|w| w.account == account).unwrap().clone()
    };
    assert_eq!((status.sessions_open, wallet(&status, "driver-02").held_micro), (1, Micro(2_000_000)));
    assert_eq!(status.accounted_micro, status.credit_supply_micro);

    let settled = local.outcome(&stay.settle(3000)?).await?;
    assert!(settled.result.is_ok(), "{settled:?}");
    assert_eq!(local.refusal(&stay.settle(3000)?).await?, "WrongState");
    let status = status::gather(&local.protocol).await?;
    assert_eq!((status.sessions_open, status.sessions_settled), (0, 1));
    // 2 kWh at 0.35, which can be disputed for two days.
    let driver = wallet(&status, "driver-02");
    assert_eq!((driver.held_micro, driver.balance_micro), (Micro(0), Micro(65_000_000 - 700_000)));
    assert_eq!((status.sites[0].claimable_micro, status.sites[0].pending_micro), (Micro(0), Micro(700_000)));
    let mut printed = Vec::new();
    status::run(&status::Args { json: false, chain: local.args()? }, &mut printed).await?;
    let printed = String::from_utf8(printed)?;
    assert!(printed.contains("DE*PVT*QUICKSTART: 2 groups, 11 assets"), "{printed}");
    assert!(printed.contains("0.000000 to be claimed, 0.700000 that can still be disputed"), "{printed}");

    let entries = history_of(&local, Some("driver-02"), None).await?;
    let events: Vec<_> = entries.as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["opened", "settled"]);
    assert_eq!((&entries[1]["amount_micro"], &entries[1]["energy_wh"]), (&700_000.into(), &2000.into()));
    assert_eq!((&entries[1]["site"], &entries[1]["refund_micro"]), (&"DE*PVT*QUICKSTART".into(), &1_300_000.into()));
    assert_eq!(history_of(&local, Some("driver-01"), None).await?, serde_json::json!([]));

    // Two days and the rest of a third later the bill is final.
    let state = local.folder.path().join("claims");
    let claim = async || {
        let mut printed = Vec::new();
        let args = claim::Args { site: local.site().id.clone(), state: state.clone(), chain: local.args()? };
        claim::run(&args, &mut printed).await?;
        anyhow::Ok(String::from_utf8(printed)?)
    };
    assert!(claim().await?.contains("nothing to claim yet, 0.700000 can still be disputed"));
    chain.mine_at(UnixTime(stay.begin.0 + 4 * 86_400)).await?;
    let printed = claim().await?;
    assert!(printed.contains("0.700000 to the owner"), "{printed}");
    assert!(claim().await?.contains("nothing to claim yet, 0.000000"));
    let status = status::gather(&local.protocol).await?;
    assert_eq!(wallet(&status, &local.site().owner).balance_micro, Micro(700_000));
    assert_eq!(status.accounted_micro, status.credit_supply_micro);
    let entries = history_of(&local, None, Some("DE*PVT*QUICKSTART")).await?;
    assert_eq!(entries.as_array().unwrap().len(), 3);
    assert_eq!((&entries[2]["event"], &entries[2]["amount_micro"]), (&"claimed".into(), &700_000.into()));
    assert_eq!(history_of(&local, None, Some("DE*PVT*ELSEWHERE")).await?, serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_hold_that_nobody_settles_goes_back() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let stay = Stay::open(&local).await?;
    let reclaim = Call::Reclaim { terms: Box::new(stay.terms.clone()) };
    assert_eq!(local.refusal(&reclaim).await?, "TooSoonToReclaim");
    local.protocol.chain.mine_at(UnixTime(stay.begin.0 + 30 * 86_400)).await?;
    assert!(local.outcome(&reclaim).await?.result.is_ok());
    assert_eq!(local.refusal(&stay.settle(3000)?).await?, "WrongState");
    let account = local.keyring.person("driver-02")?.address();
    assert_eq!(local.protocol.wallet(account).await?, Micro(65_000_000));
    let entries = history_of(&local, Some("driver-02"), None).await?;
    assert_eq!((&entries[1]["event"], &entries[1]["amount_micro"]), (&"reclaimed".into(), &2_000_000.into()));
    Ok(())
}

/// What is signed in Rust is what the contracts hash.
#[tokio::test]
async fn digests_are_those_of_the_contracts() -> Result<()> {
    let local = Local::start("quickstart").await?;
    let Call::OpenSession { request, .. } = local.request("driver-02", 7)? else { unreachable!() };
    let (chain, settlement) = (local.protocol.chain.id(), local.protocol.deployment.settlement);
    let digest = signing::request_digest(&request, chain, settlement);
    assert_eq!(local.protocol.session_id(&request).await?, digest);
    let stay = Stay::open(&local).await?;
    for context in [Context::Interval, Context::Begin, Context::End] {
        let reading = stay.reading(123_456, 7, 9, context).reading;
        let hash = local.protocol.reading_hash(&signing::to_abi(&reading)).await?;
        assert_eq!(hash, signing::reading_digest(&reading));
    }
    // The registry took the hash of the tariff that Rust made: the session could be opened.
    assert_eq!(stay.terms.session, local.protocol.sessions_opened(&Which::default()).await?[0].event.terms.session);
    Ok(())
}

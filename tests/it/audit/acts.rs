//! A chain on which everybody does everything that the contracts know, none of it wrong.

use super::{day, provolt};
use alloy::primitives::aliases::{U24, U40, U72};
use alloy::primitives::{Address, B256, Bytes, I256, U256, hex, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolStruct, SolValue, eip712_domain};
use anyhow::{Context, Result, ensure};
use optimizer::certificate::certify;
use optimizer::controller::with_foresight;
use optimizer::scenario::Scenario;
use optimizer::solve::Planner;
use optimizer::units::{UnixTime, Watts};
use oracle::abi::*;
use oracle::chain::anvil::{self, Anvil, Options};
use oracle::chain::register::register;
use oracle::chain::{Arguments, Chain, Protocol, deploy};
use oracle::keys::Keyring;
use oracle::{merkle, signing};
use serde_json::{Value, json};

mod foreign {
    alloy::sol! {
        function multicall(bytes[] data) external returns (bytes[] results);
        function transfer(address to, uint256 value) external returns (bool);
    }
}

/// A chain on which anybody's transactions can be sent, and any contract replaced.
pub(super) struct Ground {
    pub(super) anvil: Anvil,
    pub(super) protocol: Protocol,
    pub(super) keyring: Keyring,
    pub(super) scenario: Scenario,
    folder: tempfile::TempDir,
}

/// Says that everything is certified.
const CERTIFIER: Address = Address::repeat_byte(0xce);
/// Returns one.
const YES: [u8; 9] = [0x60, 0x01, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0x00];
/// A contract that nobody can read: calls the address in its first word with the rest of what it was called with.
const FORWARDER: Address = Address::repeat_byte(0xf0);
/// Copies the rest, calls, and reverts where that did.
const FORWARD: [u8; 27] = alloy::primitives::hex!("602036038060205f375f5f825f5f5f355af115601757005b5f5ffd");

/// One evening before the OCMF record that the contracts are tested with.
const GENESIS: u64 = 1_774_737_000;
const RECORD_BEGIN: u64 = 1_774_745_999;
const RECORD_END: u64 = 1_774_750_500;

impl Ground {
    pub(super) async fn start() -> Result<Self> {
        let scenario = oracle::files::load_scenario(&day::scenario_folder("quickstart"))?.0;
        let folder = tempfile::tempdir()?;
        let genesis = UnixTime(i64::try_from(GENESIS)?);
        let anvil = anvil::spawn(&Options::new(genesis, folder.path().join("anvil.log")))?;
        let keyring = Keyring::local()?;
        let chain = Chain::connect(&anvil.rpc, &keyring).await?;
        chain.drive_clock().await?;
        let arguments = Arguments { certificates: CERTIFIER, ..Arguments::of(chain.operator()) };
        let protocol = Protocol::new(chain.clone(), deploy(&chain, &arguments).await?.deployment);
        register(&protocol, &scenario, &keyring).await?;
        let ground = Self { anvil, protocol, keyring, scenario, folder };
        ground.rpc("anvil_autoImpersonateAccount", json!([true])).await?;
        ground.rpc("anvil_setCode", json!([CERTIFIER, hex::encode_prefixed(YES)])).await?;
        ground.rpc("anvil_setCode", json!([FORWARDER, hex::encode_prefixed(FORWARD)])).await?;
        Ok(ground)
    }

    pub(super) async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = reqwest::Client::new().post(&self.anvil.rpc).json(&body).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {answer}");
        Ok(answer["result"].clone())
    }

    /// Sends a call of `from` that is mined at `time`, or as soon as can be where that is zero.
    pub(super) async fn send(&self, from: Address, to: Address, input: Vec<u8>, time: u64) -> Result<B256> {
        self.rpc("anvil_setBalance", json!([from, "0x56bc75e2d63100000"])).await?;
        if time > 0 {
            self.rpc("evm_setNextBlockTimestamp", json!([time])).await?;
        }
        let call = json!({"from": from, "to": to, "data": Bytes::from(input), "gas": "0x989680"});
        let hash = self.rpc("eth_sendTransaction", json!([call.clone()])).await?;
        self.rpc("evm_mine", json!([])).await?;
        let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await?;
        if receipt["status"] != "0x1" {
            self.rpc("eth_call", json!([call, "latest"])).await.context("reverted")?;
        }
        ensure!(receipt["status"] == "0x1", "{receipt}");
        Ok(serde_json::from_value(hash)?)
    }

    pub(super) async fn call<C: SolCall>(&self, from: Address, to: Address, call: &C, time: u64) -> Result<B256> {
        let what = C::SIGNATURE;
        self.send(from, to, call.abi_encode(), time).await.with_context(|| what.to_owned())
    }

    pub(super) fn operator(&self) -> Address {
        self.protocol.chain.operator()
    }

    pub(super) fn owner(&self) -> Result<Address> {
        Ok(self.keyring.person(&self.scenario.sites[0].owner)?.address())
    }

    pub(super) fn evse(&self, index: usize) -> (B256, String) {
        let id = &self.scenario.sites[0].evses().nth(index).unwrap().1.id;
        (signing::id(id), id.clone())
    }

    /// A request with its driver's signature, for `openSession`.
    pub(super) fn opening(
        &self,
        evse: usize,
        driver: &str,
        terms: &Wanted,
    ) -> Result<(B256, ISettlement::openSessionCall)> {
        let key = self.keyring.person(driver)?;
        let request = Request {
            driver: key.address(),
            evse: self.evse(evse).0,
            meter: terms.meter,
            tariffHash: signing::tariff_hash(&terms.tariff),
            energyWh: 9000,
            departure: U40::from(terms.departure),
            priceCeiling: 900_000,
            totalCeiling: 8_000_000,
            nonce: terms.nonce,
            validUntil: U40::from(terms.departure),
        };
        let settlement = self.protocol.deployment.settlement;
        let digest = signing::request_digest(&request, self.protocol.chain.id(), settlement);
        let signature = signing::sign(&key, digest)?.parse()?;
        Ok((digest, ISettlement::openSessionCall { request, tariff: terms.tariff.clone(), signature }))
    }

    pub(super) async fn terms(&self, session: B256) -> Result<Terms> {
        Ok(self.protocol.terms_of(session).await?.context("no such session")?.0)
    }

    pub(super) async fn findings(&self) -> Result<(Option<i32>, Value)> {
        let output = provolt(&self.protocol, &self.anvil.rpc, self.folder.path(), &["verify", "--json"])?;
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((output.status.code(), report))
    }
}

pub(super) struct Wanted {
    pub(super) meter: B256,
    pub(super) tariff: Tariff,
    pub(super) departure: u64,
    pub(super) nonce: u64,
}

/// A reading as the session's meter signs it.
pub(super) fn read(
    key: &PrivateKeySigner,
    asset: B256,
    wh: u64,
    time: u64,
    counter: u64,
    context: ReadingContext,
) -> SignedReading {
    let reading = MeterReading { asset, importWh: wh, exportWh: 0, time: U40::from(time), counter, context };
    let digest = reading.eip712_signing_hash(&signing::meter_domain());
    let signature: alloy::primitives::Signature = signing::sign(key, digest).unwrap().parse().unwrap();
    let signature = signature.normalized_s();
    let parity = U256::from(u8::from(signature.v())) << 255_u32;
    let (r, vs) = (B256::from(signature.r()), B256::from(signature.s() | parity));
    SignedReading { importWh: wh, exportWh: 0, time: U40::from(time), counter, r, vs }
}

/// First interval of the booking that stays.
pub(super) fn booked_from() -> u32 {
    u32::try_from(GENESIS / 900).unwrap() + 96
}

/// What drivers, owner and operator may do, done. Returns a session that was changed, settled and disputed.
pub(super) async fn acts(g: &Ground) -> Result<B256> {
    let d = g.protocol.deployment.clone();
    let (owner, operator) = (g.owner()?, g.operator());
    let (one, two) = (g.keyring.person("driver-02")?, g.keyring.person("driver-03")?);
    let t0 = GENESIS + 1800;

    // Tariff with bands and fees, an operator, an OCMF meter, an attestation, terms of bookings.
    let bands = vec![Band { fromMinute: 60, price: 250_000 }, Band { fromMinute: 9000, price: 400_000 }];
    let tariff = Tariff { sessionFee: 50_000, idleFeePerMinute: 1000, bands, ..signing::flat_tariff(300_000) };
    let evses: Vec<B256> = (0..4).map(|i| g.evse(i).0).collect();
    let set = IAssetRegistry::setTariffCall { evses: evses.clone(), tariff: tariff.clone() };
    g.call(owner, d.registry, &set, t0).await?;
    let site = signing::id(&g.scenario.sites[0].id);
    let runs =
        IAssetRegistry::setOperatorCall { site, operator, operatorFeeBps: 1000, rewardBps: 5000, rewardCap: 900_000 };
    g.call(owner, d.registry, &runs, 0).await?;
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../contracts/test/ocmf/vectors.json"))?;
    let text = |name: &str| vectors[0][name].as_str().unwrap_or_default().to_owned();
    let serial_hash = keccak256(text("serial"));
    let ocmf =
        OcmfKey { curve: Curve::P256, qx: text("qx").parse()?, qy: text("qy").parse()?, serialHash: serial_hash };
    let ocmf_meter = keccak256(ocmf.abi_encode());
    g.call(owner, d.registry, &IAssetRegistry::setMeterCall { asset: evses[2], meter: ocmf_meter }, 0).await?;
    let meters: Vec<PrivateKeySigner> = (0..4).map(|i| g.keyring.meter(&g.evse(i).1)).collect::<Result<_>>()?;
    let meter_of = |i: usize| signing::meter_id(meters[i].address());
    let authority = Address::repeat_byte(0xaa);
    g.call(authority, d.registry, &IAssetRegistry::attestMeterCall { meter: meter_of(0), valid: true }, 0).await?;
    let terms = BookingTerms {
        deposit: U72::from(1_000_000),
        pricePerInterval: 50_000,
        cancelBefore: U24::from(3600),
        noShowBps: 5000,
        maxCount: 8,
    };
    g.call(owner, d.bookings, &IBookings::setTermsCall { evse: evses[1], terms }, 0).await?;

    // Bookings: one that stays, one by signature that is given up late, one that its driver keeps.
    let first = booked_from();
    let book = |from: u32, count: u16| IBookings::bookCall {
        evse: evses[1],
        from,
        count,
        version: 1,
        totalCeiling: 9_000_000,
    };
    g.call(one.address(), d.bookings, &book(first, 4), 0).await?;
    let soon = u32::try_from(t0 / 900)? + 3;
    let request = BookingRequest {
        driver: two.address(),
        evse: evses[1],
        from: soon,
        count: 1,
        version: 1,
        totalCeiling: 9_000_000,
        nonce: 4,
        validUntil: U40::from(t0 + 900),
    };
    let domain = eip712_domain! {
        name: "Provolt bookings",
        version: "1",
        chain_id: g.protocol.chain.id(),
        verifying_contract: d.bookings,
    };
    let signature: Bytes = signing::sign(&two, request.eip712_signing_hash(&domain))?.parse()?;
    g.call(operator, d.bookings, &IBookings::bookForCall { request, signature }, 0).await?;
    g.call(two.address(), d.bookings, &IBookings::cancelCall { evse: evses[1], from: soon }, 0).await?;
    g.call(one.address(), d.bookings, &book(soon + 2, 4), 0).await?;

    // A session by the whole way: opened, amended, settled with a reading between, idle minutes, and disputed.
    let t1 = u64::from(soon + 1) * 900 + 100;
    let wanted =
        |i: usize, departure: u64, nonce: u64| Wanted { meter: meter_of(i), tariff: tariff.clone(), departure, nonce };
    let (s0, open) = g.opening(0, "driver-02", &wanted(0, t1 + 7200, 1))?;
    g.call(operator, d.settlement, &open, t1).await?;
    let amendment = Amendment {
        session: s0,
        energyWh: 7000,
        departure: U40::from(t1 + 3600),
        nonce: 2,
        validUntil: U40::from(t1 + 900),
    };
    let settlement_domain = signing::domain(g.protocol.chain.id(), d.settlement);
    let signature: Bytes = signing::sign(&one, amendment.eip712_signing_hash(&settlement_domain))?.parse()?;
    let amend = ISettlement::amendForCall { terms: g.terms(s0).await?, amendment, signature };
    g.call(authority, d.settlement, &amend, t1 + 60).await?;
    // The same once more, through a contract that nobody can read.
    let amendment = Amendment {
        session: s0,
        energyWh: 6500,
        departure: U40::from(t1 + 3600),
        nonce: 5,
        validUntil: U40::from(t1 + 900),
    };
    let signature: Bytes = signing::sign(&one, amendment.eip712_signing_hash(&settlement_domain))?.parse()?;
    let amend = ISettlement::amendForCall { terms: g.terms(s0).await?, amendment, signature }.abi_encode();
    g.send(authority, FORWARDER, [d.settlement.into_word().to_vec(), amend].concat(), t1 + 70).await?;
    // Into its own booking.
    let (s1, open) = g.opening(1, "driver-02", &wanted(1, t1 + 3000, 3))?;
    g.call(operator, d.settlement, &open, t1 + 120).await?;
    let of =
        |i: usize, wh: u64, time: u64, counter: u64, context| read(&meters[i], evses[i], wh, time, counter, context);
    let readings = vec![
        of(0, 100, t1 - 60, 1, ReadingContext::Begin),
        of(0, 2100, t1 + 1800, 2, ReadingContext::Interval),
        of(0, 6100, t1 + 3900, 3, ReadingContext::End),
    ];
    let settle = ISettlement::settleCall { terms: g.terms(s0).await?, tariff: tariff.clone(), readings };
    g.call(operator, d.settlement, &settle, t1 + 4000).await?;
    let settled = g.protocol.sessions_settled(&Default::default()).await?.pop().context("not settled")?.event;
    let readings = vec![of(0, 100, t1 - 60, 1, ReadingContext::Begin), of(0, 2100, t1 + 1800, 2, ReadingContext::End)];
    let dispute =
        ISettlement::disputeCall { terms: g.terms(s0).await?, bill: settled.bill, tariff: tariff.clone(), readings };
    g.call(authority, d.settlement, &dispute, 0).await?;

    // Two acts in one transaction: the booked session ends, another begins.
    let readings = vec![of(1, 0, t1 + 120, 1, ReadingContext::Begin), of(1, 3333, t1 + 3000, 2, ReadingContext::End)];
    let settle = ISettlement::settleCall { terms: g.terms(s1).await?, tariff: tariff.clone(), readings };
    let (s3, open) = g.opening(3, "driver-04", &wanted(3, t1 + 5000, 1))?;
    let batch = foreign::multicallCall { data: vec![settle.abi_encode().into(), open.abi_encode().into()] };
    g.call(operator, d.settlement, &batch, t1 + 4200).await?;
    let keep = ISettlement::keepOpenCall {
        terms: g.terms(s3).await?,
        signed: of(3, 500, t1 + 5400, 2, ReadingContext::Interval),
    };
    g.call(operator, d.settlement, &keep, t1 + 5500).await?;

    // An OCMF meter.
    let opened_at = RECORD_BEGIN.max(t1 + 5600);
    ensure!(opened_at < RECORD_BEGIN + 3600, "the record does not fit the session");
    let (s2, open) = g.opening(2, "driver-03", &Wanted { meter: ocmf_meter, ..wanted(2, RECORD_END + 60, 1) })?;
    g.call(operator, d.settlement, &open, opened_at).await?;
    let record =
        OcmfRecord { payload: text("payload").into_bytes().into(), r: text("r").parse()?, s: text("s").parse()? };
    let settle = ISettlement::settleOcmfCall { terms: g.terms(s2).await?, tariff, key: ocmf, records: vec![record] };
    g.call(operator, d.settlement, &settle, RECORD_END + 100).await?;

    // Money out, by call and by signature; a gift; a pool.
    let driver = two.address();
    g.call(driver, d.settlement, &ISettlement::withdrawCall { to: driver, amount: U256::from(1000) }, 0).await?;
    let withdrawal = Withdrawal {
        account: driver,
        to: owner,
        amount: U256::from(2000),
        nonce: 9,
        validUntil: U40::from(RECORD_END + 9000),
    };
    let signature: Bytes = signing::sign(&two, withdrawal.eip712_signing_hash(&settlement_domain))?.parse()?;
    g.call(operator, d.settlement, &ISettlement::withdrawForCall { withdrawal, signature }, 0).await?;
    let gift = foreign::transferCall { to: d.settlement, value: U256::from(5) };
    g.call(driver, d.credit, &gift, 0).await?;
    g.call(operator, d.credit, &ICreditToken::mintCall { to: operator, amount: U256::from(9000) }, 0).await?;
    let approve = ICreditToken::approveCall { spender: d.flexibility, amount: U256::from(9000) };
    g.call(operator, d.credit, &approve, 0).await?;
    let fund = IFlexibilityToken::fundCall { operator, amount: U256::from(9000) };
    g.call(operator, d.flexibility, &fund, 0).await?;
    g.call(operator, d.flexibility, &IFlexibilityToken::setRateCall { rate: U256::from(1_000_000) }, 0).await?;
    g.call(operator, d.flexibility, &IFlexibilityToken::setServedCall { site, served: true }, 0).await?;
    let surplus = IFlexibilityToken::takeSurplusCall { to: owner, amount: U256::from(400) };
    g.call(operator, d.flexibility, &surplus, 0).await?;

    // Readings that their own evidence contradicts, and others that the meter does.
    for contrary_wh in [None, Some(9000)] {
        disputed(g, site, contrary_wh).await?;
    }

    let claimed = planned(g, site).await?;

    // A reward, for the OCMF meter's session.
    let settled = g.protocol.sessions_settled(&Default::default()).await?.pop().context("not settled")?.event;
    let flexibility = Flexibility { activatedWh: 4000, displacedWhIntervals: 9000, worth: 60_000 };
    let terms = g.terms(s2).await?;
    let claim = ISettlement::claimFlexibilityCall { terms: terms.clone(), bill: settled.bill.clone(), flexibility };
    g.call(operator, d.settlement, &claim, 0).await?;
    let bill = Bill { reward: 30_000, ..settled.bill };
    let mint = ISettlement::mintRewardCall { terms, bill };

    // Days later: what nobody settled goes back, what nobody can dispute is paid out.
    g.call(authority, d.settlement, &ISettlement::reclaimCall { terms: g.terms(s3).await? }, t1 + 5400 + 86_500)
        .await?;
    let until = u64::from(claimed.interval) * 900 + 86_400;
    g.call(authority, d.plans, &IPlans::releaseCall { plan: claimed }, until).await?;
    g.call(authority, d.settlement, &mint, RECORD_END + 2 * 86_400 + 600).await?;
    let redeem = IFlexibilityToken::redeemCall { operator, amount: U256::from(5000) };
    g.call(driver, d.flexibility, &redeem, 0).await?;
    g.call(authority, d.settlement, &ISettlement::claimCall { site }, t1 + 5 * 86_400).await?;
    Ok(s0)
}

/// Posts an interval with a lane of nothing behind which readings of 690 Wh stand, or of what they say, and disputes it: by
/// themselves, or by a third reading between them.
async fn disputed(g: &Ground, site: B256, contrary_wh: Option<u64>) -> Result<()> {
    let (d, operator, authority) = (g.protocol.deployment.clone(), g.operator(), Address::repeat_byte(0xab));
    let now = g.protocol.chain.confirmed_head().await?.1;
    let (interval, assets) = (u32::try_from(now / 900)? + 1, g.scenario.sites[0].assets.len());
    let begin = u64::from(interval) * 900;
    let (lanes, reason) = (vec![0; 2 * assets].into(), CPO_REASON.to_owned());
    g.call(operator, d.plans, &IPlans::postUncertifiedCall { site, interval, lanes, reason }, 0).await?;
    let (lane, asset, _) = g.scenario.sites[0].evses().nth(5).context("too few EVSEs")?;
    let (key, asset) = (g.keyring.meter(&asset.id)?, signing::id(&asset.id));
    let said = |wh: u64, time: u64, counter: u64| MeterReading {
        asset,
        importWh: wh,
        exportWh: 0,
        time: U40::from(time),
        counter,
        context: ReadingContext::Interval,
    };
    let (start, stop) = (said(10, begin, 1), said(700, begin + 900, 3));
    let digest = |r: &MeterReading| r.eip712_signing_hash(&signing::meter_domain());
    let mut leaves = Vec::new();
    for l in 0..assets {
        let digests = if l == lane { (digest(&start), digest(&stop)) } else { (B256::ZERO, B256::ZERO) };
        leaves.push(merkle::leaf(u16::try_from(l)?, digests.0, digests.1));
    }
    let previous = g.protocol.history(site).await?;
    let mut lanes = vec![0; 4 * assets];
    if contrary_wh.is_some() {
        lanes[4 * lane..4 * lane + 4].copy_from_slice(&690_i32.to_be_bytes());
    }
    let (lanes, root) = (Bytes::from(lanes), merkle::root(&leaves));
    let post = IDispatch::postReadingsCall { site, interval, lanes: lanes.clone(), root };
    g.call(operator, d.dispatch, &post, begin + 960).await?;
    let (siblings, lane) = (merkle::siblings(&leaves, lane), u16::try_from(lane)?);
    let proof = ReadingProof { previous, lanes, root, later: Vec::new(), lane, siblings };
    let Some(contrary_wh) = contrary_wh else {
        let dispute = IDispatch::disputeLaneCall { site, interval, proof, start, stop };
        g.call(authority, d.dispatch, &dispute, 0).await?;
        return Ok(());
    };
    let contrary = said(contrary_wh, begin + 450, 2);
    let signature = signing::sign(&key, digest(&contrary))?.parse()?;
    let dispute = IDispatch::disputeReadingCall { site, interval, proof, start, stop, contrary, signature };
    g.call(authority, d.dispatch, &dispute, 0).await?;
    Ok(())
}

/// Plans of every mode: one claimed that nobody challenges, one claimed wrongly, one with a wrong root, and one that could
/// have been cheaper. Returns the first.
async fn planned(g: &Ground, site: B256) -> Result<Plan> {
    let (d, operator, owner) = (g.protocol.deployment.clone(), g.operator(), g.owner()?);
    let challenger = Address::repeat_byte(0xac);
    let amount = U256::from(9000);
    g.call(operator, d.credit, &ICreditToken::mintCall { to: operator, amount }, 0).await?;
    g.call(operator, d.credit, &ICreditToken::approveCall { spender: d.plans, amount }, 0).await?;
    g.call(operator, d.plans, &IPlans::depositStakeCall { amount }, 0).await?;
    let out = IPlans::withdrawStakeCall { to: owner, amount: U256::from(500) };
    g.call(operator, d.plans, &out, 0).await?;

    // Nobody charges; the sun goes to waste in one plan, which costs more.
    let problem = with_foresight(&g.scenario.sites[0], &g.scenario, Vec::new());
    let (schedule, multipliers) = Planner::new().plan_to_certify(&problem, 60_000)?;
    let mut wasteful = schedule.clone();
    for pv in &problem.pv {
        wasteful.power_w[pv.lane].fill(Watts::ZERO);
    }
    let [best, worse] = [certify(&problem, &schedule, &multipliers)?, certify(&problem, &wasteful, &multipliers)?];
    let bytes = |c: &optimizer::certificate::Certificate| Certificate {
        inputs: c.inputs.clone().into(),
        schedule: c.schedule.clone().into(),
        multipliers: c.multipliers.clone().into(),
        root: B256::ZERO,
    };
    let lanes = |c: &optimizer::certificate::Certificate| Bytes::from(c.verdict.first_column.clone());
    let (cost, bound) = (I256::try_from(best.verdict.cost)?, I256::try_from(best.verdict.bound)?);

    let first = u32::try_from(g.protocol.chain.confirmed_head().await?.1 / 900)? + 2;
    let rules = |mode| PlanRules {
        verifier: d.verifier,
        mode,
        tolerance: u64::MAX >> 20,
        epsilon: 1000,
        bond: 1001,
        settlement: d.settlement,
        terms: B256::ZERO,
    };
    let set = |mode, from| IPlans::setRulesCall { site, rules: rules(mode), from };
    g.call(owner, d.plans, &set(PlanMode::Optimistic, first), 0).await?;
    for (interval, cost) in [(first, cost), (first + 1, cost + I256::ONE)] {
        let (certificate, lanes) = (bytes(&best), lanes(&best));
        let claim = IPlans::postClaimedCall { site, interval, certificate, lanes, cost, bound };
        g.call(operator, d.plans, &claim, 0).await?;
    }
    let rooted = Certificate { root: B256::repeat_byte(1), ..bytes(&best) };
    let (certificate, lanes_best) = (rooted.clone(), lanes(&best));
    let prove = IPlans::postProvedCall { site, interval: first + 2, certificate, lanes: lanes_best };
    g.call(operator, d.plans, &prove, 0).await?;
    g.call(owner, d.plans, &set(PlanMode::Improved, first + 3), 0).await?;
    let prove = IPlans::postProvedCall { site, interval: first + 3, certificate: bytes(&worse), lanes: lanes(&worse) };
    g.call(operator, d.plans, &prove, 0).await?;
    let plans = g.protocol.plans_posted(0, None).await?;
    let plan = |interval: u32| plans.iter().find(|p| p.event.interval == interval).map(|p| p.event.plan.clone());
    let plan = |interval| plan(interval).context("no plan");
    let wrong = IPlans::challengeCall { plan: plan(first + 1)?, certificate: bytes(&best) };
    g.call(challenger, d.plans, &wrong, 0).await?;
    let root = IPlans::refuteRootCall { plan: plan(first + 2)?, certificate: rooted };
    g.call(challenger, d.plans, &root, 0).await?;
    let better = IPlans::improveCall { plan: plan(first + 3)?, better: bytes(&best) };
    g.call(challenger, d.plans, &better, 0).await?;
    plan(first)
}

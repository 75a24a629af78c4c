//! Facts corrupted on a chain: by contracts that lack a check, and by a node that writes what it likes.

use super::acts::{Ground, Wanted, acts, booked_from, read};
use super::tell;
use alloy::primitives::aliases::{U40, U72};
use alloy::primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolEvent, SolValue};
use anyhow::{Context, Result, ensure};
use oracle::abi::*;
use oracle::audit::explain::explain;
use oracle::audit::facts::erc20;
use oracle::audit::report::Kind;
use oracle::signing;
use serde_json::{Value, json};

/// Code that says one thing whatever it is called with: a contract that lacks every check.
fn parrot(topics: &[B256], data: &[u8]) -> Bytes {
    let short = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut code = Vec::new();
    for topic in topics.iter().rev() {
        code.push(0x7f);
        code.extend(topic);
    }
    // PUSH2 length, PUSH2 offset, PUSH0, CODECOPY, PUSH2 length, PUSH0, LOGn, STOP
    let offset = code.len() + 3 + 3 + 1 + 1 + 3 + 1 + 1 + 1;
    code.push(0x61);
    code.extend(short(data.len()));
    code.push(0x61);
    code.extend(short(offset));
    code.extend([0x5f, 0x39, 0x61]);
    code.extend(short(data.len()));
    code.extend([0x5f, 0xa0 + topics.len() as u8, 0x00]);
    code.extend(data);
    code.into()
}

/// Every kind of act on one chain, none of which is wrong; then the same chain with one contract replaced for one call.
#[tokio::test(flavor = "multi_thread")]
async fn every_act_is_checked_and_every_corruption_on_the_chain_is_named() -> Result<()> {
    let ground = Ground::start().await?;
    let session = acts(&ground).await?;
    let (code, report) = ground.findings().await?;
    assert_eq!(code, Some(0), "{:#}", report["findings"]);
    let checked = |kind: &str| {
        let count = report["kinds"].as_array().unwrap().iter().find(|k| k["kind"] == kind).unwrap();
        count["checked"].as_u64().unwrap()
    };
    for kind in
        ["bill", "booking", "claim", "flexibility", "meter-signature", "signature", "transfer", "session", "reading"]
    {
        assert!(checked(kind) > 0, "{kind}: {report:#}");
    }
    let notes = report["notes"].to_string();
    for note in [
        "a gift",
        "not decodable, it came through 0xF0",
        "certified by 0xCe",
        "Wh billed, 0 Wh posted",
        "and was refuted",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    let site = &report["sites"][0];
    assert_eq!(
        (&site["readings_disputed"], &site["plans_certified"], &site["plans_own"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let reasons = json!({"a cheaper plan was shown": 1, "refuted": 2, "the CPO's own setpoints": 2});
    assert_eq!(site["uncertified"], reasons);

    let told = tell(&ground.protocol).await?;
    let story = explain(&ground.protocol.setting(), &told.ranges, &told.report, session).context("no such session")?;
    let paid = story.paid.context("not billed")?;
    assert_eq!(paid.lines.iter().map(|l| l.amount_micro).sum::<i128>(), i128::try_from(paid.amount_micro)?);
    assert_eq!(
        (story.disputes.len(), story.changes.len(), story.meter.tier),
        (1, 2, "attested"),
        "{:?}",
        story.disputes
    );

    corruptions(&ground).await
}

async fn corruptions(ground: &Ground) -> Result<()> {
    let (d, now) = (ground.protocol.deployment.clone(), ground.protocol.chain.confirmed_head().await?.1);
    let (evse, name) = ground.evse(4);
    let key = ground.keyring.meter(&name)?;
    let tariff = signing::flat_tariff(300_000);
    let set = IAssetRegistry::setTariffCall { evses: vec![evse], tariff: tariff.clone() };
    ground.call(ground.owner()?, d.registry, &set, 0).await?;
    let wanted =
        Wanted { meter: signing::meter_id(key.address()), tariff: tariff.clone(), departure: now + 9000, nonce: 77 };
    let (id, open) = ground.opening(4, "driver-04", &wanted)?;
    ground.call(ground.operator(), d.settlement, &open, now + 100).await?;
    let terms = ground.terms(id).await?;
    let (end, settled_at) = (now + 1900, now + 2000);
    let readings = |key: &PrivateKeySigner| {
        vec![
            read(key, evse, 0, now + 100, 1, ReadingContext::Begin),
            read(key, evse, 4000, end, 2, ReadingContext::End),
        ]
    };
    let bill = Bill {
        startMilliWh: 0,
        stopMilliWh: 4_000_000,
        startCounter: 1,
        stopCounter: 2,
        fiscal: false,
        startTime: U40::from(now + 100),
        stopTime: U40::from(end),
        settledAt: U40::from(settled_at),
        amount: 1_200_000,
        operatorFee: 120_000,
        protocolFee: 0,
        reward: 0,
    };
    let settle = |key: &PrivateKeySigner| {
        let (terms, readings) = (terms.clone(), readings(key));
        ISettlement::settleCall { terms, tariff: tariff.clone(), readings }.abi_encode()
    };
    let settled = |bill: &Bill| {
        let event = ISettlement::SessionSettled {
            site: terms.site,
            driver: terms.driver,
            evse,
            session: id,
            bill: bill.clone(),
        };
        event.encode_log_data()
    };
    let (site, interval) = (terms.site, u32::try_from(settled_at / 900)? + 2);
    let lanes: Vec<u8> = ground.scenario.sites[0]
        .assets
        .iter()
        .flat_map(|a| {
            if matches!(a.kind, optimizer::site::AssetKind::Evse(_)) { a.rated_w.lane().unwrap() } else { 0 }
                .to_be_bytes()
        })
        .collect();
    let history = ground.protocol.history(site).await?;
    let step = (U256::from(1), site, U256::from(interval), keccak256(&lanes), B256::ZERO).abi_encode_params();
    let posted = |lanes: &[u8], history: B256| IDispatch::SetpointsPosted {
        site,
        interval,
        poster: ground.operator(),
        lanes: lanes.to_vec().into(),
        planHash: B256::ZERO,
        history,
    };
    let chained = keccak256([history, keccak256(&step)].concat());
    let at_rest = vec![0; lanes.len()];
    let stranger = PrivateKeySigner::random();
    let booked = IBookings::Booked {
        evse: ground.evse(1).0,
        driver: stranger.address(),
        from: booked_from() + 3,
        count: 2,
        price: U72::from(100_000),
        deposit: U72::from(1_000_000),
    };
    let miscounted = IPlans::UncertifiedPosted {
        site,
        interval,
        poster: ground.operator(),
        reason: "a test".to_owned(),
        count: U256::from(7),
    };
    let minted = erc20::Transfer { from: Address::ZERO, to: terms.driver, value: U256::from(1_000_000) };

    let dearer = Bill { amount: bill.amount + 1, ..bill.clone() };
    // What is called, with what, and what the contract that lacks the check says; which kind of fact names it.
    let cases = [
        ("a wrong bill", d.settlement, settle(&key), settled(&dearer), Kind::Bill),
        ("a wrong meter signature", d.settlement, settle(&stranger), settled(&bill), Kind::MeterSignature),
        ("a limit exceeded", d.dispatch, Vec::new(), posted(&lanes, chained).encode_log_data(), Kind::GroupLimit),
        ("a broken history", d.dispatch, Vec::new(), posted(&at_rest, history).encode_log_data(), Kind::History),
        ("bookings that overlap", d.bookings, Vec::new(), booked.encode_log_data(), Kind::Booking),
        ("a wrong count", d.plans, Vec::new(), miscounted.encode_log_data(), Kind::Certificate),
        ("tokens without a reward", d.flexibility, Vec::new(), minted.encode_log_data(), Kind::Flexibility),
    ];
    for (what, contract, input, log, kind) in cases {
        let snapshot = ground.rpc("evm_snapshot", json!([])).await?;
        let code = ground.rpc("eth_getCode", json!([contract, "latest"])).await?;
        ground.rpc("anvil_setCode", json!([contract, parrot(log.topics(), &log.data)])).await?;
        let transaction = ground.send(ground.operator(), contract, input, settled_at).await?;
        ground.rpc("anvil_setCode", json!([contract, code])).await?;
        let (exit, report) = ground.findings().await?;
        let found = report["findings"].as_array().context("no findings")?;
        let names = |f: &&Value| f["kind"] == json!(kind) && f["transaction"] == json!(transaction);
        assert!(exit == Some(1) && found.iter().any(|f| names(&f)), "{what}: {:#}", report["findings"]);
        // Only by what its transaction says, and by what the contracts still keep.
        let others = found.iter().all(|f| f["transaction"].is_null() || f["transaction"] == json!(transaction));
        assert!(others, "{what}: {:#}", report["findings"]);
        ensure!(ground.rpc("evm_revert", json!([snapshot])).await? == json!(true), "not reverted");
    }

    // The true settlement of the same session is clean, and not once a wallet is another.
    ground.send(ground.operator(), d.settlement, settle(&key), settled_at).await?;
    let (exit, report) = ground.findings().await?;
    assert_eq!(exit, Some(0), "{:#}", report["findings"]);
    // `_books.wallets` is the fourth slot of Settlement: two of EIP712, and `accounted`.
    let slot = keccak256((terms.driver, U256::from(3)).abi_encode());
    let word: U256 =
        serde_json::from_value(ground.rpc("eth_getStorageAt", json!([d.settlement, slot, "latest"])).await?)?;
    let balance = ground.protocol.wallet(terms.driver).await?;
    assert_eq!(word & U256::from(u128::MAX), U256::from(balance.0), "another slot");
    ground.rpc("anvil_setStorageAt", json!([d.settlement, slot, B256::from(word + U256::from(1))])).await?;
    let (exit, report) = ground.findings().await?;
    let found = report["findings"].as_array().context("no findings")?;
    assert!(exit == Some(1) && found.len() == 1 && found[0]["kind"] == "balance", "{found:#?}");
    assert!(found[0]["what"].to_string().contains(&terms.driver.to_string()), "{found:#?}");
    ground.rpc("anvil_setStorageAt", json!([d.settlement, slot, B256::from(word)])).await?;

    let code = ground.rpc("eth_getCode", json!([d.libraries["Openings"], "latest"])).await?;
    let mut bytes = hex::decode(code.as_str().context("code")?)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    ground.rpc("anvil_setCode", json!([d.libraries["Openings"], hex::encode_prefixed(&bytes)])).await?;
    let (exit, report) = ground.findings().await?;
    let found = report["findings"].as_array().context("no findings")?;
    assert!(exit == Some(1) && found.len() == 1 && found[0]["kind"] == "bytecode", "{found:#?}");
    Ok(())
}

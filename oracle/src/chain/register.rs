//! Brings the facts of a scenario onto the chain: owners with their sites, groups, assets and tariffs, the operator's rights
//! and its pool for rewards, drivers and their money. What is there already is left alone; what differs is an error that names it.

use super::batch::Batch;
use super::facts::{assets_of, groups_of, tariff, units};
use super::transact::Draft;
use super::views::{Protocol, micro};
use crate::abi::{self, IAssetRegistry, ICreditToken, IFlexibilityToken, IPlans, ISettlement, PlanRules};
use crate::abi::{RIGHT_DISPATCH, RIGHT_METER, RIGHT_PLAN, RIGHT_SETTLE};
use crate::keys::{Keyring, LOCAL_CHAIN_ID};
use crate::signing;
use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use optimizer::certificate;
use optimizer::controller::{tolerance, with_foresight};
use optimizer::scenario::Scenario;
use optimizer::session::Driver;
use optimizer::settlement::{REWARD_BPS, REWARD_CAP};
use optimizer::signals::Signals;
use optimizer::site::Site;
use optimizer::units::{Interval, Micro, MicroPerKwh};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The operator dispatches through `Plans` alone, which counts every interval without a certificate.
const OPERATORS_RIGHTS: u8 = RIGHT_METER | RIGHT_SETTLE | RIGHT_PLAN;
/// What the operator's pool for rewards begins with: many days of the built-in scenarios.
const POOL: Micro = Micro(100_000_000);
/// Credit for a token: one for one.
const POOL_RATE: u64 = 1_000_000;
/// Assets in one transaction: with the limits below 80 stay under the 16.7 million gas of EIP-7825.
const ASSETS_PER_TRANSACTION: usize = 80;
/// An asset costs about 110,000 gas.
const GAS_ASSET: u64 = 150_000;
/// EVSEs in one transaction that get a tariff.
const TARIFFS_PER_TRANSACTION: usize = 64;
/// An EVSE's tariff costs about 35,000 gas.
const GAS_TARIFF: u64 = 60_000;
/// A group costs about 30,000 gas.
const GAS_GROUP: u64 = 60_000;
/// The layout is stored anew as code with every change: at most 11 kB at 200 gas a byte.
const GAS_LAYOUT: u64 = 3_000_000;
/// Everything else writes at most four slots and an event.
const GAS_STEP: u64 = 250_000;
/// Intervals of a day.
const DAY: u32 = 96;
/// Prices can be announced so many days ahead; Plans' ANNOUNCED_AHEAD.
const DAYS_ANNOUNCED: u32 = 4;
/// Questions asked of the node at once.
const VIEWS_AT_ONCE: usize = 16;

/// What a registration did. All zero when everything was there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Sites added.
    pub sites: usize,
    /// Groups added.
    pub groups: usize,
    /// Assets added.
    pub assets: usize,
    /// Drivers added.
    pub drivers: usize,
    /// Money added to wallets.
    pub deposited: Micro,
    /// Thresholds that need their driver's own transaction, and so gas, which only a local chain gives away.
    pub thresholds_skipped: usize,
    /// Transactions sent.
    pub transactions: usize,
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.transactions == 0 {
            return f.write_str("everything was registered already");
        }
        let Self { sites, groups, assets, drivers, transactions, .. } = self;
        write!(
            f,
            "registered {sites} sites, {groups} groups, {assets} assets and {drivers} drivers, deposited {}.{:06}, in \
             {transactions} transactions",
            self.deposited.0 / 1_000_000,
            self.deposited.0 % 1_000_000
        )
    }
}

/// Registers everything in `scenario` that is not on chain yet. Running it again does nothing.
pub async fn register(protocol: &Protocol, scenario: &Scenario, keyring: &Keyring) -> Result<Registered> {
    let mut done = Registered::default();
    let mut operators = Batch::new(&protocol.chain).await?;
    let mut others = Batch::new(&protocol.chain).await?;
    for site in &scenario.sites {
        add_site(protocol, site, scenario, keyring, &mut others, &mut done)
            .await
            .with_context(|| format!("site {}", site.id))?;
    }
    add_drivers(protocol, &scenario.drivers, keyring, &mut operators, &mut done).await?;
    add_pool(protocol, &scenario.sites, &mut operators).await?;
    add_thresholds(protocol, &scenario.drivers, keyring, &mut others, &mut done).await?;
    others.fund_from(&mut operators).await?;
    done.transactions = operators.steps.len() + others.steps.len();
    operators.run().await?;
    others.run().await?;
    ensure_money_adds_up(protocol).await?;
    Ok(done)
}

async fn add_site(
    protocol: &Protocol,
    site: &Site,
    scenario: &Scenario,
    keyring: &Keyring,
    batch: &mut Batch<'_>,
    done: &mut Registered,
) -> Result<()> {
    let id = signing::id(&site.id);
    let owner = keyring.person(&site.owner)?;
    let registry = protocol.deployment.registry;
    let known = protocol.site(id).await?;
    let (groups_known, assets_known) = match &known {
        Some(known) => {
            same("owner", &known.owner, &owner.address())?;
            same("latitude", &known.latitudeE7, &site.position.latitude_e7)?;
            same("longitude", &known.longitudeE7, &site.position.longitude_e7)?;
            (usize::from(known.groupCount), usize::from(known.assetCount))
        }
        None => {
            let call = IAssetRegistry::registerSiteCall {
                clearId: site.id.clone(),
                timeZone: site.time_zone.clone(),
                latitudeE7: site.position.latitude_e7,
                longitudeE7: site.position.longitude_e7,
            };
            batch.push(format!("site {}", site.id), &owner, Draft::call(registry, &call, GAS_STEP)).await?;
            done.sites += 1;
            let from = Interval::containing(protocol.chain.head().await?.time).plus(1).0;
            let rules = protocol.plan_rules(id, from).await?;
            let rules = PlanRules {
                tolerance: u64::try_from(tolerance(site).0)?,
                settlement: protocol.deployment.settlement,
                terms: keccak256(certificate::terms(&with_foresight(site, scenario, Vec::new()))?),
                ..rules
            };
            let call = IPlans::setRulesCall { site: id, rules, from };
            let draft = Draft::call(protocol.deployment.plans, &call, GAS_STEP);
            batch.push(format!("rules of plans at {}", site.id), &owner, draft).await?;
            (0, 0)
        }
    };
    let groups = groups_of(site)?;
    let assets = assets_of(site, keyring)?;
    ensure_same_groups(protocol, id, site, &groups, groups_known).await?;
    ensure_same_assets(protocol, id, site, &assets, assets_known).await?;
    if groups_known < groups.len() {
        let added = groups[groups_known..].to_vec();
        let gas = GAS_LAYOUT + GAS_GROUP * added.len() as u64;
        done.groups += added.len();
        let call = IAssetRegistry::registerGroupsCall { site: id, groups: added };
        batch.push(format!("groups of {}", site.id), &owner, Draft::call(registry, &call, gas)).await?;
    }
    let names: Vec<String> = site.assets.iter().map(|a| a.id.clone()).collect();
    let added = assets[assets_known..].chunks(ASSETS_PER_TRANSACTION);
    for (chunk, names) in added.zip(names[assets_known..].chunks(ASSETS_PER_TRANSACTION)) {
        let gas = GAS_LAYOUT + GAS_ASSET * chunk.len() as u64;
        let call = IAssetRegistry::registerAssetsCall { site: id, assets: chunk.to_vec(), clearIds: names.to_vec() };
        batch.push(format!("assets of {}", site.id), &owner, Draft::call(registry, &call, gas)).await?;
        done.assets += chunk.len();
    }
    add_tariffs(protocol, site, assets_known, &owner, batch).await?;
    announce_prices(protocol, site, &scenario.signals, &owner, batch).await?;
    let operator = protocol.chain.operator();
    for (delegate, rights) in [(operator, OPERATORS_RIGHTS), (protocol.deployment.plans, RIGHT_DISPATCH)] {
        if !protocol.is_authorised(id, delegate, rights).await? {
            let call = IAssetRegistry::setDelegateCall { site: id, delegate, rights, expiry: U40::MAX };
            batch.push(format!("rights at {}", site.id), &owner, Draft::call(registry, &call, GAS_STEP)).await?;
        }
    }
    let known = known.map(|site| site.operator).filter(|known| !known.is_zero());
    let Some(known) = known else {
        let call = IAssetRegistry::setOperatorCall {
            site: id,
            operator,
            operatorFeeBps: 0,
            rewardBps: REWARD_BPS,
            rewardCap: u64::try_from(REWARD_CAP.0)?,
        };
        return batch.push(format!("operator of {}", site.id), &owner, Draft::call(registry, &call, GAS_STEP)).await;
    };
    same("operator", &known, &operator)
}

/// Fixes the scenario's grid prices of the days that can still be announced: plans with others can be refuted.
async fn announce_prices(
    protocol: &Protocol,
    site: &Site,
    signals: &Signals,
    owner: &PrivateKeySigner,
    batch: &mut Batch<'_>,
) -> Result<()> {
    let id = signing::id(&site.id);
    let today = Interval::containing(protocol.chain.head().await?.time).0 / DAY;
    for day in today + 1..=today + DAYS_ANNOUNCED {
        let intervals = (day * DAY..(day + 1) * DAY).map(|t| signals.index(Interval(t)));
        let Some(indices) = intervals.collect::<Option<Vec<usize>>>() else { continue };
        if protocol.announced(id, day).await? {
            continue;
        }
        let mut prices = Vec::with_capacity(8 * indices.len());
        for series in [&signals.import_price, &signals.feed_in_price] {
            for index in &indices {
                let price = i32::try_from(series[*index].0).context("a price beyond 32 bits")?;
                prices.extend(price.to_be_bytes());
            }
        }
        let call = IPlans::announcePricesCall { site: id, day, pricesHash: keccak256(prices) };
        let draft = Draft::call(protocol.deployment.plans, &call, GAS_STEP);
        batch.push(format!("prices of {} on day {day}", site.id), owner, draft).await?;
    }
    Ok(())
}

/// Lets the operator's pool reward the sites' sessions, and fills it where money is the operator's to make.
async fn add_pool(protocol: &Protocol, sites: &[Site], batch: &mut Batch<'_>) -> Result<()> {
    let deployment = &protocol.deployment;
    let operator = protocol.chain.operator.clone();
    for site in sites {
        let id = signing::id(&site.id);
        if !protocol.serves(operator.address(), id).await? {
            let call = IFlexibilityToken::setServedCall { site: id, served: true };
            let draft = Draft::call(deployment.flexibility, &call, GAS_STEP);
            batch.push(format!("rewards at {}", site.id), &operator, draft).await?;
        }
    }
    let (balance, _) = protocol.pool(operator.address()).await?;
    if balance > Micro::ZERO || !protocol.makes_money() {
        return Ok(());
    }
    let amount = units(POOL)?;
    let mint = ICreditToken::mintCall { to: operator.address(), amount };
    batch.push("faucet for the pool", &operator, Draft::call(deployment.credit, &mint, GAS_STEP)).await?;
    let approve = ICreditToken::approveCall { spender: deployment.flexibility, amount };
    batch.push("allowance of the pool", &operator, Draft::call(deployment.credit, &approve, GAS_STEP)).await?;
    let rate = IFlexibilityToken::setRateCall { rate: U256::from(POOL_RATE) };
    batch.push("rate of the pool", &operator, Draft::call(deployment.flexibility, &rate, GAS_STEP)).await?;
    let fund = IFlexibilityToken::fundCall { operator: operator.address(), amount };
    batch.push("the pool", &operator, Draft::call(deployment.flexibility, &fund, GAS_STEP)).await
}

/// The scenario's price of an EVSE, as a tariff of nothing else.
async fn add_tariffs(
    protocol: &Protocol,
    site: &Site,
    assets_known: usize,
    owner: &PrivateKeySigner,
    batch: &mut Batch<'_>,
) -> Result<()> {
    let mut missing: BTreeMap<MicroPerKwh, Vec<B256>> = BTreeMap::new();
    for (lane, asset, evse) in site.evses() {
        let id = signing::id(&asset.id);
        let wanted = signing::tariff_hash(&tariff(evse.price).with_context(|| format!("asset {}", asset.id))?);
        let known = if lane < assets_known { protocol.asset(id).await? } else { None };
        let on_chain = known.map(|(_, state)| state.tariffHash).unwrap_or_default();
        if on_chain.is_zero() {
            missing.entry(evse.price).or_default().push(id);
        } else {
            same("hash of the tariff", &on_chain, &wanted).with_context(|| format!("asset {}", asset.id))?;
        }
    }
    for (price, evses) in missing {
        for evses in evses.chunks(TARIFFS_PER_TRANSACTION) {
            let gas = GAS_STEP + GAS_TARIFF * evses.len() as u64;
            let call = IAssetRegistry::setTariffCall { evses: evses.to_vec(), tariff: tariff(price)? };
            let draft = Draft::call(protocol.deployment.registry, &call, gas);
            batch.push(format!("tariff of {} EVSEs of {}", evses.len(), site.id), owner, draft).await?;
        }
    }
    Ok(())
}

/// Registers drivers by their signatures and fills their wallets up to their deposits, out of the faucet.
async fn add_drivers(
    protocol: &Protocol,
    drivers: &[Driver],
    keyring: &Keyring,
    batch: &mut Batch<'_>,
    done: &mut Registered,
) -> Result<()> {
    let deployment = &protocol.deployment;
    let operator = protocol.chain.operator.clone();
    let mut deposited: BTreeMap<Address, Micro> = BTreeMap::new();
    for deposit in protocol.deposits().await? {
        *deposited.entry(deposit.event.account).or_default() += micro(deposit.event.amount)?;
    }
    let keys: Vec<_> = drivers.iter().map(|d| keyring.person(&d.id)).collect::<Result<_>>()?;
    let registered: Vec<bool> = stream::iter(keys.iter().map(|k| protocol.is_driver(k.address())))
        .buffered(VIEWS_AT_ONCE)
        .try_collect()
        .await?;
    let mut missing: Vec<(&Driver, Address, Micro)> = Vec::new();
    for ((driver, key), registered) in drivers.iter().zip(&keys).zip(registered) {
        let account = key.address();
        if !registered {
            let digest = signing::registration_digest(account, protocol.chain.id(), deployment.registry);
            let signature = signing::sign(key, digest)?.parse::<Bytes>()?;
            let call = IAssetRegistry::registerDriverForCall { driver: account, signature };
            let draft = Draft::call(deployment.registry, &call, GAS_STEP);
            batch.push(format!("driver {}", driver.id), &operator, draft).await?;
            done.drivers += 1;
        }
        let lacking = driver.deposit - deposited.get(&account).copied().unwrap_or_default();
        if lacking > Micro::ZERO {
            missing.push((driver, account, lacking));
            done.deposited += lacking;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let has = protocol.credit_balance(operator.address()).await?;
    if has < done.deposited {
        ensure!(
            protocol.makes_money(),
            "deposits of {} micro-credits are missing, and {} has {has} and cannot make more",
            done.deposited,
            operator.address()
        );
        let call = ICreditToken::mintCall { to: operator.address(), amount: units(done.deposited - has)? };
        batch.push("faucet", &operator, Draft::call(deployment.credit, &call, GAS_STEP)).await?;
    }
    let call = ICreditToken::approveCall { spender: deployment.settlement, amount: units(done.deposited)? };
    batch.push("allowance", &operator, Draft::call(deployment.credit, &call, GAS_STEP)).await?;
    for (driver, account, lacking) in missing {
        let call = ISettlement::depositCall { account, amount: units(lacking)? };
        let draft = Draft::call(deployment.settlement, &call, GAS_STEP);
        batch.push(format!("deposit of {}", driver.id), &operator, draft).await?;
    }
    Ok(())
}

/// Only the driver can set the threshold, which takes gas: given away on a local chain, skipped elsewhere.
async fn add_thresholds(
    protocol: &Protocol,
    drivers: &[Driver],
    keyring: &Keyring,
    batch: &mut Batch<'_>,
    done: &mut Registered,
) -> Result<()> {
    let mut known: BTreeMap<Address, U256> = BTreeMap::new();
    for set in protocol.thresholds().await? {
        known.insert(set.event.account, set.event.threshold);
    }
    for driver in drivers {
        let key = keyring.person(&driver.id)?;
        let threshold = units(driver.low_balance)?;
        if known.get(&key.address()).copied().unwrap_or_default() == threshold {
            continue;
        }
        if protocol.chain.id() != LOCAL_CHAIN_ID {
            done.thresholds_skipped += 1;
            continue;
        }
        let call = ISettlement::setLowBalanceThresholdCall { threshold };
        let draft = Draft::call(protocol.deployment.settlement, &call, GAS_STEP);
        batch.push(format!("threshold of {}", driver.id), &key, draft).await?;
    }
    Ok(())
}

/// Every credit token of our own was minted to be deposited, or for a pool.
async fn ensure_money_adds_up(protocol: &Protocol) -> Result<()> {
    if protocol.deployment.arguments.credit.is_some() {
        return Ok(());
    }
    let mut put_in = Micro::ZERO;
    for deposit in protocol.deposits().await? {
        put_in += micro(deposit.event.amount)?;
    }
    for funded in protocol.pools_funded().await? {
        put_in += micro(funded.event.amount)?;
    }
    let supply = protocol.credit_supply().await?;
    ensure!(supply == put_in, "{supply} micro-credits exist, but {put_in} were deposited or put into pools");
    Ok(())
}

async fn ensure_same_groups(
    protocol: &Protocol,
    id: B256,
    site: &Site,
    groups: &[abi::Group],
    known: usize,
) -> Result<()> {
    ensure!(known <= groups.len(), "{known} groups on chain, {} in the scenario", groups.len());
    let on_chain: Vec<Option<abi::Group>> = stream::iter((0..known).map(|index| protocol.group(id, index as u16)))
        .buffered(VIEWS_AT_ONCE)
        .try_collect()
        .await?;
    for ((wanted, group), on_chain) in groups.iter().zip(&site.groups).zip(on_chain) {
        let on_chain = on_chain.with_context(|| format!("group {}: not on chain", group.id))?;
        let compare = || {
            same("parent", &on_chain.parent, &wanted.parent)?;
            same("import limit in W", &on_chain.limitImportW, &wanted.limitImportW)?;
            same("export limit in W", &on_chain.limitExportW, &wanted.limitExportW)
        };
        compare().with_context(|| format!("group {}", group.id))?;
    }
    Ok(())
}

async fn ensure_same_assets(
    protocol: &Protocol,
    id: B256,
    site: &Site,
    assets: &[abi::Asset],
    known: usize,
) -> Result<()> {
    ensure!(known <= assets.len(), "{known} assets on chain, {} in the scenario", assets.len());
    let ids: Vec<B256> = assets.iter().take(known).map(|a| a.id).collect();
    let on_chain: Vec<Option<(abi::Asset, abi::AssetState)>> =
        stream::iter(ids.into_iter().map(|a| protocol.asset(a))).buffered(VIEWS_AT_ONCE).try_collect().await?;
    for (lane, ((wanted, asset), on_chain)) in assets.iter().zip(&site.assets).zip(on_chain).enumerate() {
        let compare = || {
            let (has, state) = on_chain.context("not on chain")?;
            ensure!(!state.removed, "removed");
            same("site", &state.site, &id)?;
            same("lane", &usize::from(state.lane), &lane)?;
            same("kind", &(has.kind as u8), &(wanted.kind as u8))?;
            same("group", &has.group, &wanted.group)?;
            same("rated power in W", &has.ratedW, &wanted.ratedW)?;
            same("least power in W", &has.minW, &wanted.minW)?;
            same("phases", &has.phases, &wanted.phases)?;
            same("latitude", &has.latitudeE7, &wanted.latitudeE7)?;
            same("longitude", &has.longitudeE7, &wanted.longitudeE7)?;
            same("connector", &(has.connector as u8), &(wanted.connector as u8))?;
            same("access", &(has.access as u8), &(wanted.access as u8))?;
            same("meter", &has.meter, &wanted.meter)
        };
        compare().with_context(|| format!("asset {}", asset.id))?;
    }
    Ok(())
}

fn same<T: PartialEq + fmt::Display>(what: &str, on_chain: &T, wanted: &T) -> Result<()> {
    ensure!(on_chain == wanted, "{what}: {on_chain} on chain, {wanted} in the scenario");
    Ok(())
}

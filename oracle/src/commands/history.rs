//! `provolt history`: what has happened to sessions, bills and bookings, as the chain's events tell it.

use super::{ChainArgs, clear_names, credits, name_of, rfc3339};
use crate::abi::IBookings::{Booked, Cancelled, CheckedIn, NoShow};
use crate::abi::{Bill, Terms};
use crate::chain::Protocol;
use crate::chain::events::{Logged, Which};
use crate::keys::Keyring;
use crate::signing;
use alloy::primitives::{Address, B256, U256};
use anyhow::{Context, Result};
use optimizer::units::{Interval, Micro, UnixTime};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// Thousandths of a watt-hour in a watt-hour: bills count finer than displays.
const MILLI_WH_PER_WH: u64 = 1000;

/// Arguments of `provolt history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only this driver: a name in the scenario, or an address
    #[arg(long, value_name = "NAME|0x…")]
    pub driver: Option<String>,
    /// Only this EVSE
    #[arg(long, value_name = "ID")]
    pub evse: Option<String>,
    /// Only this site
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// Machine-readable
    #[arg(long)]
    pub json: bool,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// One event. What it does not tell is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// opened, amended, settled, corrected, reward (corrected: the tokens that are left), reclaimed, claimed, booked, cancelled,
    /// no-show or checked-in.
    pub event: &'static str,
    /// Clear-text id of the site, where the registry told it.
    pub site: String,
    /// Clear-text id of the EVSE, where the registry told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evse: Option<String>,
    /// Driver's account; of a claim the owner's.
    pub account: Address,
    /// Session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<B256>,
    /// Receipt id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<B256>,
    /// Time of the first reading, or of the booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// Time of the last reading, the declared departure, or the booking's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Energy wanted or drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_wh: Option<u64>,
    /// Amount held, paid, given back or paid out.
    pub amount_micro: Micro,
    /// Of it the operator's and the protocol's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fees_micro: Option<Micro>,
    /// Part of the hold, or of the booking's money, that went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_micro: Option<Micro>,
    /// Block.
    pub block: u64,
    /// Transaction.
    pub transaction: B256,
    #[serde(skip)]
    index: u64,
}

/// Lists events in the order of the chain.
pub async fn run(args: &Args, out: &mut impl Write) -> Result<()> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let which = Which {
        site: args.site.as_deref().map(signing::id),
        driver: args.driver.as_deref().map(|d| account(d, &keyring)).transpose()?,
        evse: args.evse.as_deref().map(signing::id),
    };
    let entries = gather(&protocol, &which).await?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &entries)?;
        writeln!(out)?;
        return Ok(());
    }
    for entry in &entries {
        print(entry, out)?;
    }
    let bills: Vec<_> = entries.iter().filter(|e| e.event == "settled").collect();
    let energy: u64 = bills.iter().filter_map(|e| e.energy_wh).sum();
    let paid: Micro = bills.iter().map(|e| e.amount_micro).sum();
    writeln!(out, "{} sessions settled, {energy} Wh, {} paid", bills.len(), credits(paid))?;
    Ok(())
}

fn print(e: &Entry, out: &mut impl Write) -> Result<()> {
    let place = e.evse.as_deref().unwrap_or(&e.site);
    write!(out, "{:<10} {place}  {}", e.event, credits(e.amount_micro))?;
    if let (Some(begin), Some(end)) = (&e.begin, &e.end) {
        write!(out, "  {begin} – {end}")?;
    }
    if let Some(energy) = e.energy_wh {
        write!(out, "  {energy} Wh")?;
    }
    write!(out, "  {} {}", if e.event == "claimed" { "owner" } else { "driver" }, e.account)?;
    if let Some(session) = e.session {
        write!(out, "  session {session}")?;
    }
    if let Some(receipt) = e.receipt {
        write!(out, "  receipt {receipt}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// Everything that happened, in the order of the chain. Sites are known of EVSEs, and both of registrations.
pub async fn gather(protocol: &Protocol, which: &Which) -> Result<Vec<Entry>> {
    let names = clear_names(protocol).await?;
    let assets = protocol.assets_registered(None).await?;
    let sites: BTreeMap<B256, B256> = assets.iter().map(|a| (a.event.asset, a.event.site)).collect();
    let at = |evse: B256| sites.get(&evse).copied().unwrap_or_default();
    let mut entries = sessions(protocol, which).await?;
    entries.extend(bookings(protocol, which).await?);
    let mut shown: Vec<Entry> = Vec::new();
    for (evse, entry) in entries {
        // Events of bookings do not name the site.
        if which.site.is_none_or(|site| at(evse) == site) {
            let place = (name_of(&names, at(evse)), Some(name_of(&names, evse)));
            shown.push(Entry { site: place.0, evse: place.1, ..entry });
        }
    }
    // A claim is of a site, and of nobody's session.
    if which.evse.is_none() {
        for claim in protocol.claims(which.site).await? {
            let e = &claim.event;
            if which.driver.is_some_and(|driver| driver != e.owner) {
                continue;
            }
            let amount_micro = micro(e.amount)?;
            let fees_micro = Some(micro(e.operatorFee)? + micro(e.protocolFee)?);
            let entry = Entry { account: e.owner, amount_micro, fees_micro, ..Entry::at("claimed", &claim) };
            shown.push(Entry { site: name_of(&names, e.site), ..entry });
        }
    }
    shown.sort_by_key(|e| (e.block, e.index));
    Ok(shown)
}

pub(super) async fn sessions(protocol: &Protocol, which: &Which) -> Result<Vec<(B256, Entry)>> {
    let mut entries = Vec::new();
    let mut terms: BTreeMap<B256, Terms> = BTreeMap::new();
    for opened in protocol.sessions_opened(which).await? {
        let e = &opened.event;
        entries.push((e.evse, Entry::at("opened", &opened).of_terms(&e.terms)?));
        terms.insert(e.terms.session, e.terms.clone());
    }
    for amended in protocol.sessions_amended(which).await? {
        let e = &amended.event;
        entries.push((e.evse, Entry::at("amended", &amended).of_terms(&e.terms)?));
        terms.insert(e.terms.session, e.terms.clone());
    }
    for settled in protocol.sessions_settled(which).await? {
        let e = &settled.event;
        let terms = terms.get(&e.session).context("a bill of no session")?;
        entries.push((e.evse, Entry::at("settled", &settled).of_bill(terms, &e.bill)?));
    }
    for corrected in protocol.bills_corrected(which).await? {
        let e = &corrected.event;
        let terms = terms.get(&e.session).context("a bill of no session")?;
        entries.push((e.evse, Entry::at("corrected", &corrected).of_bill(terms, &e.bill)?));
    }
    for corrected in protocol.rewards_corrected(which).await? {
        let e = &corrected.event;
        let (account, amount_micro) = (e.driver, micro(U256::from(e.bill.reward))?);
        let entry = Entry { account, amount_micro, session: Some(e.session), ..Entry::at("reward", &corrected) };
        entries.push((e.evse, entry));
    }
    for back in protocol.sessions_reclaimed(which).await? {
        let e = &back.event;
        let (account, amount_micro) = (e.driver, micro(U256::from(e.amount))?);
        let entry = Entry { account, amount_micro, session: Some(e.session), ..Entry::at("reclaimed", &back) };
        entries.push((e.evse, entry));
    }
    Ok(entries)
}

async fn bookings(protocol: &Protocol, which: &Which) -> Result<Vec<(B256, Entry)>> {
    let mut entries = Vec::new();
    for booked in protocol.bookings::<Booked>(which).await? {
        let e = &booked.event;
        let from = Interval(e.from);
        let entry = Entry {
            account: e.driver,
            begin: Some(rfc3339(from.start())),
            end: Some(rfc3339(from.plus(usize::from(e.count)).start())),
            amount_micro: micro(U256::from(e.price))? + micro(U256::from(e.deposit))?,
            ..Entry::at("booked", &booked)
        };
        entries.push((e.evse, entry));
    }
    macro_rules! ended {
        ($event:ty, $name:literal, $paid:ident, $back:ident) => {
            for ended in protocol.bookings::<$event>(which).await? {
                let e = &ended.event;
                let entry = Entry {
                    account: e.driver,
                    begin: Some(rfc3339(Interval(e.from).start())),
                    amount_micro: micro(e.$paid)?,
                    refund_micro: Some(micro(e.$back)?),
                    ..Entry::at($name, &ended)
                };
                entries.push((e.evse, entry));
            }
        };
    }
    ended!(Cancelled, "cancelled", fee, refund);
    ended!(NoShow, "no-show", fee, refund);
    ended!(CheckedIn, "checked-in", price, deposit);
    Ok(entries)
}

impl Entry {
    fn at<E>(event: &'static str, logged: &Logged<E>) -> Self {
        Self { event, block: logged.block, transaction: logged.transaction, index: logged.index, ..Self::default() }
    }

    fn of_terms(self, terms: &Terms) -> Result<Self> {
        Ok(Self {
            account: terms.driver,
            session: Some(terms.session),
            begin: Some(time(terms.openedAt.to())),
            end: Some(time(terms.departure.to())),
            energy_wh: Some(terms.energyWh.into()),
            amount_micro: micro(U256::from(terms.held))?,
            ..self
        })
    }

    fn of_bill(self, terms: &Terms, bill: &Bill) -> Result<Self> {
        // A meter whose clock is not set says no time.
        let known = |at: i64| (at != 0).then(|| time(at));
        Ok(Self {
            account: terms.driver,
            session: Some(terms.session),
            receipt: Some(signing::receipt(terms, bill)),
            begin: known(bill.startTime.to()),
            end: known(bill.stopTime.to()),
            energy_wh: Some((bill.stopMilliWh - bill.startMilliWh) / MILLI_WH_PER_WH),
            amount_micro: micro(U256::from(bill.amount))?,
            fees_micro: Some(micro(U256::from(bill.operatorFee + bill.protocolFee))?),
            refund_micro: Some(micro(U256::from(terms.held - bill.amount))?),
            ..self
        })
    }
}

fn time(seconds: i64) -> String {
    rfc3339(UnixTime(seconds))
}

fn micro(amount: U256) -> Result<Micro> {
    Ok(Micro(i64::try_from(amount).context("an amount beyond 64 bits")?))
}

/// An address, or the account of a name.
fn account(text: &str, keyring: &Keyring) -> Result<Address> {
    if text.starts_with("0x") {
        return text.parse().with_context(|| format!("--driver: found {text:?}, expected a name or an address"));
    }
    Ok(keyring.person(text)?.address())
}

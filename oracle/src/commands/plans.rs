//! `provolt rules`, `stake` and `challenge`: what an owner asks of its site's plans, what the operator stakes on them, and
//! whoever doubts one.

use super::{ChainArgs, credits, rfc3339};
use crate::abi::PlanMode;
use crate::chain::Protocol;
use crate::chain::plans::Challenge;
use crate::signing;
use alloy::primitives::{Address, B256};
use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use clap::ValueEnum;
use optimizer::units::{INTERVAL_S, Interval, Micro, UnixTime};
use std::io::Write;
use std::process::ExitCode;

/// How plans are posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// With a certificate within the tolerance, verified in the transaction that posts
    Proved,
    /// With a certificate in calldata and a bond, which whoever shows that it does not hold takes a half of
    Optimistic,
    /// With any feasible schedule, verified, and a bond, which whoever shows a cheaper one takes a half of
    Improved,
}

impl From<Mode> for PlanMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Proved => Self::Proved,
            Mode::Optimistic => Self::Optimistic,
            Mode::Improved => Self::Improved,
        }
    }
}

/// Shows what a site asks of its plans, or sets it from a coming interval on.
#[derive(Debug, Clone, clap::Args)]
pub struct RulesArgs {
    /// Id of the site, for example DE*PVT*QUICKSTART
    pub site: String,
    /// How its plans are posted
    #[arg(long)]
    pub mode: Option<Mode>,
    /// Most credits that a plan's cost may exceed its proven bound
    #[arg(long, value_name = "CREDITS", value_parser = amount)]
    pub tolerance: Option<Micro>,
    /// Least credits by which a better schedule must be cheaper (improved)
    #[arg(long, value_name = "CREDITS", value_parser = amount)]
    pub epsilon: Option<Micro>,
    /// Credits that the poster stakes on each plan
    #[arg(long, value_name = "CREDITS", value_parser = amount)]
    pub bond: Option<Micro>,
    /// Contract whose code decides: the definition of the smart-charging algorithm
    #[arg(long, value_name = "ADDR")]
    pub verifier: Option<Address>,
    /// Start of the first interval for which it holds [default: the next]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// The owner, who signs; needed to set anything
    #[arg(long = "as", value_name = "OWNER")]
    pub sign_as: Option<String>,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// Shows the operator's stake, and that of plans whose time to be challenged is over; brings money in or takes it out.
#[derive(Debug, Clone, clap::Args)]
pub struct StakeArgs {
    /// Brings in so many credits
    #[arg(long, value_name = "CREDITS", value_parser = amount, conflicts_with = "withdraw")]
    pub deposit: Option<Micro>,
    /// Takes out so many credits that are not staked
    #[arg(long, value_name = "CREDITS", value_parser = amount)]
    pub withdraw: Option<Micro>,
    /// Gives back the bonds of this site's plans that can no longer be challenged
    #[arg(long, value_name = "SITE")]
    pub release: Option<String>,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// Has the contracts look for a fault in a plan, and refutes it where there is one. Exit code 1 where the plan holds.
///
/// The certificate is read from the transaction that posted the plan, what drivers asked for from their open sessions, and
/// what batteries can hold from an earlier plan and posted readings; nothing else is needed, and anyone may do it.
#[derive(Debug, Clone, clap::Args)]
pub struct ChallengeArgs {
    /// Id of the site
    pub site: String,
    /// Start of the plan's interval, for example 2026-06-16T07:15:00+02:00
    pub interval: String,
    /// Sign as this person instead of the operator
    #[arg(long = "as", value_name = "NAME")]
    pub sign_as: Option<String>,
    /// Which chain
    #[command(flatten)]
    pub chain: ChainArgs,
}

/// See [`RulesArgs`].
pub async fn rules(args: &RulesArgs, out: &mut impl Write) -> Result<()> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let site = known_site(&protocol, &args.site).await?;
    let next = Interval::containing(protocol.chain.head().await?.time).plus(1);
    let from = args.from.as_deref().map(|time| interval("--from", time)).transpose()?.unwrap_or(next);
    let mut rules = protocol.plan_rules(site, from.0).await?;
    let units = |amount: Micro| u64::try_from(amount.0).context("a negative amount");
    let changes = args.mode.is_some() || args.verifier.is_some();
    let changes = changes || [args.tolerance, args.epsilon, args.bond].iter().any(Option::is_some);
    if changes {
        let name = args.sign_as.as_deref().context("--as OWNER: only the site's owner sets rules")?;
        rules.mode = args.mode.map_or(rules.mode, PlanMode::from);
        rules.tolerance = args.tolerance.map_or(Ok(rules.tolerance), units)?;
        rules.epsilon = args.epsilon.map_or(Ok(rules.epsilon), units)?;
        rules.bond = args.bond.map_or(Ok(rules.bond), |bond| units(bond).map(u128::from))?;
        rules.verifier = args.verifier.unwrap_or(rules.verifier);
        protocol.set_rules(&keyring.person(name)?, site, rules.clone(), from.0).await?;
    }
    let money = |units: u128| i64::try_from(units).map_or_else(|_| units.to_string(), |units| credits(Micro(units)));
    let mode = match rules.mode {
        PlanMode::Proved => "proved",
        PlanMode::Optimistic => "optimistic",
        _ => "improved",
    };
    writeln!(out, "{}, from {} on: {mode}", args.site, rfc3339(from.start()))?;
    writeln!(out, "  tolerance {}, epsilon {}", money(rules.tolerance.into()), money(rules.epsilon.into()))?;
    writeln!(out, "  bond {}", money(rules.bond))?;
    writeln!(out, "  verifier {}", rules.verifier)?;
    let bound = if rules.terms.is_zero() { "nothing".to_owned() } else { rules.terms.to_string() };
    writeln!(out, "  penalty, surcharge, price of the peak and rows bound to {bound}")?;
    Ok(())
}

/// See [`StakeArgs`].
pub async fn stake(args: &StakeArgs, out: &mut impl Write) -> Result<()> {
    let (protocol, _) = args.chain.protocol().await?;
    if let Some(site) = &args.release {
        let released = protocol.release(known_site(&protocol, site).await?).await?;
        writeln!(out, "{site}: {released} bonds given back")?;
    }
    if let Some(amount) = args.deposit {
        protocol.deposit_stake(amount).await?;
    }
    if let Some(amount) = args.withdraw {
        protocol.withdraw_stake(amount).await?;
    }
    let free = protocol.stake(protocol.chain.operator()).await?;
    writeln!(out, "{}: {} can be staked", protocol.chain.operator(), credits(free))?;
    Ok(())
}

/// See [`ChallengeArgs`].
pub async fn challenge(args: &ChallengeArgs, out: &mut impl Write) -> Result<ExitCode> {
    let (protocol, keyring) = args.chain.protocol().await?;
    let site = known_site(&protocol, &args.site).await?;
    let interval = interval("INTERVAL", &args.interval)?;
    let key = args.sign_as.as_deref().map_or_else(|| Ok(protocol.chain.operator_key()), |name| keyring.person(name))?;
    let title = format!("{} {}", args.site, rfc3339(interval.start()));
    let found = protocol.challenge(&key, site, interval.0).await.with_context(|| title.clone())?;
    match found {
        Challenge::Refuted(by) => {
            writeln!(out, "{title}: refuted by {by}; {} can be staked", credits(protocol.stake(key.address()).await?))?;
            Ok(ExitCode::SUCCESS)
        }
        Challenge::Holds(reasons) => {
            writeln!(out, "{title}: no fault found")?;
            for (call, reason) in reasons {
                writeln!(out, "  {call}: {reason}")?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn known_site(protocol: &Protocol, name: &str) -> Result<B256> {
    let id = signing::id(name);
    ensure!(protocol.site(id).await?.is_some(), "SITE: {name}: not registered on chain {}", protocol.chain.id());
    Ok(id)
}

fn interval(argument: &str, text: &str) -> Result<Interval> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp());
    let time = time.filter(|time| *time >= 0 && time % INTERVAL_S == 0);
    let wanted = "expected the beginning of a quarter hour like 2026-06-16T07:15:00+02:00";
    Ok(Interval::containing(UnixTime(time.with_context(|| format!("{argument}: {text:?}: {wanted}"))?)))
}

/// Credits with at most six decimals.
fn amount(text: &str) -> Result<Micro, String> {
    let wrong = || "expected credits, for example 12.5, with at most six decimals".to_owned();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 || whole.is_empty() || !(whole.to_owned() + decimals).bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    format!("{whole}{decimals:0<6}").parse().map(Micro).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_read_to_the_unit_or_refused() {
        for (text, micro) in [("12.5", 12_500_000), ("0", 0), ("1.000001", 1_000_001)] {
            assert_eq!(amount(text), Ok(Micro(micro)), "{text}");
        }
        for text in ["", "-1", "1.0000001", ".5", "1e3", "99999999999999999999"] {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_begins_on_the_quarter_hour() {
        assert!(interval("INTERVAL", "2026-06-16T07:15:00+02:00").is_ok());
        let error = interval("INTERVAL", "2026-06-16T07:16:00+02:00").expect_err("no quarter hour").to_string();
        assert!(error.starts_with("INTERVAL: ") && error.contains("quarter hour"), "{error}");
    }
}

//! `provolt`: runs a network of charge points, and proves what it does.

use clap::{Parser, Subcommand};
use optimizer::pipe;
use oracle::commands::{claim, deploy, dispute, explain, history, plans, register, replay, status, submit, verify};
use oracle::run;
use std::io::Write;
use std::process::ExitCode;

/// Runs a network of electric-vehicle charge points and proves what it does.
///
/// Try `provolt run`: a day of charging in a minute, on a local chain. Then `provolt run data/scenarios/campus`, and look
/// at the live page whose address it prints.
///
/// Exit codes: 0 done; 1 failed, the last line on standard error says why; 2 the arguments are wrong.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a day: plans, drives, meters and settles it on a chain
    Run(run::RunArgs),
    /// Runs a day of real sessions (ACN-Data JSON or any CSV) on the site of a scenario
    Replay(Box<replay::ReplayArgs>),
    /// Deploys the contracts, to the same addresses on every chain
    Deploy(Box<deploy::Args>),
    /// Compares the contracts on a chain with this build
    VerifyDeployment(deploy::VerifyArgs),
    /// Deploys the contracts where they are missing, and registers a scenario's sites, assets and drivers
    Register(register::Args),
    /// Posts a CPO's own setpoints for coming intervals
    Submit(submit::Args),
    /// Shows what the chain knows: sites, dispatch, sessions, money
    Status(status::Args),
    /// Pays out what bills of a site came to, once they can no longer be disputed
    Claim(claim::Args),
    /// Shows or sets what a site asks of its plans: mode, tolerance, bond, verifier
    Rules(Box<plans::RulesArgs>),
    /// Shows the operator's stake on plans, brings money in, takes it out, gives bonds back
    Stake(plans::StakeArgs),
    // Its own text is the longer one.
    Challenge(plans::ChallengeArgs),
    // As Challenge.
    Dispute(dispute::Args),
    /// Lists what has happened: sessions opened and settled, bills corrected and paid out, bookings
    History(history::Args),
    // Its own text is the longer one.
    Verify(verify::Args),
    // As Verify.
    Explain(explain::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PROVOLT_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let done = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            let mut out = std::io::stdout();
            match args.command {
                Command::Run(args) => run::run(args).await?,
                Command::Replay(args) => replay::run(*args).await?,
                Command::Deploy(args) => deploy::run(&args, &mut out).await?,
                Command::VerifyDeployment(args) => return deploy::verify(&args, &mut out).await,
                Command::Claim(args) => claim::run(&args, &mut out).await?,
                Command::Register(args) => register::run(&args, &mut out).await?,
                Command::Submit(args) => return submit::run(&args, &mut out).await,
                Command::Status(args) => status::run(&args, &mut out).await?,
                Command::Rules(args) => plans::rules(&args, &mut out).await?,
                Command::Stake(args) => plans::stake(&args, &mut out).await?,
                Command::Challenge(args) => return plans::challenge(&args, &mut out).await,
                Command::Dispute(args) => return dispute::run(&args, &mut out).await,
                Command::History(args) => history::run(&args, &mut out).await?,
                Command::Verify(args) => return verify::run(&args, &mut out).await,
                Command::Explain(args) => explain::run(&args, &mut out).await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    });
    match done {
        Ok(code) => code,
        Err(error) if pipe::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! The verifier in Rust and the one on chain say the same of every certificate, good or corrupted.

#[path = "../../optimizer/tests/instances/random.rs"]
mod random;

use alloy::primitives::{Bytes, I256, hex, keccak256};
use alloy::sol_types::{SolCall, SolInterface};
use anyhow::{Context, Result, ensure};
use optimizer::certificate::{Certificate, Refused, Verdict, certify, verify};
use optimizer::solve::Planner;
use optimizer::units::UnixTime;
use oracle::abi::IScheduleVerifier::{IScheduleVerifierErrors, verifyCall, verifyReturn};
use oracle::chain::anvil::{self, Options};
use oracle::chain::bytecode;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use random::{Recipe, with_everything};
use serde_json::{Value, json};

/// Half of them as they are, half corrupted in one byte or a few.
const CASES: u64 = 1_200;
/// Calls in one request: Anvil takes two megabytes.
const BATCH: usize = 50;
const LIMIT_MS: u32 = 60_000;
/// Where the code is put for the calls.
const VERIFIER: &str = "0x00000000000000000000000000000000000005c4";

struct Case {
    seed: u64,
    inputs: Vec<u8>,
    schedule: Vec<u8>,
    multipliers: Vec<u8>,
}

impl Case {
    fn new(seed: u64) -> Result<Self> {
        let problem = with_everything(Recipe::of(seed).problem(), seed);
        let (planned, multipliers) = Planner::new().plan_to_certify(&problem, LIMIT_MS)?;
        let Certificate { inputs, schedule, multipliers, .. } = certify(&problem, &planned, &multipliers)?;
        let mut case = Self { seed, inputs, schedule, multipliers };
        if seed % 2 == 1 {
            case.corrupt();
        }
        Ok(case)
    }

    /// Mostly in numbers; lengths in one of ten.
    fn corrupt(&mut self) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let part = match rng.random_range(0..4) {
            0 => &mut self.inputs,
            1 => &mut self.schedule,
            _ => &mut self.multipliers,
        };
        if rng.random_range(0..10) == 0 {
            part.push(0);
        }
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..part.len());
            part[at] ^= 1 << rng.random_range(0..8);
        }
    }

    fn request(&self) -> Value {
        let call = verifyCall {
            inputs: Bytes::copy_from_slice(&self.inputs),
            schedule: Bytes::copy_from_slice(&self.schedule),
            multipliers: Bytes::copy_from_slice(&self.multipliers),
        };
        let data = hex::encode_prefixed(call.abi_encode());
        let params = json!([{ "to": VERIFIER, "data": data }, "latest"]);
        json!({ "jsonrpc": "2.0", "id": self.seed, "method": "eth_call", "params": params })
    }

    /// Whether the chain's `answer` is the Rust verifier's.
    fn compare(&self, answer: &Value) -> Result<bool> {
        let here = verify(&self.inputs, &self.schedule, &self.multipliers);
        let Some(result) = answer["result"].as_str() else {
            let data = answer["error"]["data"].as_str().with_context(|| format!("no revert data: {answer}"))?;
            let there = IScheduleVerifierErrors::abi_decode(&hex::decode(data)?)?;
            let refused = here.err().with_context(|| format!("only the chain refuses: {there:?}"))?;
            // What is missing at the end of a part reads differently, until its length is looked at.
            let names = (name(&format!("{refused:?}")), name(&format!("{there:?}")));
            let length = matches!(refused, Refused::WrongPartLength { .. }) || names.1 == "WrongPartLength";
            ensure!(length || names.0 == names.1, "{refused:?} here, {there:?} there");
            return Ok(false);
        };
        let Verdict { cost, bound, first_column } = here.context("only the chain accepts")?;
        let there: verifyReturn = verifyCall::abi_decode_returns(&hex::decode(result)?)?;
        let numbers = (I256::try_from(cost)?, I256::try_from(bound)?);
        ensure!((there.cost, there.bound) == numbers, "{there:?}, here {cost} and {bound}");
        ensure!(there.inputsHash == keccak256(&self.inputs) && there.firstColumnHash == keccak256(&first_column));
        Ok(true)
    }
}

/// The variant's name in its debug form.
fn name(debug: &str) -> String {
    debug.chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[tokio::test]
async fn the_chain_says_what_rust_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let anvil = anvil::spawn(&Options::new(UnixTime(1_700_000_000), folder.path().join("anvil.log")))?;
    let code = hex::encode_prefixed(bytecode::find("ScheduleVerifier")?.runtime()?);
    let client = reqwest::Client::new();
    let put = json!({ "jsonrpc": "2.0", "id": 0, "method": "anvil_setCode", "params": [VERIFIER, code] });
    let answer: Value = client.post(&anvil.rpc).json(&put).send().await?.json().await?;
    ensure!(answer["error"].is_null(), "{answer}");
    let cases = (0..CASES).map(Case::new).collect::<Result<Vec<_>>>()?;
    let mut accepted = 0;
    for cases in cases.chunks(BATCH) {
        let requests: Vec<Value> = cases.iter().map(|case| case.request()).collect();
        let answers: Vec<Value> = client.post(&anvil.rpc).json(&requests).send().await?.json().await?;
        for case in cases {
            let answer = answers.iter().find(|answer| answer["id"] == case.seed).context("no answer")?;
            accepted += u64::from(case.compare(answer).with_context(|| format!("seed {}", case.seed))?);
        }
    }
    println!("{accepted} of {CASES} certificates accepted, on both sides");
    assert!((CASES / 2..CASES).contains(&accepted), "{accepted} of {CASES}");
    Ok(())
}

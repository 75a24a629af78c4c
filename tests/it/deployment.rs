//! Deployments: by this program and by Foundry, on two chains, found again, compared with the build, and refused.

use alloy::primitives::{Address, Bytes, hex};
use anyhow::{Context, Result, ensure};
use optimizer::units::UnixTime;
use oracle::chain::anvil::{self, Anvil, Options};
use oracle::chain::{Deployment, bytecode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use tempfile::TempDir;

/// Two of Foundry's at once would write the same cache.
static FORGE: Mutex<()> = Mutex::new(());

/// Runs Foundry itself, not npm's wrapper around it, which exits with 0 whatever happens.
fn forge(arguments: &[&str], salt: &str) -> Result<String> {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let program = root().join(format!("node_modules/@foundry-rs/forge-{system}-{processor}/bin/forge"));
    let program = if program.is_file() { program } else { "forge".into() };
    let _one = FORGE.lock().map_err(|_| anyhow::anyhow!("another test failed"))?;
    let output = Command::new(program).args(arguments).env("PROVOLT_SALT", salt).current_dir(root()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "forge {arguments:?}: {printed}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Key of the operator on every chain: for these tests only.
const OPERATOR: [u8; 32] = [0x42; 32];

/// A chain, and the folder where its deployment is kept.
struct Ground {
    anvil: Anvil,
    folder: TempDir,
    keys: PathBuf,
}

impl Ground {
    /// The same operator with gas money.
    async fn new(chain_id: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options { chain_id, ..Options::new(UnixTime(1_700_000_000), folder.path().join("anvil.log")) };
        let anvil = anvil::spawn(&options)?;
        let keys = folder.path().join("keys.json");
        let operator = alloy::signers::local::PrivateKeySigner::from_slice(&OPERATOR)?;
        let secrets = json!({"operator": operator.to_bytes(), "seed": "a seed for this test only"});
        std::fs::write(&keys, secrets.to_string())?;
        Command::new("chmod").arg("600").arg(&keys).status()?;
        let ground = Self { anvil, folder, keys };
        ground.call("anvil_setBalance", json!([operator.address(), "0x56bc75e2d63100000"])).await?;
        Ok(ground)
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = reqwest::Client::new().post(&self.anvil.rpc).json(&body).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {answer}");
        Ok(answer["result"].clone())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("deployment.json")
    }

    fn provolt(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(super::day::binary("provolt")?);
        command.args(arguments).args(["--rpc", &self.anvil.rpc]).current_dir(self.folder.path());
        Ok(command.output()?)
    }

    fn deploy(&self, extra: &[&str]) -> Result<(Deployment, String)> {
        let (keys, file) = (self.keys.display().to_string(), self.file().display().to_string());
        let output = self.provolt(&[&["deploy", "--key-file", &keys, "--out", &file], extra].concat())?;
        ensure!(output.status.success(), "deploy: {}", String::from_utf8_lossy(&output.stderr));
        Ok((Deployment::read(&self.file())?, String::from_utf8(output.stdout)?))
    }

    fn verify(&self) -> Result<(Option<i32>, String)> {
        let output = self.provolt(&["verify-deployment", &self.file().display().to_string()])?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(printed)?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_salt_and_arguments_give_the_same_addresses_everywhere() -> Result<()> {
    let (one, other) = (Ground::new(4242).await?, Ground::new(4343).await?);
    let (first, printed) = one.deploy(&[])?;
    assert!(printed.contains("deployed on chain 4242: "), "{printed}");
    // There by itself, as for who deploys again.
    let (again, printed) = one.deploy(&[])?;
    assert_eq!(again, first);
    assert!(printed.contains("everything was deployed on chain 4242 already"), "{printed}");
    let (second, _) = other.deploy(&[])?;
    assert_eq!(Deployment { chain_id: 4242, block: first.block, ..second.clone() }, first);

    // Another salt: another deployment, by the same libraries, which a file is not overwritten for.
    let keys = one.keys.display().to_string();
    let file = one.file().display().to_string();
    let output = one.provolt(&["deploy", "--key-file", &keys, "--salt", "0x01", "--out", &file])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("names a deployment of chain 4242 by other arguments"),
        "{error}"
    );
    let elsewhere = one.folder.path().join("salted.json").display().to_string();
    let output = one.provolt(&["deploy", "--key-file", &keys, "--salt", "0x01", "--out", &elsewhere])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let salted = Deployment::read(Path::new(&elsewhere))?;
    assert_eq!(salted.libraries, first.libraries);
    assert_ne!((salted.registry, salted.settlement), (first.registry, first.settlement));
    assert_eq!(one.verify()?.0, Some(0));

    // A token of others, and a fee: arguments that the addresses follow from as well.
    let (credit, recipient) = (first.credit.to_string(), Address::repeat_byte(3).to_string());
    let paid = ["--credit", &credit, "--fee-recipient", &recipient, "--fee-bps", "250", "--out", &elsewhere];
    std::fs::remove_file(&elsewhere)?;
    let output = one.provolt(&[&["deploy", "--key-file", &keys], &paid[..]].concat())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paid = Deployment::read(Path::new(&elsewhere))?;
    assert_eq!((paid.credit, paid.arguments.fee_bps), (first.credit, 250));
    assert_ne!((paid.registry, paid.settlement), (first.registry, first.settlement));
    let output = one.provolt(&["verify-deployment", &elsewhere])?;
    let printed = String::from_utf8(output.stdout)?;
    assert!(output.status.success() && printed.contains("a token of others, not compared"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_small_blocks_is_refused_with_the_gas_it_needs() -> Result<()> {
    let ground = Ground::new(4242).await?;
    ground.call("evm_setBlockGasLimit", json!(["0x1c9c380"])).await?;
    ground.call("evm_mine", json!([])).await?;
    let error = format!("{:#}", ground.deploy(&[]).err().context("deployed")?);
    assert!(error.contains("deploying needs a block of") && error.contains("hold 30000000"), "{error}");
    assert!(!ground.file().exists());
    ground.call("evm_setBlockGasLimit", json!(["0x11e1a300"])).await?;
    ground.call("evm_mine", json!([])).await?;
    ground.deploy(&[])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn foundry_deploys_to_the_same_addresses() -> Result<()> {
    let (by_forge, by_provolt) = (Ground::new(4343).await?, Ground::new(4242).await?);
    by_forge.call("evm_setAutomine", json!([true])).await?;
    let (salt, key) = (format!("0x{}", "07".repeat(32)), hex::encode_prefixed(OPERATOR));
    let mut script = vec!["script", "contracts/script/Deploy.s.sol", "--broadcast", "--non-interactive"];
    script.extend(["--rpc-url", &by_forge.anvil.rpc, "--private-key", &key, "--gas-estimate-multiplier", "120"]);
    let printed = forge(&script, &salt)?;
    let (deployment, _) = by_provolt.deploy(&["--salt", &salt])?;
    for (name, address) in deployment.addresses() {
        assert!(printed.contains(&address.to_string()), "{name} {address}: not in what Foundry printed: {printed}");
    }
    // What Foundry deployed is what this program was built with, and is left alone by both.
    let before = by_forge.call("eth_blockNumber", json!([])).await?;
    let (found, said) = by_forge.deploy(&["--salt", &salt])?;
    assert!(said.contains("everything was deployed on chain 4343 already"), "{said}");
    assert_eq!(Deployment { chain_id: 4242, block: deployment.block, ..found }, deployment);
    forge(&script, &salt)?;
    assert_eq!(by_forge.call("eth_blockNumber", json!([])).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_named() -> Result<()> {
    let ground = Ground::new(4242).await?;
    let (deployment, _) = ground.deploy(&[])?;
    let (code, printed) = ground.verify()?;
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains(", 0 differ"), "{printed}");
    for (name, address) in [("Settlement", deployment.settlement), ("OcmfBills", deployment.libraries["OcmfBills"])] {
        let code = ground.call("eth_getCode", json!([address, "latest"])).await?;
        let mut bytes = hex::decode(code.as_str().context("code")?)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        ground.call("anvil_setCode", json!([address, hex::encode_prefixed(&bytes)])).await?;
        let (status, printed) = ground.verify()?;
        assert_eq!(status, Some(1), "{printed}");
        let line = printed.lines().find(|l| l.starts_with("DIFFERS")).context("nothing differs")?;
        assert!(line.contains(name) && line.contains(&format!("byte {middle} is 0x")), "{line}");
        assert!(printed.contains(", 1 differ"), "{printed}");
        // Deploying again does not pretend that all is well.
        let keys = ground.keys.display().to_string();
        let output = ground.provolt(&["deploy", "--key-file", &keys, "--out", &ground.file().display().to_string()])?;
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(name));
        ground.call("anvil_setCode", json!([address, code])).await?;
    }
    ground.call("anvil_setCode", json!([deployment.bookings, "0x"])).await?;
    let (status, printed) = ground.verify()?;
    assert!(status == Some(1) && printed.contains("no contract there"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_are_refused_and_nothing_is_written() -> Result<()> {
    let ground = Ground::new(4242).await?;
    let keys = ground.keys.display().to_string();
    let recipient = Address::repeat_byte(3).to_string();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--salt", "0xzz"], 2, "--salt"),
        (&["--guardian", "0x12"], 2, "--guardian"),
        (&["--fee-bps", "100"], 2, "--fee-recipient"),
        (&["--fee-recipient", &recipient], 2, "--fee-bps"),
        (&["--fee-recipient", &recipient, "--fee-bps", "501"], 2, "--fee-bps"),
        (&["--credit", &recipient], 1, "credit: no contract at"),
        (&["--key-file", "nowhere.json"], 1, "nowhere.json: cannot read"),
        (&["--rpc", "http://127.0.0.1:1"], 1, "no chain answers there"),
        // Anvil's well-known key on a chain that is not local.
        (&[], 1, "well-known keys are refused"),
    ];
    for (arguments, code, expected) in cases {
        let mut command = Command::new(super::day::binary("provolt")?);
        command.arg("deploy").args(arguments).current_dir(ground.folder.path());
        if !arguments.contains(&"--rpc") {
            command.args(["--rpc", &ground.anvil.rpc]);
        }
        if !arguments.is_empty() && !arguments.contains(&"--key-file") {
            command.args(["--key-file", &keys]);
        }
        let output = command.output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!ground.folder.path().join("data").exists(), "{arguments:?}: something was written");
    }
    // A chain without the proxy: what to do is said.
    ground.call("anvil_setCode", json!([bytecode::PROXY, "0x"])).await?;
    let output = ground.provolt(&["deploy", "--key-file", &keys])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("proxy is missing") && error.contains("0x3fab184622dc19b6109349b94811493bf45362f7"),
        "{error}"
    );
    assert!(error.contains("f8a58085174876e800830186a0"), "{error}");
    assert!(!ground.folder.path().join("data").exists());
    Ok(())
}

/// What the oracle deploys is what the contract tests tested.
#[test]
fn bytecode_equals_forges() -> Result<()> {
    forge(&["build", "contracts/src"], "")?;
    for contract in bytecode::CONTRACTS {
        let name = contract.name;
        let artifact = std::fs::read(root().join(format!("contracts/out/{name}.sol/{name}.json")))?;
        let artifact: Value = serde_json::from_slice(&artifact)?;
        for (part, ours) in [("bytecode", contract.creation()?), ("deployedBytecode", contract.runtime()?)] {
            let code = linked(&artifact[part])?;
            assert_eq!(code[..], ours, "{name}: {part}");
        }
    }
    Ok(())
}

/// An artifact's code with the addresses that this program computes for libraries.
fn linked(part: &Value) -> Result<Bytes> {
    let mut text = part["object"].as_str().context("no code")?.trim_start_matches("0x").to_owned();
    for libraries in part["linkReferences"].as_object().context("no links")?.values() {
        for (name, places) in libraries.as_object().context("no libraries")? {
            let address = hex::encode(bytecode::find(name)?.library_address()?);
            for place in places.as_array().context("no places")? {
                let start = 2 * usize::try_from(place["start"].as_u64().context("no start")?)?;
                text.replace_range(start..start + 40, &address);
            }
        }
    }
    Ok(text.parse()?)
}

//! Keys: who signs what, and where the secrets come from.

use alloy::primitives::{Address, B256, address, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::Path;

/// Chain id of a local Anvil. Keys that everybody knows are accepted on this chain only.
pub const LOCAL_CHAIN_ID: u64 = 31337;
/// Anvil's first account, known to everybody.
const ANVIL_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// The accounts that every Anvil funds, from the mnemonic that its documentation prints.
const ANVIL_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];
/// Seed of the local meters, drivers and owners: as public as Anvil's keys.
const LOCAL_SEED: &str = "provolt local";

/// All secrets of one run: the operator's key, and a seed from which the keys of owners, drivers and meters follow.
pub struct Keyring {
    operator: PrivateKeySigner,
    seed: B256,
    local: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    /// 0x-hex private key of the account that deploys, posts and pays gas.
    operator: String,
    /// Secret text or hex of at least 16 characters.
    seed: String,
}

impl Keyring {
    /// Keys that everybody knows, for a local chain.
    pub fn local() -> Result<Self> {
        Ok(Self { operator: ANVIL_KEY.parse()?, seed: keccak256(LOCAL_SEED), local: true })
    }

    /// Reads `{"operator": "0x…", "seed": "…"}`. The file must be readable by its owner only.
    pub fn load(path: &Path) -> Result<Self> {
        let text = secret_text(path)?;
        // The parser's message may quote the text, which is secret: only the position is passed on.
        let file: KeyFile = serde_json::from_str(&text).map_err(|e| {
            anyhow::anyhow!(
                "{}: line {} column {}: expected {{\"operator\": \"0x…\", \"seed\": \"…\"}}",
                path.display(),
                e.line(),
                e.column()
            )
        })?;
        ensure!(file.seed.len() >= 16, "{}: seed: expected at least 16 characters", path.display());
        let operator: PrivateKeySigner = file
            .operator
            .parse()
            .map_err(|_| anyhow::anyhow!("{}: operator: expected a private key of 32 bytes in hex", path.display()))?;
        let local = ANVIL_ACCOUNTS.contains(&operator.address()) || file.seed == LOCAL_SEED;
        Ok(Self { operator, seed: keccak256(file.seed), local })
    }

    /// Refuses well-known keys on any chain but a local one.
    pub fn ensure_fit_for(&self, chain_id: u64) -> Result<()> {
        ensure!(
            !self.local || chain_id == LOCAL_CHAIN_ID,
            "chain {chain_id}: Anvil's well-known keys are refused on any chain but {LOCAL_CHAIN_ID}; give --keys FILE"
        );
        Ok(())
    }

    /// Deploys, posts, settles and pays gas.
    pub fn operator(&self) -> &PrivateKeySigner {
        &self.operator
    }

    /// The key of an owner or driver (one person, one key) by name in the scenario.
    pub fn person(&self, name: &str) -> Result<PrivateKeySigner> {
        self.derive("person", name)
    }

    /// The key in the meter of an asset.
    pub fn meter(&self, asset: &str) -> Result<PrivateKeySigner> {
        self.derive("meter", asset)
    }

    /// The address of [`Keyring::meter`].
    pub fn meter_address(&self, asset: &str) -> Result<Address> {
        Ok(self.meter(asset)?.address())
    }

    fn derive(&self, role: &str, name: &str) -> Result<PrivateKeySigner> {
        let secret = keccak256([self.seed.as_slice(), role.as_bytes(), &[0], name.as_bytes()].concat());
        PrivateKeySigner::from_bytes(&secret).context("derived key out of range")
    }
}

fn secret_text(path: &Path) -> Result<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(path).with_context(|| format!("{}: cannot read", path.display()))?.permissions().mode();
        ensure!(mode & 0o077 == 0, "{}: expected a file that only its owner can read (chmod 600)", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))
}

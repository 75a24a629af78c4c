//! Where the contracts are, and how they come to be there: by CREATE2 through the deterministic deployment proxy, so that
//! the same salt and arguments give the same addresses on every chain, and what is there already is known by its address.

use super::bytecode::{self, LIBRARY_SALT, PROXY};
use super::transact::Draft;
use super::{Chain, verify};
use crate::abi::{IAssetRegistry, ISettlement};
use alloy::primitives::{Address, B256, Bytes, U256, bytes, hex};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolValue;
use anyhow::{Context, Result, anyhow, bail, ensure};
use optimizer::units::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// A foreign chain may take a few blocks for all transactions.
pub(super) const MINING_TIMEOUT: Duration = Duration::from_secs(180);
/// The registry's MAX_PROTOCOL_FEE_BPS.
pub const FEE_BPS_MAX: u16 = 500;
/// Base cost of a creation, and room for the constructors' writes and events.
const GAS_CREATION: u64 = 500_000;
/// A byte of the transaction costs at most 40 gas (EIP-7623), as creation code 2 gas a word more.
const GAS_BYTE_SENT: u64 = 41;
/// A byte of deployed code costs 200 gas; and it was copied.
const GAS_BYTE_KEPT: u64 = 210;
/// Contracts that another makes in its constructor, in order.
const MADE: [(&str, &[&str]); 2] =
    [("AssetRegistry", &["Dispatch"]), ("Settlement", &["FlexibilityToken", "Bookings"])];

/// What the proxy's account holds where it is deployed.
const PROXY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);
/// Who signed the transaction below; nobody has the key.
const PROXY_DEPLOYER: &str = "0x3fab184622dc19b6109349b94811493bf45362f7";
/// The transaction that deploys the proxy, signed once for all chains.
const PROXY_TRANSACTION: Bytes = bytes!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);

/// What a deployment follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// Of all contracts; the libraries' is zero.
    pub salt: B256,
    /// Who may pause new sessions and bookings.
    pub guardian: Address,
    /// Who receives the protocol's fee; zero where there is none.
    pub fee_recipient: Address,
    /// The protocol's share of every bill, basis points.
    pub fee_bps: u16,
    /// Token in which everything is paid; `None` makes one with a faucet.
    pub credit: Option<Address>,
    /// Whose the faucet is; means nothing with a token of others.
    pub minter: Address,
    /// Who says which intervals were dispatched by certified plans; zero where that is the `Plans` of this deployment.
    pub certificates: Address,
}

impl Arguments {
    /// Everything by `operator`: it guards, and its faucet makes the money. No protocol fee.
    pub fn of(operator: Address) -> Self {
        Self {
            salt: B256::ZERO,
            guardian: operator,
            fee_recipient: Address::ZERO,
            fee_bps: 0,
            credit: None,
            minter: operator,
            certificates: Address::ZERO,
        }
    }

    /// Contracts of its own for every run on the same chain: a fresh day finds no sessions and no money of the one before.
    pub async fn of_a_run(chain: &Chain) -> Result<Self> {
        let salt = B256::from(U256::from(chain.next_nonce().await?));
        Ok(Self { salt, ..Self::of(chain.operator()) })
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.fee_bps <= FEE_BPS_MAX, "fee: {} basis points, at most {FEE_BPS_MAX}", self.fee_bps);
        ensure!(
            self.fee_bps == 0 || !self.fee_recipient.is_zero(),
            "fee: {} basis points, and nobody to receive them",
            self.fee_bps
        );
        ensure!(self.credit != Some(Address::ZERO), "credit: the zero address is no token");
        Ok(())
    }
}

/// The contracts' addresses on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The chain.
    pub chain_id: u64,
    /// Block of the registry: there is nothing to look for before it.
    pub block: u64,
    /// Credit token.
    pub credit: Address,
    /// Asset registry.
    pub registry: Address,
    /// The registry in pages.
    pub views: Address,
    /// Dispatch; made by the registry.
    pub dispatch: Address,
    /// Settlement.
    pub settlement: Address,
    /// Bookings; made by Settlement.
    pub bookings: Address,
    /// Flexibility token; made by Settlement.
    pub flexibility: Address,
    /// What verifies certificates where a site's owner names no other.
    pub verifier: Address,
    /// Plans.
    pub plans: Address,
    /// What Settlement is linked to, by name.
    pub libraries: BTreeMap<String, Address>,
    /// What the addresses follow from.
    pub arguments: Arguments,
}

/// One contract that the proxy makes.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) address: Address,
    salt: B256,
    init_code: Vec<u8>,
    gas_limit: u64,
}

impl Step {
    fn new(name: &'static str, salt: B256, arguments: &[u8]) -> Result<Self> {
        let compiled = bytecode::find(name)?;
        let init_code = [compiled.creation()?.as_slice(), arguments].concat();
        let mut kept = compiled.runtime()?.len();
        for made in MADE.iter().filter(|(maker, _)| *maker == name).flat_map(|(_, made)| *made) {
            kept += bytecode::find(made)?.runtime()?.len();
        }
        let gas_limit = GAS_CREATION + GAS_BYTE_SENT * init_code.len() as u64 + GAS_BYTE_KEPT * kept as u64;
        Ok(Self { name, address: PROXY.create2_from_code(salt, &init_code), salt, init_code, gas_limit })
    }
}

/// The steps of a deployment in order, and the addresses they lead to; the block is not known yet.
pub(super) fn plan(chain_id: u64, arguments: &Arguments) -> Result<(Vec<Step>, Deployment)> {
    arguments.validate()?;
    let mut steps = Vec::new();
    for library in bytecode::libraries() {
        steps.push(Step::new(library.name, LIBRARY_SALT, &[])?);
    }
    let libraries = steps.iter().map(|s| (s.name.to_owned(), s.address)).collect();
    let mut add = |name, encoded: Vec<u8>| -> Result<Address> {
        let step = Step::new(name, arguments.salt, &encoded)?;
        let address = step.address;
        steps.push(step);
        Ok(address)
    };
    let credit = match arguments.credit {
        Some(credit) => credit,
        None => add("CreditToken", arguments.minter.abi_encode())?,
    };
    let fee = U256::from(arguments.fee_bps);
    let registry = add("AssetRegistry", (arguments.guardian, arguments.fee_recipient, fee).abi_encode_params())?;
    let views = add("RegistryViews", registry.abi_encode())?;
    // A contract's first creation has nonce 1 (EIP-161).
    let dispatch = registry.create(1);
    let verifier = add("ScheduleVerifier", dispatch.abi_encode())?;
    let plans = add("Plans", (registry, credit, verifier).abi_encode_params())?;
    let certificates = if arguments.certificates.is_zero() { plans } else { arguments.certificates };
    let settlement = add("Settlement", (registry, credit, certificates).abi_encode_params())?;
    let deployment = Deployment {
        chain_id,
        block: 0,
        credit,
        registry,
        views,
        dispatch,
        settlement,
        flexibility: settlement.create(1),
        bookings: settlement.create(2),
        verifier,
        plans,
        libraries,
        arguments: arguments.clone(),
    };
    Ok((steps, deployment))
}

impl Deployment {
    /// Reads a deployment and makes sure that it is one of this chain: every address has code, and the contracts name one
    /// another.
    pub async fn load(path: &Path, chain: &Chain) -> Result<Self> {
        let deployment = Self::read(path)?;
        deployment.validate(chain).await.with_context(|| format!("{}", path.display()))?;
        Ok(deployment)
    }

    /// Reads a deployment.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{file}: cannot read"))?;
        serde_json::from_str(&text).with_context(|| format!("{file}: no deployment"))
    }

    /// See [`Deployment::load`].
    pub async fn validate(&self, chain: &Chain) -> Result<()> {
        ensure!(
            self.chain_id == chain.id(),
            "a deployment on chain {}, but this is chain {}",
            self.chain_id,
            chain.id()
        );
        for (name, address) in self.addresses() {
            ensure!(chain.has_code(address).await?, "{name}: no contract at {address} on chain {}", self.chain_id);
        }
        let settlement = ISettlement::new(self.settlement, &chain.provider);
        let registry = IAssetRegistry::new(self.registry, &chain.provider);
        let dispatch = registry.dispatch().call().await?;
        ensure!(dispatch == self.dispatch, "registry tells {dispatch} who may post, not {}", self.dispatch);
        for (what, named, wanted) in [
            ("is paid in", settlement.credit().call().await?, self.credit),
            ("rewards in", settlement.flexibility().call().await?, self.flexibility),
            ("asks for bookings at", settlement.bookings().call().await?, self.bookings),
        ] {
            ensure!(named == wanted, "settlement {what} {named}, not {wanted}");
        }
        Ok(())
    }

    /// Who says which intervals were dispatched by certified plans.
    pub fn certificates(&self) -> Address {
        if self.arguments.certificates.is_zero() { self.plans } else { self.arguments.certificates }
    }

    /// Writes it for [`Deployment::load`], in one step, so that a kill leaves no half of it.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))?;
        }
        let temporary = path.with_extension("json.part");
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&temporary, text).with_context(|| format!("{}: cannot write", temporary.display()))?;
        std::fs::rename(&temporary, path).with_context(|| format!("{}: cannot write", path.display()))
    }

    /// All contracts and libraries, by the names that the file gives them.
    pub fn addresses(&self) -> Vec<(&str, Address)> {
        let contracts = [
            ("credit", self.credit),
            ("registry", self.registry),
            ("views", self.views),
            ("dispatch", self.dispatch),
            ("settlement", self.settlement),
            ("bookings", self.bookings),
            ("flexibility", self.flexibility),
            ("verifier", self.verifier),
            ("plans", self.plans),
        ];
        contracts.into_iter().chain(self.libraries.iter().map(|(name, address)| (name.as_str(), *address))).collect()
    }
}

/// What [`deploy`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Where everything is.
    pub deployment: Deployment,
    /// What was not there before, in order.
    pub made: Vec<&'static str>,
}

/// Deploys what is not there yet, and makes sure that everything there is what this program was built with.
pub async fn deploy(chain: &Chain, arguments: &Arguments) -> Result<Deployed> {
    let (steps, mut deployment) = plan(chain.id(), arguments)?;
    if let Some(credit) = arguments.credit {
        ensure!(chain.has_code(credit).await?, "credit: no contract at {credit} on chain {}", chain.id());
    }
    require_proxy(chain).await?;
    let head = chain.head().await?;
    let mut nonce = chain.next_nonce().await?;
    let mut sent: Vec<(&'static str, B256)> = Vec::new();
    // Anvil drops without a word what does not fit into the block that it is told to mine.
    let mut missing = Vec::new();
    for step in &steps {
        if !chain.has_code(step.address).await? {
            missing.push(step);
        }
    }
    let needed: u64 = missing.iter().map(|step| step.gas_limit).sum();
    ensure!(
        !chain.clock_driven() || needed <= head.gas_limit,
        "deploying needs a block of {needed} gas, and those of chain {} hold {}: start Anvil with --gas-limit 300000000",
        chain.id(),
        head.gas_limit
    );
    for step in missing {
        let input = [step.salt.as_slice(), &step.init_code].concat().into();
        let draft = Draft { to: PROXY.into(), value: U256::ZERO, input, gas_limit: step.gas_limit };
        let prepared = chain.sign(&chain.operator, nonce, &head, draft)?;
        chain
            .send(&prepared)
            .await
            .with_context(|| format!("{}: is there gas money on {}?", step.name, chain.operator()))?;
        sent.push((step.name, prepared.hash));
        nonce += 1;
    }
    chain.mine_at(UnixTime(0)).await?;
    let hashes: Vec<B256> = sent.iter().map(|(_, hash)| *hash).collect();
    let outcomes = chain.await_outcomes(&hashes, Instant::now() + MINING_TIMEOUT).await?;
    for ((name, _), outcome) in sent.iter().zip(outcomes) {
        outcome.result.map_err(|reason| anyhow!("{name}: not deployed: {reason}"))?;
    }
    deployment.block = first_block(chain, deployment.registry).await?;
    let findings = verify::verify(chain, &deployment).await?;
    if let Some(finding) = findings.iter().find(|f| f.differs.is_some()) {
        bail!("{} at {}: {}", finding.name, finding.address, finding.differs.as_deref().unwrap_or_default());
    }
    Ok(Deployed { deployment, made: sent.into_iter().map(|(name, _)| name).collect() })
}

/// The registry's constructor says who guards it: its first event.
async fn first_block(chain: &Chain, registry: Address) -> Result<u64> {
    let events = chain.provider.get_logs(&Filter::new().address(registry).from_block(0)).await;
    // A node that does not answer for its whole chain leaves us to look from the beginning, a range at a time.
    Ok(events.ok().and_then(|events| events.iter().filter_map(|e| e.block_number).min()).unwrap_or_default())
}

async fn require_proxy(chain: &Chain) -> Result<()> {
    let code = chain.provider.get_code_at(PROXY).await.context("code of the deployment proxy")?;
    ensure!(
        code.is_empty() || code == PROXY_CODE,
        "chain {}: {PROXY} is not the deterministic deployment proxy that gives the same addresses everywhere",
        chain.id()
    );
    ensure!(
        !code.is_empty(),
        "chain {}: the deterministic deployment proxy is missing at {PROXY}. Send 0.01 of the chain's coin to \
         {PROXY_DEPLOYER}, then the transaction that deploys it, which is signed for every chain that takes transactions \
         without a chain id: `cast publish --rpc-url URL {}`",
        chain.id(),
        hex::encode_prefixed(PROXY_TRANSACTION)
    );
    Ok(())
}

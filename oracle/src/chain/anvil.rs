//! A local chain: Anvil as a child process whose clock the oracle drives.

use crate::keys::LOCAL_CHAIN_ID;
use crate::process;
use anyhow::{Context, Result, bail};
use optimizer::units::UnixTime;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starting takes well under a second on an idle machine; this leaves room for a busy one.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_POLL: Duration = Duration::from_millis(20);
/// States that Anvil keeps in memory, and none on disk. Blocks, receipts and logs are kept regardless.
const STATES_KEPT: &str = "64";
/// Holds a whole site's registration (1,024 assets at about 110,000 gas) in one block.
const BLOCK_GAS_LIMIT: &str = "300000000";

/// How to start an Anvil.
#[derive(Debug, Clone)]
pub struct Options {
    /// Chain id; anything but [`LOCAL_CHAIN_ID`] is for tests.
    pub chain_id: u64,
    /// Time of the genesis block.
    pub genesis: UnixTime,
    /// File that takes what Anvil prints; truncated.
    pub log: PathBuf,
    /// Whether it outlives its [`Anvil`], and a Ctrl-C in the terminal, so that a killed run finds it again.
    pub detached: bool,
}

impl Options {
    /// A chain that ends with its owner.
    pub fn new(genesis: UnixTime, log: impl Into<PathBuf>) -> Self {
        Self { chain_id: LOCAL_CHAIN_ID, genesis, log: log.into(), detached: false }
    }

    /// A chain that stays until [`Anvil::kill`] or [`kill`].
    pub fn detached(self) -> Self {
        Self { detached: true, ..self }
    }
}

/// A running Anvil.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    detached: bool,
    /// Where it answers.
    pub rpc: String,
    /// Process id.
    pub pid: u32,
}

impl Anvil {
    /// Ends it and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.child.kill().context("anvil: cannot be ended")?;
        self.child.wait().context("anvil: cannot be waited for")?;
        Ok(())
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        if !self.detached {
            // It may be gone already, which is what is wanted.
            let _ = self.end();
        }
    }
}

/// Starts Anvil on a free port and waits until it listens. It mines only when told to.
pub fn spawn(options: &Options) -> Result<Anvil> {
    let program = find()?;
    let log = File::create(&options.log).with_context(|| format!("{}: cannot write", options.log.display()))?;
    let mut command = Command::new(&program);
    command
        .args(["--no-mining", "--order", "fifo", "--port", "0", "--hardfork", "osaka"])
        .args(["--gas-limit", BLOCK_GAS_LIMIT, "--prune-history", STATES_KEPT])
        .args(["--timestamp", &options.genesis.0.to_string(), "--chain-id", &options.chain_id.to_string()])
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log);
    #[cfg(unix)]
    if options.detached {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    let child = command.spawn().with_context(|| format!("{}: does not run", program.display()))?;
    let mut anvil = Anvil { pid: child.id(), child, detached: false, rpc: String::new() };
    anvil.rpc = await_listening(&mut anvil.child, &options.log)?;
    anvil.detached = options.detached;
    Ok(anvil)
}

/// Ends an Anvil that an earlier run left behind.
pub fn kill(pid: u32) -> Result<()> {
    process::end(pid, "anvil")
}

/// The child prints its port once it listens.
fn await_listening(child: &mut Child, log: &Path) -> Result<String> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let printed = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(address) = printed.lines().find_map(|line| line.strip_prefix("Listening on ")) {
            return Ok(format!("http://{}", address.trim()));
        }
        if let Some(status) = child.try_wait()? {
            bail!("anvil ended with {status}: {}", printed.trim());
        }
        if Instant::now() > deadline {
            bail!("anvil: not listening after {START_TIMEOUT:?}, see {}", log.display());
        }
        std::thread::sleep(START_POLL);
    }
}

/// `$PROVOLT_ANVIL`, else the packages that `scripts/setup` installs, else the search path.
fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROVOLT_ANVIL") {
        return Ok(path.into());
    }
    let mut starts: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
    starts.extend(std::env::current_exe());
    starts.push(env!("CARGO_MANIFEST_DIR").into());
    for folder in starts.iter().flat_map(|s| s.ancestors()) {
        // The program itself comes before its Node wrapper, which would not pass a kill on.
        for candidate in [native(), Some("node_modules/.bin/anvil".into())].into_iter().flatten() {
            let path = folder.join(candidate);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("anvil"))
        .find(|p| p.is_file())
        .context("anvil not found: run scripts/setup, or set PROVOLT_ANVIL")
}

fn native() -> Option<PathBuf> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("node_modules/@foundry-rs/anvil-{system}-{processor}/bin/anvil").into())
}

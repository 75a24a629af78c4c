//! Compiles `contracts/src` with the settings of `foundry.toml` and leaves the bytecode of every contract that the oracle
//! deploys in `OUT_DIR/<name>.{creation,runtime}`. A folder that did not change is not compiled again.

use anyhow::{Context, Result, bail, ensure};
use foundry_compilers::artifacts::remappings::Remapping;
use foundry_compilers::artifacts::{BytecodeHash, EvmVersion, Optimizer, Settings, SettingsMetadata};
use foundry_compilers::solc::{Solc, SolcCompiler, SolcSettings};
use foundry_compilers::{Artifact, ConfigurableArtifacts, ProjectBuilder, ProjectCompileOutput, ProjectPathsConfig};
use std::path::{Path, PathBuf};

/// What the oracle deploys; Settlement deploys the flexibility token itself.
const CONTRACTS: [&str; 5] = ["CreditToken", "FlexibilityToken", "AssetRegistry", "Dispatch", "Settlement"];

fn main() -> Result<()> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().context("oracle/ has no parent folder")?;
    let out = PathBuf::from(std::env::var("OUT_DIR").context("OUT_DIR")?);
    for path in ["contracts/src", "foundry.toml", "package-lock.json", "scripts/solc", "oracle/build.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for package in ["node_modules/solc", "node_modules/@openzeppelin/contracts"] {
        // Named so that a build that failed for want of it starts anew once it is there.
        println!("cargo::rerun-if-changed={}", root.join(package).join("package.json").display());
        ensure!(root.join(package).is_dir(), "{package} is missing: run scripts/setup");
    }
    let output = compile(root)?;
    for name in CONTRACTS {
        let artifact = output.find_first(name).with_context(|| format!("contracts/src: no contract {name}"))?;
        let creation = artifact.get_bytecode_bytes().with_context(|| format!("{name}: no creation bytecode"))?;
        let runtime = artifact.get_deployed_bytecode_bytes().with_context(|| format!("{name}: no runtime bytecode"))?;
        ensure!(!creation.is_empty() && !runtime.is_empty(), "{name}: abstract, or needs a library linked");
        std::fs::write(out.join(format!("{name}.creation")), &creation[..])?;
        std::fs::write(out.join(format!("{name}.runtime")), &runtime[..])?;
    }
    Ok(())
}

fn compile(root: &Path) -> Result<ProjectCompileOutput<SolcCompiler>> {
    let foundry = Foundry::read(&root.join("foundry.toml"))?;
    let sources = root.join(foundry.value("src")?);
    let paths = ProjectPathsConfig::builder()
        .root(root)
        .sources(&sources)
        // Tests and scripts are not ours to compile: folders that hold sources only.
        .tests(&sources)
        .scripts(&sources)
        .libs([root.join("node_modules")])
        .remappings(foundry.remappings(root)?)
        .build()?;
    let settings = Settings {
        optimizer: Optimizer {
            enabled: Some(foundry.value("optimizer")? == "true"),
            runs: Some(foundry.value("optimizer_runs")?.replace('_', "").parse().context("optimizer_runs")?),
            details: None,
        },
        evm_version: Some(foundry.value("evm_version")?.parse::<EvmVersion>().map_err(anyhow::Error::msg)?),
        metadata: Some(SettingsMetadata::new(
            foundry.value("bytecode_hash")?.parse::<BytecodeHash>().map_err(anyhow::Error::msg)?,
            foundry.value("cbor_metadata")? == "true",
        )),
        ..Settings::default()
    };
    let solc =
        Solc::new(root.join(foundry.value("solc")?)).context("scripts/solc: does not run; is node installed?")?;
    let project = ProjectBuilder::<SolcCompiler, ConfigurableArtifacts>::default()
        .paths(paths)
        .settings(SolcSettings { settings, ..SolcSettings::default() })
        .ephemeral()
        .no_artifacts()
        .offline()
        .build(SolcCompiler::Specific(solc))?;
    let output = project.compile().context("contracts/src")?;
    // `compile` succeeds even where solc found errors.
    if output.has_compiler_errors() {
        let errors = output.into_output().errors;
        let errors: Vec<_> = errors.iter().filter(|e| e.is_error()).map(ToString::to_string).collect();
        bail!("contracts/src does not compile:\n{}", errors.join("\n"));
    }
    Ok(output)
}

/// The settings in `foundry.toml`, so that they are written down once. Reads `key = value` lines of the default profile.
struct Foundry(String);

impl Foundry {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let profile = text.split_once("[profile.default]").context("foundry.toml: no [profile.default]")?.1;
        Ok(Self(profile.split("\n[").next().unwrap_or(profile).to_owned()))
    }

    fn value(&self, key: &str) -> Result<&str> {
        let found = self.0.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
        Ok(found.with_context(|| format!("foundry.toml: no {key}"))?.trim().trim_matches('"'))
    }

    fn remappings(&self, root: &Path) -> Result<Vec<Remapping>> {
        let list = self.0.split_once("remappings = [").context("foundry.toml: no remappings")?.1;
        let list = list.split(']').next().unwrap_or(list);
        list.split('"')
            .skip(1)
            .step_by(2)
            .map(|text| {
                let mut remapping: Remapping = text.parse().with_context(|| format!("foundry.toml: {text}"))?;
                remapping.path = root.join(&remapping.path).display().to_string();
                Ok(remapping)
            })
            .collect()
    }
}

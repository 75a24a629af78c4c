//! Compiles `contracts/src` with the settings of `foundry.toml` and leaves, in `OUT_DIR`, the bytecode of every contract that
//! the oracle deploys and of the libraries they are linked to, and `contracts.rs` with what the compiler says of it: where
//! addresses of libraries belong, and where constructors write immutables. Linking is `chain/bytecode.rs`'s. A folder that
//! did not change is not compiled again.

use anyhow::{Context, Result, bail, ensure};
use foundry_compilers::artifacts::remappings::Remapping;
use foundry_compilers::artifacts::{BytecodeHash, BytecodeObject, CompactBytecode, EvmVersion, Optimizer, Settings};
use foundry_compilers::artifacts::{Offsets, SettingsMetadata};
use foundry_compilers::solc::{Solc, SolcCompiler, SolcSettings};
use foundry_compilers::{Artifact, ConfigurableArtifacts, ProjectBuilder, ProjectCompileOutput, ProjectPathsConfig};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is deployed, some by one another. The libraries that these are linked to follow from the compiler.
const CONTRACTS: [&str; 9] = [
    "CreditToken",
    "AssetRegistry",
    "RegistryViews",
    "Dispatch",
    "Settlement",
    "Bookings",
    "FlexibilityToken",
    "ScheduleVerifier",
    "Plans",
];

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
    let mut table = "[\n".to_owned();
    let mut libraries = BTreeSet::new();
    for name in CONTRACTS {
        libraries.extend(leave(&output, name, false, &out, &mut table)?);
    }
    // What libraries are linked to comes with them.
    let mut done = BTreeSet::new();
    while let Some(name) = libraries.difference(&done).next().cloned() {
        libraries.extend(leave(&output, &name, true, &out, &mut table)?);
        done.insert(name);
    }
    std::fs::write(out.join("contracts.rs"), table + "]\n")?;
    Ok(())
}

/// Leaves one contract's bytecode and its line of the table; returns the libraries it is linked to.
fn leave(
    output: &ProjectCompileOutput<SolcCompiler>,
    name: &str,
    library: bool,
    out: &Path,
    table: &mut String,
) -> Result<BTreeSet<String>> {
    let artifact = output.find_first(name).with_context(|| format!("contracts/src: no contract {name}"))?;
    let creation = artifact.get_bytecode().with_context(|| format!("{name}: no creation bytecode"))?;
    let deployed = artifact.get_deployed_bytecode().with_context(|| format!("{name}: no runtime bytecode"))?;
    let runtime = deployed.bytecode.as_ref().with_context(|| format!("{name}: no runtime bytecode"))?;
    let range = |o: &Offsets| format!("({}, {})", o.start, o.length);
    let links = |code: &CompactBytecode| {
        let of_files = code.link_references.values().flatten();
        let places =
            of_files.flat_map(|(library, places)| places.iter().map(move |o| format!("({}, {library:?})", o.start)));
        places.collect::<Vec<_>>().join(", ")
    };
    let immutables: Vec<_> = deployed
        .immutable_references
        .values()
        .map(|places| format!("&[{}]", places.iter().map(range).collect::<Vec<_>>().join(", ")))
        .collect();
    for (part, code) in [("creation", &*creation), ("runtime", runtime)] {
        let bytes = zeroed(code).with_context(|| format!("{name}: {part} bytecode"))?;
        ensure!(!bytes.is_empty(), "{name}: abstract");
        std::fs::write(out.join(format!("{name}.{part}")), bytes)?;
    }
    writeln!(
        table,
        "    Compiled {{ name: {name:?}, library: {library}, \
         creation: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.creation\")), creation_links: &[{}], \
         runtime: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.runtime\")), runtime_links: &[{}], \
         immutables: &[{}] }},",
        links(&creation),
        links(runtime),
        immutables.join(", ")
    )?;
    let both = creation.link_references.values().chain(runtime.link_references.values());
    Ok(both.flat_map(|libraries| libraries.keys().cloned()).collect())
}

/// Bytecode with zeros where addresses of libraries belong.
fn zeroed(code: &CompactBytecode) -> Result<Vec<u8>> {
    let text = match &code.object {
        BytecodeObject::Bytecode(bytes) => return Ok(bytes.to_vec()),
        BytecodeObject::Unlinked(text) => text.trim_start_matches("0x").as_bytes(),
    };
    ensure!(text.len() % 2 == 0, "an odd number of digits");
    let mut text = text.to_vec();
    for place in code.link_references.values().flat_map(|libraries| libraries.values().flatten()) {
        let (start, length) = (2 * place.start as usize, 2 * place.length as usize);
        text.get_mut(start..start + length).context("a library beyond the end")?.fill(b'0');
    }
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).context("not in hex")).collect()
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

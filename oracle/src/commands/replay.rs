//! `provolt replay`: a day of real sessions on the site of a scenario.

use crate::files;
use crate::run::{self, RunOptions};
use anyhow::{Context, Result, bail, ensure};
use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use optimizer::import::{self, FieldSession, Mapping, Series, SeriesFormat};
use optimizer::scenario::{self, Scenario};
use optimizer::site::AssetKind;
use optimizer::units::Watts;
use std::io::Read;
use std::path::{Path, PathBuf};

/// EUR/MWh (or any currency's) in micro per kWh.
const PRICE_SCALE: i64 = 1000;

/// How the session file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON as the ACN-Data interface gives it.
    AcnJson,
    /// CSV, with --map to say which column means what.
    Csv,
}

/// Runs a day of real sessions on the site of a scenario.
///
/// Example, a day of ACN-Data with a day of market prices and of measured PV:
///   provolt replay caltech.csv.gz --date 2019-05-07 --map acn-csv --site data/scenarios/campus \
///     --price prices.csv --price-columns time,price_eur_mwh --price-date 2020-05-12 --price-zone Europe/Berlin
#[derive(Args, Debug, Clone)]
#[command(verbatim_doc_comment)]
pub struct ReplayArgs {
    /// Session file; `-` reads standard input.
    pub sessions: PathBuf,
    /// Local day to replay.
    #[arg(long)]
    pub date: NaiveDate,
    /// Scenario whose sites and signals are used.
    #[arg(long)]
    pub site: PathBuf,
    /// How the session file is written; by its name where this is not given.
    #[arg(long)]
    pub format: Option<Format>,
    /// Columns of a CSV: `acn-csv`, or target=column,… with the targets arrival, departure, energy_kwh, station, …
    #[arg(long, default_value = "acn-csv")]
    pub map: String,
    /// CSV or Parquet with the day's energy prices per MWh.
    #[arg(long, requires = "price_date")]
    pub price: Option<PathBuf>,
    /// Its columns: time,value.
    #[arg(long, default_value = "time,price_eur_mwh")]
    pub price_columns: String,
    /// Day of the price file to use.
    #[arg(long)]
    pub price_date: Option<NaiveDate>,
    /// Zone whose clock the price file follows, where its times are UTC or have no offset.
    #[arg(long)]
    pub price_zone: Option<String>,
    /// CSV or Parquet with measured PV power in W, for every PV inverter of the site.
    #[arg(long, requires = "pv_date")]
    pub pv: Option<PathBuf>,
    /// Its columns: time,value.
    #[arg(long, default_value = "measured_on,ac_power")]
    pub pv_columns: String,
    /// Day of the PV file to use.
    #[arg(long)]
    pub pv_date: Option<NaiveDate>,
    /// Rated power of the measured plant; its values are scaled to the site's inverters.
    #[arg(long, default_value_t = 6000)]
    pub pv_nominal_w: i64,
    /// Learns drivers' habits from the sessions of the days before.
    #[arg(long)]
    pub learn: bool,
    /// Writes the scenario into this folder and does not run it.
    #[arg(long)]
    pub write: Option<PathBuf>,
    /// How to run.
    #[command(flatten)]
    pub options: RunOptions,
}

/// Builds the scenario and runs it, or writes it.
pub async fn run(args: ReplayArgs) -> Result<()> {
    let (template, _) = files::load_scenario(&args.site)?;
    let sessions = read_sessions(&args)?;
    let file = args.sessions.display().to_string();
    let options = import::Options { file, ..import::Options::default() };
    let (mut scenario, warnings) = import::place(&sessions, &template, args.date, &options);
    for warning in warnings {
        run::say(&format!("warning: {warning}"));
    }
    if scenario.sessions.is_empty() {
        let days = import::days(&sessions);
        let near: Vec<_> = days.iter().map(|(day, count)| format!("{day} ({count})")).take(10).collect();
        bail!("{}: no session of {} fits; the file has {}", args.sessions.display(), args.date, near.join(", "));
    }
    scenario.name = format!("{}-{}", template.name, args.date);
    if args.learn {
        scenario.history = Some(import::past(&sessions, &template, args.date));
    }
    replace_series(&args, &mut scenario)?;
    match &args.write {
        Some(folder) => write(&scenario, folder),
        None => run::run_scenario(args.options, scenario).await,
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    done.with_context(|| format!("{}: cannot read", path.display()))?;
    Ok(bytes)
}

fn read_sessions(args: &ReplayArgs) -> Result<Vec<FieldSession>> {
    let bytes = read(&args.sessions)?;
    let name = args.sessions.display().to_string();
    let by_name = if name.trim_end_matches(".gz").ends_with(".json") { Format::AcnJson } else { Format::Csv };
    Ok(match args.format.unwrap_or(by_name) {
        Format::AcnJson => import::acn_json(&name, &bytes)?,
        Format::Csv => import::csv(&name, &bytes, &args.map.parse::<Mapping>()?)?,
    })
}

fn series_format(columns: &str, scale: i64, zone: Option<&str>) -> Result<SeriesFormat> {
    let (time, value) =
        columns.split_once(',').with_context(|| format!("{columns}: expected two columns, time,value"))?;
    let zone = zone.map(|z| z.parse().map_err(|_| anyhow::anyhow!("{z}: expected an IANA time zone"))).transpose()?;
    Ok(SeriesFormat { time: time.to_owned(), value: value.to_owned(), scale, zone, ..SeriesFormat::default() })
}

fn read_series(path: &Path, format: &SeriesFormat) -> Result<Series> {
    let series = import::series(&path.display().to_string(), &read(path)?, format)?;
    for warning in series.warnings() {
        run::say(&format!("warning: {warning}"));
    }
    Ok(series)
}

fn replace_series(args: &ReplayArgs, scenario: &mut Scenario) -> Result<()> {
    if let (Some(path), Some(date)) = (&args.price, args.price_date) {
        let format = series_format(&args.price_columns, PRICE_SCALE, args.price_zone.as_deref())?;
        let prices = read_series(path, &format)?;
        import::replace_price(scenario, &prices, date)?;
    }
    if let (Some(path), Some(date)) = (&args.pv, args.pv_date) {
        let format = series_format(&args.pv_columns, 1, None)?;
        let powers = read_series(path, &format)?;
        let assets = scenario.sites.iter().flat_map(|s| &s.assets);
        let inverters: Vec<_> = assets.filter(|a| a.kind == AssetKind::Pv).map(|a| a.id.clone()).collect();
        ensure!(!inverters.is_empty(), "--pv: the site has no PV inverter");
        for id in inverters {
            import::replace_power(scenario, &id, &powers, date, Some(Watts(args.pv_nominal_w)))?;
        }
    }
    Ok(())
}

fn write(scenario: &Scenario, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))?;
    for (name, bytes) in scenario::write(scenario) {
        files::write_whole(&folder.join(name), &bytes)?;
    }
    run::say(&format!("scenario with {} sessions: {}", scenario.sessions.len(), folder.display()));
    Ok(())
}

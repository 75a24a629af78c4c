//! `provolt replay`: a day of real sessions on the site of a scenario.

use crate::files;
use crate::run::{self, RunOptions};
use anyhow::{Context, Result, anyhow, bail, ensure};
use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use optimizer::import::{self, Mapping, Recorded, Series, SeriesFormat};
use optimizer::scenario::{self, Scenario};
use optimizer::site::AssetKind;
use optimizer::units::Watts;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No tariff's dearest hour is cheaper, micro per kWh: 5 EUR/MWh.
const PRICE_LOW: i64 = 5_000;
/// No tariff is dearer half of its time, micro per kWh.
const PRICE_HIGH: i64 = 3_000_000;

/// How the session file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON as the ACN-Data interface gives it.
    AcnJson,
    /// CSV, with --map to say which column means what.
    Csv,
}

/// What prices of a file are counted in, in any currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PriceUnit {
    /// EUR/MWh.
    PerMwh,
    /// EUR/kWh.
    PerKwh,
    /// Hundredths: ct/kWh, pence per kWh.
    CentsPerKwh,
}

impl PriceUnit {
    /// What makes a price micro per kWh.
    fn scale(self) -> i64 {
        match self {
            Self::PerMwh => 1_000,
            Self::PerKwh => 1_000_000,
            Self::CentsPerKwh => 10_000,
        }
    }

    /// What the name of a column says.
    fn of(column: &str) -> Option<Self> {
        let name = column.to_lowercase();
        let cents = ["ct", "cent", "cents", "pence", "p", "penny"];
        let is_cents = name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| cents.contains(&word));
        match (name.contains("mwh"), name.contains("kwh")) {
            (true, _) => Some(Self::PerMwh),
            (_, true) if is_cents => Some(Self::CentsPerKwh),
            (_, true) => Some(Self::PerKwh),
            _ => None,
        }
    }
}

/// What powers of a file are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PowerUnit {
    /// W.
    W,
    /// kW.
    Kw,
}

impl PowerUnit {
    /// What makes a power W.
    fn scale(self) -> i64 {
        match self {
            Self::W => 1,
            Self::Kw => 1_000,
        }
    }

    /// What the name of a column says.
    fn of(column: &str) -> Option<Self> {
        let name = column.to_lowercase();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        words.find_map(|word| match word {
            "w" => Some(Self::W),
            "kw" => Some(Self::Kw),
            _ => None,
        })
    }
}

/// Runs a day of real sessions on the site of a scenario.
///
/// Files may be separated by commas, semicolons or tabs. Times are read as 2026-06-14 08:25:00, 14.06.2026 08:25, with T,
/// offset, UTC, AM or PM, or unix seconds; of 03/04/2026 a format says what comes first (`%d/%m/%Y %H:%M`), unless a day
/// of the file does. A row that cannot be read is left out with a warning.
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
    /// Columns of a CSV: `acn-csv`, or target=column,… with the targets arrival, departure, energy_kwh, station, …; also
    /// zone=IANA/Zone and time_format=%d/%m/%Y %H:%M.
    #[arg(long, default_value = "acn-csv")]
    pub map: String,
    /// CSV or Parquet with the day's energy prices.
    #[arg(long, requires = "price_date")]
    pub price: Option<PathBuf>,
    /// Its columns: time,value. Quote one whose name has a comma.
    #[arg(long, default_value = "time,price_eur_mwh")]
    pub price_columns: String,
    /// Day of the price file to use.
    #[arg(long)]
    pub price_date: Option<NaiveDate>,
    /// Zone whose clock the price file follows, where its times are UTC or have no offset.
    #[arg(long)]
    pub price_zone: Option<String>,
    /// Unit of its prices; what its column says, or per MWh, where this is not given.
    #[arg(long)]
    pub price_unit: Option<PriceUnit>,
    /// How its times are written, for example `%d/%m/%Y %H:%M`.
    #[arg(long)]
    pub price_time_format: Option<String>,
    /// CSV or Parquet with measured PV power, for every PV inverter of the site.
    #[arg(long, requires = "pv_date")]
    pub pv: Option<PathBuf>,
    /// Its columns: time,value. Quote one whose name has a comma.
    #[arg(long, default_value = "measured_on,ac_power")]
    pub pv_columns: String,
    /// Day of the PV file to use.
    #[arg(long)]
    pub pv_date: Option<NaiveDate>,
    /// Zone whose clock the PV file follows, where its times are UTC or have no offset.
    #[arg(long)]
    pub pv_zone: Option<String>,
    /// Unit of its powers; what its column says, or W, where this is not given.
    #[arg(long)]
    pub pv_unit: Option<PowerUnit>,
    /// How its times are written, for example `%d/%m/%Y %H:%M`.
    #[arg(long)]
    pub pv_time_format: Option<String>,
    /// Rated power of the measured plant; its values are scaled to the site's inverters.
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
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
    sessions.warnings.iter().for_each(warn);
    let file = args.sessions.display().to_string();
    let options = import::Options { file, ..import::Options::default() };
    let (mut scenario, warnings) = import::place(&sessions, &template, args.date, &options);
    warnings.iter().for_each(warn);
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

fn read_sessions(args: &ReplayArgs) -> Result<Recorded> {
    let bytes = read(&args.sessions)?;
    let name = args.sessions.display().to_string();
    let by_name = if name.trim_end_matches(".gz").ends_with(".json") { Format::AcnJson } else { Format::Csv };
    Ok(match args.format.unwrap_or(by_name) {
        Format::AcnJson => import::acn_json(&name, &bytes)?,
        Format::Csv => import::csv(&name, &bytes, &args.map.parse::<Mapping>()?)?,
    })
}

fn warn(warning: impl Display) {
    run::say(&format!("warning: {warning}"));
}

/// A series of `--price` or `--pv`, as its options say: two columns with a comma between, of which one that has a comma
/// itself is quoted, a zone and a notation of times. Its values are not scaled yet.
fn series_format(option: &str, columns: &str, zone: Option<&str>, time_format: Option<&str>) -> Result<SeriesFormat> {
    let mut reader = csv::ReaderBuilder::new();
    let mut records = reader.has_headers(false).trim(csv::Trim::All).from_reader(columns.as_bytes()).into_records();
    let record = records.next().transpose()?.unwrap_or_default();
    let mut names = record.iter().map(str::to_owned);
    let (Some(time), Some(value), None) = (names.next(), names.next(), names.next()) else {
        bail!("{option}-columns {columns}: expected two columns, time,value; one whose name has a comma in quotes")
    };
    let parse = |zone: &str| zone.parse().map_err(|_| anyhow!("{option}-zone {zone}: expected an IANA time zone"));
    let zone = zone.map(parse).transpose()?;
    Ok(SeriesFormat { time, value, zone, time_format: time_format.map(str::to_owned), ..SeriesFormat::default() })
}

/// Reads a series and says what is to be known of it.
fn read_series(option: &str, path: &Path, format: &SeriesFormat, clock: &str) -> Result<Series> {
    let series = import::series(&path.display().to_string(), &read(path)?, format)?;
    series.warnings().iter().for_each(warn);
    if series.is_utc() && format.zone.is_none() && clock != "UTC" {
        let file = path.display();
        warn(format!("{file}: its times are UTC, and so is its day: {option}-zone names another clock"));
    }
    Ok(series)
}

fn replace_series(args: &ReplayArgs, scenario: &mut Scenario) -> Result<()> {
    let clock = scenario.sites.first().map(|site| site.time_zone.clone()).unwrap_or_default();
    if let (Some(path), Some(date)) = (&args.price, args.price_date) {
        let (zone, notation) = (args.price_zone.as_deref(), args.price_time_format.as_deref());
        let mut format = series_format("--price", &args.price_columns, zone, notation)?;
        let unit = args.price_unit.or(PriceUnit::of(&format.value)).unwrap_or(PriceUnit::PerMwh);
        format.scale = unit.scale();
        let prices = read_series("--price", path, &format, &clock)?;
        let (median, peak) = (prices.median(), prices.peak());
        if (1..PRICE_LOW).contains(&peak) || median > PRICE_HIGH {
            let (file, unit) = (path.display(), unit.to_possible_value().map(|v| v.get_name().to_owned()));
            warn(format!(
                "{file}: half of the prices are above {median} micro per kWh and the dearest is {peak}: are they not {} \
                 (--price-unit)?",
                unit.unwrap_or_default()
            ));
        }
        import::replace_price(scenario, &prices, date)?;
    }
    if let (Some(path), Some(date)) = (&args.pv, args.pv_date) {
        let (zone, notation) = (args.pv_zone.as_deref(), args.pv_time_format.as_deref());
        let mut format = series_format("--pv", &args.pv_columns, zone, notation)?;
        format.scale = args.pv_unit.or(PowerUnit::of(&format.value)).unwrap_or(PowerUnit::W).scale();
        let powers = read_series("--pv", path, &format, &clock)?;
        let assets = scenario.sites.iter().flat_map(|s| &s.assets);
        let inverters: Vec<_> = assets.filter(|a| a.kind == AssetKind::Pv).map(|a| a.id.clone()).collect();
        ensure!(!inverters.is_empty(), "--pv: the site has no PV inverter");
        let mut said = BTreeSet::new();
        for id in inverters {
            let warnings = import::replace_power(scenario, &id, &powers, date, Some(Watts(args.pv_nominal_w)))?;
            said.extend(warnings.iter().map(ToString::to_string));
        }
        said.iter().for_each(|warning| warn(format!("{warning} (--pv-unit, --pv-nominal-w)")));
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

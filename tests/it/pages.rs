//! The two pages in a real browser: the live page over the real router and socket, `report.html` from a file.

#[path = "../../oracle/src/fake_report.rs"]
mod fake_report;

use anyhow::{Context, Result, ensure};
use optimizer::report::Report;
use optimizer::scenario::Scenario;
use optimizer::signals::Signals;
use optimizer::units::Interval;
use oracle::{http, page, summary};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

/// A browser on a busy machine takes its time to start.
const PATIENCE: Duration = Duration::from_secs(90);

/// A Chromium driven by `page.mjs`, which tells what it sees.
struct Browser {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn open(mode: &str, url: &str) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/page.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([mode, url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node does not start: run scripts/setup")?;
        let input = child.stdin.take().context("stdin")?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        Ok(Self { child, input, lines })
    }

    /// What the page shows now; the browser's own words where it shows nothing.
    async fn sees(&mut self) -> Result<Value> {
        let line =
            tokio::time::timeout(PATIENCE, self.lines.next_line()).await.context("the browser says nothing")??;
        if let Some(line) = line {
            return Ok(serde_json::from_str(&line)?);
        }
        let mut words = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            stderr.read_to_string(&mut words).await?;
        }
        anyhow::bail!("the browser gave up: {words}")
    }
}

fn scenario() -> Scenario {
    let (import_price, feed_in_price, power_w) = (Vec::new(), Vec::new(), BTreeMap::new());
    let signals = Signals { first: Interval(0), import_price, feed_in_price, power_w };
    let (sites, drivers, sessions) = (Vec::new(), Vec::new(), Vec::new());
    Scenario { name: "two-sites".into(), sites, drivers, sessions, signals, history: None }
}

/// Rectangles of the stacked bars: one per source that draws or feeds in an interval.
fn rectangles(report: &Report) -> usize {
    let site = &report.sites[0];
    let planned = if report.finished { 0 } else { site.plan.net_w.len() };
    let count = |series: &optimizer::report::PowerSeries, n: usize| {
        let all = [&series.evse_w, &series.base_w, &series.battery_w, &series.pv_w];
        all.iter().map(|powers| powers.iter().take(n).filter(|w| w.0 != 0).count()).sum::<usize>()
    };
    count(&site.metered, site.metered.net_w.len()) + count(&site.plan, planned)
}

fn check_charts(seen: &Value, report: &Report) -> Result<()> {
    let site = &report.sites[0];
    let number = |key: &str| usize::try_from(seen[key].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let planned = if report.finished { 0 } else { site.plan.net_w.len() };
    let expected = [
        ("metered", site.metered.net_w.len()),
        ("planned", planned),
        ("rects", rectangles(report)),
        ("limits", 1),
        ("prices", 2),
        ("charge", 1),
        ("uncontrolled", usize::from(report.finished)),
        ("sessions", report.sessions.iter().filter(|s| s.site == 0).count()),
        ("cards", if report.finished { 6 } else { 7 }),
        ("plans", site.plans.len()),
        ("unlabelled", 0),
    ];
    for (key, count) in expected {
        ensure!(number(key) == count, "{key}: {} instead of {count}", seen[key]);
    }
    ensure!(seen["errors"] == serde_json::json!([]), "the page complains: {}", seen["errors"]);
    ensure!(seen["overflow"].as_i64().is_some_and(|px| px <= 0), "wider than the window by {}", seen["overflow"]);
    Ok(())
}

#[tokio::test]
async fn the_live_page_follows_the_day() -> Result<()> {
    let [before, after] = [40, 43].map(fake_report::report);
    let (live, watching) = watch::channel(Arc::new(before.clone()));
    let (asking, _asks) = mpsc::channel(1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let router = http::router(watching, Arc::new(scenario()), asking);
    tokio::spawn(http::serve(listener, router, std::future::pending()));

    let mut browser = Browser::open("live", &url)?;
    let seen = browser.sees().await?;
    check_charts(&seen, &before)?;
    ensure!(seen["connection"] == "live", "connection: {}", seen["connection"]);
    let evse = &before.sites[0].evses[0];
    ensure!(evse.power_w.0 == 0 && after.sites[0].evses[0].power_w.0 == 22_000, "the fake day has changed");
    ensure!(seen["rows"][&evse.id][1] == "0.0 kW", "{}", seen["rows"][&evse.id]);

    live.send_replace(Arc::new(after.clone()));
    browser.input.write_all(b"pushed\n").await?;
    let seen = browser.sees().await?;
    check_charts(&seen, &after)?;
    ensure!(seen["sameRow"] == true, "rows are updated in place");
    let row = &seen["rows"][&evse.id];
    ensure!(row[1] == "22.0 kW" && row[8] == "charging", "{row}");
    let foreign = seen["requests"].as_array().context("requests")?.iter();
    let foreign: Vec<_> = foreign.filter(|r| !r.as_str().is_some_and(|r| r.starts_with(&url))).collect();
    ensure!(foreign.is_empty(), "fetched from elsewhere: {foreign:?}");
    Ok(())
}

#[tokio::test]
async fn the_report_is_one_file_that_fetches_nothing() -> Result<()> {
    let report = fake_report::report(96);
    let totals = summary::ChainTotals::default();
    let summary = summary::Summary::from_report(&report, totals, Duration::from_secs(31));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.html");
    std::fs::write(&file, page::render(&report, &summary))?;
    let url = format!("file://{}", file.display());

    let seen = Browser::open("report", &url)?.sees().await?;
    check_charts(&seen, &report)?;
    ensure!(seen["requests"] == serde_json::json!([url]), "requests: {}", seen["requests"]);
    ensure!(seen["title"] == "Provolt · two-sites", "{}", seen["title"]);
    for session in &report.sessions {
        let row = &seen["rows"][&session.id];
        ensure!(row[1] == session.driver.as_str() && row[2] == session.evse.as_str(), "{row}");
    }
    ensure!(seen["tip"].as_str().is_some_and(|tip| tip.starts_with("00:00–00:15")), "tooltip: {}", seen["tip"]);
    Ok(())
}

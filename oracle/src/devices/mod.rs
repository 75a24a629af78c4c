//! The ground as a process: charge points, meters and cars behind real OCPP sockets, and the drivers' phones. The oracle
//! owns scenario time; what stands here follows its ticks, with the physics that the chainless simulation has, and so
//! meters the same watt-hours.

mod faults;
mod link;
mod phone;
mod point;

use crate::keys::Keyring;
use anyhow::{Context, Result, bail};
use optimizer::scenario::Scenario;
use phone::Phone;
use point::Point;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// First pause before something is tried again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the devices need to know.
pub struct Config {
    /// Base URL of the oracle, for example `http://127.0.0.1:8080`.
    pub oracle: String,
    /// What happens on the ground. The oracle tells it to nobody: it holds names, and the future.
    pub scenario: Scenario,
    /// Keys of meters and drivers.
    pub keyring: Keyring,
    /// Seed of the faults to make; `None` makes none.
    pub faults: Option<u64>,
    /// The devices end by themselves when the oracle was out of reach for this long.
    pub give_up: Duration,
}

/// Runs all devices of the scenario until `shutdown`. Fails when the oracle is out of reach for too long.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    let oracle = config.oracle.trim_end_matches('/').to_owned();
    let (http, scenario) = (reqwest::Client::new(), config.scenario);
    tokio::pin!(shutdown);
    let phone = Arc::new(Phone { http, oracle: oracle.clone(), keyring: config.keyring });
    let (stop, stopped) = watch::channel(false);
    let mut links = JoinSet::new();
    for point in points(&scenario, &phone.keyring)? {
        let settings = link::Settings {
            url: link::url(&oracle, point.id())?,
            faults: config.faults.map(|seed| faults::Faults::new(seed, point.id())),
            give_up: config.give_up,
        };
        links.spawn(link::run(point, settings, phone.clone(), stopped.clone()));
    }
    tracing::info!(scenario = scenario.name, points = links.len(), "devices are up");
    let outcome = tokio::select! {
        () = &mut shutdown => Ok(()),
        Some(ended) = links.join_next() => ended.context("a charge point died")?,
    };
    // Those that still run close their connections in order.
    stop.send_replace(true);
    while links.join_next().await.is_some() {}
    outcome
}

/// All charge points and gateways, with the assets behind each in the order of their connectors.
fn points(scenario: &Scenario, keyring: &Keyring) -> Result<Vec<Point>> {
    let mut assets: BTreeMap<String, BTreeMap<u32, _>> = BTreeMap::new();
    for site in &scenario.sites {
        for (lane, asset) in site.assets.iter().enumerate() {
            let (point, connector) = site.connection(lane);
            if assets.entry(point.clone()).or_default().insert(connector, asset).is_some() {
                bail!("{point}: two assets at connector {connector}");
            }
        }
    }
    assets.into_iter().map(|(id, assets)| Point::new(id, assets, scenario, keyring)).collect()
}

/// A path segment or query value of a URL.
fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;

//! `history.csv`: sessions that were over before the day begins, which habits are learned from.

use super::error::ScenarioError;
use super::people::{CAPACITY_MAX_WH, later, local_time, utc};
use super::table::{Row, Table};
use super::{SITE_FILE, Scenario};
use crate::session::PastSession;
use crate::units::WattHours;

pub(crate) const HISTORY_COLUMNS: [&str; 4] = ["site", "arrival", "unplugged", "delivered_wh"];
pub(crate) const HISTORY_OPTIONAL: [&str; 3] = ["driver", "departure", "energy_wh"];

/// Reads the past of the sites in `scenario`, in the order of the file.
pub(super) fn parse((name, bytes): (&str, &[u8]), scenario: &Scenario) -> Result<Vec<PastSession>, ScenarioError> {
    let table = Table::read(name, bytes)?;
    table.check_columns(&HISTORY_COLUMNS, &HISTORY_OPTIONAL)?;
    table.rows().map(|row| past_session(row, scenario)).collect()
}

fn past_session(row: Row<'_>, scenario: &Scenario) -> Result<PastSession, ScenarioError> {
    let ids = scenario.sites.iter().map(|site| site.id.as_str());
    let site = &scenario.sites[row.cell("site").one_of(&format!("a site in {SITE_FILE}"), ids)?];
    let (driver, departure, energy) = (row.cell("driver"), row.cell("departure"), row.cell("energy_wh"));
    let arrival = local_time(row.cell("arrival"), std::iter::once(site))?;
    let unplugged = later(row.cell("unplugged"), arrival, site)?;
    let begins = scenario.signals.first.start();
    if unplugged > begins {
        return Err(row.cell("unplugged").fail(format!("a time before the day of the scenario, {}", utc(begins))));
    }
    let energy_wh = |cell: super::table::Cell<'_>, least| cell.integer(least..=CAPACITY_MAX_WH, "energy in Wh");
    Ok(PastSession {
        site: site.id.clone(),
        driver: if driver.is_empty() { String::new() } else { driver.name()?.to_owned() },
        arrival,
        unplugged,
        departure: if departure.is_empty() { None } else { Some(later(departure, arrival, site)?) },
        energy_wh: if energy.is_empty() { None } else { Some(WattHours(energy_wh(energy, 1)?)) },
        delivered_wh: WattHours(energy_wh(row.cell("delivered_wh"), 0)?),
    })
}

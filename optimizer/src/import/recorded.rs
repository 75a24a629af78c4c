//! What was read of a session file: its sessions, and what to know about those that were not.

use super::FieldSession;
use crate::scenario::{ScenarioError, Warning};
use crate::units::WattHours;
use std::ops::Deref;

/// Rows that a warning names one by one; it counts the others.
const NAMED: usize = 3;
/// Half of the sessions take less: kWh that were taken for Wh.
const SMALL_WH: WattHours = WattHours(200);
/// Half of the sessions take more: Wh that were taken for kWh.
const LARGE_WH: WattHours = WattHours(400_000);

/// The sessions of a file, and what whoever uses them should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// In the order of the file.
    pub sessions: Vec<FieldSession>,
    /// Rows left out, and numbers that are probably wrong by a unit.
    pub warnings: Vec<Warning>,
}

impl Deref for Recorded {
    type Target = [FieldSession];

    fn deref(&self) -> &[FieldSession] {
        &self.sessions
    }
}

impl Recorded {
    /// Keeps what could be read of `rows` and warns of the rest.
    ///
    /// # Errors
    /// The first fault, where no row could be read.
    pub(super) fn of(
        file: &str,
        what: &str,
        rows: impl Iterator<Item = Result<FieldSession, ScenarioError>>,
    ) -> Result<Self, ScenarioError> {
        let (mut recorded, mut faults) = (Self::default(), Vec::new());
        for row in rows {
            match row {
                Ok(session) => recorded.sessions.push(session),
                Err(fault) => faults.push(fault),
            }
        }
        if recorded.sessions.is_empty() {
            // A file without rows has no fault.
            return faults.into_iter().next().map_or(Ok(recorded), Err);
        }
        if !faults.is_empty() {
            let all = recorded.sessions.len() + faults.len();
            let first: Vec<String> = faults.iter().take(NAMED).map(ToString::to_string).collect();
            let text = format!("{} of {all} {what} are left out: {}", faults.len(), first.join("; "));
            let more = if faults.len() > NAMED { "; …" } else { "" };
            recorded.warnings.push(Warning { file: file.to_owned(), line: 0, text: text + more });
        }
        recorded.doubt_unit(file);
        Ok(recorded)
    }

    fn doubt_unit(&mut self, file: &str) {
        let mut energies: Vec<WattHours> =
            self.sessions.iter().map(|session| session.delivered_wh).filter(|energy| energy.0 > 0).collect();
        energies.sort();
        let Some(median) = energies.get(energies.len() / 2).copied() else { return };
        let slip = match median {
            small if small < SMALL_WH => "kWh that are read as Wh",
            large if large > LARGE_WH => "Wh that are read as kWh",
            _ => return,
        };
        let text = format!(
            "half of the sessions took about {median} Wh or {}: {slip}?",
            if median < SMALL_WH { "less" } else { "more" }
        );
        self.warnings.push(Warning { file: file.to_owned(), line: 0, text });
    }
}

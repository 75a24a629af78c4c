//! A site: one grid connection with everything behind it.

use crate::units::{MicroPerKwh, WattHours, Watts};
use serde::{Deserialize, Serialize};

/// Degrees × 10⁷, as on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north × 10⁷.
    pub latitude_e7: i32,
    /// Degrees east × 10⁷.
    pub longitude_e7: i32,
}

/// One grid connection. `groups` are in preorder (a parent before its children, a subtree as one run) and `assets` in
/// the order of their groups, so that the assets below a group are one run: [`Site::assets_below`]. The index of an
/// asset is its *lane*, here and on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Clear-text id, for example `DE*PVT*QUICKSTART`.
    pub id: String,
    /// Who owns it: a CPO or a private host. A driver of the same name charges free here.
    pub owner: String,
    /// IANA name; times of day in reports are in this zone.
    pub time_zone: String,
    /// Where it is.
    pub position: Position,
    /// Group 0 is the grid connection.
    pub groups: Vec<Group>,
    /// EVSEs, PV inverters, batteries and base-load meters, by lane.
    pub assets: Vec<Asset>,
}

/// Assets behind one cabinet or transformer that share a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Id, unique in the scenario; group 0 has the id of its site.
    pub id: String,
    /// Index of the parent; `None` for group 0 only.
    pub parent: Option<usize>,
    /// Most power the subtree may draw.
    pub limit_import_w: Watts,
    /// Most power the subtree may feed back, as a positive number.
    pub limit_export_w: Watts,
}

/// One asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Clear-text id; for an EVSE in the field's form, for example `DE*PVT*E1*1`.
    pub id: String,
    /// Index of its group.
    pub group: usize,
    /// Most power it can draw or feed; a multiple of 10 W, at most 327,670 W.
    pub rated_w: Watts,
    /// Where it is.
    pub position: Position,
    /// What it is.
    pub kind: AssetKind,
}

/// What an asset is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssetKind {
    /// Serves one car; draws power.
    Evse(Evse),
    /// Feeds power, and can be curtailed. What it could feed comes from the signals.
    Pv,
    /// Draws and feeds power.
    Battery(Battery),
    /// Draws what it likes. How much comes from the signals.
    BaseLoad,
}

/// The part of a charge point that serves one car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evse {
    /// Id of the box with the OCPP connection.
    pub charge_point: String,
    /// OCPP connector id, from 1.
    pub connector: u32,
    /// Least power it can hold when it holds any (6 A per phase, IEC 61851-1).
    pub min_w: Watts,
    /// Phases connected: 1, 2 or 3.
    pub phases: u8,
    /// What a driver pays.
    pub price: MicroPerKwh,
}

/// A stationary battery. Of 100 Wh drawn, `charge_percent` arrive in it; to feed 100 Wh, `discharge_percent` leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Battery {
    /// Usable capacity.
    pub capacity_wh: WattHours,
    /// Content at the start of the scenario.
    pub start_wh: WattHours,
    /// Wh stored per 100 Wh drawn (95: 5 % lost).
    pub charge_percent: i64,
    /// Wh taken from store per 100 Wh fed (105: 5 % lost).
    pub discharge_percent: i64,
}

/// What the books of a battery count in, to a Wh: percentages of whole Wh are whole there.
pub const CONTENT_PER_WH: i64 = 100;

impl Battery {
    /// What a battery that held `content` holds after `energy` was drawn, or fed where it is negative; both contents in
    /// hundredths of a Wh. What finds no room was not stored, and what was not there was not fed.
    pub fn content_after(&self, content: i64, energy: WattHours) -> i64 {
        let percent = if energy > WattHours::ZERO { self.charge_percent } else { self.discharge_percent };
        (content + percent * energy.0).clamp(0, CONTENT_PER_WH * self.capacity_wh.0)
    }
}

impl Site {
    /// Groups below `group`, itself included: one run, because groups are in preorder.
    pub fn groups_below(&self, group: usize) -> std::ops::Range<usize> {
        let mut end = group + 1;
        while end < self.groups.len() && self.groups[end].parent.is_some_and(|p| p >= group) {
            end += 1;
        }
        group..end
    }

    /// Lanes of the assets below `group`: one run, because assets are in the order of their groups.
    pub fn assets_below(&self, group: usize) -> std::ops::Range<usize> {
        let groups = self.groups_below(group);
        let first = self.assets.partition_point(|a| a.group < groups.start);
        let end = self.assets.partition_point(|a| a.group < groups.end);
        first..end
    }

    /// `group` and every group above it, up to the grid connection.
    pub fn path_to_root(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(group), |&g| self.groups[g].parent)
    }

    /// OCPP identity of the site's gateway, which connects every asset that is no EVSE: its connector `n` is the `n`-th of
    /// them in lane order, from 1.
    pub fn gateway(&self) -> String {
        format!("GW-{}", self.id.replace('*', "-"))
    }

    /// Where the asset of `lane` is connected: OCPP identity and connector.
    pub fn connection(&self, lane: usize) -> (String, u32) {
        if let AssetKind::Evse(evse) = &self.assets[lane].kind {
            return (evse.charge_point.clone(), evse.connector);
        }
        let before = self.assets[..lane].iter().filter(|a| !matches!(a.kind, AssetKind::Evse(_))).count();
        (self.gateway(), u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// By lane: what an EVSE may draw when nobody can tell it otherwise. Every group's limit, less the rated base load
    /// behind it, is shared equally among its EVSEs, so that all of them together fit every limit; a share below an
    /// EVSE's minimum is none.
    pub fn safe_w(&self) -> Vec<Watts> {
        let is_base = |a: &&Asset| a.kind == AssetKind::BaseLoad;
        let share = |group: usize| {
            let assets = &self.assets[self.assets_below(group)];
            let base: Watts = assets.iter().filter(is_base).map(|a| a.rated_w).sum();
            let evses = assets.iter().filter(|a| matches!(a.kind, AssetKind::Evse(_))).count().max(1);
            (self.groups[group].limit_import_w - base).0.max(0) / i64::try_from(evses).unwrap_or(i64::MAX)
        };
        let shares: Vec<_> = (0..self.groups.len()).map(share).collect();
        let safe = |asset: &Asset| match &asset.kind {
            AssetKind::Evse(evse) => {
                let least = self.path_to_root(asset.group).map(|g| shares[g]).min().unwrap_or_default();
                let power = Watts(least).min(asset.rated_w).floor_to_step();
                if power < evse.min_w { Watts::ZERO } else { power }
            }
            _ => Watts::ZERO,
        };
        self.assets.iter().map(safe).collect()
    }

    /// EVSEs with their lanes.
    pub fn evses(&self) -> impl Iterator<Item = (usize, &Asset, &Evse)> {
        self.assets.iter().enumerate().filter_map(|(lane, asset)| match &asset.kind {
            AssetKind::Evse(evse) => Some((lane, asset, evse)),
            _ => None,
        })
    }
}

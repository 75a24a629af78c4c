//! The day as data for people: see [`crate::report`].

use super::Controller;
use super::site::{Record, SiteState};
use crate::forecast::score::Score;
use crate::report::{EvseReport, PowerSeries, Report, SiteReport, grid_cost, mean_w};
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::site::{AssetKind, Site};
use crate::units::{Interval, Micro, WattHours, Watts};

impl Controller {
    /// Everything known now.
    pub fn report(&self) -> Report {
        let mut sessions: Vec<_> =
            self.stays.iter().filter(|(_, s)| s.was_seen()).map(|(id, s)| s.report(id)).collect();
        sessions.sort_by(|a, b| (a.arrival, &a.evse).cmp(&(b.arrival, &b.evse)));
        let plugged = |site: usize, evse: &str| {
            sessions.iter().position(|s| s.site == site && s.evse == evse && s.unplugged.is_none())
        };
        let signals = &self.scenario.signals;
        let running = Interval::containing(self.now);
        let sites = self.sites.iter().enumerate().map(|(index, site)| {
            let mut report = site.report(signals);
            report.evses = site.evses(running, |evse| plugged(index, evse));
            report
        });
        Report {
            scenario: self.scenario.name.clone(),
            now: self.now,
            first: signals.first,
            intervals: signals.len(),
            finished: self.finished(),
            sites: sites.collect(),
            sessions,
        }
    }
}

impl SiteState {
    fn report(&self, signals: &Signals) -> SiteReport {
        let energies: Vec<_> = self.records.iter().map(|r| r.energy_wh.as_slice()).collect();
        let metered = PowerSeries::of(&self.site, energies.iter().map(|e| e.iter().map(|wh| mean_w(*wh)).collect()));
        let net: Vec<WattHours> = energies.iter().map(|e| e.iter().copied().sum()).collect();
        let sum_of = |sign: i64| WattHours(net.iter().map(|wh| (wh.0 * sign).max(0)).sum());
        SiteReport {
            id: self.site.id.clone(),
            owner: self.site.owner.clone(),
            time_zone: self.site.time_zone.clone(),
            limit_import_w: self.site.groups[0].limit_import_w,
            capacity_wh: self.site.assets.iter().map(capacity_wh).sum(),
            peak_w: metered.net_w.iter().copied().max().unwrap_or_default().max(Watts::ZERO),
            metered,
            uncontrolled_net_w: Vec::new(),
            content_wh: self.records.iter().map(|r| r.content_wh).collect(),
            import_price: signals.import_price.clone(),
            feed_in_price: signals.feed_in_price.clone(),
            plans: self.records.iter().map(|r| r.note.clone()).collect(),
            proofs: self.records.iter().map(|r| r.proof.clone()).collect(),
            refused_readings: self.refused_readings().map(|(t, why)| (t, why.to_owned())).collect(),
            plan_first: self.plan.as_ref().map_or(signals.first, |p| p.first),
            plan: self.plan.as_ref().map(|p| plan_series(&self.site, p)).unwrap_or_default(),
            evses: Vec::new(),
            import_wh: sum_of(1),
            export_wh: sum_of(-1),
            cost: grid_cost(&net, signals),
            cost_uncontrolled: Micro::ZERO,
            peak_uncontrolled_w: Watts::ZERO,
            limit_violations: self.records.iter().map(|r| r.violations).sum(),
            pv_score: self.score(signals, &AssetKind::Pv),
            base_score: self.score(signals, &AssetKind::BaseLoad),
        }
    }

    /// What plans expected of the assets of a kind, against their meters. Sun that a plan left unused tells nothing.
    fn score(&self, signals: &Signals, kind: &AssetKind) -> Score {
        let lanes = self.site.assets.iter().enumerate().filter(|(_, asset)| asset.kind == *kind);
        let of_lane = |(lane, asset): (usize, &crate::site::Asset)| {
            let pair = |(k, record): (usize, &Record)| {
                let interval = signals.first.plus(k);
                let expected = *signals.power_w.get(&asset.id)?.get(signals.index(interval)?)?;
                let all =
                    *kind != AssetKind::Pv || Watts::ZERO - self.setpoint(lane, interval) >= expected.floor_to_step();
                all.then(|| (expected, Watts(mean_w(record.energy_wh[lane]).0.abs())))
            };
            Score::of(self.records.iter().enumerate().filter_map(pair))
        };
        lanes.map(of_lane).fold(Score::default(), |mut sum, score| {
            sum += score;
            sum
        })
    }

    fn evses(&self, running: Interval, session: impl Fn(&str) -> Option<usize>) -> Vec<EvseReport> {
        let last = self.records.last();
        let evse = |lane: usize| EvseReport {
            id: self.site.assets[lane].id.clone(),
            power_w: last.map_or(Watts::ZERO, |r| mean_w(r.energy_wh[lane])),
            setpoint_w: self.setpoint(lane, running),
            rated_w: self.site.assets[lane].rated_w,
            session: session(&self.site.assets[lane].id),
        };
        self.site.evses().map(|(lane, _, _)| evse(lane)).collect()
    }
}

fn capacity_wh(asset: &crate::site::Asset) -> WattHours {
    match &asset.kind {
        AssetKind::Battery(battery) => battery.capacity_wh,
        _ => WattHours::ZERO,
    }
}

fn plan_series(site: &Site, plan: &Schedule) -> PowerSeries {
    let horizon = plan.power_w.first().map_or(0, Vec::len);
    PowerSeries::of(site, (0..horizon).map(|k| plan.column(k)))
}

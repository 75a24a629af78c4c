//! The registry's state at any moment, rebuilt from its events. Other checks ask it who had which right, which limit held and
//! which meter counted when something was done.

mod questions;

use super::facts::At;
use super::report::{Kind, Tally};
use crate::abi::IAssetRegistry::{self, IAssetRegistryEvents};
use crate::abi::{Access, Asset, AssetKind, Group, Standing, Status, Tariff};
use crate::signing;
use alloy::primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::abi::{RIGHT_DISPATCH, RIGHT_METER, RIGHT_PLAN, RIGHT_SETTLE};

const ALL_RIGHTS: u8 = RIGHT_DISPATCH | RIGHT_METER | RIGHT_SETTLE | RIGHT_PLAN;
const BPS: u16 = 10_000;
/// The highest rating that fits a lane.
const RATED_W_MAX: u32 = 327_670;

/// A site.
#[derive(Debug, Clone)]
pub struct SiteBook {
    /// Clear-text id.
    pub name: String,
    /// Owner.
    pub owner: Address,
    /// Who runs it; zero when the owner does.
    pub operator: Address,
    /// The operator's share.
    pub operator_fee_bps: u16,
    /// The driver's share of the worth of flexibility.
    pub reward_bps: u16,
    /// Highest node price at which flexibility is worth anything more.
    pub reward_cap: u64,
    /// Groups, in preorder.
    pub groups: Vec<Group>,
    /// Assets, by lane.
    pub lanes: Vec<B256>,
    pending_owner: Address,
    delegates: BTreeMap<Address, (u8, u64)>,
    standings: BTreeMap<Address, Standing>,
}

/// An asset.
#[derive(Debug, Clone)]
pub struct AssetBook {
    /// Clear-text id.
    pub name: String,
    /// Its site.
    pub site: B256,
    /// Its lane.
    pub lane: u16,
    /// As registered; `ratedW` is 0 once it is removed, `meter` the present one.
    pub data: Asset,
    /// Of the tariff that sessions opened now cost.
    pub tariff_hash: B256,
    /// As the site says.
    pub status: Status,
    meter_since: u64,
    /// Meters before the present one with the second since when, oldest first.
    past_meters: Vec<(u64, B256)>,
}

/// Everything that the registry has told.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// In the order of registration.
    pub order: Vec<B256>,
    /// By id.
    pub sites: BTreeMap<B256, SiteBook>,
    /// By id.
    pub assets: BTreeMap<B256, AssetBook>,
    /// Who may sign requests.
    pub drivers: BTreeSet<Address>,
    /// Whether new sessions and bookings are refused.
    pub paused: bool,
    /// Who vouches for which meter.
    pub attested: BTreeSet<(B256, Address)>,
    guardian: Address,
}

impl SiteBook {
    /// Who gets the operator's fee: the owner where nobody runs the site for it.
    pub fn runs(&self) -> Address {
        if self.operator.is_zero() { self.owner } else { self.operator }
    }

    /// Lanes below a group: a subtree is one run of groups, and assets lie in the order of their groups.
    pub fn path(&self, group: u16) -> Vec<u16> {
        let mut path = vec![group];
        while let Some(parent) = path.last().and_then(|g| self.groups.get(usize::from(*g))).map(|g| g.parent) {
            if path.last() == Some(&parent) || path.len() > self.groups.len() {
                break;
            }
            path.push(parent);
        }
        path
    }

    fn is_welcome(&self, access: Access, driver: Address) -> bool {
        match (access, self.standing(driver)) {
            (_, Standing::Blocked) => false,
            (Access::Public, _) => true,
            (Access::Members, standing) => matches!(standing, Standing::Member | Standing::KeyHolder),
            _ => false,
        }
    }

    fn standing(&self, driver: Address) -> Standing {
        self.standings.get(&driver).copied().unwrap_or(Standing::None)
    }

    /// Whether a driver charges free: the owner and key-holders do.
    pub fn is_free(&self, driver: Address) -> bool {
        driver == self.owner || self.standing(driver) == Standing::KeyHolder
    }
}

impl AssetBook {
    /// Whether it is out of service for ever.
    pub fn removed(&self) -> bool {
        self.data.ratedW == 0
    }

    /// The meter whose readings of `time` counted; zero before there was one.
    pub fn meter_at(&self, time: u64) -> B256 {
        let present = (self.meter_since, self.data.meter);
        let mut all = self.past_meters.iter().copied().chain([present]);
        all.rfind(|(since, _)| *since <= time).map(|(_, meter)| meter).unwrap_or_default()
    }
}

impl Registry {
    /// Clear-text id of a site or an asset, where the registry told it.
    pub fn name(&self, id: B256) -> String {
        let site = self.sites.get(&id).map(|s| s.name.clone());
        site.or_else(|| self.assets.get(&id).map(|a| a.name.clone())).unwrap_or_else(|| id.to_string())
    }

    /// Whether `who` is the owner of a site, or a delegate with all of `rights` at `time`.
    pub fn authorised(&self, site: B256, who: Address, rights: u8, time: u64) -> bool {
        let Some(book) = self.sites.get(&site) else { return false };
        let covers = |(given, expiry): &(u8, u64)| rights != 0 && given & rights == rights && time <= *expiry;
        who == book.owner || book.delegates.get(&who).is_some_and(covers)
    }

    /// Whether a driver may open a session at an EVSE: registered, and within its access.
    pub fn admitted(&self, evse: B256, driver: Address) -> bool {
        self.drivers.contains(&driver) && self.may_book(evse, driver)
    }

    /// Whether a driver may book an EVSE, registered or not.
    pub fn may_book(&self, evse: B256, driver: Address) -> bool {
        let Some(asset) = self.assets.get(&evse) else { return false };
        let Some(site) = self.sites.get(&asset.site) else { return false };
        let welcome = site.is_free(driver) || site.is_welcome(asset.data.access, driver);
        asset.data.kind == AssetKind::Evse && !asset.removed() && welcome
    }

    /// Takes in an event.
    pub fn apply(&mut self, tally: &mut Tally, at: At, event: &IAssetRegistryEvents) {
        use IAssetRegistryEvents as E;
        match event {
            E::SiteRegistered(e) => self.add_site(tally, at, e),
            E::GroupRegistered(e) => self.add_group(tally, at, e),
            E::GroupLimitsSet(e) => {
                let group = self.site(tally, at, e.site).and_then(|s| s.groups.get_mut(usize::from(e.group)));
                if let Some(group) = known(tally, at, "group", e.group, group) {
                    (group.limitImportW, group.limitExportW) = (e.limitImportW, e.limitExportW);
                }
            }
            E::AssetRegistered(e) => self.add_asset(tally, at, e),
            E::AssetRemoved(e) => {
                if let Some(asset) = self.asset(tally, at, e.asset) {
                    (asset.data.ratedW, asset.data.minW) = (0, 0);
                }
            }
            E::TariffSet(e) => {
                let what = format_args!("tariff of {}", e.asset);
                tally.equal(Kind::Registry, at, what, signing::tariff_hash(&e.tariff), e.tariffHash);
                check_bands(tally, at, &e.tariff);
                if let Some(asset) = self.asset(tally, at, e.asset) {
                    asset.tariff_hash = e.tariffHash;
                    let (kind, what) = (asset.data.kind, format_args!("an asset with a tariff"));
                    let (wanted, found) = (format_args!("an EVSE"), format_args!("{kind:?}"));
                    tally.holds(Kind::Registry, at, kind == AssetKind::Evse, what, wanted, found);
                }
            }
            E::AccessSet(e) => {
                if let Some(asset) = self.asset(tally, at, e.asset) {
                    asset.data.access = e.access;
                }
            }
            E::MeterSet(e) => {
                if let Some(asset) = self.asset(tally, at, e.asset) {
                    asset.past_meters.push((asset.meter_since, asset.data.meter));
                    (asset.data.meter, asset.meter_since) = (e.meter, at.time);
                }
            }
            E::MeterAttested(e) if e.valid => {
                self.attested.insert((e.meter, e.attester));
            }
            E::MeterAttested(e) => {
                self.attested.remove(&(e.meter, e.attester));
            }
            E::StatusSet(e) => {
                if let Some(asset) = self.asset(tally, at, e.asset) {
                    asset.status = e.status;
                }
            }
            E::DelegateSet(e) => {
                let what = format_args!("rights of delegate {}", e.delegate);
                let (ok, wanted) = (e.rights & !ALL_RIGHTS == 0, format_args!("at most {ALL_RIGHTS}"));
                tally.holds(Kind::Registry, at, ok, what, wanted, format_args!("{}", e.rights));
                if let Some(site) = self.site(tally, at, e.site) {
                    site.delegates.insert(e.delegate, (e.rights, e.expiry.to()));
                }
            }
            E::OperatorSet(e) => {
                let ok = e.rewardBps <= BPS && e.operatorFeeBps <= if e.operator.is_zero() { 0 } else { BPS - 500 };
                let (what, wanted) =
                    (format_args!("shares of operator {}", e.operator), format_args!("within the limits"));
                let found = format_args!("fee {} and reward {} basis points", e.operatorFeeBps, e.rewardBps);
                tally.holds(Kind::Registry, at, ok, what, wanted, found);
                if let Some(site) = self.site(tally, at, e.site) {
                    (site.operator, site.operator_fee_bps) = (e.operator, e.operatorFeeBps);
                    (site.reward_bps, site.reward_cap) = (e.rewardBps, e.rewardCap);
                }
            }
            E::OwnerProposed(e) => {
                if let Some(site) = self.site(tally, at, e.site) {
                    site.pending_owner = e.pendingOwner;
                }
            }
            E::OwnerChanged(e) => {
                if let Some(site) = self.site(tally, at, e.site) {
                    let offered = (site.owner, site.pending_owner);
                    (site.owner, site.pending_owner) = (e.owner, Address::ZERO);
                    let what = format_args!("who the previous owner of {} offered it to", e.site);
                    tally.equal(Kind::Registry, at, what, offered.1, e.owner);
                    tally.equal(
                        Kind::Registry,
                        at,
                        format_args!("previous owner of {}", e.site),
                        offered.0,
                        e.previous,
                    );
                }
            }
            E::DriverRegistered(e) => {
                self.drivers.insert(e.driver);
            }
            E::StandingSet(e) => {
                if let Some(site) = self.site(tally, at, e.site) {
                    site.standings.insert(e.driver, e.standing);
                }
            }
            E::PausedSet(e) => self.paused = e.paused,
            E::GuardianChanged(e) => {
                let previous = std::mem::replace(&mut self.guardian, e.guardian);
                tally.equal(Kind::Registry, at, format_args!("previous guardian"), previous, e.previous);
            }
        }
    }

    fn add_site(&mut self, tally: &mut Tally, at: At, e: &IAssetRegistry::SiteRegistered) {
        tally.equal(Kind::Registry, at, format_args!("id of site {:?}", e.clearId), signing::id(&e.clearId), e.site);
        let new = !self.sites.contains_key(&e.site);
        let (what, wanted) = (format_args!("site {:?}", e.clearId), format_args!("registered once"));
        if !tally.holds(Kind::Registry, at, new, what, wanted, format_args!("registered again")) {
            return;
        }
        self.order.push(e.site);
        let site = SiteBook {
            name: e.clearId.clone(),
            owner: e.owner,
            operator: Address::ZERO,
            operator_fee_bps: 0,
            reward_bps: 0,
            reward_cap: 0,
            groups: Vec::new(),
            lanes: Vec::new(),
            pending_owner: Address::ZERO,
            delegates: BTreeMap::new(),
            standings: BTreeMap::new(),
        };
        self.sites.insert(e.site, site);
    }

    fn add_group(&mut self, tally: &mut Tally, at: At, e: &IAssetRegistry::GroupRegistered) {
        let Some(site) = self.site(tally, at, e.site) else { return };
        let count = site.groups.len() as u16;
        let preorder = if count == 0 { e.parent == 0 } else { site.path(count - 1).contains(&e.parent) };
        let group = Group { parent: e.parent, limitImportW: e.limitImportW, limitExportW: e.limitExportW };
        site.groups.push(group);
        tally.equal(Kind::Registry, at, format_args!("index of the next group of {}", e.site), count, e.group);
        let (what, wanted) =
            (format_args!("parent of group {}", e.group), format_args!("a group above the one before"));
        tally.holds(Kind::Registry, at, preorder, what, wanted, format_args!("{}", e.parent));
    }

    fn add_asset(&mut self, tally: &mut Tally, at: At, e: &IAssetRegistry::AssetRegistered) {
        let name = e.clearId.clone();
        tally.equal(Kind::Registry, at, format_args!("id of asset {name:?}"), signing::id(&name), e.asset);
        let last = self.sites.get(&e.site).and_then(|s| s.lanes.last()).and_then(|id| self.assets.get(id));
        let least = last.map_or(0, |a| a.data.group);
        let Some(site) = self.site(tally, at, e.site) else { return };
        let (lane, groups) = (site.lanes.len() as u16, site.groups.len());
        site.lanes.push(e.asset);
        tally.equal(Kind::Registry, at, format_args!("lane of asset {name:?}"), lane, e.lane);
        let d = &e.data;
        let ordered = d.group >= least && usize::from(d.group) < groups;
        let (what, wanted) = (format_args!("group of asset {name:?}"), format_args!("from {least} to below {groups}"));
        tally.holds(Kind::Registry, at, ordered, what, wanted, format_args!("{}", d.group));
        let sound = d.ratedW > 0 && d.ratedW <= RATED_W_MAX && d.ratedW.is_multiple_of(10) && d.minW <= d.ratedW;
        let (what, wanted) =
            (format_args!("rating of asset {name:?}"), format_args!("10 W steps up to {RATED_W_MAX} W"));
        tally.holds(Kind::Registry, at, sound && !d.meter.is_zero(), what, wanted, format_args!("{} W", d.ratedW));
        let asset = AssetBook {
            name,
            site: e.site,
            lane,
            data: d.clone(),
            tariff_hash: B256::ZERO,
            status: Status::Available,
            meter_since: at.time,
            past_meters: Vec::new(),
        };
        let again = self.assets.insert(e.asset, asset).is_some();
        let (what, wanted) = (format_args!("asset {}", e.asset), format_args!("registered once"));
        tally.holds(Kind::Registry, at, !again, what, wanted, format_args!("registered again"));
    }

    fn site(&mut self, tally: &mut Tally, at: At, id: B256) -> Option<&mut SiteBook> {
        known(tally, at, "site", id, self.sites.get_mut(&id))
    }

    fn asset(&mut self, tally: &mut Tally, at: At, id: B256) -> Option<&mut AssetBook> {
        known(tally, at, "asset", id, self.assets.get_mut(&id))
    }
}

/// An address as a word.
pub fn word(address: Address) -> U256 {
    address.into_word().into()
}

fn known<T>(tally: &mut Tally, at: At, what: &str, id: impl std::fmt::Display, found: Option<T>) -> Option<T> {
    let what = format_args!("{what} {id}");
    tally.holds(Kind::Registry, at, found.is_some(), what, format_args!("registered before"), format_args!("unknown"));
    found
}

fn check_bands(tally: &mut Tally, at: At, tariff: &Tariff) {
    let rising = tariff.bands.windows(2).all(|pair| pair[0].fromMinute < pair[1].fromMinute);
    let inside = tariff.bands.last().is_none_or(|band| band.fromMinute < 10_080);
    let bounded = tariff.maximum == 0 || tariff.minimum <= tariff.maximum;
    let (what, wanted) = (format_args!("bands and bounds of a tariff"), format_args!("in order and inside the week"));
    tally.holds(Kind::Registry, at, rising && inside && bounded, what, wanted, format_args!("{tariff:?}"));
}

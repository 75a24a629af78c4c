//! A scenario's facts in the form of the registry.

use crate::abi::{self, Connector};
use crate::keys::Keyring;
use crate::signing;
use alloy::primitives::U256;
use anyhow::{Context, Result};
use optimizer::site::{AssetKind, Site};
use optimizer::units::{Micro, MicroPerKwh, Watts};

/// Phases of an asset that is no EVSE: the model has none, the registry asks for 1 to 3.
const PHASES_OF_OTHERS: u8 = 3;
/// AC charging ends here: three phases of 63 A, the most of a Type 2 plug (IEC 62196-2).
const AC_MAX: Watts = Watts(44_000);

pub(super) fn groups_of(site: &Site) -> Result<Vec<abi::Group>> {
    site.groups
        .iter()
        .map(|group| {
            Ok(abi::Group {
                parent: u16::try_from(group.parent.unwrap_or(0)).context("too many groups")?,
                limitImportW: watts(group.limit_import_w).with_context(|| format!("group {}", group.id))?,
                limitExportW: watts(group.limit_export_w).with_context(|| format!("group {}", group.id))?,
            })
        })
        .collect()
}

pub(super) fn assets_of(site: &Site, keyring: &Keyring) -> Result<Vec<abi::Asset>> {
    site.assets
        .iter()
        .map(|asset| {
            let (kind, min_w, phases, connector) = match &asset.kind {
                AssetKind::Evse(evse) => (abi::AssetKind::Evse, evse.min_w, evse.phases, connector(asset.rated_w)),
                AssetKind::Pv => (abi::AssetKind::Pv, Watts::ZERO, PHASES_OF_OTHERS, Connector::None),
                AssetKind::Battery(_) => (abi::AssetKind::Battery, Watts::ZERO, PHASES_OF_OTHERS, Connector::None),
                AssetKind::BaseLoad => (abi::AssetKind::BaseLoad, Watts::ZERO, PHASES_OF_OTHERS, Connector::None),
            };
            Ok(abi::Asset {
                id: signing::id(&asset.id),
                kind,
                group: u16::try_from(asset.group).context("too many groups")?,
                ratedW: watts(asset.rated_w).with_context(|| format!("asset {}", asset.id))?,
                minW: watts(min_w).with_context(|| format!("asset {}", asset.id))?,
                phases,
                connector,
                access: abi::Access::Public,
                latitudeE7: asset.position.latitude_e7,
                longitudeE7: asset.position.longitude_e7,
                meter: signing::meter_id(keyring.meter_address(&asset.id)?),
            })
        })
        .collect()
}

/// A scenario does not say what plug an EVSE has: European ones, by what they are rated for.
fn connector(rated: Watts) -> Connector {
    if rated > AC_MAX { Connector::Ccs2 } else { Connector::Type2 }
}

pub(super) fn tariff(price: MicroPerKwh) -> Result<abi::Tariff> {
    Ok(signing::flat_tariff(u64::try_from(price.0).context("price below zero")?))
}

fn watts(power: Watts) -> Result<u32> {
    u32::try_from(power.0).with_context(|| format!("{power} W does not fit the registry"))
}

pub(super) fn units(amount: Micro) -> Result<U256> {
    U256::try_from(amount.0).ok().with_context(|| format!("{amount}: an amount below zero"))
}

//! The registry as it should be at the end, in questions to the contract.

use super::{Registry, word};
use crate::abi::{IAssetRegistry, IDispatch};
use crate::audit::facts::{Question, Setting};
use alloy::primitives::U256;

impl Registry {
    /// What the registry has to answer at the end.
    pub fn questions(&self, setting: &Setting) -> Vec<Question> {
        let mut questions = Vec::new();
        let to = setting.registry;
        for (id, site) in &self.sites {
            let words = vec![
                ("owner", word(site.owner)),
                ("", U256::ZERO),
                ("", U256::ZERO),
                ("number of groups", U256::from(site.groups.len())),
                ("number of assets", U256::from(site.lanes.len())),
                ("pending owner", word(site.pending_owner)),
                ("operator", word(site.operator)),
                ("operator's fee", U256::from(site.operator_fee_bps)),
                ("reward's share", U256::from(site.reward_bps)),
                ("reward's cap", U256::from(site.reward_cap)),
            ];
            questions.push(Question::new(
                format!("site {}", site.name),
                to,
                &IAssetRegistry::siteCall { id: *id },
                words,
            ));
            for (index, group) in (0_u16..).zip(&site.groups) {
                let words = vec![
                    ("parent", U256::from(group.parent)),
                    ("import limit", U256::from(group.limitImportW)),
                    ("export limit", U256::from(group.limitExportW)),
                ];
                let call = IAssetRegistry::groupCall { site: *id, index };
                questions.push(Question::new(format!("group {index} of {}", site.name), to, &call, words));
            }
            for (delegate, (rights, expiry)) in &site.delegates {
                let words = vec![("rights", U256::from(*rights)), ("expiry", U256::from(*expiry)), ("", U256::ZERO)];
                let what = format!("what delegate {delegate} may do at {}", site.name);
                let call = IDispatch::posterOfCall { site: *id, delegate: *delegate };
                questions.push(Question::new(what, setting.dispatch, &call, words));
            }
        }
        for (id, asset) in &self.assets {
            let mut words = vec![("", U256::ZERO); 17];
            words[1] = ("kind", U256::from(asset.data.kind as u8));
            words[2] = ("group", U256::from(asset.data.group));
            words[3] = ("rating", U256::from(asset.data.ratedW));
            words[7] = ("access", U256::from(asset.data.access as u8));
            words[10] = ("meter", asset.data.meter.into());
            words[11] = ("site", asset.site.into());
            words[12] = ("lane", U256::from(asset.lane));
            words[13] = ("tariff", asset.tariff_hash.into());
            words[14] = ("status", U256::from(asset.status as u8));
            words[16] = ("meter since", U256::from(asset.meter_since));
            let call = IAssetRegistry::assetCall { id: *id };
            questions.push(Question::new(format!("asset {}", asset.name), to, &call, words));
        }
        let paused = vec![("paused", U256::from(self.paused))];
        questions.push(Question::new("the registry's pause", to, &IAssetRegistry::pausedCall {}, paused));
        let guardian = vec![("guardian", word(self.guardian))];
        questions.push(Question::new("the registry's guardian", to, &IAssetRegistry::guardianCall {}, guardian));
        let count = vec![("sites", U256::from(self.sites.len()))];
        questions.push(Question::new("number of sites", to, &IAssetRegistry::siteCountCall {}, count));
        questions
    }
}

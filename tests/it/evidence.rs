//! What was posted for a lane can be proven from the readings that its meter signed.

use super::day::Ground;
use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue;
use anyhow::{Context, Result};
use optimizer::device::Reading;
use optimizer::units::Interval;
use oracle::abi::ReadingProof;
use oracle::{merkle, signing};
use serde_json::Value;
use std::collections::BTreeMap;

/// By asset: the newest reading when an interval was closed.
type Registers = BTreeMap<String, Reading>;

/// Closes every interval as the journal tells it: the newest readings before and at its end.
fn closed(ground: &Ground) -> Result<BTreeMap<Interval, (Registers, Registers)>> {
    let journal = ground.journal()?;
    let mut select = journal.prepare("SELECT body FROM journal ORDER BY seq")?;
    let (mut newest, mut before): (Registers, Registers) = Default::default();
    let mut intervals = BTreeMap::new();
    for body in select.query_map([], |row| row.get::<_, String>(0))? {
        let entry: Value = serde_json::from_str(&body?)?;
        let inner = entry.as_object().and_then(|o| o.values().next()).context("an entry without content")?;
        if let Some(ended) = inner.get("Ended") {
            let interval: Interval = serde_json::from_value(ended["interval"].clone())?;
            intervals.insert(interval, (before, newest.clone()));
            before = newest.clone();
        }
        let signed = if entry.get("Read").is_some() { Some(inner) } else { inner.get("reading") };
        if let Some(signed) = signed {
            let signed: signing::SignedReading = serde_json::from_value(signed.clone())?;
            newest.insert(signed.reading.asset.clone(), signed.reading);
        }
    }
    Ok(intervals)
}

/// A step of a site's history: its place on the chain, its hash, and the history after it.
type Step = ((u64, u64), B256, B256);

async fn steps(ground: &Ground, site: B256) -> Result<Vec<Step>> {
    let protocol = ground.protocol().await?;
    let hash = |kind: u64, interval: u32, lanes: &[u8], evidence: B256| {
        let fields = (U256::from(kind), site, U256::from(interval), keccak256(lanes), evidence);
        keccak256(fields.abi_encode_params())
    };
    let mut steps = Vec::new();
    for p in protocol.setpoints_posted(0, None).await?.into_iter().filter(|p| p.event.site == site) {
        let e = p.event;
        steps.push(((p.block, p.index), hash(1, e.interval, &e.lanes, e.planHash), e.history));
    }
    for p in protocol.readings_posted(0, None).await?.into_iter().filter(|p| p.event.site == site) {
        let e = p.event;
        steps.push(((p.block, p.index), hash(2, e.interval, &e.lanes, e.root), e.history));
    }
    steps.sort();
    Ok(steps)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lane_can_be_proven_from_the_readings_that_its_meter_signed() -> Result<()> {
    let ground = Ground::new("quickstart")?;
    ground.run(&[])?;
    let (protocol, intervals) = (ground.protocol().await?, closed(&ground)?);
    let site = &ground.scenario.sites[0];
    let id = signing::id(&site.id);
    let steps = steps(&ground, id).await?;
    let mut proven = 0;
    for post in protocol.readings_posted(0, None).await? {
        let event = post.event;
        let (before, after) = &intervals[&Interval(event.interval)];
        let digests = |asset: &str| {
            let (start, stop) = (before.get(asset)?, after.get(asset)?);
            (start.counter < stop.counter).then(|| (signing::reading_digest(start), signing::reading_digest(stop)))
        };
        let digests: Vec<_> = site.assets.iter().map(|a| digests(&a.id).unwrap_or_default()).collect();
        let leaves: Vec<_> =
            (0..).zip(&digests).map(|(lane, (start, stop))| merkle::leaf(lane, *start, *stop)).collect();
        assert_eq!(merkle::root(&leaves), event.root, "interval {}", event.interval);

        let at = steps.iter().position(|(place, ..)| *place == (post.block, post.index)).context("no step")?;
        // One lane of every interval is enough to ask the chain for.
        let lane = proven % site.assets.len();
        let proof = ReadingProof {
            previous: if at == 0 { B256::ZERO } else { steps[at - 1].2 },
            lanes: event.lanes.clone(),
            root: event.root,
            later: steps[at + 1..].iter().map(|(_, step, _)| *step).collect(),
            lane: u16::try_from(lane)?,
            siblings: merkle::siblings(&leaves, lane),
        };
        let (start, stop) = digests[lane];
        let energy = protocol.prove_reading(id, event.interval, proof.clone(), start, stop).await?;
        let posted = i32::from_be_bytes(event.lanes[4 * lane..4 * lane + 4].try_into()?);
        assert_eq!(energy.0, i64::from(posted), "interval {} lane {lane}", event.interval);
        assert!(protocol.prove_reading(id, event.interval, proof, stop, start).await.is_err() || start == stop);
        proven += 1;
    }
    assert_eq!(proven, ground.scenario.signals.len());
    Ok(())
}

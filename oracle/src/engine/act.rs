//! What the controller wants done, done. Every outcome returns as an event.

use super::journal::{Entry, SessionTerms};
use super::{Engine, STOP_DEADLINE, WATCHED, hear, site_id};
use crate::abi::{self, Bill, IPlans, ISettlement, PlanMode, Tariff, Terms};
use crate::chain::events::Which;
use crate::chain::{Call, Outcome, Prepared};
use crate::payout::moved;
use crate::{merkle, signing};
use alloy::primitives::{B256, I256};
use alloy::sol_types::SolValue;
use anyhow::{Context, Result, anyhow};
use optimizer::certificate::{Certificate, Planned};
use optimizer::controller::{Action, Event};
use optimizer::device::Reading;
use optimizer::problem::Problem;
use optimizer::simulate::SOLVE_LIMIT_MS;
use optimizer::solve::Planner;
use optimizer::units::{Interval, Micro, UnixTime, WattHours, Watts};
use std::time::Duration;
use tokio::time::Instant;

/// The solver keeps its own limit; past this much more it is given up.
const SOLVE_GRACE: Duration = Duration::from_secs(5);
/// Most that `Plans` takes as a reason.
const REASON_BYTES: usize = 128;
/// Blocks of a driven chain come this long after the stop of the clock: late enough for the readings of an interval to
/// be over, early enough for setpoints to be before theirs.
const BLOCK_AFTER_S: i64 = 5;
/// All transactions of one stop must be decided within this time.
const CHAIN_DEADLINE: Duration = Duration::from_secs(120);

/// Whether `event` is the outcome of `action`.
pub(super) fn resolves(event: &Event, action: &Action) -> bool {
    match (event, action) {
        (
            Event::Solved { site: s, interval: t, .. } | Event::SolveFailed { site: s, interval: t, .. },
            Action::Solve { site, problem },
        ) => s == site && *t == problem.first,
        (
            Event::Posted { site: s, interval: t, .. } | Event::PostRefused { site: s, interval: t, .. },
            Action::PostSetpoints { site, interval, .. },
        )
        | (Event::Driven { site: s, interval: t }, Action::Drive { site, interval, .. })
        | (Event::ReadingsPosted { site: s, interval: t, .. }, Action::PostReadings { site, interval, .. }) => {
            s == site && t == interval
        }
        (Event::Opened { session: a } | Event::OpenRefused { session: a, .. }, Action::Open { session })
        | (Event::Unplugged { session: a, .. }, Action::Stop { session })
        | (
            Event::Settled { session: a, .. } | Event::SettleRefused { session: a, .. },
            Action::Settle { session, .. },
        )
        | (Event::FlexibilityClaimed { session: a, .. }, Action::ClaimFlexibility { session, .. }) => a == session,
        _ => false,
    }
}

impl Engine {
    /// Does everything that is outstanding, and what follows from it: plans first, so that what they post shares a block
    /// with bills and openings; then the chain; then the devices.
    pub(super) async fn finish_outstanding(&mut self) -> Result<()> {
        while !self.outstanding.is_empty() {
            let outstanding = self.outstanding.clone();
            let (solves, rest): (Vec<_>, Vec<_>) =
                outstanding.into_iter().partition(|a| matches!(a, Action::Solve { .. }));
            let (ground, ledger): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|a| matches!(a, Action::Drive { .. } | Action::Stop { .. }));
            if !solves.is_empty() {
                self.solve_all(solves).await?;
            } else if !ledger.is_empty() {
                self.post_all(ledger).await?;
            } else {
                for action in ground {
                    self.move_ground(action).await?;
                }
            }
        }
        Ok(())
    }

    async fn solve_all(&mut self, actions: Vec<Action>) -> Result<()> {
        let problems = actions
            .into_iter()
            .filter_map(|a| if let Action::Solve { site, problem } = a { Some((site, problem)) } else { None });
        let tasks: Vec<_> = problems.map(|(site, problem)| tokio::spawn(plan(site, *problem))).collect();
        let events = self.serving(futures::future::try_join_all(tasks)).await??;
        events.into_iter().try_for_each(|event| self.happen(Entry::Event(event)))
    }

    async fn move_ground(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Drive { site, interval, power_w } => {
                self.drive(site, interval, &power_w).await?;
                self.happen(Entry::Event(Event::Driven { site, interval }))
            }
            Action::Stop { session } => self.stop_remotely(&session).await,
            other => Err(anyhow!("not an action on the ground: {other:?}")),
        }
    }

    async fn drive(&mut self, site: usize, interval: Interval, power_w: &[Watts]) -> Result<()> {
        let (points, patient) = (self.edges.points.clone(), self.edges.clock.can_stand_still());
        let places = self.places.values().filter(|p| p.site == site).cloned();
        let orders: Vec<_> = places.map(|place| (power_w[place.lane], place)).collect();
        let all = orders.into_iter().map(move |(power, place)| {
            let points = points.clone();
            async move {
                let (from, until) = (interval.start(), interval.end());
                let sent = if place.is_evse {
                    points.set_power(&place.point, place.connector, from, until, power).await
                } else {
                    points.set_power_signed(&place.point, place.connector, from, until, power).await
                };
                match sent {
                    // Without a command the EVSE falls back to its safe power, which fits every limit.
                    Err(error) if !patient => {
                        tracing::warn!("{} connector {} got no command: {error}", place.point, place.connector);
                        Ok(())
                    }
                    other => other,
                }
            }
        });
        self.serving(futures::future::try_join_all(all)).await??;
        Ok(())
    }

    async fn stop_remotely(&mut self, session: &str) -> Result<()> {
        let transaction = self.memory.transaction_of(session).context("a session without a transaction")?;
        let evse = self.memory.requests.get(session).map(|r| r.evse.clone()).unwrap_or_default();
        let place = self.places.get(&evse).cloned().context("a session at no EVSE")?;
        let points = self.edges.points.clone();
        self.serving(async move { points.remote_stop(&place.point, transaction).await }).await??;
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.controller.session_at(&evse) == Some(session) {
            let heard = tokio::time::timeout_at(deadline, self.edges.heard.recv()).await;
            let heard =
                heard.with_context(|| format!("session {session} did not stop"))?.context("charge points are gone")?;
            self.hear(heard)?;
        }
        Ok(())
    }

    /// Sends what concerns the chain as one block, and takes in the outcomes.
    async fn post_all(&mut self, actions: Vec<Action>) -> Result<()> {
        let mut sent = Vec::new();
        for action in actions {
            let key = key(&action);
            let prepared = match self.edges.store.outbox_get::<Prepared>(&key)? {
                Some(prepared) => prepared,
                None => match self.prepare(&key, &action).await? {
                    Ok(prepared) => prepared,
                    Err(refused) => {
                        self.happen(refused)?;
                        continue;
                    }
                },
            };
            self.edges.protocol.chain.send(&prepared).await?;
            sent.push((key, action, prepared.hash));
        }
        let chain = self.edges.protocol.chain.clone();
        chain.mine_at(UnixTime(self.now.0 + BLOCK_AFTER_S)).await?;
        let hashes: Vec<B256> = sent.iter().map(|(_, _, hash)| *hash).collect();
        let deadline = std::time::Instant::now() + CHAIN_DEADLINE;
        let outcomes = self.serving(async move { chain.await_outcomes(&hashes, deadline).await }).await??;
        if outcomes.iter().any(|o| o.result.is_err()) {
            // A CPO's own post may be why: it must be known before the refusal is.
            self.look_for_others().await?;
        }
        for ((key, action, _), outcome) in sent.into_iter().zip(outcomes) {
            self.edges.store.outbox_settle(&key, &outcome)?;
            let entry = self.outcome_entry(&action, outcome).await?;
            self.happen(entry)?;
        }
        Ok(())
    }

    /// Signs a transaction and keeps it: after a kill it is the same one that is sent again. A claim that would be refused
    /// has its outcome without one: where plans are open to challenge for a day, every claim comes too early at first.
    async fn prepare(&mut self, key: &str, action: &Action) -> Result<Result<Prepared, Entry>> {
        let call = self.call(action).await?;
        let protocol = &self.edges.protocol;
        if let Action::ClaimFlexibility { session, .. } = action
            && let Err(refused) = protocol.dry_run(&call, protocol.chain.operator()).await?
        {
            let (session, reward) = (session.clone(), Err(refused.to_string()));
            return Ok(Err(Entry::Event(Event::FlexibilityClaimed { session, reward })));
        }
        let nonce = match self.edges.store.outbox_next_nonce()? {
            Some(nonce) => nonce,
            None => protocol.chain.next_nonce().await?,
        };
        let prepared = protocol.prepare(&call, nonce).await?;
        self.edges.store.outbox_put(key, call.kind(), nonce, &prepared)?;
        Ok(Ok(prepared))
    }

    async fn call(&self, action: &Action) -> Result<Call> {
        Ok(match action {
            Action::PostSetpoints { site, interval, power_w, certificate } => {
                let certificate = certificate.as_deref().map_err(String::as_str);
                self.post_call(site_id(&self.scenario, *site), interval.0, setpoint_lanes(power_w)?, certificate)
                    .await?
            }
            Action::PostReadings { site, interval, energy_wh, readings } => Call::PostReadings {
                site: site_id(&self.scenario, *site),
                interval: interval.0,
                lanes: reading_lanes(energy_wh)?,
                root: self.readings_root(readings)?,
            },
            Action::Open { session } => {
                let signed = self.memory.requests.get(session).context("a session without a request")?;
                let request = hear::to_abi(signed).map_err(|r| anyhow!("{}", r.message))?;
                let place = self.places.get(&signed.evse).context("a request for no EVSE")?;
                Call::OpenSession { request, tariff: hear::tariff(place.price), signature: signed.signature.parse()? }
            }
            Action::Settle { session, start, stop } => {
                let (terms, tariff) = self.terms_of(session).await?;
                let readings = vec![self.signed(start)?, self.signed(stop)?];
                Call::Settle { terms: Box::new(terms), tariff, readings }
            }
            Action::ClaimFlexibility { session, flexibility } => {
                let (terms, _) = self.terms_of(session).await?;
                let bill = Box::new(self.bill_of(session).await?);
                Call::ClaimFlexibility { terms: Box::new(terms), bill, flexibility: moved(flexibility)? }
            }
            other => return Err(anyhow!("not an action on chain: {other:?}")),
        })
    }

    /// From the journal; else from what the chain told when the session was opened.
    async fn terms_of(&self, session: &str) -> Result<(Terms, Tariff)> {
        if let Some(terms) = self.memory.terms.get(session) {
            return terms.decode();
        }
        let found = self.edges.protocol.terms_of(session.parse()?).await?;
        found.with_context(|| format!("session {session}: neither journal nor chain has its terms"))
    }

    /// With its certificate where the contracts accept it, and else with the reason why there is none.
    async fn post_call(
        &self,
        site: B256,
        interval: u32,
        lanes: Vec<u8>,
        certificate: Result<&Certificate, &str>,
    ) -> Result<Call> {
        let protocol = &self.edges.protocol;
        let uncertified = |lanes, reason: &str| {
            let cut = reason.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= REASON_BYTES);
            let reason = reason[..cut.last().unwrap_or(0)].to_owned();
            Call::PostUncertified { site, interval, lanes, reason }
        };
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(reason) => return Ok(uncertified(lanes, reason)),
        };
        let claims_only = protocol.plan_rules(site, interval).await?.mode == PlanMode::Optimistic;
        let claimed = claims_only
            .then(|| {
                anyhow::Ok((I256::try_from(certificate.verdict.cost)?, I256::try_from(certificate.verdict.bound)?))
            })
            .transpose()?;
        let posted = Box::new(merkle::rooted(certificate)?);
        let call = Call::PostPlan { site, interval, lanes: lanes.clone(), certificate: posted, claimed };
        match protocol.dry_run(&call, protocol.chain.operator()).await? {
            Ok(()) => Ok(call),
            Err(refused) => Ok(uncertified(lanes, &format!("refused: {refused}"))),
        }
    }

    /// From the journal; else from what the chain told when the session was settled.
    async fn bill_of(&self, session: &str) -> Result<Bill> {
        if let Some(bill) = self.memory.bills.get(session) {
            return Bill::abi_decode(bill).context("journal: bill of a session");
        }
        let id: B256 = session.parse()?;
        let settled = self.edges.protocol.sessions_settled(&Which::default()).await?;
        let settled = settled.into_iter().find(|s| s.event.session == id);
        Ok(settled.with_context(|| format!("session {session}: neither journal nor chain has its bill"))?.event.bill)
    }

    /// One leaf per lane, of the readings from which and up to which it counts.
    fn readings_root(&self, readings: &[Option<(Reading, Reading)>]) -> Result<B256> {
        let leaf = |(lane, readings): (usize, &Option<(Reading, Reading)>)| {
            let digests = readings.as_ref().map(|(a, b)| (signing::reading_digest(a), signing::reading_digest(b)));
            let (start, stop) = digests.unwrap_or_default();
            Ok(merkle::leaf(u16::try_from(lane)?, start, stop))
        };
        Ok(merkle::root(&readings.iter().enumerate().map(leaf).collect::<Result<Vec<_>>>()?))
    }

    fn signed(&self, reading: &Reading) -> Result<abi::SignedReading> {
        let signed =
            self.signature_of(reading).with_context(|| format!("{}: a reading without signature", reading.asset))?;
        signing::to_signed_abi(signed)
    }

    async fn outcome_entry(&self, action: &Action, outcome: Outcome) -> Result<Entry> {
        let refused = outcome.result.as_ref().err().map(ToString::to_string);
        Ok(Entry::Event(match (action, refused) {
            (Action::PostSetpoints { site, interval, .. }, None) => Event::Posted {
                site: *site,
                interval: *interval,
                uncertified: uncertified_reason(&outcome),
                gas: outcome.gas_used,
            },
            (Action::PostSetpoints { site, interval, .. }, Some(reason)) => {
                Event::PostRefused { site: *site, interval: *interval, reason }
            }
            (Action::PostReadings { site, interval, .. }, refused) => {
                Event::ReadingsPosted { site: *site, interval: *interval, refused }
            }
            (Action::Open { session }, None) => return opened_entry(session, &outcome),
            (Action::Open { session }, Some(reason)) => Event::OpenRefused { session: session.clone(), reason },
            (Action::Settle { session, .. }, Some(reason)) => Event::SettleRefused { session: session.clone(), reason },
            (Action::Settle { session, .. }, None) => {
                let (terms, _) = self.terms_of(session).await?;
                return settled_entry(session, &terms, &outcome);
            }
            (Action::ClaimFlexibility { session, .. }, refused) => {
                let reward = match refused {
                    Some(reason) => Err(reason),
                    None => Ok(Micro(outcome.told::<ISettlement::FlexibilityClaimed>()?.bill.reward.try_into()?)),
                };
                Event::FlexibilityClaimed { session: session.clone(), reward }
            }
            (other, _) => return Err(anyhow!("not an action on chain: {other:?}")),
        }))
    }

    /// What the owners of sites ask of the plans of an interval.
    pub(super) async fn look_for_rules(&mut self, interval: Interval) -> Result<()> {
        for site in 0..self.scenario.sites.len() {
            let rules = self.edges.protocol.plan_rules(site_id(&self.scenario, site), interval.0).await?;
            let most = match rules.mode {
                PlanMode::Improved => Micro(i64::MAX),
                _ => Micro(i64::try_from(rules.tolerance).unwrap_or(i64::MAX)),
            };
            if self.controller.tolerance(site) != most {
                self.happen(Entry::Event(Event::Tolerated { site, most }))?;
            }
        }
        Ok(())
    }

    /// What others have done on chain since the last look: setpoints that a CPO posted by itself, and sessions that their
    /// drivers changed.
    pub(super) async fn look_for_others(&mut self) -> Result<()> {
        let from = self.watched_block;
        let (posts, next) = self.edges.protocol.cpo_posts(from).await?;
        let amended = if from < next { self.edges.protocol.amended_between(from, next - 1).await? } else { Vec::new() };
        for amended in amended {
            let terms = amended.event.terms;
            let session = terms.session.to_string();
            let Some(known) = self.memory.terms.get(&session) else { continue };
            let (before, tariff) = known.decode()?;
            // Killed in the midst of this, it is looked at again.
            if before.abi_encode() == terms.abi_encode() {
                continue;
            }
            let (energy_wh, departure) = (WattHours(terms.energyWh.into()), UnixTime(terms.departure.to::<i64>()));
            let terms = SessionTerms::new(&terms, &tariff);
            self.happen(Entry::Amended { session, terms, energy_wh, departure })?;
        }
        for post in posts {
            let post = post.event;
            let Some(site) = (0..self.scenario.sites.len()).find(|s| site_id(&self.scenario, *s) == post.site) else {
                continue;
            };
            let power_w =
                post.lanes.chunks_exact(2).map(|b| Watts::from_lane(i16::from_be_bytes([b[0], b[1]]))).collect();
            self.happen(Entry::Event(Event::CpoPosted { site, interval: Interval(post.interval), power_w }))?;
        }
        self.watched_block = next;
        self.edges.store.meta_set(WATCHED, &next.to_string())
    }
}

async fn plan(site: usize, problem: Problem) -> Event {
    let interval = problem.first;
    let limit = Duration::from_millis(SOLVE_LIMIT_MS.into()) + SOLVE_GRACE;
    let task = tokio::task::spawn_blocking(move || Planned::of(&mut Planner::new(), &problem, SOLVE_LIMIT_MS));
    let reason = match tokio::time::timeout(limit, task).await {
        Ok(Ok(Ok(plan))) => return Event::Solved { site, interval, plan: Box::new(plan) },
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => format!("the solver crashed: {error}"),
        Err(_) => format!("the solver did not return within {limit:?}"),
    };
    Event::SolveFailed { site, interval, reason }
}

fn opened_entry(session: &str, outcome: &Outcome) -> Result<Entry> {
    let opened: ISettlement::SessionOpened = outcome.told()?;
    let terms = SessionTerms::new(&opened.terms, &opened.tariff);
    Ok(Entry::Opened { session: session.to_owned(), terms })
}

fn settled_entry(session: &str, terms: &Terms, outcome: &Outcome) -> Result<Entry> {
    let settled: ISettlement::SessionSettled = outcome.told()?;
    Ok(Entry::Settled {
        session: session.to_owned(),
        receipt: signing::receipt(terms, &settled.bill).to_string(),
        paid: Micro(i64::try_from(settled.bill.amount)?),
        bill: settled.bill.abi_encode().into(),
    })
}

/// Why setpoints that were accepted have no certificate.
fn uncertified_reason(outcome: &Outcome) -> Option<String> {
    outcome.told::<IPlans::UncertifiedPosted>().ok().map(|event| event.reason)
}

/// The outbox key: one transaction per (site, interval) or session, whatever happens.
fn key(action: &Action) -> String {
    match action {
        Action::PostSetpoints { site, interval, .. } => format!("setpoints/{site}/{interval}"),
        Action::PostReadings { site, interval, .. } => format!("readings/{site}/{interval}"),
        Action::Open { session } => format!("open/{session}"),
        Action::Settle { session, .. } => format!("settle/{session}"),
        Action::ClaimFlexibility { session, .. } => format!("flexibility/{session}"),
        Action::Solve { site, problem } => format!("solve/{site}/{}", problem.first),
        Action::Drive { site, interval, .. } => format!("drive/{site}/{interval}"),
        Action::Stop { session } => format!("stop/{session}"),
    }
}

fn setpoint_lanes(power_w: &[Watts]) -> Result<Vec<u8>> {
    let lane = |power: &Watts| power.lane().with_context(|| format!("{power} W does not fit a lane"));
    Ok(power_w.iter().map(lane).collect::<Result<Vec<_>>>()?.into_iter().flat_map(i16::to_be_bytes).collect())
}

fn reading_lanes(energy_wh: &[WattHours]) -> Result<Vec<u8>> {
    let lane = |energy: &WattHours| i32::try_from(energy.0).with_context(|| format!("{energy} Wh does not fit a lane"));
    Ok(energy_wh.iter().map(lane).collect::<Result<Vec<_>>>()?.into_iter().flat_map(i32::to_be_bytes).collect())
}

//! What the controller wants done, done. Every outcome returns as an event.

use super::journal::{Entry, SessionTerms};
use super::{Engine, STOP_DEADLINE, hear, site_id};
use crate::abi::{self, ISettlement, Tariff, Terms};
use crate::chain::{Call, Outcome, Prepared};
use crate::{merkle, signing};
use alloy::primitives::{B256, keccak256};
use alloy::sol_types::SolEvent;
use anyhow::{Context, Result, anyhow};
use optimizer::controller::{Action, Event};
use optimizer::device::Reading;
use optimizer::problem::Problem;
use optimizer::simulate::SOLVE_LIMIT_MS;
use optimizer::solve;
use optimizer::units::{Interval, Micro, UnixTime, WattHours, Watts};
use std::time::Duration;
use tokio::time::Instant;

/// The solver keeps its own limit; past this much more it is given up.
const SOLVE_GRACE: Duration = Duration::from_secs(5);
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
            Event::Posted { site: s, interval: t } | Event::PostRefused { site: s, interval: t, .. },
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
        ) => a == session,
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
                None => self.prepare(&key, &action).await?,
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
            self.look_for_other_posts().await?;
        }
        for ((key, action, _), outcome) in sent.into_iter().zip(outcomes) {
            self.edges.store.outbox_settle(&key, &outcome)?;
            let entry = self.outcome_entry(&action, outcome).await?;
            self.happen(entry)?;
        }
        Ok(())
    }

    /// Signs a transaction and keeps it: after a kill it is the same one that is sent again.
    async fn prepare(&mut self, key: &str, action: &Action) -> Result<Prepared> {
        let call = self.call(action).await?;
        let protocol = &self.edges.protocol;
        let nonce = match self.edges.store.outbox_next_nonce()? {
            Some(nonce) => nonce,
            None => protocol.chain.next_nonce().await?,
        };
        let prepared = protocol.prepare(&call, nonce).await?;
        self.edges.store.outbox_put(key, call.kind(), nonce, &prepared)?;
        Ok(prepared)
    }

    async fn call(&self, action: &Action) -> Result<Call> {
        Ok(match action {
            Action::PostSetpoints { site, interval, power_w } => Call::PostSetpoints {
                site: site_id(&self.scenario, *site),
                interval: interval.0,
                lanes: setpoint_lanes(power_w)?,
                plan_hash: self.plan_hash(*site)?,
            },
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
            // Flexibility earns nothing before its schedules are certified, so none is claimed.
            Action::Settle { session, start, stop, .. } => {
                let (terms, tariff) = self.terms_of(session).await?;
                let readings = vec![self.signed(start)?, self.signed(stop)?];
                Call::Settle { terms: Box::new(terms), tariff, readings }
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

    fn plan_hash(&self, site: usize) -> Result<B256> {
        let plan = self.controller.plan(site).context("setpoints without a plan")?;
        Ok(keccak256(serde_json::to_vec(plan)?))
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
            (Action::PostSetpoints { site, interval, .. }, None) => Event::Posted { site: *site, interval: *interval },
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
                settled_event(session, &terms, &outcome)?
            }
            (other, _) => return Err(anyhow!("not an action on chain: {other:?}")),
        }))
    }

    /// Setpoints that a CPO posted by itself since the last look.
    pub(super) async fn look_for_other_posts(&mut self) -> Result<()> {
        let (posts, next) = self.edges.protocol.cpo_posts(self.watched_block).await?;
        self.watched_block = next;
        for post in posts {
            let post = post.event;
            let Some(site) = (0..self.scenario.sites.len()).find(|s| site_id(&self.scenario, *s) == post.site) else {
                continue;
            };
            let power_w =
                post.lanes.chunks_exact(2).map(|b| Watts::from_lane(i16::from_be_bytes([b[0], b[1]]))).collect();
            self.happen(Entry::Event(Event::CpoPosted { site, interval: Interval(post.interval), power_w }))?;
        }
        Ok(())
    }
}

async fn plan(site: usize, problem: Problem) -> Event {
    let interval = problem.first;
    let limit = Duration::from_millis(SOLVE_LIMIT_MS.into()) + SOLVE_GRACE;
    let task = tokio::task::spawn_blocking(move || solve::solve(&problem, SOLVE_LIMIT_MS));
    let reason = match tokio::time::timeout(limit, task).await {
        Ok(Ok(Ok(schedule))) => return Event::Solved { site, interval, schedule: Box::new(schedule) },
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => format!("the solver crashed: {error}"),
        Err(_) => format!("the solver did not return within {limit:?}"),
    };
    Event::SolveFailed { site, interval, reason }
}

fn opened_entry(session: &str, outcome: &Outcome) -> Result<Entry> {
    let opened: ISettlement::SessionOpened = told(outcome)?;
    let terms = SessionTerms::new(&opened.terms, &opened.tariff);
    Ok(Entry::Opened { session: session.to_owned(), terms })
}

fn settled_event(session: &str, terms: &Terms, outcome: &Outcome) -> Result<Event> {
    let settled: ISettlement::SessionSettled = told(outcome)?;
    Ok(Event::Settled {
        session: session.to_owned(),
        receipt: signing::receipt(terms, &settled.bill).to_string(),
        paid: Micro(i64::try_from(settled.bill.amount)?),
        minted: Micro::ZERO,
    })
}

/// The event that a transaction was sent for.
fn told<E: SolEvent>(outcome: &Outcome) -> Result<E> {
    let logs = outcome.result.as_ref().map_err(|r| anyhow!("{r}"))?;
    let event = logs.iter().find_map(|log| E::decode_log(log).ok());
    Ok(event.with_context(|| format!("a transaction without its {}", E::SIGNATURE))?.data)
}

/// The outbox key: one transaction per (site, interval) or session, whatever happens.
fn key(action: &Action) -> String {
    match action {
        Action::PostSetpoints { site, interval, .. } => format!("setpoints/{site}/{interval}"),
        Action::PostReadings { site, interval, .. } => format!("readings/{site}/{interval}"),
        Action::Open { session } => format!("open/{session}"),
        Action::Settle { session, .. } => format!("settle/{session}"),
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

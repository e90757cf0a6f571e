//! The demo's plot: what happens, in order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use shared::delivery::limits::lease;
use shared::domain::{ConversionId, ProviderKey};
use shared::engine::tasks::{confirm, recover, upload};
use shared::engine::{Bounds, Fields};
use shared::store::Change;
use tokio::time::{sleep, sleep_until};

use super::check::{CameBack, Evidence};
use super::circuit::Watch;
use super::door::Door;
use super::killed::{Killed, kill_a_runner};
use super::lines::Writer;
use super::proof::{Sums, find_timeline, hear_the_witness};
use super::sites::{COUNTRY, Site};
use super::stage::{HTTP_TIMEOUT, PROCESSING, Stage, prepare};
use super::story::Story;
use super::{Demo, Run, tell};
use crate::postgres::ThrowawayPostgres;

/// Circuits open for 5 to 6 minutes in life; for 3 to 3.6 s here.
const CIRCUIT_OPEN_SECONDS: i32 = 3;

/// A run is over long before; a demo that hangs must end.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Conversions of the first lot expire two seconds after it was written, and no runner may see them before.
const EXPIRY: Duration = Duration::from_millis(2_200);

/// A lease lapses by the database's clock, which is this machine's too.
const LEASE_MARGIN: Duration = Duration::from_millis(200);

/// Probes of the circuit; the second one succeeds.
const PROBES_MAX: usize = 6;

/// The longest that one round of the circuit takes: open, probed, and a run.
const CIRCUIT_TIME: Duration = Duration::from_secs(6);

/// The run over what goes again because of a receipt.
pub(super) const AGAIN: &str = "the receipts: what goes again";

/// Receipts are asked for at once; a round that finds some of them pending is another round.
const EARLY_MINUTES: u32 = 60;

/// Rounds until two that are wrong among a hundred are found, and some.
const RECEIPT_ROUNDS_MAX: usize = 20;

/// The demo has eight.
const GROUPS_MAX: i32 = 100;

/// What has happened so far.
struct Plot<'a> {
    stage: &'a Stage,
    story: &'a mut Story,
    writer: Writer,
    door: Door,
    runs: Vec<Run>,
    faults_told: BTreeSet<String>,
    recovered: Option<recover::Answer>,
    confirmed: Vec<confirm::Answer>,
    /// Whether a run went on when the dead runner's lease had lapsed: whoever claims takes back what has lapsed, so that
    /// recover may have found nothing.
    lapsed_unseen: bool,
}

/// Plays on a server that has just been started.
pub(super) async fn play(server: &ThrowawayPostgres, story: &mut Story) -> anyhow::Result<Demo> {
    tell::database(story, &prepare(server).await.context("migrate")?);
    let stage = Stage::set(server).await?;
    tell::stage(story, &stage);
    seed(&stage).await.context("seed the sites")?;
    tell::sites(story);

    let writer = Writer::new(Timestamp::now());
    let mut plot = Plot {
        stage: &stage,
        story,
        writer,
        door: Door::default(),
        runs: Vec::new(),
        faults_told: BTreeSet::new(),
        recovered: None,
        confirmed: Vec::new(),
        lapsed_unseen: false,
    };
    let (killed, lost) = plot.kill().await?;
    plot.day(&killed).await?;
    let circuit = plot.outage(&killed).await?;
    plot.recover(&killed).await?;
    plot.evening().await?;
    plot.receipts().await?;
    let demo = plot.account(killed, &lost, circuit).await?;
    stage.sandbox.stop().await;
    Ok(demo)
}

async fn seed(stage: &Stage) -> anyhow::Result<()> {
    let context = &stage.context;
    context.store.put_circuit_setting(CIRCUIT_OPEN_SECONDS).await?;
    for site in Site::ALL {
        let country = COUNTRY.parse().map_err(anyhow::Error::msg)?;
        context.store.put_site_defaults(site.id(), Change::Set(country), Change::Kept, Change::Kept).await?;
        if let Some(credentials) = site.credentials() {
            context.access.put_credentials(site.id(), ProviderKey::GoogleAds, &credentials).await?;
        }
    }
    Ok(())
}

impl Plot<'_> {
    /// A runner dies with requests in flight. Answers the ids of what it had claimed.
    async fn kill(&mut self) -> anyhow::Result<(Killed, Vec<ConversionId>)> {
        let lines = self.writer.for_the_killed_runner();
        let ids = self.door.bring(&self.stage.context, &lines).await?;
        self.story.step("A runner is killed while its requests are in flight");
        let killed = kill_a_runner(self.stage).await?;
        tell::killed(self.story, &killed, ids.len(), lease(HTTP_TIMEOUT));
        Ok((killed, ids))
    }

    /// The bulk of the conversions, and the first run over them.
    async fn day(&mut self, killed: &Killed) -> anyhow::Result<()> {
        let expired_at = Instant::now() + EXPIRY;
        self.writer = self.writer.at(Timestamp::now());
        let lines = self.writer.for_the_day();
        let mistakes = self.writer.with_mistakes(&lines);
        let started = Instant::now();
        self.door.bring(&self.stage.context, &lines).await?;
        let seconds = started.elapsed().as_secs_f64();
        self.door.bring(&self.stage.context, &mistakes).await?;
        tell::door(self.story, &self.door, lines.len() as u64, seconds);
        sleep_until(expired_at.into()).await;
        self.story.step("The runner: everything that is due, until nothing is");
        self.run("the day").await?;
        self.lapsed_unseen = Instant::now() > killed.at + lease(HTTP_TIMEOUT) - HTTP_TIMEOUT;
        Ok(())
    }

    /// A platform is down: the circuit opens, is probed, and closes.
    async fn outage(&mut self, killed: &Killed) -> anyhow::Result<Vec<super::CircuitSeen>> {
        let lines = self.writer.for_the_outage();
        self.door.bring(&self.stage.context, &lines).await?;
        tell::outage(self.story, lines.len(), CIRCUIT_OPEN_SECONDS);
        let mut watch = Watch::begin(self.stage.context.store.clone(), Site::Fjord.id());
        let mut told = 0;
        self.run_quietly("the outage: until the circuit opens").await?;
        for _ in 0..PROBES_MAX {
            let seen = watch.seen().await?;
            told = tell::circuit(self.story, &seen, told);
            let is_open = seen.last().filter(|last| last.state == "OPEN");
            let Some(probe_at) = is_open.and_then(|last| last.next_probe_at) else { break };
            // Where the machine is so slow that the dead runner's lease is about to lapse, recover comes first.
            if self.lapse(killed) < Instant::now() + CIRCUIT_TIME {
                self.recover(killed).await?;
            }
            sleep(Duration::try_from(probe_at.duration_since(Timestamp::now())).unwrap_or_default()).await;
            self.run_quietly("the outage: a probe, and the rest").await?;
        }
        self.tell_run("the probe and the rest: ");
        watch.seen().await
    }

    fn lapse(&self, killed: &Killed) -> Instant {
        killed.at + lease(HTTP_TIMEOUT) + LEASE_MARGIN
    }

    /// Waits until the dead runner's lease has lapsed, and runs recover.
    async fn recover(&mut self, killed: &Killed) -> anyhow::Result<()> {
        if self.recovered.is_some() {
            return Ok(());
        }
        self.story.step("Recover: what the killed runner held comes back");
        let left = self.lapse(killed).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            self.story.say(&format!("waiting {:.1} s for its lease to lapse …", left.as_secs_f64()));
        }
        sleep(left).await;
        let request = recover::Request::parse(fields(&[("min_age_minutes", "0")]))?;
        let answer = recover::run(&self.stage.context, &request, Bounds::after(RUN_LIMIT)).await?;
        let answer = answer.answer().context("recovery was skipped")?;
        tell::recovered(self.story, &answer);
        self.recovered = Some(answer);
        Ok(())
    }

    /// Corrections come in, and everything that is due goes.
    async fn evening(&mut self) -> anyhow::Result<()> {
        let lines = self.writer.for_the_evening();
        self.door.bring(&self.stage.context, &lines).await?;
        self.story.step("The runner again: what came back, and ten refunds and corrections");
        self.run("the evening").await
    }

    /// Everything that was submitted comes to its end. In life each round takes half an hour.
    async fn receipts(&mut self) -> anyhow::Result<()> {
        tell::receipts(self.story);
        for _ in 0..RECEIPT_ROUNDS_MAX {
            sleep(PROCESSING).await;
            let request = confirm::Request { early_minutes: EARLY_MINUTES, ..confirm::Request::default() };
            let reply = confirm::run(&self.stage.context, &request, Bounds::after(RUN_LIMIT)).await?;
            let answer = reply.answer().context("confirmation was skipped")?;
            if answer.total == 0 {
                break;
            }
            tell::confirmed(self.story, &answer);
            let goes_again = answer.retry > 0;
            self.confirmed.push(answer);
            if goes_again {
                self.run_quietly(AGAIN).await?;
            }
        }
        Ok(())
    }

    async fn run(&mut self, title: &'static str) -> anyhow::Result<()> {
        self.run_quietly(title).await?;
        self.tell_run("");
        Ok(())
    }

    /// `relay run --mode worker --provider google_ads`, in this process.
    async fn run_quietly(&mut self, title: &'static str) -> anyhow::Result<()> {
        let request = upload::Request::parse(fields(&[("mode", "worker"), ("provider_key", "google_ads")]))?;
        let started = Instant::now();
        let reply = upload::run(&self.stage.context, &request, Bounds::after(RUN_LIMIT)).await?;
        let answer = reply.answer().context("the run was skipped")?;
        let seconds = started.elapsed().as_secs_f64();
        let moved = answer.completed + answer.failed + answer.submitted + answer.held;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let conversions_per_second = moved as f64 / seconds;
        self.runs.push(Run { title, seconds, conversions_per_second, answer });
        Ok(())
    }

    fn tell_run(&mut self, title: &str) {
        if let Some(run) = self.runs.last() {
            tell::run(self.story, title, run, &mut self.faults_told);
        }
    }

    /// Adds everything up.
    async fn account(
        self,
        killed: Killed,
        lost: &[ConversionId],
        circuit: Vec<super::CircuitSeen>,
    ) -> anyhow::Result<Demo> {
        let store = &self.stage.context.store;
        let conversions = store.count_conversions(None).await?;
        let sums = Sums::of(&conversions);
        let faults = store.audit_conversions().await?;
        let witness = hear_the_witness(self.stage).await?;
        let timeline = find_timeline(store, lost).await?;
        let Some(recovered) = self.recovered else { bail!("recover never ran") };
        let metrics = store.read_groups(None, GROUPS_MAX).await?;
        let evidence = Evidence {
            enqueued: self.door.taken(),
            sums,
            conversions: &conversions,
            faults: &faults,
            witness: &witness,
            metrics: &metrics,
            runs: &self.runs,
            confirmed: &self.confirmed,
            claimed_by_the_dead: lost.len() as u64,
            came_back: if self.lapsed_unseen { CameBack::WithAnyClaim } else { CameBack::WithRecover },
            recovered: &recovered,
            timeline: timeline.as_ref(),
            circuit: &circuit,
        };
        let checks = evidence.checks();
        Ok(Demo {
            ok: checks.iter().all(|check| check.ok),
            seconds: 0.0,
            enqueued: self.door.taken(),
            sums,
            conversions,
            door: self.door,
            killed,
            runs: self.runs,
            recovered,
            confirmed: self.confirmed,
            circuit,
            circuit_open_seconds: CIRCUIT_OPEN_SECONDS,
            timeline,
            witness,
            checks,
        })
    }
}

fn fields(given: &[(&str, &str)]) -> Fields {
    Fields::new(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect())
}

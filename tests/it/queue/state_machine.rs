//! Random sequences of everything that can be done to the queue, against a model of it in memory.
//!
//! `RELAY_MODEL_CASES` and `RELAY_MODEL_OPERATIONS` ask for more or longer ones than the usual, which are the same each
//! time. A failure prints the shortest sequence that still fails. Nothing is kept between runs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use proptest::test_runner::{TestCaseError, TestRunner};
use shared::boot::migrate;
use tests::cases::cases;
use tests::database::{Database, Template};
use tests::world::config;
use tokio::runtime;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{Circuit, Conversion, Group, KEYS, Place, State, Totals, seconds};
use super::operation::{GROUPS, Operation, operations};
use super::outage::Met;

/// About twenty seconds.
const CASES: u32 = 48;
const OPERATIONS: usize = 40;

static QUEUE: Template = Template::new("queue_model");

/// Migrated, with keys of few slots.
async fn database() -> anyhow::Result<Database> {
    QUEUE
        .fresh_database(|url| async move {
            migrate(&config([("DATABASE_URL", url.clone()), ("APP_ENV", "development".to_owned())])).await?;
            let sql = tests::database::connect(&url).await?;
            sql.batch_execute("insert into relay.vault_key values (1, 'local', '\\x00', now())").await?;
            for (key, slots) in KEYS {
                sql.execute(
                    "insert into relay.quota (quota_key, slots) values ($1, $2)",
                    &[&key, &i32::try_from(slots)?],
                )
                .await?;
            }
            Ok(())
        })
        .await
}

#[test]
fn after_any_sequence_of_operations_the_queue_stands_where_the_model_does() {
    let longest = env::var("RELAY_MODEL_OPERATIONS").ok();
    let longest = longest.map_or(OPERATIONS, |longest| longest.parse().expect("it must be a whole number"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut runner = TestRunner::new(cases(CASES));

    let result = runner.run(&operations(longest), |operations| {
        runtime
            .block_on(play(&operations))
            .map(drop)
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });

    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// A queue with groups, and nothing in it.
pub(super) async fn begin() -> anyhow::Result<Machine> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let mut machine = Machine::new(database().await?, now).await?;
    for number in 0..GROUPS {
        machine.add_group(number).await?;
    }
    Ok(machine)
}

pub(super) async fn play(operations: &[Operation]) -> anyhow::Result<Met> {
    let mut machine = begin().await?;
    let now = machine.model.now;
    for (place, operation) in operations.iter().enumerate() {
        // There are partitions for eight weeks.
        if machine.model.now > now + seconds(50 * 86_400) {
            break;
        }
        let context = || format!("operation {place}: {operation:?}");
        machine.apply(operation).await.with_context(context)?;
        machine.compare().await.with_context(context)?;
    }
    Ok(machine.model.met)
}

impl Machine {
    async fn add_group(&mut self, number: usize) -> anyhow::Result<()> {
        let (site, now) = (Uuid::new_v4(), self.model.now);
        self.query("select relay.ensure_groups(array[$1::uuid], array['google_ads'], $2)", &[&site, &now])
            .await?;
        let sql = "select group_id from relay.delivery_group where site_id = $1";
        let group_id = self.query(sql, &[&site]).await?[0].get(0);
        let holds = BTreeSet::from([("site".to_owned(), String::new())]);
        self.model.groups.push(Group { group_id, site, is_held: true, holds, ..Group::default() });
        if number + 1 < GROUPS {
            self.put_credentials(number, KEYS[number / 2].0).await?;
        }
        Ok(())
    }

    /// Everything that the database says of itself is what the model says.
    pub(super) async fn compare(&mut self) -> anyhow::Result<()> {
        let faults =
            self.query("select fault, conversion_id, detail from relay.audit_conversions()", &[]).await?;
        let faults: Vec<(String, i64, String)> =
            faults.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        ensure!(faults.is_empty(), "the audit found {faults:?}");
        self.compare_groups().await?;
        self.compare_provider().await?;
        self.compare_stops().await?;
        self.compare_view().await?;
        self.compare_ready().await?;
        self.compare_claims().await?;
        self.model.overdrawn().map_or(Ok(()), |overdrawn| Err(anyhow::anyhow!(overdrawn)))
    }

    async fn compare_groups(&mut self) -> anyhow::Result<()> {
        let rows = self
            .query(
                "select state, failure_count, epoch, next_probe_at, probe_until, hold_id is not null as is_held, \
                 attempts_total, completed_total, failed_total, retry_total, held_total, submitted_total \
                 from relay.provider_health_state \
                 join relay.delivery_group using (group_id) join relay.provider_upload_metrics using (group_id) \
                 order by group_id",
                &[],
            )
            .await?;
        let now = self.model.now;
        for (number, row) in rows.iter().enumerate() {
            let group = &mut self.model.groups[number];
            if group.circuit.state == State::Open && group.circuit.next_probe_at.is_none() {
                let probe: Timestamp =
                    row.get::<_, Option<_>>("next_probe_at").context("an open circuit is never probed")?;
                ensure!(
                    (now + seconds(300)..=now + seconds(360)).contains(&probe),
                    "the probe is due at {probe}"
                );
                group.circuit.next_probe_at = Some(probe);
            }
            let told = Circuit {
                state: State::read(row.get("state")),
                failure_count: row.get("failure_count"),
                epoch: row.get("epoch"),
                next_probe_at: row.get("next_probe_at"),
                probe_until: row.get("probe_until"),
            };
            ensure!(
                told == group.circuit,
                "group {number}: the circuit is {told:?}, expected {:?}",
                group.circuit
            );
            ensure!(
                row.get::<_, bool>("is_held") == group.is_held,
                "group {number}: held: {}",
                !group.is_held
            );
            let totals = Totals {
                attempts: row.get("attempts_total"),
                completed: row.get("completed_total"),
                failed: row.get("failed_total"),
                retry: row.get("retry_total"),
                held: row.get("held_total"),
                submitted: row.get("submitted_total"),
            };
            ensure!(totals == group.totals, "group {number}: {totals:?}, expected {:?}", group.totals);
        }
        Ok(())
    }

    async fn compare_view(&mut self) -> anyhow::Result<()> {
        let sql =
            "select id, status, outcome, retry_count, next_retry_at from relay.offline_conversion_queue";
        let rows = self.query(sql, &[]).await?;
        ensure!(rows.len() == self.model.conversions.len(), "the view shows {} rows", rows.len());
        for row in &rows {
            let id = row.get("id");
            let told: (&str, Option<String>, i32, Option<Timestamp>) =
                (row.get("status"), row.get("outcome"), row.get("retry_count"), row.get("next_retry_at"));
            let known = self.model.standing(id);
            ensure!(told == known, "{id} is {told:?}, expected {known:?}");
        }
        Ok(())
    }

    async fn compare_ready(&mut self) -> anyhow::Result<()> {
        let sql = "select conversion_id, band, next_attempt_at, seq, retry_count, request_failures, lost_claims, \
                   maybe_delivered, target from relay.ready";
        for row in self.query(sql, &[]).await? {
            let id = row.get("conversion_id");
            let Conversion {
                place,
                seq,
                retry_count,
                request_failures,
                lost_claims,
                maybe_delivered,
                target,
                ..
            } = &self.model.conversions[&id];
            let waits = Place::Ready { band: row.get("band"), due: row.get("next_attempt_at") };
            ensure!(waits == *place, "{id} is {waits:?}, expected {place:?}");
            let told: (i32, i16, i16, i16, bool, Option<i64>) = (
                row.get("seq"),
                row.get("retry_count"),
                row.get("request_failures"),
                row.get("lost_claims"),
                row.get("maybe_delivered"),
                row.get("target"),
            );
            let known = (*seq, *retry_count, *request_failures, *lost_claims, *maybe_delivered, *target);
            ensure!(told == known, "{id} waits with {told:?}, expected {known:?}");
        }
        Ok(())
    }

    async fn compare_claims(&mut self) -> anyhow::Result<()> {
        let sql = "select claim_token, conversion_ids, lease_until from relay.inflight";
        let rows = self.query(sql, &[]).await?;
        let told: BTreeMap<Uuid, (Vec<i64>, Timestamp)> =
            rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
        let claims = self.model.claims.iter();
        let known: BTreeMap<_, _> =
            claims.map(|(token, claim)| (*token, (claim.rows.clone(), claim.lease_until))).collect();
        ensure!(told == known, "in flight {told:?}, expected {known:?}");

        let now = self.model.now;
        let sql = "select quota_key, slot_no, claim_token, lease_until from relay.upload_slot where lease_until > $1";
        let rows = self.query(sql, &[&now]).await?;
        let told: BTreeMap<(String, i32), (Option<Uuid>, Timestamp)> =
            rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
        let slots = self.model.slots.iter().filter(|(_, slot)| slot.lease_until > now);
        let known: BTreeMap<_, _> =
            slots.map(|(place, slot)| (place.clone(), (Some(slot.token), slot.lease_until))).collect();
        ensure!(told == known, "slots {told:?}, expected {known:?}");

        let sql = "select attempt_id from relay.provider_upload_attempts where closed_at is null";
        let told: BTreeSet<i64> = self.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        let known: BTreeSet<i64> = self.model.open_attempts.keys().copied().collect();
        ensure!(told == known, "open requests {told:?}, expected {known:?}");
        Ok(())
    }
}

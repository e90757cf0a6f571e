//! Each operation on the database, and the model that follows it: what the database answered must be what the model
//! expects, or, where it is the database's to choose, what the model allows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use tests::database::Database;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use super::model::{
    Claim, Conversion, FAILURES_TO_OPEN, KEYS, Model, PROBE_ROWS, Place, Slot, State, seconds,
};
use super::operation::{Ask, Operation, Sale, Settlement, Verdict};
use super::outage::Gate;

/// More claims than this are not made by cutting: a claim returns at most twenty lapsed ones.
const CLAIMS_MAX: usize = 14;

pub(super) struct Machine {
    pub(super) model: Model,
    pub(super) sql: Client,
    statements: HashMap<&'static str, Statement>,
    /// Its end deletes the database.
    _database: Database,
}

impl Machine {
    pub(super) async fn new(database: Database, now: Timestamp) -> anyhow::Result<Self> {
        let sql = database.connect().await?;
        let model = Model { now, ..Model::default() };
        Ok(Self { model, sql, statements: HashMap::new(), _database: database })
    }

    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        if !self.statements.contains_key(sql) {
            self.statements.insert(sql, self.sql.prepare(sql).await.context(sql)?);
        }
        self.sql.query(&self.statements[sql], parameters).await.context(sql)
    }

    pub(super) async fn apply(&mut self, operation: &Operation) -> anyhow::Result<()> {
        let live =
            |claim: usize, model: &Model| model.live_claims().get(claim % model.claims.len().max(1)).copied();
        match operation {
            Operation::Enqueue { group, sales } => self.enqueue(*group, sales).await,
            Operation::Claim(ask) => self.claim(ask).await.map(drop),
            Operation::Open { claim, target, lease_seconds, wait_seconds } => match live(*claim, &self.model)
            {
                Some(token) => self.open(token, *target, *lease_seconds, *wait_seconds).await,
                None => Ok(()),
            },
            Operation::Settle { claim, settlement } => match live(*claim, &self.model) {
                Some(token) => self.settle(token, settlement).await,
                None => Ok(()),
            },
            Operation::Fail { group, times, send, seconds: passed } => {
                self.fail(*group, *times, *send).await?;
                // The database's choice of the probe's time is learnt before.
                self.compare().await?;
                self.model.now += seconds(*passed);
                Ok(())
            }
            Operation::BreakDown { sale, times, send, seconds: passed } => {
                self.break_down(sale, *times, *send).await?;
                self.model.now += seconds(*passed);
                Ok(())
            }
            Operation::SettleLost { claim } => self.settle_lost(*claim).await,
            Operation::Split { claim, parts, lease_seconds } => match live(*claim, &self.model) {
                Some(token) if self.model.claims.len() < CLAIMS_MAX => {
                    self.split(token, parts, *lease_seconds).await
                }
                _ => Ok(()),
            },
            Operation::Pass { seconds: passed } => {
                self.model.now += seconds(*passed);
                Ok(())
            }
            Operation::Recover { min_age_minutes, group } => self.recover(*min_age_minutes, *group).await,
            Operation::Expire { limit } => self.expire(*limit).await,
            Operation::PutCredentials { group, key } => self.put_credentials(*group, KEYS[*key].0).await,
            Operation::Pause { place, seconds } => self.pause(*place, *seconds).await,
            Operation::PutBudget { key, per_minute } => self.put_budget(KEYS[*key].0, *per_minute).await,
            Operation::Resume { place } => self.resume(*place).await,
            Operation::EndNear { limit } => self.end_near(*limit).await,
            Operation::Cancel { group, limit } => self.cancel(*group, *limit).await,
            Operation::Redrive { group } => self.redrive(*group).await,
        }
    }

    /// Claims a group and tells that nobody answered, so many times.
    pub(super) async fn fail(&mut self, group: usize, times: usize, send: bool) -> anyhow::Result<()> {
        for _ in 0..times {
            for token in self.claim(&Ask::generous(Some(group))).await? {
                if send {
                    self.open(token, 1, 60, 0).await?;
                }
                let failed = Settlement::of_all(Verdict::plain("UNANSWERED"), "transient");
                self.settle(token, &failed).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn enqueue(&mut self, number: usize, sales: &[Sale]) -> anyhow::Result<()> {
        let (now, count, site) = (self.model.now, sales.len(), self.model.groups[number].site);
        let ids: Vec<_> = sales.iter().map(|sale| format!("sale-{}-{number}", sale.number)).collect();
        let digests: Vec<_> = sales.iter().map(|sale| vec![sale.digest]).collect();
        let due: Vec<_> =
            sales.iter().map(|sale| sale.due_in_seconds.map(|later| now + seconds(later))).collect();
        let expires: Vec<_> = sales.iter().map(|sale| now + seconds(sale.expires_in_hours * 3_600)).collect();
        let rows = self
            .query(
                "select item, result, conversion_id \
                 from relay.enqueue_offline_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9) order by item",
                &[
                    &vec![site; count],
                    &vec!["google_ads"; count],
                    &ids,
                    &vec!["conversion"; count],
                    &digests,
                    &due,
                    &expires,
                    &vec![serde_json::json!({}); count],
                    &now,
                ],
            )
            .await?;
        ensure!(rows.len() == count, "enqueue answered {} of {count}", rows.len());

        // Who comes first has the key; then each is told how it stands to whoever has it.
        let is_held = self.model.groups[number].is_held;
        let mut known: BTreeMap<String, (u8, Option<usize>)> = self
            .model
            .conversions
            .values()
            .filter(|conversion| conversion.group == number)
            .map(|conversion| (conversion.external_id.clone(), (conversion.digest, None)))
            .collect();
        for (item, sale) in sales.iter().enumerate().filter(|(item, _)| expires[*item] > now) {
            known.entry(ids[item].clone()).or_insert((sale.digest, Some(item)));
        }
        for (item, sale) in sales.iter().enumerate() {
            let expected = match known.get(&ids[item]) {
                None => "expired",
                Some((_, Some(winner))) if *winner == item && is_held => "held",
                Some((_, Some(winner))) if *winner == item => "queued",
                Some((digest, _)) if *digest == sale.digest => "duplicate",
                Some(_) => "conflict",
            };
            let answered: &str = rows[item].get("result");
            ensure!(answered == expected, "{}: answered {answered}, expected {expected}", ids[item]);
            if matches!(expected, "held" | "queued") {
                let place = Place::Ready {
                    band: self.model.band(expires[item]),
                    due: due[item].unwrap_or(now).max(now),
                };
                let conversion = Conversion {
                    group: number,
                    external_id: ids[item].clone(),
                    digest: sale.digest,
                    expires_at: expires[item],
                    place,
                    outcome: None,
                    seq: 0,
                    retry_count: 0,
                    request_failures: 0,
                    failed_epoch: 0,
                    lost_claims: 0,
                    maybe_delivered: false,
                    target: None,
                };
                self.model.conversions.insert(rows[item].get("conversion_id"), conversion);
            }
        }
        Ok(())
    }

    /// The claims that were made.
    pub(super) async fn claim(&mut self, ask: &Ask) -> anyhow::Result<Vec<Uuid>> {
        let now = self.model.now;
        let site = ask.group.map(|group| self.model.groups[group].site);
        let rows = self
            .query(
                "select claim_token, group_id, circuit_epoch, failure_count, is_probe, expired, conversion_ids, \
                 retry_counts, request_failures, maybe_delivered, targets, cardinality(payloads) as payloads \
                 from relay.claim_offline_conversion_jobs_v2(7, 'google_ads', $1, $2, $3, $4, $5, $6)",
                &[&site, &ask.groups, &ask.rows, &ask.batch, &ask.lease_seconds, &now],
            )
            .await?;
        let gate = self.model.gate();
        // What lapsed long ago is looked for by those only that pass the gate.
        let recent = |lease: Timestamp| lease < now && lease > now - seconds(300);
        if gate != Gate::Shut || self.model.claims.values().any(|claim| recent(claim.lease_until)) {
            self.model.lapse(0, None);
        }

        // What the model would have let go, before it follows.
        let asked: Vec<usize> =
            (0..self.model.groups.len()).filter(|number| ask.group.is_none_or(|of| of == *number)).collect();
        let open = |number: &usize| {
            let group = &self.model.groups[*number];
            let free = group.key.as_ref().map_or(0, |key| self.model.free_slots(key));
            let is_open = gate != Gate::Shut && self.model.is_open_for_claims(*number).is_ok();
            is_open && free > 0 && !self.model.due(*number).is_empty()
        };
        let ample = |number: &usize| {
            self.model.groups[*number].key.as_ref().is_some_and(|key| !self.model.is_scarce(key))
        };
        let claimable: Vec<usize> = asked.iter().copied().filter(open).filter(ample).collect();
        let mixed = |number: &usize| self.model.due(*number).iter().any(|id| self.model.goes_alone(*id));
        let whole: BTreeSet<usize> =
            claimable.iter().copied().filter(|number| !mixed(number) && self.is_closed(*number)).collect();
        ensure!(
            !rows.is_empty() || claimable.is_empty(),
            "nothing was claimed, and due in groups {claimable:?}"
        );
        let most = match gate {
            Gate::Open => usize::MAX,
            Gate::Shut => 0,
            Gate::Probe => 1,
        };
        ensure!(rows.len() <= most, "{} batches went through a gate that is {gate:?}", rows.len());

        let expired = self.newly_expired().await?;
        ensure!(
            rows.iter().map(|row| row.get::<_, i32>("expired")).sum::<i32>() == i32::try_from(expired.len())?,
            "{expired:?} expired, and other numbers were answered"
        );
        let (mut made, mut visited, mut taken) = (Vec::new(), BTreeSet::new(), expired.len());
        for row in &rows {
            let group_id: i32 = row.get("group_id");
            let number = self.model.groups.iter().position(|group| group.group_id == group_id);
            let number = number.with_context(|| format!("group {group_id} is unknown"))?;
            ensure!(asked.contains(&number), "group {number} was not asked for");
            self.model.is_open_for_claims(number).map_err(|why| anyhow::anyhow!("group {number}: {why}"))?;
            // Rows that go alone wait for a turn of their own.
            let again = !ask.is_generous() || !whole.contains(&number);
            ensure!(visited.insert(number) || again, "group {number} was visited twice");
            made.extend(self.follow_claim(number, ask, row, &expired).await?);
            taken += row.get::<_, Vec<i64>>("conversion_ids").len();
        }
        ensure!(taken <= usize::try_from(ask.rows)?, "{taken} rows where {} were asked for", ask.rows);
        for id in expired {
            ensure!(
                self.model.conversions[&id].place == Place::Ended,
                "{id} expired in a group that was not visited"
            );
        }
        if ask.is_generous() && gate == Gate::Open {
            for number in claimable {
                let key = self.model.groups[number].key.as_ref().expect("it was open");
                if self.model.budgets.has_limit(key) {
                    continue;
                }
                let left = self.model.due(number);
                ensure!(
                    visited.contains(&number) || self.model.free_slots(key) == 0,
                    "group {number} was left out, with {left:?} due and slots free"
                );
                ensure!(
                    !visited.contains(&number) || !whole.contains(&number) || left.is_empty(),
                    "{left:?} were left in group {number}"
                );
            }
        }
        Ok(made)
    }

    fn is_closed(&self, number: usize) -> bool {
        self.model.groups[number].circuit.state == State::Closed
    }

    /// What ended by the clock since the model was last told.
    pub(super) async fn newly_expired(&mut self) -> anyhow::Result<BTreeSet<i64>> {
        let sql = "select conversion_id from (select distinct on (conversion_id) conversion_id, code \
                   from relay.conversion_outcome order by conversion_id, seq desc) as latest \
                   where code in ('EXPIRED_BEFORE_DELIVERY', 'EXPIRED_PERHAPS_DELIVERED')";
        let all: Vec<i64> = self.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        let known = |id: &i64| self.model.conversions[id].place == Place::Ended;
        let fresh: BTreeSet<i64> = all.into_iter().filter(|id| !known(id)).collect();
        for id in &fresh {
            ensure!(self.model.is_expired(*id), "{id} ended before its time");
        }
        Ok(fresh)
    }

    async fn follow_claim(
        &mut self,
        number: usize,
        ask: &Ask,
        row: &Row,
        expired: &BTreeSet<i64>,
    ) -> anyhow::Result<Option<Uuid>> {
        let now = self.model.now;
        let ids: Vec<i64> = row.get("conversion_ids");
        let due = self.model.due(number);
        // A group may have several turns in a call.
        let late = usize::try_from(row.get::<_, i32>("expired"))?;
        let ended: Vec<i64> = due.iter().copied().filter(|id| expired.contains(id)).take(late).collect();
        let circuit = self.model.groups[number].circuit.clone();
        let probing = circuit.state != State::Closed;
        ensure!(
            row.get::<_, bool>("is_probe") == (probing && !ids.is_empty())
                && row.get::<_, i32>("failure_count") == circuit.failure_count,
            "group {number}: its circuit is {circuit:?}"
        );
        ensure!(late == ended.len(), "group {number} ended {ended:?}");
        let for_all = self.model.gate() == Gate::Probe;
        let most = match (probing || for_all, circuit.failure_count > FAILURES_TO_OPEN) {
            (true, true) => 1,
            (true, false) => PROBE_ROWS.min(usize::try_from(ask.batch)?),
            (false, _) => usize::try_from(ask.batch)?,
        };
        ensure!(ids.len() + ended.len() <= most, "group {number} gave {ids:?}, of {most}");
        for id in &ids {
            ensure!(
                due.contains(id),
                "{id} was claimed and is not due: {:?}",
                self.model.conversions.get(id)
            );
            ensure!(!self.model.is_expired(*id), "{id} was claimed and has expired");
        }
        // In the order of their turns, and none left out; a row that goes alone goes with nobody.
        if due.iter().any(|id| self.model.goes_alone(*id)) {
            let alone = ids.iter().filter(|id| self.model.goes_alone(**id)).count();
            ensure!(alone == 0 || ids.len() == 1, "a row that goes alone went with others: {ids:?}");
        } else {
            let gone = due.iter().take(ids.len() + ended.len()).copied().filter(|id| !ended.contains(id));
            let gone: Vec<i64> = gone.collect();
            ensure!(gone == ids, "group {number}: {ids:?} were taken before their turn, of {due:?}");
        }
        for id in ended {
            self.model.count_failed(number);
            self.model.tell_expired(id);
        }
        let Some(token) = row.get::<_, Option<Uuid>>("claim_token") else {
            ensure!(ids.is_empty(), "rows without a claim");
            return Ok(None);
        };
        ensure!(
            !ids.is_empty() && row.get::<_, i32>("payloads") == i32::try_from(ids.len())?,
            "a claim without rows"
        );
        let column = |name: &str| row.get::<_, Vec<i16>>(name);
        let (retries, failures) = (column("retry_counts"), column("request_failures"));
        let (maybe, targets): (Vec<bool>, Vec<Option<i64>>) =
            (row.get("maybe_delivered"), row.get("targets"));
        for (place, id) in ids.iter().enumerate() {
            let conversion = self.model.conversions.get_mut(id).expect("it is due");
            if conversion.failed_epoch != circuit.epoch {
                conversion.request_failures = 0;
            }
            let told = (retries[place], failures[place], maybe[place], targets[place]);
            let known = (
                conversion.retry_count,
                conversion.request_failures,
                conversion.maybe_delivered,
                conversion.target,
            );
            ensure!(told == known, "{id} was claimed with {told:?}, and is {known:?}");
            conversion.place = Place::Claimed(token);
        }

        let slot = "select quota_key, slot_no, slot_token from relay.inflight where claim_token = $1";
        let slot = self.query(slot, &[&token]).await?.pop().context("the claim is not in flight")?;
        let place: (String, i32) = (slot.get("quota_key"), slot.get("slot_no"));
        let lease_until = now + seconds(ask.lease_seconds);
        ensure!(Some(&place.0) == self.model.groups[number].key.as_ref(), "the slot is of another key");
        let before = self.model.slots.insert(place.clone(), Slot { token, lease_until });
        ensure!(before.is_none_or(|slot| slot.lease_until <= now), "slot {place:?} was taken twice");
        let epoch = circuit.epoch + i32::from(probing);
        if probing {
            let own = &mut self.model.groups[number].circuit;
            (own.state, own.epoch, own.probe_until) = (State::HalfOpen, epoch, Some(lease_until));
        }
        if for_all {
            self.model.begin_probe(token, lease_until, ids.len(), circuit.failure_count);
        }
        ensure!(row.get::<_, i32>("circuit_epoch") == epoch, "another epoch than {epoch}");
        let slot_token: Uuid = slot.get("slot_token");
        let claim = Claim {
            group: number,
            epoch,
            rows: ids,
            slot: place,
            slot_token,
            claimed_at: now,
            lease_until,
            sent: None,
            attempt: None,
        };
        self.model.claims.insert(token, claim);
        Ok(Some(token))
    }
}

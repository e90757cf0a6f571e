//! What is told and done about claims and conversions after the claim, on the database and in the model.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{Claim, Place, Rank, seconds};
use super::operation::{Settlement, Verdict};

impl Machine {
    pub(super) async fn settle(&mut self, token: Uuid, settlement: &Settlement) -> anyhow::Result<()> {
        let now = self.model.now;
        let claim = self.model.remove_claim(token);
        let verdicts = verdicts(settlement, &claim);
        let keep_slot = self.model.claims.values().any(|other| other.slot_token == claim.slot_token);
        let row = self.tell(token, claim.attempt, settlement, &verdicts, keep_slot).await?;
        ensure!(row.get::<_, bool>("accepted"), "a live claim is stale");

        if !keep_slot && self.model.slots.get(&claim.slot).is_some_and(|slot| slot.token == claim.slot_token)
        {
            self.model.slots.remove(&claim.slot);
        }
        if let Some(("quota_key", wait)) = settlement.throttle {
            let until = self.model.throttled_keys.entry(claim.slot.0.clone()).or_insert(now);
            *until = (*until).max(now + seconds(wait));
        }
        let group = &mut self.model.groups[claim.group];
        // Credentials that came after the claim are the mend already.
        let mended = group.credentials_at.is_some_and(|at| at > claim.claimed_at);
        let mut hold_opened = false;
        if let Some(scope) = settlement.group_hold.filter(|_| !mended) {
            hold_opened |= group.holds.insert((scope.to_owned(), String::new()));
            group.is_held = true;
        }
        for (scope, key) in verdicts.iter().filter_map(|verdict| verdict.hold).filter(|_| !mended) {
            hold_opened |= group.holds.insert((scope.to_owned(), key.to_owned()));
        }

        let (mut counts, mut released) = (super::model::Totals::default(), 0_i64);
        for (id, verdict) in claim.rows.iter().zip(&verdicts) {
            self.settle_row(*id, &claim, verdict, settlement.circuit);
            match verdict.outcome {
                "DELIVERED" | "DUPLICATE" | "UNMATCHED" => counts.completed += 1,
                "RETRY" | "DELAYED" | "UNANSWERED" => counts.retry += 1,
                "HELD" => counts.held += 1,
                "SUBMITTED" => counts.submitted += 1,
                "RELEASED" => released += 1,
                _ => counts.failed += 1,
            }
        }
        let change = if keep_slot && settlement.circuit == "none" {
            self.model.keep_probing(claim.slot_token);
            None
        } else {
            let change = self.model.record(claim.group, claim.epoch, settlement.circuit);
            self.model.record_probe(claim.slot_token, settlement.circuit).or(change)
        };
        let group = &mut self.model.groups[claim.group];
        if let Some(("group", wait)) = settlement.throttle {
            group.throttled_until = group.throttled_until.max(Some(now + seconds(wait)));
        }
        group.active_at = Some(now);
        group.totals.attempts += i64::from(claim.attempt.is_some());
        group.totals.completed += counts.completed;
        group.totals.failed += counts.failed;
        group.totals.retry += counts.retry;
        group.totals.held += counts.held;
        group.totals.submitted += counts.submitted;
        claim.attempt.map(|attempt| self.model.open_attempts.remove(&attempt));

        let count = |name: &str| i64::from(row.get::<_, i32>(name));
        let told = (
            count("completed"),
            count("failed"),
            count("retry"),
            count("held"),
            count("submitted"),
            count("released"),
        );
        let known = (counts.completed, counts.failed, counts.retry, counts.held, counts.submitted, released);
        ensure!(told == known, "settled {told:?}, expected {known:?}");
        let told: (Option<&str>, bool) = (row.get("circuit_change"), row.get("hold_opened"));
        ensure!(told == (change, hold_opened), "settled with {told:?}, expected {:?}", (change, hold_opened));
        Ok(())
    }

    fn settle_row(&mut self, id: i64, claim: &Claim, verdict: &Verdict, circuit: &str) {
        let due = self.model.now + seconds(verdict.wait_seconds);
        let holds = &self.model.groups[claim.group].holds;
        let hold = verdict.hold.map(|(scope, key)| (scope.to_owned(), key.to_owned()));
        let hold = hold.filter(|hold| holds.contains(hold));
        let conversion = self.model.conversions.get_mut(&id).expect("the conversion is known");
        conversion.retry_count += i16::from(verdict.outcome == "RETRY");
        conversion.request_failures += i16::from(verdict.outcome == "UNANSWERED" && circuit == "transient");
        conversion.failed_epoch = claim.epoch;
        conversion.maybe_delivered |= verdict.class == Some("AMBIGUOUS");
        if claim.attempt.is_some() {
            conversion.target = claim.sent.or(conversion.target);
        }
        match (verdict.outcome, hold) {
            ("HELD", Some((scope, key))) => self.model.tell(id, "HELD", Place::Held(scope, key)),
            ("RETRY" | "DELAYED" | "UNANSWERED" | "RELEASED" | "HELD", _) => {
                self.model.go_again(id, verdict.outcome, due);
            }
            _ => self.model.tell(id, verdict.outcome, Place::Ended),
        }
    }

    async fn tell(
        &mut self,
        token: Uuid,
        attempt: Option<i64>,
        settlement: &Settlement,
        verdicts: &[Verdict],
        keep_slot: bool,
    ) -> anyhow::Result<Row> {
        let now = self.model.now;
        let count = verdicts.len();
        let outcomes: Vec<_> = verdicts.iter().map(|verdict| verdict.outcome).collect();
        let classes: Vec<_> = verdicts.iter().map(|verdict| verdict.class).collect();
        let waits: Vec<_> = verdicts.iter().map(|verdict| verdict.wait_seconds).collect();
        let scopes: Vec<_> = verdicts.iter().map(|verdict| verdict.hold.map(|(scope, _)| scope)).collect();
        let keys: Vec<_> = verdicts.iter().map(|verdict| verdict.hold.map(|(_, key)| key)).collect();
        let request = attempt.map(|attempt| format!("request-{attempt}"));
        let throttle = settlement.throttle;
        let mut rows = self
            .query(
                "select accepted, circuit_change, hold_opened, completed, failed, retry, held, submitted, released \
                 from relay.settle_offline_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'CODE', $12, $13, \
                 200, $14, null, null, 5, $15, $16)",
                &[
                    &token, &attempt, &outcomes, &classes, &vec!["CODE"; count], &waits,
                    &vec![None::<Timestamp>; count], &scopes, &keys, &settlement.circuit, &settlement.group_hold,
                    &throttle.map(|(scope, _)| scope), &throttle.map(|(_, wait)| wait), &request, &keep_slot, &now,
                ],
            )
            .await?;
        rows.pop().context("settling answered nothing")
    }

    pub(super) async fn settle_lost(&mut self, claim: usize) -> anyhow::Result<()> {
        let Some((token, rows)) = self.model.lost.get(claim % self.model.lost.len().max(1)).copied() else {
            return Ok(());
        };
        let attempt =
            self.model.open_attempts.iter().find(|(_, open)| open.claim == token).map(|(id, _)| *id);
        let delivered = Settlement::of_all(Verdict::plain("DELIVERED"), "success");
        let verdicts = vec![Verdict::plain("DELIVERED"); rows];

        let row = self.tell(token, attempt, &delivered, &verdicts, false).await?;

        ensure!(!row.get::<_, bool>("accepted"), "a claim that was lost was settled");
        attempt.map(|attempt| self.model.open_attempts.remove(&attempt));
        Ok(())
    }

    pub(super) async fn split(
        &mut self,
        token: Uuid,
        parts: &[i32],
        lease_seconds: i32,
    ) -> anyhow::Result<()> {
        let now = self.model.now;
        let claim = self.model.claims[&token].clone();
        if let Some(attempt) = claim.attempt {
            let sql = "select relay.close_provider_upload_attempt($1, 400, null, 'CODE', 'SPLIT', 5, $2)";
            ensure!(self.query(sql, &[&attempt, &now]).await?[0].get::<_, bool>(0), "it was closed before");
            self.model.open_attempts.remove(&attempt);
            let group = &mut self.model.groups[claim.group];
            group.totals.attempts += 1;
            group.active_at = Some(now);
            self.model.claims.get_mut(&token).expect("it was cloned from there").attempt = None;
        }
        let parts: Vec<i32> =
            claim.rows.iter().enumerate().map(|(row, _)| parts[row % parts.len()]).collect();

        let sql = "select part, claim_token from relay.split_claim($1, $2, $3, $4)";
        let made = self.query(sql, &[&token, &parts, &lease_seconds, &now]).await?;

        if claim.lease_until <= now {
            ensure!(made.is_empty(), "a claim that lapsed was cut");
            return Ok(());
        }
        let expected: BTreeSet<i32> = parts.iter().copied().collect();
        let told: Vec<i32> = made.iter().map(|row| row.get("part")).collect();
        ensure!(told.iter().eq(&expected), "{told:?} instead of {expected:?}");
        self.model.remove_claim(token);
        let lease_until = now + seconds(lease_seconds);
        if let Some(slot) =
            self.model.slots.get_mut(&claim.slot).filter(|slot| slot.token == claim.slot_token)
        {
            slot.lease_until = lease_until;
        }
        self.model.extend_probe(claim.group, claim.epoch, claim.slot_token, lease_until);
        self.model.extend_parts(claim.slot_token, lease_until);
        for row in made {
            let (part, token): (i32, Uuid) = (row.get("part"), row.get("claim_token"));
            let rows = claim.rows.iter().zip(&parts).filter(|(_, of)| **of == part).map(|(id, _)| *id);
            let rows: Vec<i64> = rows.collect();
            for id in &rows {
                let conversion = self.model.conversions.get_mut(id).expect("the conversion is known");
                conversion.place = Place::Claimed(token);
                conversion.target = claim.sent.or(conversion.target);
            }
            let part = Claim { rows, lease_until, sent: None, attempt: None, ..claim.clone() };
            self.model.claims.insert(token, part);
        }
        Ok(())
    }

    pub(super) async fn recover(&mut self, min_age_minutes: i32, of: Option<usize>) -> anyhow::Result<()> {
        let now = self.model.now;
        let site = of.map(|group| self.model.groups[group].site);
        let row = self
            .query(
                "select claims, requeued, exhausted, attempts_settled, leases_freed \
                 from relay.recover_offline_conversions($1, $2, 1000, $3)",
                &[&min_age_minutes, &site, &now],
            )
            .await?
            .remove(0);
        let slots = self.model.slots.len();
        self.model.slots.retain(|_, slot| slot.lease_until >= now);
        let freed = i32::try_from(slots - self.model.slots.len())?;
        let (claims, requeued, exhausted) = self.model.lapse(min_age_minutes, of);
        let (attempts, live) = (self.model.open_attempts.len(), &self.model.claims);
        let old = now - seconds(i64::from(min_age_minutes) * 60);
        self.model.open_attempts.retain(|_, open| {
            open.opened_at > old
                || of.is_some_and(|group| group != open.group)
                || live.contains_key(&open.claim)
        });
        let settled = i32::try_from(attempts - self.model.open_attempts.len())?;
        let told: [i32; 5] =
            ["claims", "requeued", "exhausted", "attempts_settled", "leases_freed"].map(|name| row.get(name));
        let known = [claims, requeued, exhausted, settled, freed];
        ensure!(told == known, "recovered {told:?}, expected {known:?}");
        Ok(())
    }

    pub(super) async fn expire(&mut self, limit: i32) -> anyhow::Result<()> {
        let now = self.model.now;
        let sql = "select examined, expired, hastened, finished from relay.expire_conversions($1, $2)";
        let row = self.query(sql, &[&limit, &now]).await?.remove(0);
        let ended = self.newly_expired().await?;

        let from = self.model.walk;
        let ready = self.model.ready();
        let seen: Vec<Rank> = ready
            .into_iter()
            .filter(|rank| from.is_none_or(|from| *rank > from))
            .take(usize::try_from(limit)?)
            .collect();
        let finished = seen.len() < usize::try_from(limit)?;
        self.model.walk = seen.last().copied().filter(|_| !finished);
        let mut hastened = 0;
        for (_, band, due, id) in &seen {
            if self.model.is_expired(*id) {
                ensure!(ended.contains(id), "{id} was walked over and lives on");
            } else if *band == 1 && self.model.band(self.model.conversions[id].expires_at) == 0 {
                hastened += 1;
                self.model.conversions.get_mut(id).expect("it is ready").place =
                    Place::Ready { band: 0, due: *due };
            }
        }
        let held = |place: &Place| matches!(place, Place::Held(..));
        let late = |id: &i64| self.model.is_expired(*id) && held(&self.model.conversions[id].place);
        let late = self.model.conversions.keys().filter(|id| late(id)).count();
        let parked = ended.iter().filter(|id| held(&self.model.conversions[id].place)).count();
        ensure!(parked == late.min(usize::try_from(limit)?), "{parked} of {late} parked ones ended");
        for id in &ended {
            let walked = seen.iter().any(|(.., other)| other == id);
            ensure!(walked || held(&self.model.conversions[id].place), "{id} ended and was not walked over");
            let group = self.model.conversions[id].group;
            self.model.count_failed(group);
            self.model.tell_expired(*id);
        }
        let told = (row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, i32>(2), row.get::<_, bool>(3));
        let known = (i32::try_from(seen.len())?, i32::try_from(ended.len())?, hastened, finished);
        ensure!(told == known, "walked {told:?}, expected {known:?}");
        Ok(())
    }

    pub(super) async fn end_near(&mut self, limit: i32) -> anyhow::Result<()> {
        let now = self.model.now;
        let sql =
            "select expired, next_after from relay.expire_waiting_conversions(null, 0::smallint, $1, $2, $3)";
        let (mut place, mut told) = (None::<serde_json::Value>, 0);
        loop {
            let row = self.query(sql, &[&place, &limit, &now]).await?.remove(0);
            told += row.get::<_, i32>("expired");
            place = row.get("next_after");
            if place.is_none() {
                break;
            }
        }
        let ended = self.newly_expired().await?;

        let is_near = |place: &Place| matches!(place, Place::Held(..) | Place::Ready { band: 0, .. });
        let late = |id: &i64| self.model.is_expired(*id) && is_near(&self.model.conversions[id].place);
        let late: BTreeSet<i64> = self.model.conversions.keys().copied().filter(late).collect();
        ensure!(ended == late, "{ended:?} ended, expected {late:?}");
        ensure!(told == i32::try_from(ended.len())?, "{told} were told of, and {} ended", ended.len());
        for id in &ended {
            let group = self.model.conversions[id].group;
            self.model.count_failed(group);
            self.model.tell_expired(*id);
        }
        Ok(())
    }

    pub(super) async fn cancel(&mut self, number: usize, limit: i32) -> anyhow::Result<()> {
        let (now, site) = (self.model.now, self.model.groups[number].site);
        let most = usize::try_from(limit)?;
        let of_group = |id: &i64| self.model.conversions[id].group == number;
        let all: Vec<i64> = self.model.conversions.keys().copied().filter(of_group).collect();
        let is_held = |id: &i64| matches!(self.model.conversions[id].place, Place::Held(..));
        let held: Vec<i64> = all.iter().copied().filter(is_held).collect();
        let group_id = self.model.groups[number].group_id;
        let ready = self.model.ready().into_iter().filter(|(of, ..)| *of == group_id);
        let ready: Vec<i64> = ready.map(|(.., id)| id).collect();
        let of_claims = |claim: &&Claim| claim.group == number;
        let in_flight: usize =
            self.model.claims.values().filter(of_claims).map(|claim| claim.rows.len()).sum();
        let is_submitted = |id: &&i64| self.model.conversions[id].outcome.as_deref() == Some("SUBMITTED");
        let submitted = all.iter().filter(is_submitted).count();

        let sql = "select cancelled, in_doubt, in_flight, submitted, finished \
                   from relay.cancel_conversions($1, 'google_ads', null, $2, $3)";
        let row = self.query(sql, &[&site, &limit, &now]).await?.remove(0);
        let told = "select conversion_id from relay.conversion_outcome where outcome = 'CANCELLED'";
        let ended: BTreeSet<i64> = self.query(told, &[]).await?.iter().map(|row| row.get(0)).collect();
        let known = |id: &i64| self.model.conversions[id].outcome.as_deref() == Some("CANCELLED");
        let fresh: Vec<i64> = ended.into_iter().filter(|id| !known(id)).collect();

        // Those that go first end first; of what is parked, any.
        let expected: BTreeSet<i64> = ready.iter().copied().take(most).collect();
        let walked: BTreeSet<i64> = fresh.iter().copied().filter(|id| ready.contains(id)).collect();
        ensure!(walked == expected, "cancelled {walked:?} of {ready:?}, expected {expected:?}");
        let parked = fresh.iter().filter(|id| held.contains(id)).count();
        ensure!(parked == held.len().min(most), "{parked} of {} parked ones were cancelled", held.len());
        ensure!(walked.len() + parked == fresh.len(), "{fresh:?} were cancelled and did not all wait");
        let in_doubt = fresh.iter().filter(|id| self.model.conversions[id].maybe_delivered).count();
        for id in &fresh {
            self.model.count_failed(number);
            self.model.tell(*id, "CANCELLED", Place::Ended);
        }
        let finished = ready.len() <= most && held.len() <= most;
        let told: (i32, i32, i64, i64, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3), row.get("finished"));
        let known = (
            i32::try_from(fresh.len())?,
            i32::try_from(in_doubt)?,
            i64::try_from(in_flight)?,
            i64::try_from(submitted)?,
            finished,
        );
        ensure!(told == known, "cancelled {told:?}, expected {known:?}");
        Ok(())
    }

    pub(super) async fn put_credentials(&mut self, number: usize, key: &'static str) -> anyhow::Result<()> {
        let (now, site) = (self.model.now, self.model.groups[number].site);
        let sql =
            "select holds_lifted from relay.put_provider_credentials($1, 'google_ads', 1, '\\x00', $2, $3)";
        let lifted: i32 = self.query(sql, &[&site, &key, &now]).await?[0].get(0);

        let group = &mut self.model.groups[number];
        ensure!(usize::try_from(lifted)? == group.holds.len(), "lifted {lifted} of {:?}", group.holds);
        group.holds.clear();
        (group.is_held, group.credentials_at, group.key) = (false, Some(now), Some(key.to_owned()));
        let parked = self.model.conversions.iter().filter(|(_, conversion)| {
            conversion.group == number && matches!(conversion.place, Place::Held(..))
        });
        for id in parked.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.begin_anew(id);
        }
        Ok(())
    }

    pub(super) async fn redrive(&mut self, number: usize) -> anyhow::Result<()> {
        let (now, site) = (self.model.now, self.model.groups[number].site);
        let sql = "select relay.redrive_dead_letters($1, null, null, 10000, $2)";
        let redriven: i32 = self.query(sql, &[&site, &now]).await?[0].get(0);

        let dead = self.model.conversions.iter().filter(|(_, conversion)| {
            let outcome = conversion.outcome.as_deref();
            conversion.group == number && matches!(outcome, Some("REJECTED" | "EXHAUSTED" | "UNCONFIRMED"))
        });
        let dead: Vec<i64> = dead.map(|(id, _)| *id).collect();
        ensure!(usize::try_from(redriven)? == dead.len(), "redrove {redriven} of {}", dead.len());
        for id in dead {
            let conversion = self.model.conversions.get_mut(&id).expect("it was found there");
            conversion.retry_count = 0;
            conversion.target = conversion.target.filter(|_| conversion.maybe_delivered);
            conversion.maybe_delivered = conversion.target.is_some();
            self.begin_anew(id);
        }
        Ok(())
    }

    /// Somebody's hand sends a conversion to work again: what claims and requests did to it is forgotten.
    fn begin_anew(&mut self, id: i64) {
        let conversion = self.model.conversions.get_mut(&id).expect("it was found there");
        (conversion.request_failures, conversion.failed_epoch, conversion.lost_claims) = (0, 0, 0);
        self.model.go_again(id, "REQUEUED", self.model.now);
    }
}

/// One verdict per row. What never left cannot have been taken for later.
fn verdicts(settlement: &Settlement, claim: &Claim) -> Vec<Verdict> {
    let given = settlement.verdicts.iter().cycle().take(claim.rows.len());
    given
        .map(|verdict| match verdict.outcome {
            "SUBMITTED" if claim.attempt.is_none() => Verdict::plain("DELIVERED"),
            _ => *verdict,
        })
        .collect()
}

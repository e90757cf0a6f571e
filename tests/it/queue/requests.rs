//! What leaves for the provider, on the database and in the model.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{OpenAttempt, seconds};

impl Machine {
    pub(super) async fn open(
        &mut self,
        token: Uuid,
        target: i64,
        lease_seconds: i32,
        wait_seconds: i32,
    ) -> anyhow::Result<()> {
        let now = self.model.now;
        let sql = "select attempt_id, wait_ms \
                   from relay.book_provider_upload_attempt($1, 'ads_api', '00', array[$2::bigint], $3, $4, $5)";
        let row = self.query(sql, &[&token, &target, &lease_seconds, &wait_seconds, &now]).await?.pop();

        let claim = self.model.claims[&token].clone();
        let lives = claim.lease_until > now;
        ensure!(row.is_some() == lives, "answered {row:?} for a claim until {}", claim.lease_until);
        let Some(row) = row else { return Ok(()) };
        let (attempt, wait_ms): (Option<i64>, i32) = (row.get(0), row.get(1));
        let key = &claim.slot.0;
        let Some(attempt) = attempt else {
            let throttled = self.model.throttled_keys.get(key).is_some_and(|until| *until > now);
            let used = throttled || self.model.budgets.has_left_since(key, now - seconds(60));
            ensure!(
                self.model.budgets.has_limit(key) && used,
                "{key} was refused what is left of its budget"
            );
            ensure!(wait_ms > wait_seconds * 1_000, "refused, and {wait_ms} ms are worth a wait");
            self.model.met.refused += 1;
            return Ok(());
        };
        let sql = "select lease_until from relay.inflight where claim_token = $1";
        let lease_until: Timestamp = self.query(sql, &[&token]).await?.pop().context("no claim")?.get(0);
        let leaves_at = lease_until - seconds(lease_seconds);
        let wait = leaves_at.duration_since(now).as_micros();
        ensure!(
            i128::from(wait_ms) == (wait + 999) / 1_000 && wait_ms <= wait_seconds * 1_000,
            "leaves at {leaves_at}, after {wait_ms} ms"
        );
        ensure!(wait == 0 || self.model.budgets.has_limit(key), "{key} has no budget, and waits");
        self.model.met.waited += u32::from(wait > 0);
        self.model.attempts_made += 1;
        self.model.budgets.book(key, leaves_at);
        self.model.budgets.overspent().map_or(Ok(()), |overspent| Err(anyhow::anyhow!(overspent)))?;

        let (slot_token, group) = (claim.slot_token, claim.group);
        let own = self.model.claims.get_mut(&token).expect("it was cloned from there");
        (own.sent, own.attempt, own.lease_until) = (Some(target), Some(attempt), lease_until);
        self.model.open_attempts.insert(attempt, OpenAttempt { group, claim: token, opened_at: now });
        if let Some(slot) = self.model.slots.get_mut(&claim.slot).filter(|slot| slot.token == slot_token) {
            slot.lease_until = lease_until;
        }
        self.model.extend_probe(group, claim.epoch, slot_token, lease_until);
        self.model.extend_parts(slot_token, lease_until);
        Ok(())
    }
}

//! What leaves for the provider, on the database and in the model.

use anyhow::ensure;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{OpenAttempt, seconds};

impl Machine {
    pub(super) async fn open(&mut self, token: Uuid, target: i64, lease_seconds: i32) -> anyhow::Result<()> {
        let now = self.model.now;
        let row = self
            .query(
                "select attempt_id from relay.open_provider_upload_attempt($1, 'ads_api', '00', array[$2::bigint], $3, 0, $4)",
                &[&token, &target, &lease_seconds, &now],
            )
            .await?;
        let attempt: Option<i64> = row.first().and_then(|row| row.get(0));
        let claim = self.model.claims.get_mut(&token).expect("it was picked from the live ones");
        let lives = claim.lease_until > now;
        ensure!(attempt.is_some() == lives, "opened {attempt:?} for a claim until {}", claim.lease_until);
        let Some(attempt) = attempt else { return Ok(()) };
        let lease_until = now + seconds(lease_seconds);
        (claim.sent, claim.attempt, claim.lease_until) = (Some(target), Some(attempt), lease_until);
        let (slot, slot_token, group) = (claim.slot.clone(), claim.slot_token, claim.group);
        self.model.open_attempts.insert(attempt, OpenAttempt { group, claim: token, opened_at: now });
        if let Some(slot) = self.model.slots.get_mut(&slot).filter(|slot| slot.token == slot_token) {
            slot.lease_until = lease_until;
        }
        for other in self.model.claims.values_mut() {
            if other.slot_token == slot_token && other.lease_until > now {
                other.lease_until = lease_until;
            }
        }
        Ok(())
    }
}

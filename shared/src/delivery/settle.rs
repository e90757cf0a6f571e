//! The end of an upload: settles what came of it, gives back what did not go, and tells what changed.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::claimed::Part;
use super::decision::{Decision, alike};
use super::report::RunReport;
use super::send::{Upload, attempt_end};
use crate::domain::{AttemptId, Class, ErrorCode, HoldScope, Outcome};
use crate::providers::{Reply, TokenError};
use crate::store::{AttemptEnd, CircuitChange, Settled, Settlement, SlotUse, StoreError, ThrottleScope};

/// After a fault of ours (vault, database) a group waits this long, so that a run does not spin on it.
const OWN_FAULT_WAIT: Duration = Duration::from_secs(60);

/// Waits between the tries to write down an answer that has come: losing it costs a resend.
const SETTLE_WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

impl Upload {
    pub(super) async fn without_token(&mut self, part: Part, error: TokenError) -> Result<(), StoreError> {
        match error {
            TokenError::Misconfigured { code, scope } => {
                let told = format!("{code}: the token endpoint refused the grant");
                self.report.error(part.site, part.provider, told);
                self.hold_group_quietly(part, scope, code).await
            }
            TokenError::Unavailable { code, wait } => {
                self.report.error(
                    part.site,
                    part.provider,
                    format!("{code}: the token endpoint did not answer"),
                );
                let rows = alike(&part, Outcome::Delayed, Class::Transient, &code, wait);
                self.settle_all(part, Decision::unsent(rows).and_wait(wait)).await
            }
        }
    }

    pub(super) async fn hold_group(
        &mut self,
        part: Part,
        scope: HoldScope,
        code: ErrorCode,
        why: &str,
    ) -> Result<(), StoreError> {
        self.report.error(part.site, part.provider, format!("{code}: the site {why}"));
        self.hold_group_quietly(part, scope, code).await
    }

    pub(super) async fn hold_group_quietly(
        &mut self,
        part: Part,
        scope: HoldScope,
        code: ErrorCode,
    ) -> Result<(), StoreError> {
        let rows = alike(&part, Outcome::Held, Class::Config, &code, Duration::ZERO);
        self.settle_all(part, Decision::unsent(rows).and_hold(scope, code)).await
    }

    /// Gives rows back for a fault of ours; the group waits a moment.
    pub(super) async fn give_back(&mut self, part: Part, why: &str) -> Result<(), StoreError> {
        self.report.error(part.site, part.provider, why);
        let decision = Decision::released(&part).and_wait(OWN_FAULT_WAIT);
        self.settle_all(part, decision).await
    }

    /// Gives back what the request budget has no room for; claims pass the quota key over until it has.
    pub(super) async fn wait_for_budget(&mut self, part: Part, wait: Duration) -> Result<(), StoreError> {
        let decision = Decision::released(&part).and_throttle(ThrottleScope::QuotaKey, wait);
        self.settle_all(part, decision).await
    }

    /// Closes the ledger row of a request that did not leave, and gives its rows back.
    pub(super) async fn close_unsent(
        &mut self,
        part: Part,
        attempt: AttemptId,
        code: &'static str,
    ) -> Result<(), StoreError> {
        let reply = Reply { code: Some(ErrorCode::own(code)), ..Reply::default() };
        let end = attempt_end(attempt, &reply, Class::Transient, Duration::ZERO);
        self.runner.store.close_provider_upload_attempt(&end).await?;
        self.release_all(part).await
    }

    pub(super) async fn release(&mut self, part: Part) -> Result<(), StoreError> {
        self.settle(&part, None, Decision::released(&part)).await.map(drop)
    }

    pub(super) async fn release_all(&mut self, part: Part) -> Result<(), StoreError> {
        let decision = Decision::released(&part);
        self.settle_all(part, decision).await
    }

    /// Settles a part that was sent. Where its answer stops the group, the other parts do not start.
    pub(super) async fn settle_sent(
        &mut self,
        part: &Part,
        end: AttemptEnd,
        decision: Decision,
    ) -> Result<(), StoreError> {
        let stops = decision.throttle.is_some() || decision.group_hold.is_some();
        let change = self.settle(part, Some(end), decision).await?;
        let opened = matches!(change, Some(CircuitChange::Opened | CircuitChange::ProviderOpened));
        if stops || opened {
            while let Some(unstarted) = self.left.pop() {
                self.release(unstarted).await?;
            }
        }
        Ok(())
    }

    /// Settles a part that cannot go, and gives back the parts of its claim that did not start.
    pub(super) async fn settle_all(&mut self, part: Part, decision: Decision) -> Result<(), StoreError> {
        while let Some(unstarted) = self.left.pop() {
            self.settle(&unstarted, None, Decision::released(&unstarted)).await?;
        }
        self.settle(&part, None, decision).await.map(drop)
    }

    /// Tells the database; how the circuit changed, where it did.
    pub(super) async fn settle(
        &mut self,
        part: &Part,
        attempt: Option<AttemptEnd>,
        decision: Decision,
    ) -> Result<Option<CircuitChange>, StoreError> {
        let settlement = Settlement {
            token: part.token,
            attempt,
            rows: decision.rows,
            circuit: decision.circuit,
            group_hold: decision.group_hold,
            transport: decision.transport,
            throttle: decision.throttle,
            slot: if self.left.is_empty() { SlotUse::Free } else { SlotUse::Keep },
        };
        match self.settle_with_patience(&settlement).await? {
            Settled::Stale => {
                self.report.stale += 1;
                self.report.error(
                    part.site,
                    part.provider,
                    "stale_outcome: the claim was lost before its answer came",
                );
                warn!(site.id = %part.site, provider = %part.provider, claim.token = %part.token, event = "stale_outcome", "an answer came after its claim was lost");
                Ok(None)
            }
            Settled::Accepted { circuit, hold_opened, counts } => {
                let mut report = RunReport::default();
                report.groups.entry((part.provider, part.site)).or_default().counts = counts;
                self.report.add(report);
                tell_of_circuit(part, circuit);
                if let Some(to) = settlement.transport {
                    info!(site.id = %part.site, provider = %part.provider, event = "transport_switched", "conversions go by {to} from now on");
                }
                if hold_opened {
                    let code = settlement.group_hold.as_ref().map(|(_, code)| code.clone());
                    let code =
                        code.or_else(|| settlement.rows.iter().find(|row| row.hold.is_some())?.code.clone());
                    let code = code.map(|code| code.to_string()).unwrap_or_default();
                    warn!(site.id = %part.site, provider = %part.provider, event = "hold_opened", code, "conversions wait for a mend");
                }
                Ok(circuit)
            }
        }
    }

    pub(super) async fn settle_with_patience(&self, settlement: &Settlement) -> Result<Settled, StoreError> {
        for wait in SETTLE_WAITS {
            match self.runner.store.settle_claimed_conversions(settlement).await {
                Err(StoreError::Unavailable(_) | StoreError::Busy(_)) => sleep(wait).await,
                answer @ (Ok(_)
                | Err(
                    StoreError::WrongSchema(_)
                    | StoreError::NotPermitted(_)
                    | StoreError::BadArgument(_)
                    | StoreError::NoPartition(_)
                    | StoreError::LockLost
                    | StoreError::Refused(_)
                    | StoreError::Unexpected(_),
                )) => return answer,
            }
        }
        self.runner.store.settle_claimed_conversions(settlement).await
    }
}

fn tell_of_circuit(part: &Part, change: Option<CircuitChange>) {
    match change {
        Some(CircuitChange::Opened) => {
            warn!(site.id = %part.site, provider = %part.provider, event = "circuit_opened", "five requests in a row failed: the circuit is open");
        }
        Some(CircuitChange::ProviderOpened) => {
            warn!(provider = %part.provider, event = "circuit_opened", "{} is probed once for all: more than half of its active groups are open", part.provider);
        }
        Some(CircuitChange::ProviderClosed) => {
            info!(provider = %part.provider, event = "circuit_closed", "{} answers again", part.provider);
        }
        Some(CircuitChange::Closed) | None => {}
    }
}

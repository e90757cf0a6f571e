//! Uploads one claim: opens the ledger and sends. `settle.rs` writes down what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{error, warn};

use super::access::AccessError;
use super::claimed::{DEPTH_MAX, Part, Plan, halves, plan};
use super::decision::{Decision, code_of, decide_answer, decide_error, in_order_of_part, nothing_looked_at};
use super::limits::SETTLE_RESERVE;
use super::report::RunReport;
use super::run::Runner;
use crate::domain::{AttemptId, Class, ErrorCode, HoldScope};
use crate::providers::{AccessToken, Account, AccountOptions, Reply, Request, SendError, TokenError};
use crate::store::{AttemptEnd, CircuitResult, ClaimedAccount, Opened, StoreError};
use crate::vault::VaultError;

/// One claim on its way.
pub(super) struct Upload {
    pub(super) runner: Arc<Runner>,
    pub(super) report: RunReport,
    /// Parts that are still to go; the one at hand is not among them.
    pub(super) left: Vec<Part>,
}

impl Upload {
    /// Uploads a claim, whatever comes; what it did is in the report.
    pub(super) async fn run(runner: Arc<Runner>, part: Part, account: ClaimedAccount) -> RunReport {
        let mut upload = Self { runner, report: RunReport::default(), left: Vec::new() };
        let (site, provider) = (part.site, part.provider);
        upload.report.groups.entry((provider, site)).or_default().claimed += part.rows.len() as u64;
        if let Err(error) = upload.upload(part, account).await {
            // The claim's lease ends by itself, and its rows come back.
            error!(site.id = %site, provider = %provider, error = format!("{:#}", anyhow::Error::from(error)), "an upload broke off");
            upload.report.error(site, provider, "the database did not answer while an upload was settled");
        }
        upload.report
    }

    async fn upload(&mut self, mut part: Part, claimed: ClaimedAccount) -> Result<(), StoreError> {
        part.held_actions = claimed.held_actions.into();
        let Some(sealed) = claimed.sealed else {
            let code = ErrorCode::own("NO_CREDENTIALS");
            return self.hold_group(part, HoldScope::Site, code, "has no credentials").await;
        };
        let overrides = self.runner.codes.overrides(part.provider);
        let options = AccountOptions { transport: claimed.transport, overrides };
        let account = match self.runner.access.open_account(part.site, part.provider, &sealed, &options).await
        {
            Ok(account) => account,
            Err(AccessError::Credentials(_)) => {
                let code = ErrorCode::own("CREDENTIALS_INVALID");
                return self
                    .hold_group(part, HoldScope::Site, code, "has credentials that lack something")
                    .await;
            }
            Err(AccessError::Vault(VaultError::DoesNotOpen)) => {
                let code = ErrorCode::own("CREDENTIALS_DO_NOT_OPEN");
                return self
                    .hold_group(part, HoldScope::Site, code, "has credentials that do not open")
                    .await;
            }
            Err(AccessError::Vault(refused @ VaultError::KeyRefused { .. })) => {
                return self.hold_key(part, sealed.key.version, &refused).await;
            }
            Err(error) => return self.give_back(part, &format!("{:#}", anyhow::Error::from(error))).await,
        };
        part.name_actions(account.as_ref());
        let mut token = match self.token(&part, account.as_ref(), None).await {
            Ok(Some(token)) => token,
            Ok(None) => return self.release_all(part).await,
            Err(error) => return self.without_token(part, error).await,
        };
        self.left.push(part);
        while let Some(part) = self.left.pop() {
            if self.runner.must_stop() {
                self.release(part).await?;
                continue;
            }
            match plan(&part, account.as_ref(), Timestamp::now()) {
                Plan::Send(request) => self.send(part, account.as_ref(), &request, &mut token).await?,
                Plan::Settle(rows) => {
                    self.settle(&part, None, Decision::unsent(rows)).await?;
                }
                Plan::Cut(pieces) => self.cut(part, &pieces).await?,
                Plan::GiveBack => self.release(part).await?,
            }
        }
        Ok(())
    }

    /// The account's token, within the time that the run has; `None` where that ended first.
    async fn token(
        &self,
        part: &Part,
        account: &dyn Account,
        refused: Option<&AccessToken>,
    ) -> Result<Option<Arc<AccessToken>>, TokenError> {
        let within = self.runner.deadline.remaining().saturating_sub(SETTLE_RESERVE);
        tokio::select! {
            token = timeout(within, self.runner.access.token(part.provider, account, refused)) => token.ok().transpose(),
            () = self.runner.out_of_grace() => Ok(None),
        }
    }

    /// Sends one request, a second time where the token was refused.
    async fn send(
        &mut self,
        part: Part,
        account: &dyn Account,
        request: &Request,
        token: &mut Arc<AccessToken>,
    ) -> Result<(), StoreError> {
        let mut refreshed = false;
        loop {
            // The lease counts from here: it began in the database, and its answer may have taken its time.
            let asked = Instant::now();
            let (attempt, wait) = match self.open_attempt(&part, request).await? {
                Opened::Booked { attempt, wait } => (attempt, wait),
                Opened::OverBudget { wait } => return self.wait_for_budget(part, wait).await,
                Opened::Lost => return Ok(()),
            };
            if !self.runner.wait_for_turn(wait).await {
                return self.close_unsent(part, attempt, "NOT_SENT").await;
            }
            let started = Instant::now();
            let lease = (self.runner.lease() + wait).saturating_sub(asked.elapsed());
            if lease < self.runner.http_timeout + SETTLE_RESERVE {
                warn!(site.id = %part.site, provider = %part.provider, claim.token = %part.token, event = "lease_lost", "a lease was too short to send within it");
                return self.close_unsent(part, attempt, "LEASE_SHORT").await;
            }
            let within =
                self.runner.deadline.remaining().saturating_sub(SETTLE_RESERVE).min(self.runner.http_timeout);
            // Whichever ends first; an answer that we do not wait for may have been a delivery.
            let answer = tokio::select! {
                answer = timeout(within, account.send(request, token, Timestamp::now())) => answer.ok(),
                () = self.runner.out_of_grace() => None,
            };
            // Where it was our own time that ended, the provider is not to blame.
            let cut_short =
                answer.is_none() && (within < self.runner.http_timeout || self.runner.must_stop());
            let answer = match answer {
                Some(answer) => answer,
                None if cut_short => Err(SendError::Unconfirmed(Reply {
                    code: Some(ErrorCode::own("CUT_SHORT")),
                    ..Reply::default()
                })),
                None => account.read_silence(request, Timestamp::now()),
            };
            self.report.requests += 1;
            self.runner.codes.note(
                &part,
                answer.as_ref().map_or_else(SendError::reply, |answer| &answer.reply),
                &mut self.report,
            );
            let end = |reply: &Reply, class: Class| attempt_end(attempt, reply, class, started.elapsed());
            match answer {
                Ok(answer) if part.rows.len() > 1 && part.depth < DEPTH_MAX && nothing_looked_at(&answer) => {
                    self.runner
                        .store
                        .close_provider_upload_attempt(&end(&answer.reply, Class::Split))
                        .await?;
                    let pieces = halves(part.rows.len());
                    return self.cut(part, &pieces).await;
                }
                Ok(answer) => {
                    let class = answer.rows.iter().map(|row| row.verdict.class()).max().unwrap_or(Class::Ok);
                    let end = AttemptEnd { error_category: Some(class), ..end(&answer.reply, class) };
                    let decision = decide_answer(&part, &in_order_of_part(request, answer));
                    return self.settle_sent(&part, end, decision).await;
                }
                Err(SendError::Unauthorised(reply)) if !refreshed => {
                    refreshed = true;
                    self.runner.store.close_provider_upload_attempt(&end(&reply, Class::Transient)).await?;
                    match self.token(&part, account, Some(token)).await {
                        // A request that could not be waited for would be an answer lost.
                        Ok(Some(_)) if self.runner.must_stop() => return self.release_all(part).await,
                        Ok(Some(new)) => *token = new,
                        Ok(None) => return self.release_all(part).await,
                        Err(error) => return self.without_token(part, error).await,
                    }
                }
                Err(SendError::Refused(reply) | SendError::TooLarge(reply))
                    if part.rows.len() > 1 && part.depth < DEPTH_MAX =>
                {
                    self.runner.store.close_provider_upload_attempt(&end(&reply, Class::Split)).await?;
                    let pieces = halves(part.rows.len());
                    return self.cut(part, &pieces).await;
                }
                Err(error) => {
                    if matches!(error, SendError::Throttled { .. }) {
                        self.report.http_429 += 1;
                    }
                    let (class, decision) = decide_error(&part, &error);
                    let circuit = if cut_short { CircuitResult::None } else { decision.circuit };
                    let decision = Decision { circuit, ..decision };
                    self.report.error(part.site, part.provider, code_of(error.reply()).to_string());
                    return self.settle_sent(&part, end(error.reply(), class), decision).await;
                }
            }
        }
    }

    async fn open_attempt(&mut self, part: &Part, request: &Request) -> Result<Opened, StoreError> {
        let first = request.targets.first().map(|target| target.0);
        let uniform = request.targets.iter().all(|target| Some(target.0) == first);
        // The targets stand in the order of the part's rows: a request that is sent carries them all.
        let mut targets = vec![0; request.rows.len()];
        for (row, target) in request.rows.iter().zip(&request.targets) {
            targets[*row] = target.0;
        }
        targets.truncate(if uniform { 1 } else { targets.len() });
        let attempt = self
            .runner
            .store
            .book_provider_upload_attempt(
                part.token,
                request.transport,
                &request.body_sha256,
                &targets,
                self.runner.lease(),
                self.runner.budget_wait(),
            )
            .await?;
        if attempt == Opened::Lost {
            self.report.stale += 1;
            warn!(site.id = %part.site, provider = %part.provider, claim.token = %part.token, event = "lease_lost", "a claim was lost before its request left");
        }
        Ok(attempt)
    }

    async fn cut(&mut self, part: Part, pieces: &[i32]) -> Result<(), StoreError> {
        if part.depth >= DEPTH_MAX {
            return self.give_back(part, "its rows could not be packed into requests").await;
        }
        let tokens = self.runner.store.split_claim(part.token, pieces, self.runner.lease()).await?;
        if tokens.is_empty() {
            self.report.stale += 1;
            warn!(site.id = %part.site, provider = %part.provider, event = "lease_lost", "a claim was lost before it was cut");
            return Ok(());
        }
        // The first piece goes first.
        self.left.extend(part.cut(pieces, &tokens).into_iter().rev());
        Ok(())
    }
}

pub(super) fn attempt_end(attempt: AttemptId, reply: &Reply, class: Class, duration: Duration) -> AttemptEnd {
    AttemptEnd {
        attempt,
        http_status: reply.http_status,
        provider_request_id: reply.request_id.clone(),
        error_code: reply.code.clone(),
        error_category: Some(class),
        duration,
    }
}

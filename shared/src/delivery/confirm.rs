//! Confirms: asks what became of requests that are answered later, and brings each of their conversions to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, warn};

use super::access::AccessError;
use super::codes::Codes;
use super::decision::code_of;
use super::limits::{RECEIPTS_IN_FLIGHT, SETTLE_RESERVE};
use super::report::RunReport;
use super::run::Runner;
use crate::domain::{ErrorCode, HoldScope, ProviderKey, RunId};
use crate::providers::{
    AccessToken, Account, AccountOptions, QuotaScope, Receipt, ReceiptState, SendError, TokenError,
    trace::carry,
};
use crate::store::{DueReceipt, Postponed, ReceiptScope, StoreError, ThrottleScope};

/// After a fault of the moment a receipt is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// What confirming did.
#[derive(Debug, Default)]
pub struct Confirmed {
    /// Receipts that were due.
    pub total: u64,
    /// Those that were settled, whole or row by row.
    pub settled: u64,
    /// Conversions delivered by receipts that needed no taking apart.
    pub delivered: u64,
    /// What became of the others, and the faults.
    pub report: RunReport,
}

impl Runner {
    /// Asks for every receipt that is due, until none is or the run must stop.
    ///
    /// # Errors
    /// The database's.
    pub async fn confirm(
        mut self,
        run: RunId,
        providers: &[ProviderKey],
        scope: ReceiptScope,
    ) -> anyhow::Result<Confirmed> {
        self.access.check_key().await.context("the newest data key does not open")?;
        self.codes = Codes::read(&self.store, providers).await?;
        let runner = Arc::new(self);
        let mut sum = Confirmed::default();
        for provider in providers {
            while !runner.must_stop() {
                let due = runner
                    .store
                    .claim_receipts(
                        run,
                        *provider,
                        scope,
                        RECEIPTS_IN_FLIGHT,
                        runner.budget_wait(),
                        runner.lease(),
                    )
                    .await?;
                if due.is_empty() {
                    break;
                }
                let mut questions = JoinSet::new();
                for receipt in due {
                    questions.spawn(carry(Question::run(Arc::clone(&runner), run, *provider, receipt)));
                }
                while let Some(asked) = questions.join_next().await {
                    match asked {
                        Ok(asked) => sum.add(asked),
                        // The receipt's lease ends by itself, and it is asked for again.
                        Err(failure) => {
                            error!(error = %failure, "a question for a receipt panicked");
                            sum.report.errors_total += 1;
                        }
                    }
                }
            }
        }
        runner.codes.record(&runner.store, &sum.report).await;
        Ok(sum)
    }
}

impl Confirmed {
    fn add(&mut self, other: Confirmed) {
        self.total += other.total;
        self.settled += other.settled;
        self.delivered += other.delivered;
        self.report.add(other.report);
    }
}

/// One receipt, asked for.
pub(super) struct Question {
    pub(super) runner: Arc<Runner>,
    pub(super) run: RunId,
    pub(super) provider: ProviderKey,
    pub(super) receipt: DueReceipt,
    asked: Instant,
    pub(super) done: Confirmed,
}

/// What a receipt says when it has said all.
enum Said {
    /// Everything was taken.
    Delivered,
    /// The rest has to be found out, with the account that can tell.
    Mixed(Receipt, Box<dyn Account>),
    /// Nothing will ever be known.
    Nothing(&'static str),
    /// Nothing yet.
    Later(Postponed),
}

impl Question {
    async fn run(runner: Arc<Runner>, run: RunId, provider: ProviderKey, receipt: DueReceipt) -> Confirmed {
        let mut question = Self {
            runner,
            run,
            provider,
            receipt,
            asked: Instant::now(),
            done: Confirmed { total: 1, ..Confirmed::default() },
        };
        if let Err(failure) = question.ask_and_settle().await {
            let site = question.receipt.site;
            error!(site.id = %site, provider = %provider, error = format!("{:#}", anyhow::Error::from(failure)), "a receipt could not be settled");
            question.done.report.error(
                site,
                provider,
                "the database did not answer while a receipt was settled",
            );
        }
        question.done
    }

    async fn ask_and_settle(&mut self) -> Result<(), StoreError> {
        let said = if self.receipt.is_overdue {
            Said::Nothing("RECEIPT_NEVER_CAME")
        } else if !self.runner.wait_for_turn(self.receipt.wait).await {
            Said::Later(Postponed { wait: Some(Duration::ZERO), ..Postponed::default() })
        } else {
            self.ask().await
        };
        let attempt = self.receipt.attempt;
        match said {
            Said::Delivered => {
                let delivered = self.runner.store.finish_receipt(attempt).await?;
                self.done.delivered += delivered;
                self.done.settled += u64::from(delivered > 0);
            }
            Said::Mixed(receipt, account) => self.resolve(receipt, account.as_ref()).await?,
            Said::Nothing(code) => self.give_up(code).await?,
            Said::Later(postponed) => {
                let hold = postponed.hold.clone();
                let opened = self
                    .runner
                    .store
                    .postpone_receipt(attempt, &Postponed { asked: self.asked.elapsed(), ..postponed })
                    .await?;
                if let Some((_, code)) = hold.filter(|_| opened) {
                    warn!(site.id = %self.receipt.site, provider = %self.provider, event = "hold_opened", code = %code, "conversions wait for a mend");
                }
            }
        }
        Ok(())
    }

    async fn ask(&mut self) -> Said {
        let (site, provider) = (self.receipt.site, self.provider);
        let hold =
            |code| Said::Later(Postponed { hold: Some((HoldScope::Site, code)), ..Postponed::default() });
        let Some(sealed) = &self.receipt.sealed else {
            return hold(ErrorCode::own("NO_CREDENTIALS"));
        };
        // The way that the request took, whichever the site takes now.
        let overrides = self.runner.codes.overrides(provider);
        let options = AccountOptions { transport: self.receipt.transport.clone(), overrides };
        let account = match self.runner.access.open_account(site, provider, sealed, &options).await {
            Ok(account) => account,
            Err(AccessError::Credentials(_)) => return hold(ErrorCode::own("CREDENTIALS_INVALID")),
            Err(AccessError::Vault(crate::vault::VaultError::DoesNotOpen)) => {
                return hold(ErrorCode::own("CREDENTIALS_DO_NOT_OPEN"));
            }
            Err(failure) => {
                let told = format!("{:#}", anyhow::Error::from(failure));
                self.done.report.error(site, provider, told);
                return Said::Later(Postponed { wait: Some(ASK_AGAIN), ..Postponed::default() });
            }
        };
        match self.poll(account.as_ref()).await {
            Ok(receipt) => self.read(receipt, account),
            Err(failure) => self.later(&failure),
        }
    }

    /// One question, a second time where the token was refused.
    async fn poll(&mut self, account: &dyn Account) -> Result<Receipt, Failure> {
        let mut refused: Option<Arc<AccessToken>> = None;
        loop {
            let within = self.runner.deadline.remaining().saturating_sub(SETTLE_RESERVE);
            let token = self.runner.access.token(self.provider, account, refused.as_deref());
            let token =
                timeout(within, token).await.map_err(|_| Failure::CutShort)?.map_err(Failure::Token)?;
            let within =
                self.runner.deadline.remaining().saturating_sub(SETTLE_RESERVE).min(self.runner.http_timeout);
            self.done.report.requests += 1;
            let answer = account.poll(&self.receipt.provider_request_id, &token, Timestamp::now());
            match timeout(within, answer).await {
                Ok(Err(SendError::Unauthorised(_))) if refused.is_none() => refused = Some(token),
                Ok(answer) => return answer.map_err(Failure::Send),
                Err(_) => return Err(Failure::CutShort),
            }
        }
    }

    fn read(&self, mut receipt: Receipt, account: Box<dyn Account>) -> Said {
        // Whose one place has other rows than were sent speaks of something else.
        if let [part] = receipt.parts.as_mut_slice()
            && part.rows.is_some_and(|rows| rows != self.receipt.conversions)
        {
            part.state = ReceiptState::Contradictory;
        }
        let states = || receipt.parts.iter().map(|part| &part.state);
        let is_told = |state: &ReceiptState| match state {
            ReceiptState::Pending | ReceiptState::Contradictory => false,
            ReceiptState::Taken | ReceiptState::Mixed(_) | ReceiptState::Refused(_) => true,
        };
        let is_known = !receipt.parts.is_empty();
        if is_known && states().all(|state| *state == ReceiptState::Taken) {
            return if self.others_may_wait() { Said::Mixed(receipt, account) } else { Said::Delivered };
        }
        if is_known && states().all(is_told) {
            return Said::Mixed(receipt, account);
        }
        // What is known by then is heeded, and the rest will never be known.
        if is_known && self.receipt.is_last && states().any(is_told) {
            return Said::Mixed(receipt, account);
        }
        let contradicts = states().any(|state| *state == ReceiptState::Contradictory);
        match (self.receipt.is_last, is_known) {
            (true, true) if contradicts => Said::Nothing("RECEIPT_CONTRADICTORY"),
            (true, true) => Said::Nothing("RECEIPT_NEVER_CAME"),
            (true, false) => Said::Nothing("RECEIPT_UNKNOWN"),
            (false, _) => Said::Later(Postponed::default()),
        }
    }

    /// There is no answer: what has to happen before the next question.
    fn later(&mut self, failure: &Failure) -> Said {
        let wait =
            |wait, throttle| Said::Later(Postponed { wait: Some(wait), throttle, ..Postponed::default() });
        let hold = |scope, code: &ErrorCode| {
            Said::Later(Postponed { hold: Some((scope, code.clone())), ..Postponed::default() })
        };
        let (said, code) = match failure {
            Failure::CutShort => return wait(Duration::ZERO, None),
            Failure::Token(TokenError::Misconfigured { code, scope }) => (hold(*scope, code), code.clone()),
            Failure::Token(TokenError::Unavailable { code, wait: named }) => {
                (wait(*named, None), code.clone())
            }
            Failure::Send(error) => {
                let code = code_of(error.reply());
                let said = match error {
                    SendError::Throttled { wait: named, scope, .. } => {
                        self.done.report.http_429 += 1;
                        wait(
                            *named,
                            Some(match scope {
                                QuotaScope::Account => ThrottleScope::Group,
                                QuotaScope::QuotaKey => ThrottleScope::QuotaKey,
                            }),
                        )
                    }
                    SendError::Unauthorised(_) => hold(HoldScope::Site, &code),
                    SendError::Misconfigured {
                        scope: scope @ (HoldScope::Site | HoldScope::Client | HoldScope::Provider),
                        ..
                    } => hold(*scope, &code),
                    // The question itself is refused, and so will the next one be.
                    SendError::Misconfigured {
                        scope: HoldScope::Row | HoldScope::ConversionAction, ..
                    }
                    | SendError::Rerouted { .. }
                    | SendError::Refused(_)
                    | SendError::TooLarge(_)
                        if self.receipt.is_last =>
                    {
                        Said::Nothing("RECEIPT_UNKNOWN")
                    }
                    SendError::Misconfigured {
                        scope: HoldScope::Row | HoldScope::ConversionAction, ..
                    }
                    | SendError::Rerouted { .. }
                    | SendError::Refused(_)
                    | SendError::TooLarge(_)
                    | SendError::Unavailable(_)
                    | SendError::Unconfirmed(_) => Said::Later(Postponed::default()),
                };
                (said, code)
            }
        };
        self.done.report.error(
            self.receipt.site,
            self.provider,
            format!("{code}: a receipt could not be asked for"),
        );
        said
    }
}

/// Why there is no answer.
enum Failure {
    /// The run's own time was over.
    CutShort,
    Token(TokenError),
    Send(SendError),
}

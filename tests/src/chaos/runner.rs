//! A runner that does what the real one does, and breaks off wherever chance says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use shared::domain::{
    AttemptId, ClaimToken, Class, GroupId, MAX_RETRY_ATTEMPTS, Outcome, ProviderKey, RunId, Status,
};
use shared::store::{
    AttemptEnd, CircuitResult, Claim, ClaimRequest, Opened, Settled, SettledRow, Settlement, SlotUse, Store,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::ground::{Ground, Phase};
use super::provider::{Fate, Parcel, Said};
use super::stage::Stage;
use super::tally::Event;

/// The shortest that there is, so that the dead come back soon.
const LEASE: Duration = Duration::from_secs(5);

/// Nothing is sent so close to the end of a lease.
const MARGIN: Duration = Duration::from_secs(1);

/// A late report comes when its lease is surely over.
const LATE_AFTER: Duration = Duration::from_secs(6);

/// Most rows of a claim over all its groups, and of one group: small ones too, so that many claims meet.
const ROWS: i32 = 400;
const BATCH_MAX: i32 = 150;

/// How often which thing goes wrong, per claim.
const DIES_AFTER_CLAIM: f64 = 0.05;
const DIES_AFTER_SENDING: f64 = 0.03;
const REPORTS_LATE: f64 = 0.03;
const GIVES_BACK: f64 = 0.03;
const SPLITS: f64 = 0.08;
const FAILS: f64 = 0.04;
const ANSWER_IS_LOST: f64 = 0.02;
const IS_REFUSED: f64 = 0.03;

/// Tries to settle, as the real runner has; a call that was cut off may have had its effect.
const SETTLE_TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);

/// Claims and delivers until the run is over.
pub(super) async fn run(stage: Arc<Stage>, ground: Arc<Ground>, number: u64) -> anyhow::Result<()> {
    let store = stage.store().await?;
    let chance = ground.chance(number);
    let mut runner = Runner { store, ground, chance, late: JoinSet::new() };
    while !runner.ground.is(Phase::Over) {
        let ask = ClaimRequest {
            run: RunId(i64::try_from(number)?),
            provider: ProviderKey::GoogleAds,
            site: None,
            groups: runner.chance.random_range(1..=4),
            rows: ROWS,
            batch: runner.chance.random_range(1..=BATCH_MAX),
            lease: LEASE,
        };
        match runner.store.claim_offline_conversion_jobs_v2(&ask).await {
            Ok(claims) if claims.is_empty() => sleep(PAUSE).await,
            Ok(claims) => {
                for claim in claims {
                    runner.work(claim).await;
                }
            }
            Err(error) => {
                runner.ground.note("claim", error);
                sleep(PAUSE).await;
            }
        }
    }
    runner.late.join_all().await;
    Ok(())
}

struct Runner {
    store: Store,
    ground: Arc<Ground>,
    chance: StdRng,
    late: JoinSet<()>,
}

/// What goes in one request.
struct Part {
    token: ClaimToken,
    group: GroupId,
    parcels: Vec<Parcel>,
    slot: SlotUse,
}

/// Whether the runner is there to go on with its claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    GoesOn,
    Ended,
}

impl Runner {
    /// Once things are to be drained, nothing goes wrong any more.
    fn strikes(&mut self, probability: f64) -> bool {
        self.chance.random_bool(probability) && self.ground.is(Phase::Chaos)
    }

    async fn work(&mut self, claim: Claim) {
        let Some(token) = claim.token else { return };
        let parcels: Vec<Parcel> = claim
            .rows
            .iter()
            .map(|row| Parcel {
                id: row.conversion_id,
                retry_count: row.retry_count,
                maybe_delivered: row.maybe_delivered,
            })
            .collect();
        self.ground.add(Event::Claim, 1);
        self.ground.add(Event::Attempt, parcels.len());
        self.ground.add(Event::Probe, usize::from(claim.is_probe));
        if self.strikes(DIES_AFTER_CLAIM) {
            self.ground.add(Event::DiedAfterClaim, 1);
            return;
        }
        let part = Part { token, group: claim.group, parcels, slot: SlotUse::Free };
        if self.strikes(GIVES_BACK) {
            self.ground.add(Event::Released, 1);
            let rows = vec![settled(Outcome::Released, None); part.parcels.len()];
            self.settle(&part, None, rows, CircuitResult::None).await;
        } else if self.strikes(SPLITS) {
            let parts = part.parcels.iter().map(|_| self.chance.random_range(0..3)).collect();
            self.split(part, parts).await;
        } else {
            self.deliver(part).await;
        }
    }

    /// Cuts a claim and delivers its parts one after the other, over one slot.
    async fn split(&mut self, whole: Part, numbers: Vec<i32>) -> Life {
        let cut = match self.store.split_claim(whole.token, &numbers, LEASE).await {
            Ok(cut) => cut,
            Err(error) => {
                self.ground.note("split", error);
                return Life::Ended;
            }
        };
        self.ground.add(Event::Split, 1);
        let last = cut.len().saturating_sub(1);
        for (place, (number, token)) in cut.into_iter().enumerate() {
            let of_it = whole.parcels.iter().zip(&numbers).filter(|(_, part)| **part == number);
            let part = Part {
                token,
                group: whole.group,
                parcels: of_it.map(|(parcel, _)| *parcel).collect(),
                slot: if place < last { SlotUse::Keep } else { whole.slot },
            };
            if Box::pin(self.deliver(part)).await == Life::Ended {
                return Life::Ended;
            }
        }
        Life::GoesOn
    }

    async fn deliver(&mut self, part: Part) -> Life {
        let opened = Instant::now();
        let Some(attempt) = self.open(&part).await else { return Life::Ended };
        if opened.elapsed() > LEASE - MARGIN {
            self.ground.add(Event::LostBeforeSending, 1);
            return Life::Ended;
        }
        let fate = self.fate(&part);
        let said = match self.ground.provider.send(&part.parcels, fate, &mut self.chance) {
            Ok(said) => said,
            Err(id) => {
                self.ground.fault(format!("{id} had been taken and was sent again unmarked"));
                return Life::Ended;
            }
        };
        self.ground.add(Event::Request, 1);
        self.ground.add(Event::Sent, part.parcels.len());
        self.ground.add(Event::SentAgain, said.iter().filter(|said| **said == Said::Known).count());
        if self.strikes(DIES_AFTER_SENDING) {
            self.ground.add(Event::DiedAfterSending, 1);
            return Life::Ended;
        }
        let end = ended(attempt);
        if fate == Fate::Refused {
            if let Err(error) = self.store.close_provider_upload_attempt(&end).await {
                self.ground.note("close", error);
                return Life::Ended;
            }
            let half = part.parcels.len() / 2;
            let halves = (0..part.parcels.len()).map(|place| i32::from(place >= half)).collect();
            return self.split(part, halves).await;
        }
        let (rows, circuit) = judge(&part.parcels, fate, &said);
        if self.strikes(REPORTS_LATE) {
            self.report_late(part, end, rows, circuit);
            return Life::Ended;
        }
        self.settle(&part, Some(end), rows, circuit).await
    }

    /// The ledger row of a request; `None` where nothing may be sent.
    async fn open(&mut self, part: &Part) -> Option<AttemptId> {
        let wait = Duration::ZERO;
        match self.store.book_provider_upload_attempt(part.token, "ads_api", "00", &[1], LEASE, wait).await {
            Ok(Opened::Booked { attempt, .. }) => Some(attempt),
            Ok(Opened::OverBudget { .. } | Opened::Lost) => {
                self.ground.add(Event::LostBeforeSending, 1);
                None
            }
            Err(error) => {
                self.ground.note("open", error);
                None
            }
        }
    }

    fn fate(&mut self, part: &Part) -> Fate {
        if self.ground.provider.is_out_for(part.group) || self.strikes(FAILS) {
            Fate::Failed
        } else if self.strikes(ANSWER_IS_LOST) {
            Fate::AnswerLost
        } else if part.parcels.len() > 1 && self.strikes(IS_REFUSED) {
            Fate::Refused
        } else {
            Fate::Answered
        }
    }

    async fn settle(
        &mut self,
        part: &Part,
        attempt: Option<AttemptEnd>,
        rows: Vec<SettledRow>,
        circuit: CircuitResult,
    ) -> Life {
        let settlement = settlement(part, attempt, rows, circuit);
        for _ in 0..SETTLE_TRIES {
            match self.store.settle_claimed_conversions(&settlement).await {
                Ok(settled) => {
                    take_down(&self.ground, &part.parcels, &settlement, settled);
                    return if settled == Settled::Stale { Life::Ended } else { Life::GoesOn };
                }
                Err(error) => self.ground.note("settle", error),
            }
            sleep(PAUSE).await;
        }
        Life::Ended
    }

    /// Comes back with the answer when the claim has lapsed.
    fn report_late(&mut self, part: Part, end: AttemptEnd, rows: Vec<SettledRow>, circuit: CircuitResult) {
        self.ground.add(Event::Late, 1);
        let (store, ground) = (self.store.clone(), Arc::clone(&self.ground));
        self.late.spawn(async move {
            sleep(LATE_AFTER).await;
            let settlement = settlement(&part, Some(end), rows, circuit);
            match store.settle_claimed_conversions(&settlement).await {
                Ok(settled) => {
                    take_down(&ground, &part.parcels, &settlement, settled);
                    ground.add(Event::LateButAccepted, usize::from(settled != Settled::Stale));
                }
                Err(error) => ground.note("settle late", error),
            }
        });
    }
}

/// Remembers what was accepted: a conversion ends once, whoever says so.
fn take_down(ground: &Ground, parcels: &[Parcel], settlement: &Settlement, settled: Settled) {
    if settled == Settled::Stale {
        ground.add(Event::Stale, 1);
        return;
    }
    ground.add(Event::Accepted, 1);
    let mut book = ground.provider.book();
    for (parcel, row) in parcels.iter().zip(&settlement.rows) {
        if row.outcome.status() == Status::Retry {
            continue;
        }
        let entry = book.entry(parcel.id).or_default();
        if let Some(before) = entry.ended.replace(row.outcome) {
            ground.fault(format!("{} was accepted as {} after {before}", parcel.id, row.outcome));
        }
    }
}

/// What the answer means, as the real runner decides it.
fn judge(parcels: &[Parcel], fate: Fate, said: &[Said]) -> (Vec<SettledRow>, CircuitResult) {
    let whole =
        |class| (vec![settled(Outcome::Unanswered, Some(class)); parcels.len()], CircuitResult::Transient);
    match fate {
        Fate::Failed | Fate::Refused => whole(Class::Transient),
        Fate::AnswerLost => whole(Class::Ambiguous),
        Fate::Answered => {
            let rows = parcels.iter().zip(said).map(|(parcel, said)| match said {
                Said::Taken | Said::Known => settled(Outcome::Delivered, Some(Class::Ok)),
                Said::PutOff if parcel.retry_count + 1 >= MAX_RETRY_ATTEMPTS => {
                    settled(Outcome::Exhausted, Some(Class::Transient))
                }
                Said::PutOff => settled(Outcome::Retry, Some(Class::Transient)),
                Said::Refused => settled(Outcome::Rejected, Some(Class::Perm)),
            });
            let delivered = said.iter().any(|said| matches!(said, Said::Taken | Said::Known));
            (rows.collect(), if delivered { CircuitResult::Success } else { CircuitResult::Answered })
        }
    }
}

fn settled(outcome: Outcome, class: Option<Class>) -> SettledRow {
    SettledRow { class, ..SettledRow::of(outcome) }
}

fn ended(attempt: AttemptId) -> AttemptEnd {
    AttemptEnd {
        attempt,
        http_status: Some(200),
        provider_request_id: None,
        error_code: None,
        error_category: None,
        duration: Duration::ZERO,
    }
}

fn settlement(
    part: &Part,
    attempt: Option<AttemptEnd>,
    rows: Vec<SettledRow>,
    circuit: CircuitResult,
) -> Settlement {
    Settlement {
        token: part.token,
        attempt,
        rows,
        circuit,
        group_hold: None,
        transport: None,
        throttle: None,
        slot: part.slot,
    }
}

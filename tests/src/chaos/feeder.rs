//! The ordinary neighbours of the runners: who brings conversions, and the task `recover`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use rand::RngExt;
use shared::domain::{Conversion, Digest, Kind, OrderHash, ProviderKey, SiteId};
use shared::store::{EnqueueResult, NewConversion, Store};
use tokio::time::sleep;
use uuid::Uuid;

use super::ground::{Ground, Phase};
use super::stage::Stage;
use super::tally::Event;

/// Less than this waits for a claim: more is brought.
const WAITING_MIN: i64 = 6_000;

/// Conversions brought at once.
const BATCH: usize = 1_000;

/// How often a batch is offered a second time, as by a client that saw no answer.
const AGAIN: f64 = 0.1;

/// Pauses: when enough waits, and after a call that was cut off.
const PAUSE: Duration = Duration::from_millis(20);

/// Brings conversions as long as chaos lasts, each batch until its answer was seen.
pub(super) async fn run(stage: Arc<Stage>, ground: Arc<Ground>) -> anyhow::Result<()> {
    let store = stage.store().await?;
    let mut chance = ground.chance(0);
    let mut number = 0;
    while ground.is(Phase::Chaos) {
        let waiting = match stage.admin().await?.query_one("select count(*) from relay.ready", &[]).await {
            Ok(row) => row.get::<_, i64>(0),
            Err(_) => continue,
        };
        if waiting >= WAITING_MIN {
            sleep(PAUSE).await;
            continue;
        }
        let batch: Vec<NewConversion> = (number..number + BATCH)
            .map(|number| conversion(stage.sites[number % stage.sites.len()], number))
            .collect();
        number += BATCH;
        bring(&store, &ground, &batch).await;
        ground.add(Event::Enqueued, BATCH);
        if chance.random_bool(AGAIN) {
            ground.add(Event::OfferedAgain, 1);
            let taken = bring(&store, &ground, &batch).await;
            if taken > 0 {
                ground.fault(format!("{taken} conversions were taken in a second time"));
            }
        }
    }
    Ok(())
}

/// Offers a batch until its answer is seen; how many were new in that answer.
async fn bring(store: &Store, ground: &Ground, batch: &[NewConversion]) -> usize {
    loop {
        match store.take_in_offline_conversions(batch).await {
            Ok(answers) => {
                let of = |result| answers.iter().filter(|answer| answer.result == result).count();
                let (queued, known) = (of(EnqueueResult::Queued), of(EnqueueResult::Duplicate));
                if queued + known != batch.len() {
                    ground.fault(format!("of a batch only {queued} were queued and {known} known"));
                }
                return queued;
            }
            Err(error) => ground.note("enqueue", error),
        }
        sleep(PAUSE).await;
    }
}

fn conversion(site: SiteId, number: usize) -> NewConversion {
    let now = Timestamp::now();
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    NewConversion {
        site,
        provider: ProviderKey::GoogleAds,
        conversion: Conversion {
            external_id: format!("sale-{number}"),
            kind: Kind::Conversion,
            occurred_at: now,
            clicked_at: None,
            value: None,
            currency: None,
            order_id: None,
            click_ids: Default::default(),
            user: Default::default(),
            consent: Default::default(),
            conversion_action: None,
            custom_variables: Default::default(),
        },
        digest: Digest(digest),
        order_hash: OrderHash(Uuid::from_bytes(digest)),
        due_at: None,
        // Some go first.
        expires_at: now + if number.is_multiple_of(10) { 24.hours() } else { 1_000.hours() },
    }
}

/// Seldom enough that some late reports find their ledger row open, and some find it closed as ambiguous.
const RECOVER_EVERY: Duration = Duration::from_secs(4);

/// The task beside the runners that takes lapsed claims back and closes what they left open.
pub(super) async fn recover(stage: Arc<Stage>, ground: Arc<Ground>) -> anyhow::Result<()> {
    let store = stage.store().await?;
    while ground.is(Phase::Chaos) {
        match store.recover_offline_conversions(0, None, 100).await {
            Ok(recovered) => ground.add(Event::Recovered, usize::try_from(recovered.claims)?),
            Err(error) => ground.note("recover", error),
        }
        sleep(RECOVER_EVERY).await;
    }
    Ok(())
}

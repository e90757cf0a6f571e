//! The uploads that may be in flight for one quota key, over all runners: never more, and no fewer either.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::domain::{GroupId, Omitted, Outcome, ProviderKey, RunId, Secret};
use shared::store::{
    CircuitResult, Claim, ClaimRequest, DatabaseConfig, SettledRow, Settlement, SlotUse, Store,
};
use tests::world::World;
use tokio::task::JoinSet;

use super::{claim, enqueue, put_groups};

const CLAIMERS: i64 = 16;
const ROUNDS: usize = 60;

/// Claims that are held at this moment, and the most that ever were, per quota key.
#[derive(Default)]
struct Held {
    now: BTreeMap<&'static str, usize>,
    peak: BTreeMap<&'static str, usize>,
}

impl Held {
    fn take(&mut self, key: &'static str) {
        let now = self.now.entry(key).or_default();
        *now += 1;
        let peak = self.peak.entry(key).or_default();
        *peak = (*peak).max(*now);
    }

    fn give(&mut self, key: &'static str) {
        *self.now.entry(key).or_default() -= 1;
    }
}

fn ask(run: i64) -> ClaimRequest {
    ClaimRequest {
        run: RunId(run),
        provider: ProviderKey::GoogleAds,
        site: None,
        groups: 1,
        rows: 2,
        batch: 2,
        lease: Duration::from_secs(600),
    }
}

fn released(claim: &Claim) -> Settlement {
    let row = SettledRow {
        outcome: Outcome::Released,
        class: None,
        code: None,
        wait: Duration::ZERO,
        not_before: None,
        hold: None,
        omitted: Omitted::NONE,
        part: None,
    };
    Settlement {
        token: claim.token.expect("the claim has rows"),
        attempt: None,
        rows: vec![row; claim.rows.len()],
        circuit: CircuitResult::None,
        group_hold: None,
        transport: None,
        throttle: None,
        slot: SlotUse::Free,
    }
}

/// Claims again and again, with two claims in hand where there are two to be had.
async fn hammer(
    store: Store,
    run: i64,
    keys: Arc<BTreeMap<GroupId, &'static str>>,
    held: Arc<Mutex<Held>>,
) -> anyhow::Result<()> {
    let mut mine = VecDeque::new();
    for _ in 0..ROUNDS {
        let claims = store.claim_offline_conversion_jobs_v2(&ask(run)).await?;
        let wanted_more = claims.is_empty();
        for claim in claims {
            held.lock().unwrap().take(keys[&claim.group]);
            mine.push_back(claim);
        }
        if wanted_more || mine.len() > 2 {
            let Some(oldest) = mine.pop_front() else { continue };
            held.lock().unwrap().give(keys[&oldest.group]);
            store.settle_claimed_conversions(&released(&oldest)).await?;
        }
    }
    for claim in mine {
        held.lock().unwrap().give(keys[&claim.group]);
        store.settle_claimed_conversions(&released(&claim)).await?;
    }
    Ok(())
}

/// How many claims are to be had by one claimer alone, per quota key, until it gets none.
async fn take_all(
    store: &Store,
    keys: &BTreeMap<GroupId, &'static str>,
) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    let mut taken = BTreeMap::new();
    loop {
        let claims = store.claim_offline_conversion_jobs_v2(&ask(0)).await?;
        if claims.is_empty() {
            return Ok(taken);
        }
        for claim in claims {
            *taken.entry(keys[&claim.group]).or_default() += 1;
        }
    }
}

/// The most claims that the database had in flight at one moment, per quota key; slots shared by two claims are faults.
async fn sample(world: &World, over: &AtomicBool) -> anyhow::Result<BTreeMap<String, i64>> {
    let statement = "select quota_key, count(*), count(distinct slot_no) from relay.inflight \
                     where lease_until > clock_timestamp() group by quota_key";
    let mut peaks = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        for row in world.sql.query(statement, &[]).await? {
            let (key, claims, slots): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            anyhow::ensure!(claims == slots, "{claims} claims share {slots} slots of {key}");
            let peak = peaks.entry(key).or_default();
            *peak = claims.max(*peak);
        }
    }
    Ok(peaks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_slots_of_a_key_are_all_used_and_never_overdrawn() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut keys = BTreeMap::new();
    for (key, slots) in [("ten", 10), ("three", 3)] {
        let groups = put_groups(&world.sql, key, slots, 6).await?;
        enqueue(&world.sql, &groups, 40, "0 s").await?;
        keys.extend(groups.into_iter().map(|group| (GroupId(group), key)));
    }
    let (keys, held) = (Arc::new(keys), Arc::new(Mutex::new(Held::default())));
    let url = Secret::new(world.database.url_as("relay_service"));
    let database = DatabaseConfig::parse(&url).map_err(anyhow::Error::msg)?;
    world.let_locks_take_long().await?;
    let mut claimers = JoinSet::new();
    for run in 0..CLAIMERS {
        let store = Store::connect(&database).await?;
        claimers.spawn(hammer(store, run, Arc::clone(&keys), Arc::clone(&held)));
    }

    let over = AtomicBool::new(false);
    let all = async {
        let mut ended = Ok(());
        while let Some(claimer) = claimers.join_next().await {
            ended = ended.and(claimer.map_err(anyhow::Error::from).flatten());
        }
        over.store(true, Ordering::Relaxed);
        ended
    };
    let (ended, sampled) = tokio::join!(all, sample(&world, &over));

    ended?;
    let peak = held.lock().unwrap().peak.clone();
    assert!(peak["ten"] <= 10 && peak["three"] <= 3, "{peak:?}");
    let sampled = sampled?;
    assert!(sampled["ten"] <= 10 && sampled["three"] <= 3, "{sampled:?}");
    let taken = take_all(&Store::connect(&database).await?, &keys).await?;
    assert_eq!(taken, BTreeMap::from([("ten", 10), ("three", 3)]));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_crash_frees_its_place_when_its_lease_ends_and_not_before() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "three", 3, 5).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;

    let first = claim(&world.sql, 10, 100, 10).await?.len();
    world.let_pass("15 seconds").await?;
    let meanwhile = claim(&world.sql, 10, 100, 10).await?.len();
    world.let_pass("16 seconds").await?;
    let afterwards = claim(&world.sql, 10, 100, 10).await?.len();

    assert_eq!((first, meanwhile, afterwards), (3, 0, 3));
    world.assert_accounted_for().await
}

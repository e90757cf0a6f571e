//! All functions of the queue at once, on the same few groups: whoever waits for somebody is waited for by nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use tests::database::connect;
use tests::world::World;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use super::order_ground::assert_in_order;

/// What each task does so often: some seconds in all.
const ROUNDS: u32 = 120;

/// Groups that everybody works on.
const SITES: u128 = 6;

/// What the tasks share: the clock runs ahead of the real one by so many minutes, turned by those who recover.
#[derive(Clone)]
struct Shared {
    minutes: Arc<AtomicU32>,
    accepted: Arc<AtomicU32>,
    stale: Arc<AtomicU32>,
    start: Arc<Barrier>,
}

/// One connection of the service's login. Values stand in the text, so that a pooler is no hindrance.
struct Hand {
    sql: Client,
    shared: Shared,
}

impl Hand {
    /// The rows of one statement, as text; `{now}` in it is the shared clock.
    async fn call(&self, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let minutes = self.shared.minutes.load(Ordering::Relaxed);
        let sql = sql.replace("{now}", &format!("clock_timestamp() + interval '{minutes} minutes'"));
        let messages = self.sql.simple_query(&sql).await.with_context(|| sql.clone())?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(String::from)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Claims what it gets, and brings it to one end or another; some it leaves to its lease.
    async fn work(self, number: u32) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            let claims = self
                .call(
                    "select claim_token, cardinality(conversion_ids) from relay.claim_offline_conversion_jobs_v2(\
                     1, 'google_ads', null, 4, 60, 20, 60, {now})",
                )
                .await?;
            for (place, claim) in claims.iter().enumerate() {
                let [Some(token), Some(rows)] = &claim[..] else { continue };
                let kind = (number + round + u32::try_from(place)?) % 10;
                let attempt = format!(
                    "select attempt_id from relay.book_provider_upload_attempt('{token}', 'ads_api', '00', array[1], 60, 0, {{now}})"
                );
                let attempt = if kind.is_multiple_of(2) {
                    self.call(&attempt).await?.first().and_then(|row| row[0].clone())
                } else {
                    None
                };
                match kind {
                    8 => {
                        let parts = format!(
                            "select claim_token from relay.split_claim('{token}', \
                             (select array_agg(row % 2) from generate_series(1, {rows}) as row), 60, {{now}})"
                        );
                        let sizes = [rows.parse::<u32>()? / 2, rows.parse::<u32>()?.div_ceil(2)];
                        let sizes: Vec<_> = sizes.into_iter().filter(|size| *size > 0).collect();
                        for (part, size) in self.call(&parts).await?.iter().zip(sizes) {
                            self.settle(part[0].as_deref().unwrap_or_default(), &size.to_string(), None, 0)
                                .await?;
                        }
                    }
                    9 => {}
                    kind => self.settle(token, rows, attempt, kind).await?,
                }
            }
        }
        Ok(())
    }

    async fn settle(
        &self,
        token: &str,
        rows: &str,
        attempt: Option<String>,
        kind: u32,
    ) -> anyhow::Result<()> {
        let (outcome, circuit, row_hold, group_hold, throttle) = match kind {
            0 | 1 => ("DELIVERED", "success", "null", "null", "null"),
            2 => ("UNANSWERED", "transient", "null", "null", "null"),
            3 => ("RETRY", "answered", "null", "null", "'group'"),
            4 => ("HELD", "answered", "'conversion_action'", "null", "null"),
            5 => ("HELD", "none", "null", "'site'", "null"),
            6 => ("REJECTED", "answered", "null", "null", "'quota_key'"),
            _ => ("RELEASED", "none", "null", "null", "null"),
        };
        let attempt = attempt.unwrap_or_else(|| "null".to_owned());
        let all = |value: &str, kind: &str| format!("array_fill({value}::{kind}, array[{rows}])");
        let (outcomes, nulls, codes) =
            (all(&format!("'{outcome}'"), "text"), all("null", "text"), all("'CODE'", "text"));
        let (waits, not_before, scopes) =
            (all("0", "integer"), all("null", "timestamptz"), all(row_hold, "text"));
        let settled = self
            .call(&format!(
                "select accepted from relay.settle_offline_conversions('{token}', {attempt}, {outcomes}, {nulls}, {codes}, \
                 {waits}, {not_before}, {scopes}, {scopes}, '{circuit}', {group_hold}, 'CODE', {throttle}, 30, 200, \
                 'request', null, null, 5, false, {{now}})"
            ))
            .await?;
        let told =
            if settled[0][0].as_deref() == Some("t") { &self.shared.accepted } else { &self.shared.stale };
        told.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The same conversions as another, in the opposite order; now and then of sites that nobody has seen. Some expire soon.
    async fn enqueue(self, direction: &str) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            // Most are writes of an order, a few of which are brought at once.
            self.call(&format!(
                "with given as (\
                   select number, format('sale-%s', number) as id, \
                     lpad(case when number % 17 = 0 then 1000 + {round} / 2 else number % {SITES} end::text, 32, '0')::uuid as site, \
                     case number % 4 when 0 then 'restatement' when 1 then 'enhancement' else 'conversion' end as kind, \
                     case when number % 4 in (0, 1, 2) then format('sale-%s', number / 24 * 24 + number % {SITES}) end as key \
                   from generate_series({round} * 20, {round} * 20 + 60) as number), \
                 ranged as (select array_agg(site order by number {direction}) as sites, \
                   array_agg(id order by number {direction}) as ids, \
                   array_agg(kind order by number {direction}) as kinds, \
                   array_agg(key order by number {direction}) as keys, \
                   array_agg(md5(coalesce(key, id))::uuid order by number {direction}) as hashes, \
                   array_agg(jsonb_strip_nulls(jsonb_build_object('order_id', key, 'user', jsonb_build_object(
                     'hashed_email', encode(sha256(format('buyer-%s', number % 400)::bytea), 'hex')))) order by number {direction}) as payloads, \
                   array_agg({{now}} + case when number % 3 = 0 then interval '5 minutes' else interval '9 days' end \
                     order by number {direction}) as expiry from given) \
                 select count(*) from ranged, relay.take_in_offline_conversions(sites, \
                   array_fill('google_ads'::text, array[61]), ids, kinds, \
                   array_fill('\\x00'::bytea, array[61]), array_fill(null::timestamptz, array[61]), expiry, \
                   payloads, hashes, keys, {{now}})"
            ))
            .await?;
        }
        Ok(())
    }

    /// New credentials for every site, two keys in turn.
    async fn put_credentials(self, direction: u128) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            for place in 0..SITES {
                let number = if direction == 0 { place } else { SITES - 1 - place };
                self.call(&format!(
                    "select from relay.put_provider_credentials('{}', 'google_ads', 1, '\\x00', 'key-{}', {{now}})",
                    site(number),
                    (number + u128::from(round)) % 2
                ))
                .await?;
            }
        }
        Ok(())
    }

    /// Looks at some groups: holds those that nothing holds, and lets the others go.
    async fn probe(&self) -> anyhow::Result<()> {
        let groups =
            "select group_id, probed_at, hold_id from relay.claim_groups_to_probe(null, 0, 0, 5, {now})";
        for group in &self.call(groups).await? {
            let [Some(group), Some(probed_at), hold] = &group[..] else { continue };
            let found = match hold {
                None => format!("select relay.hold_group({group}, 'CODE', '{probed_at}', {{now}})"),
                Some(hold) => format!("select relay.lift_probed_hold({hold}, {{now}})"),
            };
            self.call(&found).await?;
        }
        Ok(())
    }

    /// What is ended by hand: some of a site now and then, somebody who is erased, a site that is removed for a moment.
    async fn end(&self, round: u32) -> anyhow::Result<()> {
        let site = site(u128::from(round / 6) % SITES);
        let walk =
            format!("select from relay.expire_waiting_conversions('{site}', 0::smallint, null, 50, {{now}})");
        self.call(&walk).await?;
        self.call(&format!("select from relay.cancel_conversions('{site}', null, null, 3, {{now}})")).await?;
        // Buyers are as many as there are rounds, and each has bought several times.
        let who = format!("encode(sha256('buyer-{round}'), 'hex')");
        self.call(&format!("select relay.request_erasure(array[{who}], null, {{now}})")).await?;
        self.call("select from relay.erase_person(null, 1000, {now})").await?;
        if round.is_multiple_of(60) {
            self.call(&format!("select from relay.remove_site('{site}', {{now}})")).await?;
        }
        self.call("select from relay.sweep_removed_sites(null, 3, {now})").await?;
        Ok(())
    }

    /// What nobody waits for: the clock goes on, claims lapse, time runs out, dead letters go again.
    async fn tidy(self) -> anyhow::Result<()> {
        for round in 0..ROUNDS {
            self.call("select from relay.recover_offline_conversions(0, null, 100, {now})").await?;
            self.call("select from relay.expire_conversions(200, {now})").await?;
            if round.is_multiple_of(6) {
                self.end(round).await?;
            }
            let site = site(u128::from(round) % SITES);
            self.call(&format!("select relay.redrive_dead_letters('{site}', null, null, 100, {{now}})"))
                .await?;
            self.probe().await?;
            if round.is_multiple_of(8) {
                self.shared.minutes.fetch_add(3, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn site(number: u128) -> Uuid {
    // As `lpad` writes it: the digits of the number are the last digits of the id.
    Uuid::parse_str(&format!("{number:0>32}")).expect("digits are hexadecimal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_functions_at_once_never_wait_for_each_other_in_a_ring() -> anyhow::Result<()> {
    let world = World::new().await?;
    let name = world.database.name();
    // A ring is found at once, and not after so long that a lock times out first.
    world.sql.batch_execute(&format!(r#"alter database "{name}" set deadlock_timeout = '20ms'"#)).await?;
    world.let_locks_take_long().await?;
    world
        .sql
        .batch_execute(
            "insert into relay.vault_key values (1, 'local', '\\x00', now()) on conflict do nothing",
        )
        .await?;
    let start = Arc::new(Barrier::new(9));
    let shared = Shared { minutes: Arc::default(), accepted: Arc::default(), stale: Arc::default(), start };
    let hand = async || {
        let sql = connect(&world.database.service_url()).await?;
        anyhow::Ok(Hand { sql, shared: shared.clone() })
    };

    let mut tasks = JoinSet::new();
    for number in 0..3 {
        let hand = hand().await?;
        tasks.spawn(async move {
            started(&hand).await;
            hand.work(number).await
        });
    }
    for direction in ["asc", "desc"] {
        let hand = hand().await?;
        tasks.spawn(async move {
            started(&hand).await;
            hand.enqueue(direction).await
        });
    }
    for direction in 0..2 {
        let hand = hand().await?;
        tasks.spawn(async move {
            started(&hand).await;
            hand.put_credentials(direction).await
        });
    }
    for _ in 0..2 {
        let hand = hand().await?;
        tasks.spawn(async move {
            started(&hand).await;
            hand.tidy().await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }

    let expired =
        world.number("select count(*) from relay.conversion_outcome where code in ('EXPIRED_BEFORE_DELIVERY', 'EXPIRED_PERHAPS_DELIVERED')").await?;
    let lost =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'LEASE_LOST'").await?;
    let (accepted, stale) = (shared.accepted.load(Ordering::Relaxed), shared.stale.load(Ordering::Relaxed));
    assert!(
        accepted > 20 && expired > 20 && lost > 0,
        "{accepted} settled, {stale} stale, {expired} expired, {lost} lost"
    );
    let superseded = "select count(*) from relay.conversion_outcome where code in ('NEWER_WRITE', 'ORDER_ALREADY_DELIVERED', 'ORDER_FREE')";
    let superseded = world.number(superseded).await?;
    assert!(superseded > 20, "only {superseded} waited for their order");
    let erased = world.number("select count(*) from relay.conversion where payload ? 'erased'").await?;
    let ended =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'CANCELLED'").await?;
    assert!(erased > 5 && ended > 5, "{erased} erased, {ended} cancelled");
    assert_in_order(&world).await
}

/// Nobody begins before all are there.
async fn started(hand: &Hand) {
    hand.shared.start.wait().await;
}

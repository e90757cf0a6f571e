//! Request budgets: what the sites of one quota key may send.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::world::World;

/// A site whose quota key is `shared`.
async fn site(world: &World) -> anyhow::Result<shared::domain::SiteId> {
    world.site(json!({ "quota_key": "shared" })).await
}

async fn reserve(world: &World, wait_seconds: i32, now: Timestamp) -> anyhow::Result<(bool, Timestamp)> {
    let row = world
        .sql
        .query_one(
            "select reserved, leaves_at from relay.reserve_request('shared', $1, $2)",
            &[&wait_seconds, &now],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn no_minute_holds_more_requests_than_its_limit() -> anyhow::Result<()> {
    let world = World::new().await?;
    site(&world).await?;
    for limit in [1_usize, 7, 60] {
        let per_minute = i32::try_from(limit)?;
        world.context.store.put_quota("shared", None, Some(per_minute), None).await?;
        world.sql.batch_execute("update relay.quota set minute_at = '-infinity'").await?;
        let mut now = Timestamp::now();
        let mut left = Vec::new();
        // Whoever may not leave comes back when it is told to: the greediest of callers.
        while left.len() < 4 * limit {
            let (reserved, leaves_at) = reserve(&world, 0, now).await?;
            if reserved {
                assert!(leaves_at <= now, "booked for later than its caller waits");
                left.push(leaves_at);
            } else {
                assert!(leaves_at > now, "told to come back at once");
                now = leaves_at;
            }
        }

        let minute = SignedDuration::from_secs(60);
        for first in &left {
            let within = left.iter().filter(|at| *at >= first && at.duration_since(*first) < minute).count();
            assert!(within <= limit, "{within} within a minute where {limit} is the limit");
        }
        let lasted = left[left.len() - 1].duration_since(left[0]);
        assert!(lasted <= minute * 5, "the budget is made use of: {lasted:?} for {} requests", left.len());
    }
    Ok(())
}

#[tokio::test]
async fn no_day_holds_more_requests_than_its_limit_and_a_fifth_may_go_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    site(&world).await?;
    world.context.store.put_quota("shared", None, None, Some(100)).await?;
    let now = Timestamp::now();
    let mut at_once = 0;
    while reserve(&world, 0, now).await?.0 {
        at_once += 1;
    }
    let mut within_a_day = at_once;
    let mut clock = now;
    loop {
        let (reserved, leaves_at) = reserve(&world, 0, clock).await?;
        if leaves_at.duration_since(now) >= SignedDuration::from_hours(24) {
            break;
        }
        within_a_day += i32::from(reserved);
        clock = leaves_at;
    }

    assert_eq!((at_once, within_a_day), (20, 100));
    Ok(())
}

#[tokio::test]
async fn many_at_once_never_book_more_than_the_budget() -> anyhow::Result<()> {
    let world = World::new().await?;
    site(&world).await?;
    // Twenty may leave at once, and the next after a third of a second and more.
    world.context.store.put_quota("shared", None, Some(200), None).await?;
    let now = Timestamp::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let sql = world.database.connect().await?;
        callers.spawn(async move {
            let mut booked = 0;
            for _ in 0..20 {
                let reserve = "select reserved from relay.reserve_request('shared', 0, $1)";
                booked += i32::from(sql.query_one(reserve, &[&now]).await?.get::<_, bool>(0));
            }
            anyhow::Ok(booked)
        });
    }

    let mut booked = 0;
    while let Some(caller) = callers.join_next().await {
        booked += caller??;
    }

    assert_eq!(booked, 20);
    Ok(())
}

#[tokio::test]
async fn a_key_without_a_budget_is_never_written() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.enqueue_many(site(&world).await?, "sale", "ok", 5).await?;
    let version = "select xmin::text::bigint from relay.quota where quota_key = 'shared'";
    let before = world.number(version).await?;

    assert_eq!(world.run_worker().await?.completed, 5);

    assert_eq!(world.number(version).await?, before);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn runs_keep_within_the_budget_and_groups_share_it_in_turns() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..6 {
        world.enqueue_many(site(&world).await?, &format!("sale-{number}"), "ok", 1).await?;
    }
    // Three may leave at once (a tenth of 30), then one in 2.14 s.
    world.context.store.put_quota("shared", None, Some(30), None).await?;
    // No group lingers: what is due has been due for long.
    world.let_pass("20 minutes").await?;

    let answer = world.run(json!({ "mode": "worker", "provider_key": "google_ads" })).await?;

    assert_eq!((answer.completed, answer.groups, answer.released), (6, 6, 0), "{answer:?}");
    let early = "select count(*) from (select closed_at - first_value(opened_at) over (order by opened_at) as after, \
                 row_number() over (order by closed_at) as place from relay.provider_upload_attempts) as sent \
                 where place > 3 and after < (place - 3) * interval '2.1 s'";
    assert_eq!(world.number(early).await?, 0, "a request left before its time");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_used_up_budget_leaves_the_rest_where_it_is() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..3 {
        world.enqueue_many(site(&world).await?, &format!("sale-{number}"), "ok", 2).await?;
    }
    world.context.store.put_quota("shared", None, Some(1), None).await?;
    world.let_pass("20 minutes").await?;

    let first = world.run_worker().await?;
    let again = world.run_worker().await?;
    world.let_pass("61 seconds").await?;
    let later = world.run_worker().await?;

    assert_eq!((first.completed, first.released, first.stopped), (2, 0, shared::delivery::Stopped::Drained));
    assert_eq!((again.processed, again.released), (0, 0), "nothing is claimed that cannot leave");
    assert_eq!(later.completed, 2);
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn explain_names_the_budget_and_when_it_has_room() -> anyhow::Result<()> {
    let world = World::new().await?;
    for name in ["first", "second"] {
        world.enqueue_many(site(&world).await?, name, "ok", 1).await?;
    }
    world.context.store.put_quota("shared", None, Some(1), None).await?;
    world.let_pass("20 minutes").await?;
    world.run_worker().await?;

    let id = world.number("select conversion_id from relay.ready").await?;
    let found = world.context.store.explain_conversion(shared::domain::ConversionId(id)).await?;

    let found = found.unwrap_or(Value::Null);
    assert_eq!(found["blocked_by"], "QUOTA", "{found}");
    let until: Timestamp = found["blocked_until"].as_str().unwrap_or_default().parse()?;
    assert!((1..=61).contains(&until.duration_since(Timestamp::now()).as_secs()), "{until}");
    Ok(())
}

#[tokio::test]
async fn a_small_batch_lingers_where_requests_are_scarce_and_a_full_or_urgent_one_does_not()
-> anyhow::Result<()> {
    let world = World::new().await?;
    let (small, full, urgent) = (site(&world).await?, site(&world).await?, site(&world).await?);
    // Half of the day's burst is used: small batches wait for 7.5 minutes.
    world.context.store.put_quota("shared", None, None, Some(1_000)).await?;
    let seconds = 100.0 * 86_400.0 / 801.0;
    let used = format!("update relay.quota set day_at = clock_timestamp() + {seconds} * interval '1 s'");
    world.sql.batch_execute(&used).await?;
    world.enqueue_many(small, "small", "ok", 3).await?;
    world.enqueue_many(full, "full", "ok", 2_000).await?;
    world.enqueue_many(urgent, "urgent", "ok", 1).await?;
    world
        .sql
        .execute(
            "update relay.ready set band = 0, expires_at = clock_timestamp() + interval '1 hour' \
             from relay.delivery_group where delivery_group.group_id = ready.group_id and site_id = $1",
            &[&urgent.0],
        )
        .await?;

    let at_once = world.run_worker().await?;
    let explained = world.number("select conversion_id from relay.ready limit 1").await?;
    let explained = world.context.store.explain_conversion(shared::domain::ConversionId(explained)).await?;
    let visits = world.number("select count(*) from relay.task_runs").await?;
    world.sql.batch_execute(&used).await?;
    world.let_pass("8 minutes").await?;
    world.sql.batch_execute(&used).await?;
    let later = world.run_worker().await?;

    assert_eq!((at_once.completed, visits), (2_001, 1), "{at_once:?}");
    assert_eq!(explained.unwrap_or(Value::Null)["blocked_by"], "LINGERING");
    assert_eq!(later.completed, 3, "{later:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn slots_can_be_set_and_bound_what_is_in_flight() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..4 {
        world.enqueue_many(site(&world).await?, &format!("sale-{number}"), "ok", 1).await?;
    }
    let claim =
        "select count(*) from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 50, 50, 50, 60)";

    world.context.store.put_quota("shared", Some(2), None, None).await?;
    assert_eq!(world.number(claim).await?, 2);
    assert_eq!(world.number(claim).await?, 0);
    world.context.store.put_quota("shared", Some(3), None, None).await?;
    assert_eq!(world.number(claim).await?, 1);
    world.context.store.put_quota("shared", Some(1), None, None).await?;
    assert_eq!(world.number(claim).await?, 0);
    // All are free again, and those that were taken away are used by nobody.
    world.let_pass("61 seconds").await?;
    assert_eq!(world.number(claim).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_program_that_knows_of_no_wait_takes_none_for_a_lost_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.enqueue_many(site(&world).await?, "sale", "ok", 1).await?;
    world.context.store.put_quota("shared", None, Some(10), None).await?;
    world.let_pass("20 minutes").await?;
    let ahead = "update relay.quota set minute_at = clock_timestamp() + interval '4 seconds'";
    world.sql.batch_execute(ahead).await?;

    let opened = "select count(relay.open_provider_upload_attempt(claim_token, 'ads_api', '00', array[1], 60)) \
                  from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 5, 50, 50, 60)";

    assert_eq!(world.number(opened).await?, 1);
    Ok(())
}

/// What was booked while half of a day could go at once is not read as a stop for most of a day.
#[tokio::test]
async fn of_a_burst_the_same_part_stays_used_when_it_becomes_smaller() -> anyhow::Result<()> {
    const MIGRATION: &str = include_str!("../../../migrations/0016_slices.sql");
    let world = World::new().await?;
    site(&world).await?;
    world.context.store.put_quota("shared", None, None, Some(100_000)).await?;
    let three_quarters = 0.75 * 50_000.0 * 86_400.0 / 50_001.0;
    let booked =
        format!("update relay.quota set day_at = clock_timestamp() + {three_quarters} * interval '1 s'");
    world.sql.batch_execute(&booked).await?;

    let (_, change) = MIGRATION.split_once("update relay.quota").expect("the migration changes quotas");
    world.sql.batch_execute(&format!("update relay.quota{change}")).await?;

    let read = "select used, requests from relay.quota cross join lateral relay.read_budget(quota, clock_timestamp()) \
                where quota.quota_key = 'shared'";
    let row = world.sql.query_one(read, &[]).await?;
    let (used, requests) = (row.get::<_, f64>(0), row.get::<_, i32>(1));
    assert!((0.74..=0.76).contains(&used) && (4_950..=5_050).contains(&requests), "{used} {requests}");
    Ok(())
}

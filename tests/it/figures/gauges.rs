//! Each gauge against a count by hand; what is an estimate, and what it costs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use shared::domain::SiteId;
use shared::store::Gauge;
use tests::world::{World, conversion};
use uuid::Uuid;

use super::{all, of_site, take};

/// Conversions of each status, as the view says it.
async fn by_hand(world: &World, site: Option<SiteId>) -> anyhow::Result<BTreeMap<String, i64>> {
    let counted = world
        .sql
        .query(
            "select status, count(*) from relay.offline_conversion_queue \
             where $1::uuid is null or site_id = $1 group by status",
            &[&site.map(|site| site.0)],
        )
        .await?;
    Ok(counted.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A world in which something stands everywhere: sites that are well, without credentials, submitted, and open.
async fn full_world() -> anyhow::Result<(World, [SiteId; 4])> {
    let world = World::new().await?;
    let well = world.site(json!({})).await?;
    world.enqueue_many(well, "good", "ok", 7).await?;
    world.enqueue_many(well, "bad", "error.UNPARSEABLE_GCLID", 3).await?;
    world.enqueue_many(well, "again", "error.internalError.INTERNAL_ERROR", 2).await?;
    world.enqueue_many(well, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await?;
    world.run_worker().await?;
    let submitted = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(submitted, "taken", "ok", 4).await?;
    world.run_worker().await?;
    let open = world.site(json!({})).await?;
    world.enqueue_many(open, "outage", "http.503", 6).await?;
    world.run_worker().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "bare", "ok", 5).await?;
    Ok((world, [well, bare, submitted, open]))
}

#[tokio::test]
async fn each_figure_is_what_a_hand_counts() -> anyhow::Result<()> {
    let (world, sites) = full_world().await?;
    let [well, bare, submitted, open] = sites;
    world.enqueue_many(well, "queued", "ok", 8).await?;
    world
        .sql
        .batch_execute(
            "select * from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 1, 3, 3, 600)",
        )
        .await?;

    let gauges = take(&world).await?;

    for site in [None, Some(well), Some(bare), Some(submitted), Some(open)] {
        let gauge = site.map_or_else(|| all(&gauges), |site| of_site(&gauges, site));
        let hand = by_hand(&world, site).await?;
        let count = |status: &str| hand.get(status).copied().unwrap_or_default();
        let told = (gauge.backlog, gauge.held, gauge.processing, gauge.submitted, gauge.dead_letters);
        let counted = (
            count("QUEUED") + count("RETRY"),
            count("HELD"),
            count("PROCESSING"),
            count("SUBMITTED"),
            count("FAILED"),
        );
        assert_eq!(told, counted, "{site:?}: {hand:?}");
        assert_eq!(
            (gauge.completed_total, gauge.failed_total),
            (count("COMPLETED"), count("FAILED")),
            "{site:?}"
        );
        assert!(gauge.approximate.is_empty(), "{:?}", gauge.approximate);
    }
    let all = all(&gauges);
    assert_eq!((all.groups, all.held_groups, all.open_circuits), (4, 1, 1));
    assert_eq!((all.processing, all.dead_letters, all.submitted, all.held), (3, 3, 4, 6));
    assert_eq!((all.completed_last_hour, all.failed_last_hour), (Some(7), Some(3)), "of groups of this hour");
    assert_eq!(all.retry_last_hour, Some(all.retry_total));
    assert_eq!(of_site(&gauges, open).circuit.as_deref(), Some("OPEN"));
    assert_eq!(of_site(&gauges, bare).hold_code.as_deref(), Some("NO_CREDENTIALS"));
    let providers: Vec<_> = gauges.iter().filter(|gauge| gauge.site_id.is_none()).collect();
    assert_eq!(providers.len(), 2, "all together, and the one");
    assert_eq!(providers[0].backlog, providers[1].backlog);
    Ok(())
}

#[tokio::test]
async fn the_worst_stand_first_and_as_many_as_were_asked_for() -> anyhow::Result<()> {
    let (world, [well, bare, submitted, open]) = full_world().await?;

    let places: Vec<_> = take(&world).await?.iter().filter_map(|gauge| gauge.site_id).collect();
    let two = world.number("select relay.take_gauges(2)::bigint").await?;

    assert_eq!(places, [bare, open, well, submitted]);
    assert_eq!((two, world.context.store.read_gauges(200).await?.len()), (4, 4));
    Ok(())
}

#[tokio::test]
async fn the_oldest_that_waits_is_the_first_that_was_due_where_nothing_is_held() -> anyhow::Result<()> {
    let (world, [well, _, submitted, open]) = full_world().await?;
    world.let_pass("3 hours").await?;
    world.enqueue_many(well, "young", "ok", 2).await?;
    let oldest = "select min(next_attempt_at) from relay.ready join relay.delivery_group using (group_id) \
                  where hold_id is null";
    let oldest: Timestamp = world.sql.query_one(oldest, &[]).await?.get(0);
    let receipt: Timestamp = world
        .sql
        .query_one("select min(created_at) from relay.receipt where state = 'PENDING'", &[])
        .await?
        .get(0);

    let gauges = take(&world).await?;

    assert_eq!(all(&gauges).oldest_waiting_at, Some(oldest));
    assert_eq!(of_site(&gauges, open).oldest_waiting_at, Some(oldest), "it waits for its circuit, and waits");
    assert_eq!(of_site(&gauges, submitted).oldest_waiting_at, None);
    assert_eq!(all(&gauges).oldest_submitted_at, Some(receipt));
    let hours = |seconds: Option<f64>| seconds.map(|seconds| (seconds / 3_600.0).floor());
    assert_eq!(hours(all(&gauges).oldest_waiting_seconds), Some(3.0));
    assert_eq!(hours(all(&gauges).oldest_submitted_seconds), Some(3.0));
    Ok(())
}

#[tokio::test]
async fn what_expires_within_two_days_is_at_risk_wherever_it_waits() -> anyhow::Result<()> {
    let (world, [well, bare, ..]) = full_world().await?;
    let order = json!({ "order_id": "order-1", "click_ids": { "gclid": "sandbox-ok-order" } });
    let second = json!({ "kind": "restatement", "order_id": "order-1", "value": "9.00" });
    for fields in [order, second] {
        world.enqueue(well, &[conversion(well, &fields)]).await?;
    }
    let before = take(&world).await?;
    world
        .sql
        .batch_execute(
            "update relay.ready set expires_at = now() + interval '47 hours' where conversion_id in \
             (select min(conversion_id) from relay.ready group by group_id); \
             update relay.held set expires_at = now() + interval '1 hour'; \
             update relay.blocked set expires_at = now() + interval '2 hours'",
        )
        .await?;

    let after = take(&world).await?;

    assert_eq!(all(&before).at_risk, 0);
    assert_eq!(world.number("select count(*) from relay.blocked").await?, 1);
    let of = |site| of_site(&after, site).at_risk;
    assert_eq!(
        (of(well), of(bare), all(&after).at_risk),
        (3, 1, 5),
        "held ones too, and what waits for its order"
    );
    Ok(())
}

#[tokio::test]
async fn the_last_hour_is_what_was_counted_since_the_mark_before_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "error.UNPARSEABLE_GCLID", 2).await?;
    world.run_worker().await?;
    world
        .sql
        .batch_execute("update relay.delivery_group set created_at = created_at - interval '1 year'")
        .await?;

    let first = take(&world).await?;
    world.let_pass("50 minutes").await?;
    world.enqueue_many(site, "middle", "error.UNPARSEABLE_GCLID", 3).await?;
    world.run_worker().await?;
    let second = take(&world).await?;
    world.let_pass("30 minutes").await?;
    let third = take(&world).await?;
    world.let_pass("31 minutes").await?;
    let fourth = take(&world).await?;

    let failed = |gauges| all(gauges).failed_last_hour;
    assert_eq!(failed(&first), Some(0), "what was counted before anybody looked came at no known time");
    assert_eq!((failed(&second), failed(&third), failed(&fourth)), (Some(3), Some(3), Some(0)));
    assert_eq!(all(&fourth).failed_total, 5);
    assert_eq!(world.number("select count(*) from relay.gauge_mark").await?, 3, "an hour of them is kept");
    Ok(())
}

#[tokio::test]
async fn dead_letters_that_were_sent_again_are_dead_no_longer() -> anyhow::Result<()> {
    let (world, _) = full_world().await?;

    let before = take(&world).await?;
    world.recover(json!({ "redrive": { "code": "conversionUploadError.UNPARSEABLE_GCLID" } })).await?;
    let after = take(&world).await?;

    assert_eq!((all(&before).dead_letters, all(&after).dead_letters), (3, 0));
    assert_eq!(all(&after).backlog, all(&before).backlog + 3);
    Ok(())
}

#[tokio::test]
async fn a_site_that_was_removed_is_neither_held_nor_silent_and_scores_are_as_they_were_computed()
-> anyhow::Result<()> {
    let (world, [well, bare, ..]) = full_world().await?;
    world
        .sql
        .batch_execute(
            "insert into relay.delivery_score select group_id, site_id, provider_key, 97.5, 39, 1, 0, 9, 0, 180, \
             current_date, now() from relay.delivery_group where hold_id is null; \
             update relay.delivery_score set score = 77.5, delivered = 31, failed = 9 where group_id = 1; \
             update relay.provider_upload_metrics set arrivals = 9, usual_gap_seconds = 3600, \
             last_arrival_at = now() - interval '5 hours'",
        )
        .await?;

    let before = take(&world).await?;
    world.sql.execute("update relay.site set removed_at = now() where site_id = $1", &[&bare.0]).await?;
    let after = take(&world).await?;

    assert_eq!((all(&before).held_groups, all(&before).silent_groups), (1, 4));
    assert_eq!((all(&after).held_groups, all(&after).silent_groups), (0, 3));
    assert!(of_site(&after, bare).is_removed() && of_site(&after, bare).hold().is_none());
    assert!(!of_site(&before, bare).is_removed() && of_site(&before, bare).hold().is_some());
    let score = |gauge: &Gauge| gauge.score.map(|score| score.to_string());
    assert_eq!(score(of_site(&after, well)).as_deref(), Some("77.5"));
    assert_eq!(score(of_site(&after, bare)), None);
    assert_eq!(score(all(&after)).as_deref(), Some("90.8"), "109 of 120");
    Ok(())
}

#[tokio::test]
async fn the_operator_may_read_them_and_the_service_may_not_write_them() -> anyhow::Result<()> {
    let (world, _) = full_world().await?;
    take(&world).await?;

    let operator = world.database.connect_as("relay_operator").await?;
    let read =
        operator.query_one("select sum(backlog)::bigint from gauge where provider_key = '*'", &[]).await?;
    let service = world.database.connect_as("relay_service").await?;
    let refused = service.batch_execute("update relay.gauge set backlog = 0").await.unwrap_err();

    assert_eq!(read.get::<_, i64>(0), 8);
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"));
    Ok(())
}

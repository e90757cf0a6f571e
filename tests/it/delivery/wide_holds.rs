//! Holds that cover more than a site, holds that end by themselves, and the way that is closed to a site.

use std::time::Duration;

use serde_json::json;
use shared::domain::SiteId;
use shared::engine::release_holds;
use shared::store::HoldFilter;
use tests::world::{World, row};

#[tokio::test]
async fn a_client_that_is_refused_is_one_hold_for_all_its_sites() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..5 {
        let fields = json!({ "client_id": "dead", "refresh_token": format!("invalid_client-{number}") });
        let site = world.site(fields).await?;
        world.enqueue_many(site, &format!("dead{number}"), "ok", 2).await?;
    }
    // One of them meets it, and no other goes.
    world.run(json!({ "mode": "cron", "provider_key": "google_ads", "limit": 1 })).await?;
    assert_eq!(world.context.store.read_holds(None, None, 10).await?[0].sites, 5);
    let alive = world.site(json!({ "client_id": "alive" })).await?;
    world.enqueue_many(alive, "alive", "ok", 2).await?;

    world.run_worker().await?;
    let holds = world.context.store.read_holds(None, None, 10).await?;
    let statuses = world.statuses().await?;

    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!(
        (holds[0].scope.as_str(), holds[0].code.as_str(), holds[0].sites, holds[0].conversions),
        ("client", "invalid_client", 5, 10)
    );
    assert_eq!(statuses, "COMPLETED 2, HELD 10");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_version_that_is_gone_is_one_hold_of_its_transport_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let old = world.site(json!({})).await?;
    let other = world.site(json!({ "customer_id": "2234567890" })).await?;
    let new = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(old, "old", "refuse.requestError.UNSUPPORTED_VERSION", 2).await?;
    world.run_worker().await?;
    world.enqueue_many(other, "other", "ok", 2).await?;
    world.enqueue_many(new, "new", "ok", 2).await?;

    world.run_worker().await?;
    let statuses = world.statuses().await?;
    let requests = world.sandbox.summary().totals.requests;
    let holds = world.context.store.read_holds(None, None, 10).await?;
    let filter = HoldFilter { hold_id: Some(holds[0].hold_id), ..HoldFilter::default() };
    let released = release_holds(&world.context, &filter).await?;
    world
        .run(json!({ "mode": "worker", "provider_key": "google_ads", "site_id": other.to_string() }))
        .await?;

    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!((holds[0].scope.as_str(), holds[0].scope_key.as_deref()), ("provider", Some("ads_api")));
    assert_eq!(holds[0].sites, 2, "both sites that take this way");
    assert_eq!(statuses, "HELD 4, SUBMITTED 2");
    assert_eq!(requests, 3, "a token, and an upload by each way");
    assert_eq!((released.holds, released.sites), (1, 2));
    assert_eq!(world.standing("other-0").await?.status, "COMPLETED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn new_credentials_free_their_site_from_its_clients_hold() -> anyhow::Result<()> {
    let world = World::new().await?;
    let dead = json!({ "client_id": "dead", "refresh_token": "invalid_client" });
    let (mended, still) = (world.site(dead.clone()).await?, world.site(dead).await?);
    world.enqueue_many(mended, "mended", "ok", 1).await?;
    world.enqueue_many(still, "still", "ok", 1).await?;
    world.run_worker().await?;

    world.put_credentials(mended, json!({})).await?;
    world.run_worker().await?;

    assert_eq!(world.standing("mended-0").await?.status, "COMPLETED");
    assert_eq!(world.standing("still-0").await?.status, "HELD");
    assert_eq!(world.context.store.read_holds(None, None, 10).await?.len(), 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_clients_hold_is_over_with_the_last_site_that_it_stopped() -> anyhow::Result<()> {
    let world = World::new().await?;
    let dead = json!({ "client_id": "dead", "refresh_token": "invalid_client" });
    let (one, other) = (world.site(dead.clone()).await?, world.site(dead).await?);
    world.enqueue_many(one, "one", "ok", 1).await?;
    world.run_worker().await?;
    let open = "select count(*) from relay.hold where lifted_at is null";

    world.put_credentials(one, json!({ "client_id": "dead" })).await?;
    let after_one = world.number(open).await?;
    world.put_credentials(other, json!({ "client_id": "dead" })).await?;

    assert_eq!((after_one, world.number(open).await?), (1, 0));
    assert_eq!(world.run_worker().await?.completed, 1);
    let again = world
        .number(
            "select relay.open_group_hold(group_id, 'client', 'invalid_client', now())::integer::bigint \
             from relay.delivery_group order by group_id limit 1",
        )
        .await?;
    assert_eq!(again, 1, "the next fault of the client is news");
    Ok(())
}

#[tokio::test]
async fn a_hold_that_is_lifted_while_it_stops_another_site_stops_it_no_more() -> anyhow::Result<()> {
    let world = World::new().await?;
    let fields = json!({ "client_id": "dead" });
    let (one, other) = (world.site(fields.clone()).await?, world.site(fields).await?);
    let group = async |site: SiteId| -> anyhow::Result<i32> {
        let sql = "select group_id from relay.delivery_group where site_id = $1";
        Ok(world.sql.query_one(sql, &[&site.0]).await?.get(0))
    };
    let (one, other) = (group(one).await?, group(other).await?);
    let open = "select relay.open_group_hold($1, 'client', 'invalid_client', now())";
    let at_work = world.database.connect().await?;
    at_work.batch_execute("begin").await?;
    at_work
        .execute("select from relay.delivery_group where group_id = $1 for no key update", &[&other])
        .await?;
    world.sql.query(open, &[&one]).await?;
    at_work.query(open, &[&other]).await?;

    let filter = HoldFilter { code: Some("invalid_client".into()), ..HoldFilter::default() };
    let mut release = Box::pin(release_holds(&world.context, &filter));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut release).await;
    at_work.batch_execute("commit").await?;
    let released = match early {
        Ok(released) => released?,
        Err(_) => release.await?,
    };

    assert_eq!((released.holds, released.sites), (1, 2));
    assert_eq!(world.number("select count(hold_id) from relay.delivery_group").await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_action_that_is_too_new_puts_off_all_its_conversions_with_one_request() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[row("first", "error.TOO_RECENT_CONVERSION_ACTION*1", 0)]).await?;
    world.run_worker().await?;
    let before = world.sandbox.summary().totals.requests;
    let mut other = row("other", "ok", 2);
    other["conversion_action"] = json!("customers/1234567890/conversionActions/1");
    world.enqueue(site, &[row("second", "ok", 1), other]).await?;

    let answer = world.run_worker().await?;
    let requests = world.sandbox.summary().totals.requests - before;
    let waiting = (world.standing("first-0").await?, world.standing("second-1").await?);
    let holds = world.context.store.read_holds(None, None, 10).await?;
    world.let_pass("6 hours 1 minute").await?;
    world.run_worker().await?;

    assert_eq!((answer.completed, answer.retry, requests), (1, 1, 1), "{answer:?}");
    assert_eq!((waiting.0.status.as_str(), waiting.1.status.as_str()), ("RETRY", "QUEUED"));
    assert_eq!(waiting.1.retry_count, 0);
    assert!(holds[0].lifts_at.is_some(), "{holds:?}");
    assert_eq!(world.statuses().await?, "COMPLETED 3");
    assert!(world.context.store.read_holds(None, None, 10).await?.is_empty());
    world.assert_accounted_for().await
}

#[tokio::test]
async fn conversions_of_a_held_action_wait_without_a_request() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[row("first", "error.NO_CONVERSION_ACTION_FOUND*1", 0)]).await?;
    world.run_worker().await?;
    let before = world.sandbox.summary().totals.requests;
    world.enqueue_many(site, "later", "ok", 3).await?;

    let answer = world.run_worker().await?;
    let requests = world.sandbox.summary().totals.requests - before;
    let filter = HoldFilter { site: Some(site), ..HoldFilter::default() };
    let released = release_holds(&world.context, &filter).await?;
    world.run_worker().await?;

    assert_eq!((answer.held, requests), (3, 0), "{answer:?}");
    assert_eq!((released.holds, released.conversions), (1, 4));
    assert_eq!(world.statuses().await?, "COMPLETED 4");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_release_that_breaks_off_is_taken_up_by_the_next_and_by_claims() -> anyhow::Result<()> {
    for taken_up_by_hand in [true, false] {
        let world = World::new().await?;
        let site = world.site(json!({})).await?;
        world.enqueue(site, &[row("first", "error.NO_CONVERSION_ACTION_FOUND*1", 0)]).await?;
        world.run_worker().await?;
        world.enqueue_many(site, "later", "ok", 6).await?;
        world.run_worker().await?;
        let filter = HoldFilter { site: Some(site), ..HoldFilter::default() };

        let step = world.context.store.release_some_holds(&filter, 2).await?;
        let parked = world.number("select count(*) from relay.held").await?;
        world.assert_accounted_for().await?;
        if taken_up_by_hand {
            let rest = release_holds(&world.context, &filter).await?;
            assert_eq!((rest.holds, rest.conversions), (0, 5));
        } else {
            world.let_pass("31 seconds").await?;
            world.run_worker().await?;
        }
        world.run_worker().await?;

        assert_eq!((step.holds, step.conversions, step.is_done, parked), (1, 2, false, 5));
        assert_eq!(world.statuses().await?, "COMPLETED 7", "{taken_up_by_hand}");
        assert_eq!(world.number("select count(*) from relay.hold where freeing").await?, 0);
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_site_to_which_one_api_is_closed_goes_on_by_the_other() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world
        .site(json!({ "customer_id": "9991000001", "conversion_action_resource_name":
        "customers/9991000001/conversionActions/987" }))
        .await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    let answer = world.run_worker().await?;
    world.enqueue_many(site, "later", "ok", 1).await?;
    let later = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.held, answer.failed), (3, 0, 0), "{answer:?}");
    assert_eq!((later.submitted, later.retry), (1, 0), "it stays with the other: {later:?}");
    let transports = "select count(distinct transport) from relay.provider_upload_attempts";
    assert_eq!(world.number(transports).await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_may_have_been_taken_by_one_api_never_goes_by_the_other() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[row("lost", "garbage*1", 0)]).await?;
    world.run(json!({ "mode": "cron", "provider_key": "google_ads", "limit": 1 })).await?;
    let switch = "update relay.delivery_group set transport = 'data_manager'";
    world.sql.execute(switch, &[]).await?;

    world.let_pass("10 minutes").await?;
    world.run_worker().await?;

    let standing = world.standing("lost-0").await?;
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("HELD", "TARGET_CHANGED"));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_site_that_may_use_neither_api_is_held_with_the_reason() -> anyhow::Result<()> {
    let world = World::new().await?;
    let fields = json!({
        "customer_id": "9991000002", "refresh_token": "scope_missing",
        "conversion_action_resource_name": "customers/9991000002/conversionActions/987",
    });
    let site = world.site(fields).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;

    world.run_worker().await?;

    let standing = world.standing("sale-0").await?;
    assert_eq!(standing.status, "HELD");
    assert!(standing.last_error.ends_with("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "{standing:?}");
    assert_eq!(standing.retry_count, 0);
    world.assert_accounted_for().await
}

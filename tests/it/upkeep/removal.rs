//! A site that is taken off: nothing of it goes any more, nothing is taken in, and it can come back.

use serde_json::json;
use shared::delivery::ItemAnswer;
use shared::engine::hands;
use shared::store::{EnqueueResult, HoldFilter};
use tests::world::World;

use super::bounds;

fn result(answers: &[ItemAnswer]) -> Vec<EnqueueResult> {
    answers
        .iter()
        .flat_map(|answer| match answer {
            ItemAnswer::Taken { providers, .. } => providers.iter().map(|one| one.result).collect(),
            ItemAnswer::Invalid(_) => Vec::new(),
        })
        .collect()
}

#[tokio::test]
async fn all_that_opens_a_door_goes_and_what_waits_ends() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let other = world.site(json!({ "refresh_token": "another-grant" })).await?;
    world.enqueue_many(site, "done", "ok", 2).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await?;
    world.enqueue_many(other, "others", "ok", 2).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "new", "ok", 3).await?;
    assert_eq!(world.number("select count(*) from relay.access_token").await?, 2);

    let key = format!("select from relay.add_ingest_key('{site}', 1, '\\x00')");
    world.sql.batch_execute(&key).await?;

    let removed = hands::remove_site(&world.context, site, &bounds()).await?.unwrap();
    let again = hands::remove_site(&world.context, site, &bounds()).await?.unwrap();
    let taken =
        world.enqueue(site, &[json!({ "external_id": "late", "click_ids": { "gclid": "g" } })]).await?;

    assert_eq!(
        (removed.site.credentials, removed.access_tokens, removed.cancelled),
        (1, 1, 4),
        "{removed:?}"
    );
    assert!(!removed.site.removed_before && removed.finished && again.site.removed_before, "{again:?}");
    assert_eq!((removed.site.ingest_keys, again.site.ingest_keys, again.site.credentials), (1, 0, 0));
    assert_eq!(result(&taken), [EnqueueResult::SiteRemoved]);
    assert_eq!(
        world.number("select count(*) from relay.conversion_key where external_id = 'late'").await?,
        0
    );
    assert_eq!(world.standing("new-0").await?.last_error, "SITE_REMOVED");
    assert_eq!(world.standing("parked-0").await?.last_error, "SITE_REMOVED");
    assert_eq!(world.standing("done-0").await?.status, "COMPLETED", "history stays");
    // The other site's own token is there, and it is served as before.
    assert_eq!(world.number("select count(*) from relay.access_token").await?, 1);
    world.enqueue_many(other, "more", "ok", 2).await?;
    assert_eq!(world.run_worker().await?.completed, 2);
    let holds = world.context.store.read_holds(None, Some(site), 10).await?;
    assert!(holds.is_empty(), "nobody is to mend anything: {holds:?}");
    let holds = "select count(*) from relay.hold where lifted_at is null and code <> 'SITE_REMOVED'";
    assert_eq!(world.number(holds).await?, 0, "what held single conversions holds nothing any more");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn no_hand_releases_it_but_credentials_bring_it_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "ok", 1).await?;
    hands::remove_site(&world.context, site, &bounds()).await?;

    let filter = HoldFilter { site: Some(site), ..HoldFilter::default() };
    let released = shared::engine::release_holds(&world.context, &filter).await?;
    world.put_credentials(site, json!({})).await?;
    world.enqueue_many(site, "new", "ok", 2).await?;
    let ran = world.run_worker().await?;

    assert_eq!(released.holds, 0);
    assert_eq!(ran.completed, 2, "{ran:?}");
    assert_eq!(world.standing("old-0").await?.last_error, "SITE_REMOVED", "what was cancelled stays so");
    assert!(world.context.store.read_holds(None, Some(site), 10).await?.is_empty());
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_comes_back_from_a_claim_is_swept_by_the_next_round() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "flying", "ok", 3).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30)";
    world.sql.query(claim, &[]).await?;

    let removed = hands::remove_site(&world.context, site, &bounds()).await?.unwrap();
    world.let_pass("1 hour").await?;
    world.recover(json!({ "min_age_minutes": 0 })).await?;
    assert_eq!(world.statuses().await?, "HELD 3");
    let ran = world.run_worker().await?;
    let swept = world.context.store.sweep_removed_sites(None, 100).await?;

    assert_eq!((removed.cancelled, ran.processed, swept.cancelled), (0, 0, 3), "{removed:?} {ran:?}");
    assert_eq!(world.statuses().await?, "FAILED 3");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_hold_of_its_client_ends_with_the_last_site_that_it_stopped() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "client_id": "dead-client" })).await?;
    let hold = format!(
        "select relay.open_group_hold(group_id, 'client', 'invalid_client', clock_timestamp()) \
         from relay.delivery_group where site_id = '{site}'"
    );
    world.sql.batch_execute(&hold).await?;

    hands::remove_site(&world.context, site, &bounds()).await?;

    let open = "select count(*) from relay.hold where lifted_at is null and provider_key is not null";
    assert_eq!(world.number(open).await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_unknown_site_is_told() -> anyhow::Result<()> {
    let world = World::new().await?;

    let removed =
        hands::remove_site(&world.context, shared::domain::SiteId(uuid::Uuid::new_v4()), &bounds()).await?;

    assert_eq!(removed, None);
    Ok(())
}

#[tokio::test]
async fn credentials_that_come_in_the_middle_of_a_removal_bring_the_site_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut other = world.database.connect().await?;
    let removal = other.transaction().await?;
    removal.query("select from relay.remove_site($1)", &[&site.0]).await?;

    let put = world.put_credentials(site, json!({}));
    let committed = async {
        let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        while world.number(waits).await? == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        removal.commit().await?;
        anyhow::Ok(())
    };
    let (stored, committed) = tokio::join!(put, committed);
    committed?;
    stored?;

    world.enqueue_many(site, "new", "ok", 2).await?;
    assert_eq!(world.run_worker().await?.completed, 2, "the site is there, and so are its credentials");
    assert_eq!(world.number("select count(*) from relay.site where removed_at is not null").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_removed_site_gets_no_key_to_sign_with() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    hands::remove_site(&world.context, site, &bounds()).await?;

    let refused = world.context.access.add_ingest_key(site).await.map(drop);

    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(world.number("select count(*) from relay.ingest_key").await?, 0);
    Ok(())
}

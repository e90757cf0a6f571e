//! Stops that wait for a mend: they burn nothing, and go on by themselves.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use shared::boot::open_context;
use shared::domain::{KeyVersion, Secret, SiteId};
use shared::engine::Bounds;
use shared::engine::tasks::upload;
use shared::store::StoredKey;
use shared::vault::{LocalKey, Vault};
use tests::world::{World, config, fields};
use uuid::Uuid;

#[tokio::test]
async fn a_site_without_credentials_is_held_and_stops_nobody_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "bare", "ok", 3).await?;
    let other = world.site(json!({})).await?;
    world.enqueue_many(other, "other", "ok", 2).await?;

    let answer = world.run_worker().await?;
    let standing = world.standing("bare-0").await?;
    world.put_credentials(bare, json!({})).await?;
    let after = world.run_worker().await?;

    assert_eq!((answer.completed, answer.errors_total), (2, 1), "{answer:?}");
    assert_eq!(answer.errors[0].site_id, bare, "the answer names it");
    assert!(answer.errors[0].error.contains("NO_CREDENTIALS"));
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("HELD", "NO_CREDENTIALS"));
    assert_eq!(after.completed, 3, "credentials lift the hold");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_revoked_grant_holds_its_site_after_one_request_to_the_token_endpoint() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "refresh_token": "invalid_grant" })).await?;
    world.enqueue_many(site, "sale", "ok", 5).await?;

    let answer = world.run_worker().await?;
    let again = world.run_worker().await?;
    let standing = world.standing("sale-0").await?;
    world.put_credentials(site, json!({})).await?;
    let after = world.run_worker().await?;

    assert_eq!((answer.held, answer.processed), (5, 5), "{answer:?}");
    assert!(answer.errors[0].error.contains("invalid_grant"), "{:?}", answer.errors);
    assert_eq!(again.processed, 0, "it is not tried on a timer");
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("HELD", "invalid_grant"));
    assert_eq!(after.completed, 5);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn credentials_that_come_while_a_request_is_out_are_the_mend_already() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    let claimed = "select claim_token from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 1, 10, 10, 60)";
    let token: Uuid = world.sql.query_one(claimed, &[]).await?.get(0);
    world.put_credentials(site, json!({ "client_secret": "mended" })).await?;

    // What the old credentials met is told only now.
    let settled = world
        .sql
        .query_one(
            "select accepted, hold_opened from relay.settle_offline_conversions($1, null, array['HELD', 'HELD'], \
             array['CONFIG', 'CONFIG'], array['A', 'B'], array[0, 0], array[null, null]::timestamptz[], \
             array['row', null], array['1', null], 'none', 'site', 'invalid_grant', null, null, null, null, null, null, \
             null, false)",
            &[&token],
        )
        .await?;
    let answer = world.run_worker().await?;

    assert_eq!(
        (settled.get::<_, bool>(0), settled.get::<_, bool>(1)),
        (true, false),
        "accepted, and no hold"
    );
    assert_eq!(answer.completed, 2, "{answer:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_conversion_action_that_needs_a_mend_holds_its_rows_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "typed", "error.INVALID_CONVERSION_ACTION_TYPE", 3).await?;
    world.enqueue_many(site, "good", "ok", 2).await?;

    let answer = world.run_worker().await?;
    let standing = world.standing("typed-0").await?;
    world.put_credentials(site, json!({})).await?;
    world.run_worker().await?;

    assert_eq!((answer.held, answer.completed), (3, 2), "{answer:?}");
    assert_eq!(standing.status, "HELD");
    assert_eq!(world.number("select count(*) from relay.hold where lifted_at is not null").await?, 2);
    assert_eq!(world.number("select count(*) from relay.held").await?, 3, "lifted, sent, and parked again");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_access_token_is_fetched_once_for_all() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..5 {
        let site = world.site(json!({ "quota_key": format!("q{number}") })).await?;
        world.enqueue_many(site, &format!("s{number}"), "ok", 2).await?;
    }

    world.run_worker().await?;

    assert_eq!(world.sandbox.summary().totals.tokens_issued, 1);
    assert_eq!(world.statuses().await?, "COMPLETED 10");
    Ok(())
}

#[tokio::test]
async fn a_refused_access_token_is_refreshed_once_and_the_request_goes_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "refresh_token": "expired_once" })).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 3, "{answer:?}");
    let attempts = "select count(*) from relay.provider_upload_attempts where state = 'CLOSED'";
    assert_eq!(world.number(attempts).await?, 2, "both requests stand in the ledger");
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where http_status = 401").await?,
        1
    );
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_charges_nobody() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "refresh_token": "token_503" })).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.retry, answer.failed), (3, 0), "{answer:?}");
    assert_eq!(world.number("select failure_count::bigint from relay.provider_health_state").await?, 0);
    assert_eq!(world.number("select sum(retry_count) from relay.ready").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_token_endpoint_that_fails_is_asked_once_by_all_who_wait_for_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..5 {
        let fields = json!({ "quota_key": format!("q{number}"), "refresh_token": "token_503" });
        let site = world.site(fields).await?;
        world.enqueue_many(site, &format!("s{number}"), "ok", 2).await?;
    }

    let answer = world.run_worker().await?;

    assert_eq!(answer.retry, 10, "{answer:?}");
    assert_eq!(world.sandbox.summary().totals.requests, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_token_endpoint_that_never_answers_does_not_outlast_the_run() -> anyhow::Result<()> {
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut settings = world.environment();
    settings.retain(|(name, _)| *name != "GOOGLE_OAUTH_TOKEN_URL");
    settings.push(("GOOGLE_OAUTH_TOKEN_URL", format!("http://{}/token", silent.local_addr()?)));
    let context = open_context(&config(settings)).await?;
    let event = json!({ "mode": "worker", "provider_key": "google_ads" });
    let request = upload::Request::parse(fields(event))?;

    // A claim is made within the first five seconds, and its token waited for until the ninth; a wait for the endpoint's
    // own timeout would take thirty.
    let run = upload::run(&context, &request, Bounds::after(Duration::from_secs(12)));
    let answer = tokio::time::timeout(Duration::from_secs(25), run).await??.answer().context("skipped")?;

    assert_eq!((answer.released, answer.processed), (2, 0), "{answer:?}");
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_credential_copied_to_another_sites_row_does_not_open() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (rich, thief) = (world.site(json!({})).await?, world.site(json!({ "quota_key": "other" })).await?);
    world.enqueue_many(thief, "stolen", "ok", 2).await?;
    world
        .sql
        .execute(
            "update relay.provider_credentials set sealed = (select pc.sealed from relay.provider_credentials pc \
             join relay.delivery_group g using (group_id) where g.site_id = $1) \
             where group_id = (select group_id from relay.delivery_group where site_id = $2)",
            &[&rich.0, &thief.0],
        )
        .await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.held, answer.completed), (2, 0), "{answer:?}");
    assert_eq!(world.standing("stolen-0").await?.last_error, "CREDENTIALS_DO_NOT_OPEN");
    assert_eq!(world.sandbox.summary().totals.requests, 0, "nothing was sent");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn credentials_under_two_key_versions_open_in_one_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    let older = world.site(json!({ "quota_key": "older" })).await?;
    let key = LocalKey::new(&Secret::new(tests::world::VAULT_KEY.to_owned()))?;
    let vault = Vault::new(Box::new(key), "development", std::time::Instant::now);
    let version = KeyVersion(2);
    let wrapped = vault.create_key(version).await?.0;
    world.context.store.add_vault_key(&StoredKey { version, source: "local".to_owned(), wrapped }).await?;
    let newer = world.site(json!({ "quota_key": "newer" })).await?;
    world.enqueue_many(older, "older", "ok", 2).await?;
    world.enqueue_many(newer, "newer", "ok", 2).await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 4, "{answer:?}");
    let versions = "select count(distinct key_version) from relay.provider_credentials";
    assert_eq!(world.number(versions).await?, 2);
    Ok(())
}

//! Rotation: a new data key seals what is new, a task seals the rest with it, and the old one goes when nothing needs it.

use serde_json::json;
use shared::boot::open_context;
use shared::domain::{KeyVersion, ProviderKey, Secret};
use shared::engine::tasks::{prune, reseal_credentials};
use shared::engine::{Bounds, Context, Reply};
use shared::store::SecretKind;
use std::time::Duration;
use tests::world::{World, config, credentials, fields};

use super::replace;

const OTHER_VAULT_KEY: &str = "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI=";

const VERSIONS: &str = "select coalesce(sum(distinct key_version), 0) from ( \
    select key_version from relay.provider_credentials union all select key_version from relay.ingest_key) as s";

async fn reseal(context: &Context) -> anyhow::Result<reseal_credentials::Answer> {
    let request = reseal_credentials::Request::parse(fields(json!({})))?;
    match reseal_credentials::run(context, &request, Bounds::after(Duration::from_secs(60))).await? {
        Reply::Answer(answer) => Ok(answer),
        Reply::Skipped { reason, .. } => anyhow::bail!("{reason:?}"),
    }
}

async fn prune(context: &Context) -> anyhow::Result<u64> {
    let request = prune::Request::parse(fields(json!({})))?;
    match prune::run(context, &request, Bounds::after(Duration::from_secs(60))).await? {
        Reply::Answer(answer) => Ok(answer.vault_keys),
        Reply::Skipped { reason, .. } => anyhow::bail!("{reason:?}"),
    }
}

#[tokio::test]
async fn a_new_key_takes_the_place_of_the_old_one_which_goes_a_day_later() -> anyhow::Result<()> {
    let world = World::new().await?;
    let sites = [world.site(json!({})).await?, world.site(json!({})).await?, world.site(json!({})).await?];
    let access = &world.context.access;
    access.add_ingest_key(sites[0]).await?;
    world.enqueue_many(sites[0], "before", "ok", 1).await?;
    world.run_worker().await?;

    let rotated = access.rotate_key().await?;
    assert_eq!(rotated.key_version, KeyVersion(2));
    world.let_pass("25 hours").await?;
    assert_eq!(prune(&world.context).await?, 0, "credentials are sealed with it still");
    let newer = world.site(json!({})).await?;
    let answer = reseal(&world.context).await?;
    let again = reseal(&world.context).await?;

    assert_eq!((answer.total, answer.processed, answer.tokens), (4, 4, 1), "{answer:?}");
    assert!(answer.ok && answer.finished, "{answer:?}");
    assert_eq!((again.total, again.tokens), (0, 0), "{again:?}");
    assert_eq!(world.number(VERSIONS).await?, 2, "nothing is sealed with version 1");
    for site in sites.into_iter().chain([newer]) {
        world.enqueue_many(site, &site.to_string(), "ok", 1).await?;
    }
    assert_eq!(world.run_worker().await?.completed, 4);
    assert_eq!(prune(&world.context).await?, 1);
    assert_eq!(world.number("select sum(key_version) from relay.vault_key").await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_key_that_was_replaced_a_moment_ago_stays() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    world.context.access.rotate_key().await?;
    reseal(&world.context).await?;

    assert_eq!(prune(&world.context).await?, 0);

    world.let_pass("25 hours").await?;
    assert_eq!(prune(&world.context).await?, 1);
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_put_meanwhile_win_over_what_was_read_before() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (put, left) = (world.site(json!({})).await?, world.site(json!({})).await?);
    let (store, access) = (&world.context.store, &world.context.access);
    access.rotate_key().await?;
    let read = store.read_secrets_to_reseal(SecretKind::Credentials, 0, 10).await?;
    assert_eq!(read.len(), 2);
    world.put_credentials(put, json!({ "quota_key": "new" })).await?;
    let sealed = "select sealed from relay.provider_credentials join relay.delivery_group using (group_id) where site_id = $1";
    let before: Vec<u8> = world.sql.query_one(sealed, &[&put.0]).await?.get(0);

    let done = access.reseal(store, SecretKind::Credentials, read).await?;

    assert_eq!((done.resealed, done.passed_over), (1, 1), "{done:?}");
    let after: Vec<u8> = world.sql.query_one(sealed, &[&put.0]).await?.get(0);
    assert_eq!(before, after);
    for site in [put, left] {
        world.enqueue_many(site, &site.to_string(), "ok", 1).await?;
    }
    assert_eq!(world.run_worker().await?.completed, 2);
    Ok(())
}

#[tokio::test]
async fn a_run_goes_on_where_the_one_before_left_off() -> anyhow::Result<()> {
    let world = World::new().await?;
    for _ in 0..3 {
        world.site(json!({})).await?;
    }
    world.context.access.rotate_key().await?;
    let last = world.number("select max(group_id)::bigint from relay.provider_credentials").await?;
    let place = json!({ "secret": "credentials", "after": last - 1 });
    world
        .sql
        .execute(
            "insert into relay.task_state (task_key, status, registered_at, checkpoint) \
             values ('reseal-credentials', 'IDLE', now(), $1) \
             on conflict (task_key) do update set checkpoint = excluded.checkpoint",
            &[&place],
        )
        .await?;

    let answer = reseal(&world.context).await?;
    let next = reseal(&world.context).await?;

    assert_eq!((answer.processed, next.processed), (1, 2), "{answer:?} {next:?}");
    Ok(())
}

#[tokio::test]
async fn a_lost_key_has_a_way_out() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let (lost, other) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(lost, "lost", "ok", 2).await?;
    world.enqueue_many(other, "other", "ok", 1).await?;
    world.context =
        open_context(&config(replace(world.environment(), &[("VAULT_KEY", OTHER_VAULT_KEY)]))).await?;
    assert!(world.run_worker().await.is_err(), "whoever has the wrong key touches nothing");
    assert_eq!(world.context.store.read_holds(None, None, 10).await?, []);

    world.context.access.rotate_key().await?;
    let answer = reseal(&world.context).await?;
    let run = world.run_worker().await?;

    assert_eq!((answer.processed, answer.errors_total, answer.ok), (0, 2, false), "{answer:?}");
    assert!(answer.errors.iter().any(|closed| closed.site_id == lost), "{answer:?}");
    assert_eq!((run.processed, run.retry), (0, 0), "{run:?}");
    let holds = world.context.store.read_holds(None, None, 10).await?;
    assert_eq!((holds.len(), holds[0].code.as_str(), holds[0].sites), (1, "KEY_REFUSED", 2), "{holds:?}");

    let anew = Secret::new(credentials(json!({})).to_string());
    world.context.access.put_credentials(lost, ProviderKey::GoogleAds, &anew).await?;
    assert_eq!(world.run_worker().await?.completed, 2);
    assert_eq!(world.standing("lost-0").await?.retry_count, 0);
    world.context.access.put_credentials(other, ProviderKey::GoogleAds, &anew).await?;
    assert_eq!(world.run_worker().await?.completed, 1);
    assert_eq!(world.context.store.read_holds(None, None, 10).await?, []);
    world.assert_accounted_for().await
}

//! The request budget that a new quota key begins with.

use serde_json::json;
use shared::domain::{KeyVersion, ProviderKey, SiteId};
use shared::store::AccountFacts;
use tests::world::World;
use uuid::Uuid;

/// Requests per minute and per day of a quota key.
async fn budget(world: &World, key: &str) -> anyhow::Result<(Option<i32>, Option<i32>)> {
    let sql = "select per_minute, per_day from relay.quota where quota_key = $1";
    let row = world.sql.query_one(sql, &[&key]).await?;
    Ok((row.get(0), row.get(1)))
}

async fn put(world: &World, key: &str, limits: (Option<u32>, Option<u32>)) -> anyhow::Result<()> {
    let site = SiteId(Uuid::new_v4());
    let store = &world.context.store;
    let (per_minute, per_day) = limits;
    let facts = AccountFacts {
        quota_key: key,
        client_key: "client",
        transport: "data_manager",
        conversion_action: "",
        per_minute,
        per_day,
    };
    store.keep_provider_account(site, ProviderKey::GoogleAds, KeyVersion(1), b"sealed", &facts).await?;
    Ok(())
}

/// A world with its first data key.
async fn world() -> anyhow::Result<World> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    Ok(world)
}

#[tokio::test]
async fn a_new_quota_key_begins_with_its_platforms_budget() -> anyhow::Result<()> {
    let world = world().await?;

    put(&world, "limited", (Some(300), Some(100_000))).await?;
    put(&world, "free", (None, None)).await?;

    assert_eq!(budget(&world, "limited").await?, (Some(300), Some(100_000)));
    assert_eq!(budget(&world, "free").await?, (None, None));
    Ok(())
}

#[tokio::test]
async fn what_an_operator_set_stays_whatever_credentials_come_later() -> anyhow::Result<()> {
    let world = world().await?;
    put(&world, "agency", (Some(300), Some(100_000))).await?;
    world.context.store.put_quota("agency", None, Some(60), Some(0)).await?;

    put(&world, "agency", (Some(300), Some(100_000))).await?;

    assert_eq!(budget(&world, "agency").await?, (Some(60), None));
    Ok(())
}

#[tokio::test]
async fn two_that_bring_a_new_key_at_once_make_it_once() -> anyhow::Result<()> {
    let world = world().await?;

    let both = tokio::join!(put(&world, "k", (Some(300), None)), put(&world, "k", (Some(300), None)));

    both.0.and(both.1)?;
    assert_eq!(budget(&world, "k").await?, (Some(300), None));
    assert_eq!(world.number("select count(*) from relay.upload_slot where quota_key = 'k'").await?, 10);
    Ok(())
}

#[tokio::test]
async fn against_a_stand_in_there_is_no_budget() -> anyhow::Result<()> {
    let world = world().await?;

    world.site(json!({ "transport": "data_manager", "quota_key": "stand-in" })).await?;

    assert_eq!(budget(&world, "stand-in").await?, (None, None));
    Ok(())
}

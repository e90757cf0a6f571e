//! The keys with which sites sign, as the database keeps them.

use std::time::Duration;

use jiff::Timestamp;
use shared::domain::SiteId;
use tests::world::World;
use tokio::time::timeout;
use uuid::Uuid;

#[tokio::test]
async fn of_two_that_make_the_second_key_at_once_one_does() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (site, access) = (SiteId(Uuid::new_v4()), &world.context.access);
    access.add_ingest_key(site).await?.expect("the first");

    world.sql.batch_execute("begin").await?;
    let other = "select relay.add_ingest_key($1, 1, 'sealed')";
    assert_eq!(world.sql.query(other, &[&site.0]).await?.len(), 1);
    let (ours, ()) = tokio::join!(access.add_ingest_key(site), async {
        // Ours waits for the one that is under way, or has made its mistake by then.
        let waits = "select count(*) from pg_stat_activity where datname = current_database() \
                     and wait_event_type = 'Lock'";
        let watched = timeout(Duration::from_secs(5), async {
            while world.number(waits).await.unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        watched.await.ok();
        world.sql.batch_execute("commit").await.unwrap();
    });

    assert!(ours?.is_none());
    assert_eq!(access.list_ingest_keys(site).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_unknown_site_has_no_keys_and_the_clock_is_told_all_the_same() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.context.access.add_ingest_key(SiteId(Uuid::new_v4())).await?.expect("the first");

    let read = world.context.store.read_ingest_site(SiteId(Uuid::new_v4())).await?;

    assert!(read.keys.is_empty() && read.defaults.providers.is_empty());
    assert!(read.database_time > Timestamp::UNIX_EPOCH);
    Ok(())
}

//! `relay site keys`: made once, shown once, two at most.

use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::world::World;
use uuid::Uuid;

use super::{Ran, Relay};

async fn keys(relay: &Relay, site: SiteId, arguments: &[&str]) -> Ran {
    let site = site.to_string();
    relay.run(&[&["site", "keys", "--site", &site, "--json"], arguments].concat()).await
}

#[tokio::test]
async fn a_key_is_printed_once_listed_by_its_id_and_retired() -> anyhow::Result<()> {
    let world = World::new().await?;
    let relay = Relay::new(&world);
    let site = SiteId(Uuid::new_v4());

    let none = keys(&relay, site, &[]).await;
    let first = keys(&relay, site, &["--add"]).await.json();
    let second = keys(&relay, site, &["--add"]).await.json();
    let third = keys(&relay, site, &["--add"]).await;
    let listed = keys(&relay, site, &[]).await;
    let id = first["key_id"].to_string();
    let of_another = keys(&relay, SiteId(Uuid::new_v4()), &["--retire", &id]).await;
    let retired = keys(&relay, site, &["--retire", &id]).await;
    let again = keys(&relay, site, &["--retire", &id]).await;
    let fourth = keys(&relay, site, &["--add"]).await;

    assert_eq!((none.code, none.json()["keys"].clone()), (Some(0), json!([])));
    let key = |answer: &Value| answer["key"].as_str().unwrap().to_owned();
    assert!(key(&first).starts_with("relay_ingest_") && key(&first).len() == 13 + 43, "{first}");
    assert_ne!(key(&first), key(&second));
    assert!(third.code == Some(1) && third.stdout.contains("has two keys already"), "{third:?}");
    let ids: Vec<_> =
        listed.json()["keys"].as_array().unwrap().iter().map(|key| key["key_id"].clone()).collect();
    assert_eq!(ids, [first["key_id"].clone(), second["key_id"].clone()]);
    assert!(!listed.stdout.contains("relay_ingest_"), "{listed:?}");
    assert_eq!(
        (of_another.code, retired.code, again.code, fourth.code),
        (Some(1), Some(0), Some(1), Some(0))
    );
    Ok(())
}

#[tokio::test]
async fn for_a_person_the_key_stands_alone_on_its_line() -> anyhow::Result<()> {
    let world = World::new().await?;
    let relay = Relay::new(&world);
    let site = Uuid::new_v4().to_string();

    let added = relay.run(&["site", "keys", "--site", &site, "--add"]).await;
    let listed = relay.run(&["site", "keys", "--site", &site]).await;
    let both = relay.run(&["site", "keys", "--site", &site, "--add", "--retire", "1"]).await;

    let key = added.stdout.lines().last().unwrap_or_default();
    assert!(key.starts_with("relay_ingest_") && !key.contains(' '), "{added:?}");
    assert!(listed.code == Some(0) && !listed.stdout.contains(key), "{listed:?}");
    assert_eq!(both.code, Some(2), "{both:?}");
    Ok(())
}

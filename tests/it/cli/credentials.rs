//! `relay credentials put`: sealed, and never said aloud.

use serde_json::{Value, json};
use tests::world::{World, credentials, migrated_database};
use uuid::Uuid;

use super::{Ran, Relay};

const SECRETS: [&str; 2] = ["client-secret-for-tests", "refresh-token-for-tests"];

async fn put(relay: &Relay, credentials: &Value) -> Ran {
    let site = Uuid::new_v4().to_string();
    let arguments = ["credentials", "put", "--site", &site, "--provider", "google_ads", "--file", "-"];
    let ran = relay.pipe(&arguments, credentials.to_string().as_bytes()).await;
    let document =
        relay.pipe(&[&arguments[..], &["--json"]].concat(), credentials.to_string().as_bytes()).await;
    document.json();
    for secret in SECRETS {
        assert!(!format!("{ran:?}{document:?}").contains(secret), "{ran:?}{document:?}");
    }
    ran
}

#[tokio::test]
async fn credentials_are_stored_sealed() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);

    let ran = put(&relay, &credentials(json!({}))).await;

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("sealed with key version 1"), "{ran:?}");
    assert_eq!(world.number("select count(*) from relay.provider_credentials").await.unwrap(), 1);
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_and_nothing_is_stored() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let wrong = credentials(json!({ "customer_id": "12", "refresh_tokem": "refresh-token-for-tests" }));

    let ran = put(&relay, &wrong).await;

    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("customer_id") && ran.stderr.contains("refresh_tokem"), "{ran:?}");
    assert_eq!(world.number("select count(*) from relay.provider_credentials").await.unwrap(), 0);
}

#[tokio::test]
async fn another_vault_key_is_told() {
    let world = World::new().await.unwrap();
    world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let key = relay.run(&["vault-key"]).await.stdout;
    let relay = relay.set("VAULT_KEY", key.trim());

    let ran = put(&relay, &credentials(json!({}))).await;

    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("VAULT_KEY does not open key version 1"), "{ran:?}");
}

#[tokio::test]
async fn no_key_at_all_is_told() {
    let database = migrated_database().await.unwrap();
    let environment = vec![("DATABASE_URL", database.url()), ("APP_ENV", "development".to_owned())];
    let relay = Relay::with(environment);

    let ran = put(&relay, &credentials(json!({}))).await;

    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("set VAULT_KEY"), "{ran:?}");
}

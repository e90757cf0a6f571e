//! The seed function: seals, and is refused in production before it reads anything.

use serde_json::{Value, json};
use tests::lambda::Invocation;
use tests::world::{CRON_SECRET, World, credentials};
use uuid::Uuid;

use super::{answer, http, invoke, start, with};

const SEED: &str = "/api/cron/providers/seed-credentials";

fn request() -> Value {
    json!({
        "site_id": Uuid::nil().to_string(),
        "provider_key": "google_ads",
        "credentials": credentials(json!({})),
    })
}

#[tokio::test]
async fn it_seals_credentials_and_echoes_none() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut seed = start("seed", &with(&world, &[("RUST_LOG", "trace")])).await?;

    let answer = answer(&mut seed, request()).await?;

    let expected = json!({ "ok": true, "site_id": Uuid::nil().to_string(), "provider_key": "google_ads", "key_version": 1 });
    assert_eq!(answer, expected);
    let sealed: Vec<u8> =
        world.sql.query_one("select sealed from relay.provider_credentials", &[]).await?.get(0);
    assert!(!String::from_utf8_lossy(&sealed).contains("for-tests"));
    for line in seed.stdout() {
        assert!(
            !line.contains("refresh-token-for-tests") && !line.contains("client-secret-for-tests"),
            "{line}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn seed_in_production_reads_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    // A missing or unknown environment is production; the database is one that would answer with a failure.
    let nowhere = "postgresql://relay_service@127.0.0.1:1/nowhere";
    for environment in ["production", "", "prod", "Staging"] {
        let settings =
            with(&world, &[("APP_ENV", environment), ("DATABASE_URL", nowhere), ("CRON_SECRET", "")]);
        let mut seed = start("seed", &settings).await?;

        let direct = invoke(&mut seed, request()).await?;
        let (status, body) = http(&mut seed, "POST", SEED, "", json!({}), Some("not even json")).await?;

        let Invocation::Failed(error) = direct else { panic!("{environment}: {direct:?}") };
        assert!(error.to_string().contains("refused in production"), "{environment}: {error}");
        assert_eq!(status, 403, "{environment}: {body}");
        assert!(body["error"].as_str().unwrap().contains("refused in production"));
    }
    Ok(())
}

#[tokio::test]
async fn elsewhere_the_secret_is_asked_for() -> anyhow::Result<()> {
    let world = World::new().await?;
    let body = request().to_string();
    let mut unset = start("seed", &with(&world, &[("CRON_SECRET", "")])).await?;
    let mut seed = start("seed", &world.environment()).await?;
    let right = json!({ "x-cron-secret": CRON_SECRET });

    assert_eq!(http(&mut unset, "POST", SEED, "", json!({}), Some(&body)).await?.0, 500);
    assert_eq!(http(&mut seed, "POST", SEED, "", json!({}), Some(&body)).await?.0, 401);
    assert_eq!(http(&mut seed, "POST", SEED, "", right, Some(&body)).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_wrong_field_is_named_and_its_value_is_not() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut seed = start("seed", &world.environment()).await?;
    let check = |field: &'static str, value: Value| {
        let mut wrong = request();
        wrong["credentials"][field] = value;
        (wrong, field)
    };

    for (event, told) in [
        check("customer_id", json!("not-a-number-7431")),
        check("refresh_token", json!("")),
        check("conversion_action_resource_name", json!("action-7431")),
        check("transport", json!("carrier-pigeon-7431")),
        check("pass_word", json!("hunter-7431")),
        (json!({ "site_id": "x", "provider_key": "google_ads", "credentials": {} }), "site_id"),
        (json!({ "provider_key": "google_ads", "credentials": {} }), "site_id"),
        (json!({ "site_id": Uuid::nil().to_string(), "provider_key": "google_ads" }), "credentials"),
    ] {
        let refused = invoke(&mut seed, event).await?;
        let Invocation::Failed(error) = refused else { panic!("{told}: {refused:?}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
        assert!(!error.to_string().contains("7431"), "{error}");
    }
    assert_eq!(world.number("select count(*) from relay.provider_credentials").await?, 0);
    Ok(())
}

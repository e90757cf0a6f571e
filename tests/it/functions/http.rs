//! Who may come in over HTTP.

use serde_json::json;
use tests::world::{CRON_SECRET, INTERNAL_SECRET, World};

use super::{http, start, with};

const CRON: &str = "/api/cron/process-offline-conversions";

#[tokio::test]
async fn a_secret_opens_and_nothing_else_does() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut runner = start("runner", &with(&world, &[("CRON_SECRET_PREVIOUS", "the-one-before")])).await?;

    for (headers, expected) in [
        (json!({ "authorization": format!("Bearer {CRON_SECRET}") }), 200),
        (json!({ "Authorization": format!("bearer {CRON_SECRET}") }), 200),
        (json!({ "x-cron-secret": CRON_SECRET }), 200),
        (json!({ "x-cron-secret": "the-one-before" }), 200),
        (json!({ "x-internal-secret": INTERNAL_SECRET }), 200),
        (json!({ "x-vercel-cron": "1" }), 401),
        (json!({ "x-vercel-cron": "1", "user-agent": "vercel-cron/1.0" }), 401),
        (json!({}), 401),
        (json!({ "authorization": CRON_SECRET }), 401),
        (json!({ "authorization": format!("Basic {CRON_SECRET}") }), 401),
        (json!({ "x-cron-secret": "" }), 401),
        (json!({ "x-cron-secret": format!("{CRON_SECRET} ") }), 401),
        (json!({ "x-cron-secret": INTERNAL_SECRET }), 401),
        (json!({ "x-internal-secret": CRON_SECRET }), 401),
        (json!({ "x-internal-secret": "" }), 401),
    ] {
        let (status, body) = http(&mut runner, "POST", CRON, "", headers.clone(), None).await?;
        assert_eq!(status, expected, "{headers}: {body}");
        if expected == 401 {
            assert_eq!(body, json!({ "error": "Unauthorized" }));
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_a_configured_secret_nobody_comes_in() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut runner = start("runner", &with(&world, &[("CRON_SECRET", ""), ("INTERNAL_SECRET", "")])).await?;

    for headers in [json!({}), json!({ "x-vercel-cron": "1" }), json!({ "authorization": "Bearer " })] {
        let (status, body) = http(&mut runner, "POST", CRON, "", headers, None).await?;
        assert_eq!((status, body), (500, json!({ "error": "CRON_SECRET not configured" })));
    }
    Ok(())
}

#[tokio::test]
async fn paths_methods_and_bodies_are_told_apart() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut runner = start("runner", &world.environment()).await?;
    let secret = || json!({ "x-cron-secret": CRON_SECRET });
    let long = format!("{{\"site_id\":\"{}\"}}", "x".repeat(1024 * 1024));

    for (method, path, body, expected) in [
        ("POST", "/api/cron/other", None, 404),
        ("GET", CRON, None, 405),
        ("POST", CRON, Some("not json"), 400),
        ("POST", CRON, Some("[1]"), 400),
        ("POST", CRON, Some("{\"limit\":7}"), 200),
        ("POST", CRON, Some(long.as_str()), 413),
    ] {
        let (status, answer) = http(&mut runner, method, path, "", secret(), body).await?;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(expected == 200 || answer["error"].is_string(), "{answer}");
    }
    let (status, twice) = http(&mut runner, "POST", CRON, "limit=3", secret(), Some("{\"limit\":7}")).await?;
    assert_eq!((status, twice["error"].as_str()), (400, Some("limit is given twice")));
    Ok(())
}

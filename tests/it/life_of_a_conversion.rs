//! One conversion, from the line that a user wrote to the proof of what became of it.

use serde_json::{Value, json};
use tests::world::{World, row};

#[tokio::test]
async fn a_conversion_goes_from_a_line_to_a_delivery() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[row("sale", "ok", 1)]).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.processed, answer.completed, answer.errors_total), (1, 1, 0), "{answer:?}");
    let standing = world.standing("sale-1").await?;
    assert_eq!((standing.status.as_str(), standing.outcome.as_str()), ("COMPLETED", "delivered"));
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_data_manager_row_that_was_taken_is_submitted() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue(site, &[row("sale", "ok", 1)]).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.processed, answer.submitted), (1, 1), "{answer:?}");
    assert_eq!(world.standing("sale-1").await?.status, "SUBMITTED");
    assert_eq!(world.number("select count(*) from relay.receipt where state = 'PENDING'").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn explain_tells_the_whole_story() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[row("sale", "error.internalError.INTERNAL_ERROR*1", 1)]).await?;
    world.run_worker().await?;
    world.let_pass("2 minutes").await?;
    world.run_worker().await?;

    let found = world.context.store.look_up_conversions("sale-1", 10).await?;
    let document = world.context.store.explain_conversion(found[0].conversion_id).await?.unwrap_or_default();

    let events: Vec<&str> = document["timeline"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(events, ["ENQUEUED", "RETRY", "DELIVERED"], "{document:#}");
    assert_eq!((document["status"].as_str(), &document["blocked_by"]), (Some("COMPLETED"), &Value::Null));
    world.assert_accounted_for().await
}

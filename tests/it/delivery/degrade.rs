//! A conversion that is refused for an optional part goes again without it, and its ledger says so.

use serde_json::{Value, json};
use tests::world::{World, row};

/// A conversion with everything that can be left out, and the directive that refuses it so often.
fn rich(name: &str, directive: &str) -> Value {
    let mut row = row(name, directive, 0);
    row["user"] = json!({ "email": format!("{name}@example.com") });
    row["custom_variables"] = json!({ "42": "blue" });
    row
}

async fn story(world: &World, external_id: &str) -> anyhow::Result<String> {
    let told = world
        .sql
        .query_one(
            "select string_agg(concat_ws('-', o.outcome, o.omitted), ' ' order by o.seq) \
             from relay.conversion_outcome o join relay.conversion c using (conversion_id) where c.external_id = $1",
            &[&external_id],
        )
        .await?;
    Ok(told.get::<_, Option<String>>(0).unwrap_or_default())
}

#[tokio::test]
async fn a_row_refused_for_an_optional_part_goes_again_without_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world
        .enqueue(
            site,
            &[
                rich("variable", "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII*1"),
                rich("disabled", "error.CUSTOM_VARIABLE_NOT_ENABLED*1"),
                rich("person", "error.INVALID_USER_IDENTIFIER*1"),
            ],
        )
        .await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.completed, answer.retry, answer.failed, answer.held), (3, 3, 0, 0), "{answer:?}");
    assert_eq!(story(&world, "variable-0").await?, "DEGRADED-1 DELIVERED-1");
    assert_eq!(story(&world, "disabled-0").await?, "DEGRADED-1 DELIVERED-1");
    assert_eq!(story(&world, "person-0").await?, "DEGRADED-2 DELIVERED-2");
    assert_eq!(world.standing("person-0").await?.retry_count, 0, "no retry was burnt");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn one_part_goes_at_a_time_and_what_matches_stays() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut bare = row("bare", "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII", 0);
    bare["click_ids"] = json!({ "gclid": "sandbox-error.INVALID_USER_IDENTIFIER-bare" });
    world.enqueue(site, &[rich("always", "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII"), bare]).await?;

    world.run_worker().await?;

    assert_eq!(
        story(&world, "always-0").await?,
        "DEGRADED-1 REJECTED-1",
        "there is nothing more to leave out"
    );
    assert_eq!(story(&world, "bare-0").await?, "REJECTED", "it has no identifier to go without");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_request_refused_for_an_optional_part_of_its_rows_goes_again_without_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    let refused = "refuse.DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS*1";
    world.enqueue(site, &[rich("person", refused), row("click", "ok", 1)]).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.held, answer.failed), (2, 0, 0), "{answer:?}");
    assert_eq!(story(&world, "person-0").await?, "DEGRADED-2 SUBMITTED-2");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_left_out_stays_out_after_a_crash() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let variable = "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII*1";
    world.enqueue(site, &[rich("sale", variable)]).await?;
    world.run(json!({ "mode": "cron", "provider_key": "google_ads", "limit": 1 })).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 1, 10, 10, 60)";
    world.sql.query(claim, &[]).await?;

    world.let_pass("2 minutes").await?;
    world.run_worker().await?;

    assert_eq!(story(&world, "sale-0").await?, "DEGRADED-1 LEASE_LOST-1 DELIVERED-1");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_left_out_stays_left_out_where_a_probe_lifts_the_hold() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[rich("disabled", "error.CUSTOM_VARIABLE_NOT_ENABLED*2")]).await?;
    world.run_worker().await?;
    assert_eq!(story(&world, "disabled-0").await?, "DEGRADED-1 HELD-1");

    let lift = "select count(*) filter (where relay.lift_probed_hold(hold_id)) from relay.hold where lifted_at is null";
    assert_eq!(world.number(lift).await?, 1);

    assert_eq!(world.number("select omitted::bigint from relay.ready").await?, 1);
    world.assert_accounted_for().await
}

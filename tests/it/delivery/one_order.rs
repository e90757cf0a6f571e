//! One order, whatever names its conversion action goes by, and whoever comes in beside it.

use serde_json::{Value, json};
use tests::world::{World, row};

const FULL: &str = "customers/1234567890/conversionActions/987";

fn of_order(name: &str, number: usize, action: Option<&str>) -> Value {
    let mut write = row(name, "ok", number);
    write["order_id"] = json!("O-1");
    if let Some(action) = action {
        write["conversion_action"] = json!(action);
    }
    write
}

fn change(id: &str, action: Option<&str>) -> Value {
    let mut change = json!({
        "external_id": id, "kind": "restatement", "order_id": "O-1", "value": "7.00",
        "occurred_at": jiff::Timestamp::now().to_string(),
    });
    if let Some(action) = action {
        change["conversion_action"] = json!(action);
    }
    change
}

#[tokio::test]
async fn an_action_by_any_of_its_names_is_one_order() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let writes = [of_order("first", 0, None), of_order("again", 1, Some("987")), change("less", Some(FULL))];
    world.enqueue(site, &writes).await?;

    world.run_worker().await?;
    world.let_pass("1 minute").await?;
    world.run_worker().await?;

    assert_eq!(world.number("select count(*) from relay.order_chain").await?, 1);
    assert_eq!(world.standing("first-0").await?.outcome, "delivered");
    assert_eq!(world.standing("again-1").await?.last_error, "ORDER_ALREADY_DELIVERED");
    assert_eq!(world.standing("less").await?.outcome, "delivered");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn another_action_of_the_same_number_elsewhere_is_another_order() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let elsewhere = "customers/2234567890/conversionActions/987";

    world.enqueue(site, &[of_order("first", 0, None), of_order("other", 1, Some(elsewhere))]).await?;

    assert_eq!(world.number("select count(*) from relay.order_chain").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_number_and_a_name_are_one_order_also_where_the_account_is_not_known() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = shared::domain::SiteId(uuid::Uuid::new_v4());

    let writes = [of_order("first", 0, Some("987")), of_order("again", 1, Some(FULL))];
    world.enqueue(site, &writes).await?;

    assert_eq!(world.number("select count(*) from relay.order_chain").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_an_original_of_one_name_was_adjusted_by_another_finds_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    // It names no order, so that it has no chain yet.
    let mut original = json!({ "external_id": "O-1", "click_ids": { "gclid": "sandbox-ok-O-1" } });
    original["conversion_action"] = json!("987");
    world.enqueue(site, &[original]).await?;

    world.enqueue(site, &[change("less", Some(FULL))]).await?;
    world.run_worker().await?;
    world.let_pass("1 minute").await?;
    world.run_worker().await?;

    let head = "select count(*) from relay.order_chain join relay.conversion on conversion_id = head \
                where kind = 'restatement' and original = 'delivered'";
    assert_eq!(world.number(head).await?, 1, "it waited for its original and went after it");
    assert_eq!(world.statuses().await?, "COMPLETED 2");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn conversions_of_a_held_action_wait_by_any_of_its_names() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world
        .site(json!({ "transport": "data_manager", "conversion_action_resource_name":
        "customers/1234567890/conversionActions/9981000001" }))
        .await?;
    world.enqueue(site, &[row("first", "ok", 0)]).await?;
    world.run_worker().await?;
    assert_eq!(world.statuses().await?, "HELD 1");
    let requests = "select count(*) from relay.provider_upload_attempts";
    let before = world.number(requests).await?;

    let mut rows = [row("number", "ok", 1), row("name", "ok", 2)];
    rows[0]["conversion_action"] = json!("9981000001");
    rows[1]["conversion_action"] = json!("customers/1234567890/conversionActions/9981000001");
    world.enqueue(site, &rows).await?;
    world.run_worker().await?;

    assert_eq!(world.statuses().await?, "HELD 3");
    assert_eq!(world.number(requests).await?, before, "nothing was sent for them");
    assert_eq!(world.number("select count(*) from relay.hold where lifted_at is null").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_change_goes_by_what_the_original_beside_it_is_known_by() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    let mut original = of_order("sale", 0, None);
    original["consent"] = json!({ "ad_user_data": "GRANTED" });
    let mut stranger = change("stranger", None);
    stranger["order_id"] = json!("O-unknown");

    world.enqueue(site, &[change("less", None), original, stranger]).await?;
    world.run_worker().await?;
    world.let_pass("31 minutes").await?;
    world.confirm().await?;
    world.run_worker().await?;

    assert_eq!(world.standing("sale-0").await?.outcome, "delivered");
    assert_eq!(world.standing("less").await?.status, "SUBMITTED");
    assert_eq!(world.standing("stranger").await?.last_error, "NO_IDENTIFIER");
    let consent =
        "select count(*) from relay.conversion where payload #>> '{consent,ad_user_data}' = 'GRANTED'";
    assert_eq!(world.number(consent).await?, 2);
    world.assert_accounted_for().await
}

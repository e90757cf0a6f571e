//! What became of conversions that are answered later, held, or taken without a part, as an operator sees it.

use serde_json::json;
use tests::world::{World, row};

use super::Relay;

const RUN: [&str; 5] = ["run", "--mode", "worker", "--provider", "google_ads"];

#[tokio::test]
async fn holds_are_listed_with_what_to_do_and_released() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue(site, &[row("sale", "error.NO_CONVERSION_ACTION_FOUND*1", 0)]).await.unwrap();
    let relay = Relay::new(&world);
    let nothing = relay.run(&["holds"]).await;
    relay.run(&RUN).await;

    let told = relay.run(&["holds"]).await;
    let listed = relay.run(&["holds", "--json"]).await.json();
    let unnarrowed = relay.run(&["holds", "release"]).await;
    let wrong = relay.run(&["holds", "release", "4711"]).await;
    let number = listed["holds"][0]["hold_id"].to_string();
    let released = relay.run(&["holds", "release", &number, "--json"]).await;
    let after = relay.run(&RUN).await;

    assert!(nothing.stdout.contains("nothing is held"), "{nothing:?}");
    assert!(told.stdout.contains("NO_CONVERSION_ACTION_FOUND"), "{told:?}");
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 110), "{}", told.stdout);
    let hold = &listed["holds"][0];
    assert_eq!((&hold["scope"], &hold["conversions"]), (&json!("conversion_action"), &json!(1)), "{listed}");
    assert!(
        hold["reason"]["mend"].as_str().is_some_and(|mend| told.stdout.contains(&mend[..10])),
        "{listed}"
    );
    assert_eq!((unnarrowed.code, wrong.code, released.code), (Some(2), Some(1), Some(0)), "{wrong:?}");
    assert_eq!(released.json()["conversions"], 1);
    assert_eq!(after.code, Some(0), "{after:?}");
    assert_eq!(world.statuses().await.unwrap(), "COMPLETED 1");
}

#[tokio::test]
async fn confirm_reads_receipts_and_says_what_they_ended() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({ "transport": "data_manager" })).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 3).await.unwrap();
    let relay = Relay::new(&world);
    relay.run(&RUN).await;

    let not_yet = relay.run(&["confirm", "--json"]).await.json();
    let told = relay.run(&["confirm", "--early", "30"]).await;
    let wrong = relay.run(&["confirm", "--early", "1441"]).await;
    let explained = relay.run(&["explain", "sale-0", "--json"]).await.json();

    assert_eq!((&not_yet["total"], &not_yet["completed"]), (&json!(0), &json!(0)));
    assert!(told.code == Some(0) && told.stdout.contains("3 completed"), "{told:?}");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let steps = explained["conversion"]["timeline"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!((&last["event"], &last["code"]), (&json!("DELIVERED"), &json!("RECEIPT_TOLD")), "{explained}");
    assert_eq!(explained["conversion"]["status"], "COMPLETED");
}

#[tokio::test]
async fn explain_says_what_was_left_out_and_what_is_foreign() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let mut rich = row("rich", "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII*1", 0);
    rich["custom_variables"] = json!({ "7": "blue" });
    world.enqueue(site, &[rich, row("twin", "error.ORDER_ID_ALREADY_IN_USE", 0)]).await.unwrap();
    let relay = Relay::new(&world);
    relay.run(&RUN).await;

    let left_out = relay.run(&["explain", "rich-0"]).await;
    let document = relay.run(&["explain", "rich-0", "--json"]).await.json();
    let foreign = relay.run(&["explain", "twin-0"]).await;

    assert!(left_out.stdout.contains("DELIVERED (without custom_variables)"), "{}", left_out.stdout);
    assert_eq!(document["conversion"]["timeline"][1]["omitted"], json!(["custom_variables"]), "{document}");
    assert!(foreign.stdout.contains("DUPLICATE (foreign)"), "{}", foreign.stdout);
    assert!(foreign.stdout.contains("another system reports the same sales"), "{}", foreign.stdout);
}

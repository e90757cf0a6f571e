//! What codes mean: the table, what an operator says instead, and what was given up on.

use serde_json::json;
use tests::world::{World, row};

use super::Relay;

const RUN: [&str; 5] = ["run", "--mode", "worker", "--provider", "google_ads"];
const PUT: [&str; 4] = ["taxonomy", "put", "--provider", "google_ads"];
const WHY: [&str; 2] = ["--reason", "asked Google"];

fn put<'a>(parts: &[&'a str]) -> Vec<&'a str> {
    [&PUT[..], parts, &WHY[..]].concat()
}

#[tokio::test]
async fn the_table_is_listed_overridden_and_restored() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let code = "conversionUploadError.CLICK_NOT_FOUND";

    let all = relay.run(&["taxonomy", "--json"]).await.json();
    let told = relay.run(&["taxonomy", "--code", "click_not_found"]).await;
    let said = relay.run(&put(&["--code", code, "--class", "delay", "--wait", "6h"])).await;
    let after = relay.run(&["taxonomy", "--code", "upload", "--json"]).await.json();
    let removed = relay.run(&["taxonomy", "remove", "--provider", "google_ads", "--code", code]).await;
    let again = relay.run(&["taxonomy", "remove", "--provider", "google_ads", "--code", code]).await;

    assert!(all["rules"].as_array().unwrap().len() > 400, "{}", all["rules"].as_array().unwrap().len());
    assert!(told.stdout.contains("UNMATCHED") && told.stdout.contains("this is usual"), "{told:?}");
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 110), "{}", told.stdout);
    assert_eq!(said.code, Some(0), "{said:?}");
    let overrides = after["overrides"].as_array().unwrap();
    assert_eq!((overrides.len(), &overrides[0]["wait_seconds"]), (1, &json!(21_600)), "{after}");
    assert_eq!((&overrides[0]["class"], &overrides[0]["reason"]), (&json!("DELAY"), &json!("asked Google")));
    assert_eq!((removed.code, again.code), (Some(0), Some(1)), "{removed:?} {again:?}");
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_with_the_field_and_what_would_be_right() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let check = async |parts: &[&str], told: &str| {
        let ran = relay.run(&put(parts)).await;
        assert_eq!(ran.code, Some(2), "{parts:?}: {ran:?}");
        assert!(ran.stderr.contains(told), "{parts:?}: {}", ran.stderr);
    };
    let code = ["--code", "conversionUploadError.CLICK_NOT_FOUND"];
    let with = |parts: &[&'static str]| [&code[..], parts].concat();

    check(
        &["--code", "CLICK_NOT_FOUND", "--class", "OK"],
        "did you mean conversionUploadError.CLICK_NOT_FOUND",
    )
    .await;
    check(&["--code", "conversionUploadError.NO_SUCH_THING", "--class", "OK"], "none like it ever came")
        .await;
    check(&["--code", "noSuchFamily.THING_OF_IT", "--class", "OK"], "--code").await;
    check(&["--code", "HTTP_5*", "--class", "TRANSIENT"], "--code").await;
    check(&["--code", "NO_CREDENTIALS", "--class", "PERM"], "--code").await;
    check(&["--code", "HTTP_503", "--class", "OK"], "no delivery").await;
    check(&with(&["--class", "FATAL"]), "must be one of OK, PERM, CONFIG").await;
    check(&with(&["--class", "CONFIG"]), "--scope is missing: CONFIG holds one of row").await;
    check(&with(&["--class", "PERM", "--scope", "row"]), "--scope belongs to CONFIG and DELAY").await;
    check(&with(&["--class", "CONFIG", "--scope", "world"]), "must be one of row, conversion_action").await;
    check(&with(&["--class", "PERM", "--wait", "6h"]), "--wait belongs to DELAY, TRANSIENT and UNMATCHED")
        .await;
    check(&with(&["--class", "DELAY", "--wait", "soon"]), "say it as 30s, 90m or 6h").await;
    check(&with(&["--class", "DELAY", "--wait", "31d"]), "--wait").await;
    check(&with(&["--class", "TRANSIENT", "--max-attempts", "6"]), "--max-attempts").await;
    check(&with(&["--class", "DELAY", "--max-attempts", "2"]), "--max-attempts belongs to TRANSIENT").await;
    let unsaid = relay.run(&[&PUT[..], &code, &["--class", "OK", "--reason", " "]].concat()).await;
    assert_eq!((unsaid.code, unsaid.stderr.contains("--reason is empty")), (Some(2), true), "{unsaid:?}");
}

#[tokio::test]
async fn a_code_that_came_can_be_classed_although_no_table_has_it() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let code = "internalError.ADDED_IN_V27";
    world.enqueue_many(site, "new", &format!("error.{code}"), 1).await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&RUN).await;
    let unknown = relay.run(&["taxonomy", "--unknown"]).await;
    let said = relay.run(&put(&["--code", code, "--class", "UNMATCHED"])).await;
    let after = relay.run(&["taxonomy", "--unknown", "--json"]).await.json();

    assert!(ran.stdout.contains(code) && ran.stderr.contains("unknown_code"), "{ran:?}");
    assert!(unknown.stdout.contains(code), "{unknown:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(after["unknown_codes"], json!([]));
}

#[tokio::test]
async fn dead_letters_say_why_and_what_to_do_and_go_again_when_asked() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let other = world.site(json!({ "quota_key": "other" })).await.unwrap();
    world.enqueue_many(site, "cut", "error.UNPARSEABLE_GCLID", 3).await.unwrap();
    world.enqueue_many(other, "pii", "error.ORDER_ID_CONTAINS_PII", 1).await.unwrap();
    world.enqueue_many(site, "good", "ok", 2).await.unwrap();
    world.run_worker().await.unwrap();
    let relay = Relay::new(&world);
    let site = site.to_string();
    let code = "conversionUploadError.UNPARSEABLE_GCLID";

    let listed = relay.run(&["dead-letters", "--json"]).await.json();
    let told = relay.run(&["dead-letters"]).await;
    let of_site =
        relay.run(&["dead-letters", "--site", &site, "--provider", "google_ads", "--json"]).await.json();
    let unsure = relay.run(&["dead-letters", "--redrive", "--code", code]).await;
    let which = relay.run(&["dead-letters", "--redrive", "--yes"]).await;
    let example = listed["dead_letters"][0]["conversion_id"].to_string();
    let one = relay.run(&["dead-letters", "--redrive", "--id", &example, "--yes", "--json"]).await.json();
    let rest = relay.run(&["dead-letters", "--redrive", "--site", &site, "--yes"]).await;
    let left = relay.run(&["dead-letters", "--json"]).await.json();

    let first = &listed["dead_letters"][0];
    assert_eq!(
        (&first["code"], &first["conversions"], &first["outcome"]),
        (&json!(code), &json!(3), &json!("REJECTED"))
    );
    assert_eq!(first["reason"]["whose"], json!("advertiser"), "{first}");
    assert!(first["reason"]["mend"].as_str().unwrap().contains("letter for letter"), "{first}");
    assert_eq!((&listed["total"], &listed["walked_all"]), (&json!(4), &json!(true)));
    assert!(told.stdout.contains("the advertiser’s move"), "{told:?}");
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 110), "{}", told.stdout);
    assert_eq!(of_site["total"], json!(3), "{of_site}");
    assert_eq!((unsure.code, unsure.stderr.contains("--yes")), (Some(2), true), "{unsure:?}");
    assert_eq!((which.code, which.stderr.contains("--code, --site or --id")), (Some(2), true), "{which:?}");
    assert_eq!(one["redriven"], json!(1), "{one}");
    assert!(rest.stdout.contains("go again with the next run: 2"), "{rest:?}");
    assert_eq!(left["total"], json!(1), "{left}");
    world.assert_accounted_for().await.unwrap();
}

#[tokio::test]
async fn explain_says_why_whose_move_it_is_and_what_happens_next() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let broken = world.site(json!({ "refresh_token": "invalid_grant" })).await.unwrap();
    world.enqueue_many(broken, "held", "ok", 1).await.unwrap();
    world.enqueue_many(site, "cut", "error.UNPARSEABLE_GCLID", 1).await.unwrap();
    world.enqueue_many(site, "stray", "error.CLICK_NOT_FOUND", 1).await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&RUN).await;
    let held = relay.run(&["explain", "held-0"]).await;
    let cut = relay.run(&["explain", "cut-0", "--json"]).await.json();
    let stray = relay.run(&["explain", "stray-0", "--json"]).await.json();
    let status = relay.run(&["status"]).await;
    let holds = relay.run(&["status", "--json"]).await.json();

    let ended = "The permission to use the Google account has ended";
    assert!(ran.stdout.contains(ended), "{}", ran.stdout);
    for part in ["why:", ended, "whose move: the advertiser’s", "then:", "without using up retries", "to do:"]
    {
        assert!(held.stdout.contains(part), "{part}: {}", held.stdout);
    }
    assert!(held.stdout.lines().all(|line| line.chars().count() <= 110), "{}", held.stdout);
    let cut = &cut["conversion"];
    assert_eq!(cut["reason"]["whose"], json!("advertiser"), "{cut}");
    assert_eq!(cut["reason"]["then"], json!("Nothing more happens by itself."), "{cut}");
    assert!(cut["timeline"][1]["says"].as_str().unwrap().contains("click id"), "{cut}");
    let stray = &stray["conversion"];
    assert_eq!(
        (&stray["reason"]["whose"], &stray["status"]),
        (&json!("nobody"), &json!("COMPLETED")),
        "{stray}"
    );
    assert!(status.stdout.contains(ended), "{}", status.stdout);
    assert_eq!(
        (&holds["holds"][0]["code"], &holds["holds"][0]["groups"]),
        (&json!("invalid_grant"), &json!(1))
    );
}

#[tokio::test]
async fn explain_tells_of_what_was_done_and_not_of_what_the_table_says() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let code = "conversionUploadError.UNPARSEABLE_GCLID";
    world.enqueue_many(site, "cut", &format!("error.{code}"), 1).await.unwrap();

    relay.run(&put(&["--code", code, "--class", "CONFIG", "--scope", "row"])).await;
    relay.run(&RUN).await;
    let explained = relay.run(&["explain", "cut-0", "--json"]).await.json();

    let conversion = &explained["conversion"];
    assert_eq!(conversion["status"], json!("HELD"), "{conversion}");
    assert!(conversion["reason"]["says"].as_str().unwrap().contains("click id"), "{conversion}");
    assert!(conversion["reason"]["then"].as_str().unwrap().starts_with("Waits without"), "{conversion}");
}

#[tokio::test]
async fn holds_say_why_and_explain_says_what_was_left_out() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let mut rich = row("rich", "error.CUSTOM_VARIABLE_NOT_ENABLED*2", 0);
    rich["custom_variables"] = json!({ "42": "blue" });
    world.enqueue(site, &[rich]).await.unwrap();
    let relay = Relay::new(&world);
    relay.run(&RUN).await;

    let holds = relay.run(&["holds"]).await;
    let document = relay.run(&["holds", "--json"]).await.json();
    let explained = relay.run(&["explain", "rich-0"]).await;
    let steps = relay.run(&["explain", "rich-0", "--json"]).await.json();

    for part in ["Switch the custom variable on", "the advertiser’s move"] {
        let line = holds.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.contains(part), "{part}: {}", holds.stdout);
    }
    assert!(holds.stdout.lines().count() < 20, "{}", holds.stdout);
    assert_eq!(document["holds"][0]["reason"]["whose"], json!("advertiser"), "{document}");
    assert!(explained.stdout.contains("It goes without custom variables"), "{}", explained.stdout);
    assert_eq!(steps["conversion"]["timeline"][1]["omitted"], json!(["custom_variables"]), "{steps}");
}

//! `relay doctor` and `relay probe-credentials`, as an operator meets them.

use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::world::{World, row};
use uuid::Uuid;

use super::{Ran, Relay, good};

async fn doctor(world: &World, site: SiteId, more: &[&str]) -> Ran {
    let site = site.to_string();
    Relay::new(world).run(&[&["doctor", "--site", &site][..], more].concat()).await
}

/// The checks of one result, by name.
fn checks(document: &Value, result: &str) -> Vec<String> {
    let all = document["checks"].as_array().cloned().unwrap_or_default();
    all.iter()
        .filter(|check| check["result"] == result)
        .map(|check| check["check"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_site_that_is_well_is_green_and_nothing_was_sent_for_it() {
    let world = World::new().await.unwrap();
    for transport in ["data_manager", "ads_api"] {
        let site = world.site(json!({ "transport": transport })).await.unwrap();

        let ran = doctor(&world, site, &["--json"]).await;

        assert_eq!((ran.code, checks(&ran.json(), "passed").len()), (Some(0), 16), "{ran:?}");
        assert_eq!(ran.json()["ok"], true);
        assert_eq!(world.sandbox.summary().orders, 0);
    }
}

#[tokio::test]
async fn each_fault_is_red_under_its_code_with_a_way_to_mend_it() {
    let world = World::new().await.unwrap();
    let check = async |fields: Value, red: &[&str], code: &str| {
        let site = world.site(fields.clone()).await.unwrap();
        let ran = doctor(&world, site, &["--json"]).await;
        let document = ran.json();
        assert_eq!(
            (ran.code, checks(&document, "failed")),
            (Some(5), red.iter().map(ToString::to_string).collect()),
            "{ran:?}"
        );
        let reds = document["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "failed");
        for check in reds {
            let told = check["code"].as_str().unwrap_or_default();
            assert!(told.ends_with(code) && !check["mend"].is_null(), "{code}: {check}");
        }
    };
    let account = |customer: &str, transport: &str| {
        json!({
            "customer_id": customer, "transport": transport,
            "conversion_action_resource_name": format!("customers/{customer}/conversionActions/987"),
        })
    };
    let action = |id: &str, transport: &str| {
        let name = format!("customers/1234567890/conversionActions/{id}");
        json!({ "conversion_action_resource_name": name, "transport": transport })
    };

    check(json!({ "refresh_token": "invalid_grant" }), &["token"], "invalid_grant").await;
    check(json!({ "client_id": "x", "refresh_token": "invalid_client" }), &["token"], "invalid_client").await;
    let scope = "ACCESS_TOKEN_SCOPE_INSUFFICIENT";
    check(json!({ "refresh_token": "scope_missing", "transport": "data_manager" }), &["scope"], scope).await;
    check(json!({ "refresh_token": "adwords_missing", "transport": "ads_api" }), &["scope"], scope).await;
    check(account("9993000001", "data_manager"), &["access", "request"], "PERMISSION_DENIED").await;
    check(account("9994000001", "ads_api"), &["access", "request"], "CUSTOMER_NOT_ENABLED").await;
    let closed = "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE";
    check(account("9991000001", "ads_api"), &["request"], closed).await;
    check(action("9981", "ads_api"), &["action", "request"], "NO_CONVERSION_ACTION_FOUND").await;
    check(action("9982", "data_manager"), &["action", "request"], "INVALID_CONVERSION_ACTION_TYPE").await;
    check(action("9983", "data_manager"), &["action", "request"], "INVALID_CONVERSION_ACTION_ID").await;
}

#[tokio::test]
async fn terms_that_nobody_accepted_are_red_and_what_goes_without_identifiers_is_green() {
    let world = World::new().await.unwrap();
    let site = world
        .site(json!({
            "customer_id": "9992000001", "transport": "ads_api",
            "conversion_action_resource_name": "customers/9992000001/conversionActions/987",
        }))
        .await
        .unwrap();

    let ran = doctor(&world, site, &["--json"]).await;

    assert_eq!(checks(&ran.json(), "failed"), ["terms", "identifiers"]);
    assert!(checks(&ran.json(), "passed").contains(&"request".to_owned()), "{ran:?}");
}

#[tokio::test]
async fn a_grant_for_the_data_manager_alone_says_what_it_could_not_look_at() {
    let world = World::new().await.unwrap();
    let fields = json!({ "refresh_token": "adwords_missing", "transport": "data_manager" });
    let site = world.site(fields).await.unwrap();

    let ran = doctor(&world, site, &["--json"]).await;

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(checks(&ran.json(), "skipped"), ["access", "account", "tracking", "terms", "leads", "action"]);
}

#[tokio::test]
async fn our_own_side_is_looked_at_as_well() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({ "refresh_token": "invalid_grant" })).await.unwrap();
    let provider = "google_ads".parse().unwrap();
    world.context.store.pause_deliveries(provider, Some(site), None, "wrong prices").await.unwrap();
    world
        .sql
        .batch_execute("update relay.provider_health_state set state = 'OPEN', next_probe_at = now()")
        .await
        .unwrap();
    let relay = Relay::new(&world);
    let bare = SiteId(Uuid::new_v4());
    let file = relay.file("bare.ndjson", format!("{}\n", good(bare, "bare", json!({}))));
    relay.enqueue(&file).await;

    let stopped = doctor(&world, site, &["--json"]).await;
    let unknown = doctor(&world, SiteId(Uuid::new_v4()), &["--json"]).await;
    let bare = doctor(&world, bare, &["--json"]).await;

    assert_eq!(checks(&stopped.json(), "failed"), ["pause", "circuit", "token"], "{stopped:?}");
    assert_eq!((unknown.code, checks(&unknown.json(), "failed")), (Some(5), vec!["site".to_owned()]));
    assert_eq!(checks(&bare.json(), "failed"), ["credentials", "hold"], "{bare:?}");
}

#[tokio::test]
async fn what_is_parked_is_red_and_another_action_can_be_looked_at() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let mut sale = row("sale", "ok", 1);
    sale["conversion_action"] = json!("9981");
    world.enqueue(site, &[sale]).await.unwrap();
    world.run_worker().await.unwrap();

    let own = doctor(&world, site, &["--json"]).await;
    let named = doctor(&world, site, &["--conversion-action", "9981", "--json"]).await;
    let malformed = doctor(&world, site, &["--conversion-action", "My action", "--json"]).await;

    assert_eq!(checks(&own.json(), "failed"), ["parked"], "{own:?}");
    assert_eq!(checks(&named.json(), "failed"), ["parked", "action", "request"], "{named:?}");
    assert_eq!(checks(&malformed.json(), "failed"), ["parked", "action", "request"], "{malformed:?}");
}

#[tokio::test]
async fn the_table_fits_a_terminal_and_ends_with_a_count() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({ "refresh_token": "invalid_grant" })).await.unwrap();

    let ran = doctor(&world, site, &[]).await;

    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("how to mend it") && ran.stdout.contains("connect the site again"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.trim_end().ends_with("1 check is red"), "{}", ran.stdout);
    let all = format!("{ran:?}");
    assert!(!all.contains("client-secret-for-tests"), "{all}");
}

#[tokio::test]
async fn a_key_that_opens_nothing_is_a_red_check() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let other = "b3RoZXItdGVzdHMtb3RoZXItdGVzdHMtb3RoZXItdGU=";
    let relay = Relay::new(&world).set("VAULT_KEY", other);

    let ran = relay.run(&["doctor", "--site", &site.to_string(), "--json"]).await;

    assert_eq!((ran.code, checks(&ran.json(), "failed")), (Some(5), vec!["vault".to_owned()]), "{ran:?}");
}

#[tokio::test]
async fn bad_input_is_named() {
    let relay = Relay::with(vec![]);
    for (arguments, named) in [
        (&["doctor"][..], "--site"),
        (&["doctor", "--site", "site-1"], "--site"),
        (
            &["doctor", "--site", "3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11", "--provider", "myspace"],
            "--provider",
        ),
        (&["probe-credentials", "--site", "site-1"], "site_id"),
        (&["probe-credentials", "--limit", "0"], "limit"),
    ] {
        let ran = relay.run(arguments).await;

        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(named), "{ran:?}");
    }
}

#[tokio::test]
async fn a_probe_tells_what_it_found_and_held() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({ "refresh_token": "invalid_grant" })).await.unwrap();
    world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&["probe-credentials", "--json"]).await;
    let again = relay.run(&["probe-credentials"]).await;

    let document = ran.json();
    assert_eq!(
        (ran.code, &document["held"], &document["processed"]),
        (Some(1), &json!(1), &json!(2)),
        "{ran:?}"
    );
    assert_eq!(document["errors"][0]["site_id"], json!(site));
    assert_eq!(again.code, Some(0), "{again:?}");
}

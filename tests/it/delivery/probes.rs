//! Looks at credentials without a conversion: what is revoked is found before it costs anything, what is mended goes on.

use relay_cli::sandbox::Options;
use serde_json::{Value, json};
use shared::domain::{ErrorCode, SiteId};
use tests::world::{HTTP_TIMEOUT, World, row};
use uuid::Uuid;

/// Accounts of the stand-in: one whose user has no access, and one that was cancelled.
const NO_PERMISSION: &str = "9993000001";
const NOT_ENABLED: &str = "9994000001";

fn account(customer: &str, transport: &str) -> Value {
    json!({
        "customer_id": customer, "transport": transport,
        "conversion_action_resource_name": format!("customers/{customer}/conversionActions/987"),
    })
}

/// Why all of a site is held; empty where nothing holds it.
async fn hold_of(world: &World, site: SiteId) -> anyhow::Result<String> {
    let sql = "select coalesce(max(hold.code), '') from relay.delivery_group \
               left join relay.hold on hold.hold_id = delivery_group.hold_id where delivery_group.site_id = $1";
    Ok(world.sql.query_one(sql, &[&site.0]).await?.get(0))
}

#[tokio::test]
async fn a_look_that_is_asked_to_wait_makes_its_quota_key_wait() -> anyhow::Result<()> {
    let options = Options { requests_per_minute: Some(0), ..Options::default() };
    let world = World::with_options(HTTP_TIMEOUT, options).await?;
    let site = world.site(json!({ "transport": "data_manager", "quota_key": "asked" })).await?;
    world.site(json!({ "transport": "data_manager", "quota_key": "another" })).await?;
    let hold = "select relay.open_group_hold(group_id, 'site', 'dataManager.ErrorReason.PERMISSION_DENIED', now()) \
                from relay.delivery_group where site_id = $1";
    world.sql.execute(hold, &[&site.0]).await?;

    let answer = world.probe(json!({ "site_id": site.to_string() })).await?;

    assert_eq!((answer.processed, answer.lifted), (1, 0), "{answer:?}");
    let throttled = "select string_agg(quota_key, ' ') from relay.quota where throttled_until > '-infinity'";
    assert_eq!(world.sql.query_one(throttled, &[]).await?.get::<_, &str>(0), "asked");
    let met = "select sum(http_429_count)::bigint from relay.task_runs where task_key = 'probe-credentials'";
    assert!(world.number(met).await? >= 1);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_was_revoked_holds_a_quiet_site_before_its_next_conversion() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "refresh_token": "invalid_grant" })).await?;
    let healthy = world.site(json!({})).await?;

    let answer = world.probe(json!({})).await?;

    assert_eq!((answer.total, answer.processed, answer.held, answer.errors_total), (2, 2, 1, 1));
    assert_eq!(answer.errors[0].site_id, site);
    assert_eq!(
        (hold_of(&world, site).await?, hold_of(&world, healthy).await?),
        ("invalid_grant".into(), String::new())
    );
    world.enqueue(site, &[row("sale", "ok", 1)]).await?;
    assert_eq!(world.standing("sale-1").await?.status, "HELD");
    world.put_credentials(site, json!({})).await?;
    assert_eq!(world.run_worker().await?.completed, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_grant_without_the_scope_of_its_transport_is_held_and_nothing_is_sent_for_it() -> anyhow::Result<()>
{
    let world = World::new().await?;
    let fields = json!({ "refresh_token": "scope_missing", "transport": "data_manager" });
    let site = world.site(fields).await?;

    let answer = world.probe(json!({})).await?;

    assert_eq!(answer.held, 1);
    assert_eq!(hold_of(&world, site).await?, "rpc.ErrorInfo.ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    let totals = world.sandbox.summary().totals;
    assert_eq!((totals.requests, totals.tokens_issued), (1, 1));
    Ok(())
}

#[tokio::test]
async fn each_group_is_looked_at_once_in_twenty_hours_and_a_held_one_every_hour() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({})).await?;
    let held = world.site(account(NO_PERMISSION, "ads_api")).await?;
    world.enqueue(held, &[row("sale", "ok", 1)]).await?;
    world.run_worker().await?;
    let mut totals = Vec::new();

    for pause in ["0 hours", "59 minutes", "2 minutes", "18 hours", "2 hours"] {
        world.let_pass(pause).await?;
        totals.push(world.probe(json!({})).await?.total);
    }

    assert_eq!(totals, [2, 0, 1, 1, 2]);
    Ok(())
}

#[tokio::test]
async fn the_one_that_was_not_looked_at_for_longest_comes_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    for _ in 0..3 {
        world.site(json!({})).await?;
    }
    let mut looked = Vec::new();

    for _ in 0..2 {
        looked.push(world.probe(json!({ "limit": 2 })).await?.total);
    }

    assert_eq!(looked, [2, 1]);
    Ok(())
}

#[tokio::test]
async fn what_somebody_mended_goes_on_by_itself() -> anyhow::Result<()> {
    for (customer, transport) in
        [(NO_PERMISSION, "data_manager"), (NO_PERMISSION, "ads_api"), (NOT_ENABLED, "ads_api")]
    {
        let world = World::new().await?;
        let site = world.site(account(customer, transport)).await?;
        world.enqueue(site, &[row("sale", "ok", 1)]).await?;
        world.run_worker().await?;
        let code = hold_of(&world, site).await?;

        let before = world.probe(json!({})).await?;
        world.mend(customer).await?;
        world.let_pass("61 minutes").await?;
        let after = world.probe(json!({})).await?;
        let sent = world.run_worker().await?;

        assert_eq!((before.lifted, before.errors_total), (0, 1), "{code}");
        assert!(before.errors[0].error.starts_with(&code), "{code}: {:?}", before.errors);
        assert_eq!((after.lifted, after.errors_total), (1, 0), "{code}");
        assert_eq!(sent.completed + sent.submitted, 1, "{code}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn terms_that_are_not_accepted_yet_are_found_by_an_identifier_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(account("9992000001", "data_manager")).await?;
    let sale = json!({ "external_id": "sale", "user": { "email": "ada@example.com" } });
    world.enqueue(site, &[sale]).await?;
    world.run_worker().await?;
    let code = hold_of(&world, site).await?;

    let before = world.probe(json!({})).await?;
    world.mend("9992000001").await?;
    world.let_pass("61 minutes").await?;
    let after = world.probe(json!({})).await?;

    assert!(code.ends_with("TERMS_NOT_SIGNED"), "{code}");
    assert_eq!((before.lifted, after.lifted), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_hold_that_only_new_credentials_mend_is_not_looked_at() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({ "refresh_token": "invalid_grant" })).await?;
    world.probe(json!({})).await?;
    let before = world.sandbox.summary().totals.requests;
    world.let_pass("2 hours").await?;

    let answer = world.probe(json!({})).await?;

    assert_eq!((answer.total, answer.processed, answer.skipped), (1, 0, 1));
    assert_eq!(world.sandbox.summary().totals.requests, before);
    Ok(())
}

#[tokio::test]
async fn an_action_that_is_mended_lets_its_own_conversions_go() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut sales = [row("missing", "ok", 1), row("wrong", "ok", 2), row("usual", "ok", 3)];
    sales[0]["conversion_action"] = json!("9981");
    sales[1]["conversion_action"] = json!("9982");
    world.enqueue(site, &sales).await?;
    world.run_worker().await?;
    world.mend("9981").await?;

    let answer = world.probe(json!({})).await?;
    let parked = world.number("select count(*) from relay.held").await?;
    world.run_worker().await?;

    assert_eq!(parked, 1);
    assert_eq!((answer.lifted, answer.errors_total), (1, 1), "{:?}", answer.errors);
    let mut statuses = Vec::new();
    for name in ["missing-1", "wrong-2", "usual-3"] {
        statuses.push(world.standing(name).await?.status);
    }
    assert_eq!(statuses, ["COMPLETED", "HELD", "COMPLETED"]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_look_waits_for_the_budget_that_it_shares_and_sends_nothing_beyond_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(account(NO_PERMISSION, "ads_api")).await?;
    world.enqueue(site, &[row("sale", "ok", 1)]).await?;
    world.run_worker().await?;
    world
        .sql
        .batch_execute("update relay.quota set per_minute = 1, minute_at = now() + interval '50 s'")
        .await?;
    world.mend(NO_PERMISSION).await?;

    let poor = world.probe(json!({})).await?;
    world.sql.batch_execute("update relay.quota set per_minute = null").await?;
    let rich = world.probe(json!({ "site_id": site.to_string() })).await?;

    assert_eq!((poor.lifted, rich.lifted), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_validated_request_leaves_no_conversion_behind() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(account(NO_PERMISSION, "data_manager")).await?;
    world.enqueue(site, &[row("sale", "ok", 1)]).await?;
    world.run_worker().await?;
    world.mend(NO_PERMISSION).await?;

    world.probe(json!({})).await?;

    assert_eq!(world.sandbox.summary().orders, 0);
    Ok(())
}

/// The group of a site.
async fn group_of(world: &World, site: SiteId) -> anyhow::Result<i32> {
    let sql = "select group_id from relay.delivery_group where site_id = $1";
    Ok(world.sql.query_one(sql, &[&site.0]).await?.get(0))
}

#[tokio::test]
async fn credentials_that_came_after_a_look_are_not_held_for_what_it_found() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let store = &world.context.store;
    let none = std::time::Duration::ZERO;
    let code = ErrorCode::own("invalid_grant");
    let ours = format!(
        "select from relay.put_credentials_with_budget('{site}', 'google_ads', 1, '', 'k', null, null)"
    );
    let older = format!("select from relay.put_provider_credentials('{site}', 'google_ads', 1, '', 'k')");

    for put in [ours, older] {
        let looked = store.claim_groups_to_probe(Some(site), none, none, 1).await?.remove(0);
        world.sql.batch_execute(&put).await?;
        let opened = store.hold_group(looked.group, &code, looked.probed_at).await?;

        assert!(!opened && hold_of(&world, site).await?.is_empty(), "{put}");
    }
    Ok(())
}

#[tokio::test]
async fn new_credentials_are_looked_at_with_the_next_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.probe(json!({})).await?;
    world.put_credentials(site, json!({ "refresh_token": "invalid_grant" })).await?;

    let answer = world.probe(json!({})).await?;

    assert_eq!((answer.total, answer.held), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_hold_of_several_groups_is_lifted_for_all_of_them_and_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (first, second) = (world.site(json!({})).await?, world.site(json!({})).await?);
    for (site, name) in [(first, "a"), (second, "b")] {
        world.enqueue(site, &[row(name, "ok", 1)]).await?;
    }
    let group = group_of(&world, first).await?;
    let opened = format!(
        "with opened as (insert into relay.hold (group_id, scope, scope_key, code, opened_at) \
         values ({group}, 'client', '', 'disabled_client', now()) returning hold_id) \
         update relay.delivery_group set hold_id = opened.hold_id, turn_at = 'infinity' from opened"
    );
    world.sql.batch_execute(&opened).await?;
    let hold = world.number("select max(hold_id) from relay.hold").await?;

    let lifted = world.context.store.lift_probed_hold(hold).await?;
    let again = world.context.store.lift_probed_hold(hold).await?;

    assert!(lifted && !again);
    assert_eq!(world.run_worker().await?.completed, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_else_holds_a_group_keeps_holding_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let group = group_of(&world, site).await?;
    for (scope, code) in [("site", "first"), ("client", "second")] {
        let opened = format!(
            "insert into relay.hold (group_id, scope, scope_key, code, opened_at) values ({group}, '{scope}', '', '{code}', now())"
        );
        world.sql.batch_execute(&opened).await?;
    }
    let stamp =
        "update relay.delivery_group set hold_id = (select hold_id from relay.hold where code = 'first')";
    world.sql.batch_execute(stamp).await?;
    let hold = world.number("select hold_id from relay.hold where code = 'first'").await?;

    world.context.store.lift_probed_hold(hold).await?;

    assert_eq!(hold_of(&world, site).await?, "second");
    assert_eq!(
        world.number("select count(*) from relay.delivery_group where turn_at = 'infinity'").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_paused_site_and_one_without_credentials_are_left_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let paused = world.site(json!({})).await?;
    world.context.store.pause_deliveries("google_ads".parse().unwrap(), Some(paused), None, "audit").await?;
    world.enqueue(SiteId(Uuid::new_v4()), &[row("sale", "ok", 1)]).await?;

    let answer = world.probe(json!({})).await?;

    assert_eq!(answer.total, 0);
    Ok(())
}

#[tokio::test]
async fn a_run_of_it_stands_in_the_history() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.site(json!({ "refresh_token": "invalid_grant" })).await?;

    world.probe(json!({})).await?;

    let run = "select count(*) from relay.task_runs where task_key = 'probe-credentials' and status = 'DONE' \
               and errors_count = 1 and counters ->> 'held' = '1'";
    assert_eq!(world.number(run).await?, 1);
    Ok(())
}

//! Confirmation over the Lambda Runtime API, and what the functions leave behind of the people whom they tell about.

use serde_json::{Value, json};
use tests::world::{World, row};

use super::{answer, start};

#[tokio::test]
async fn a_schedule_reads_the_receipts_that_are_due() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "sale", "ok", 4).await?;
    world.run_worker().await?;
    world.let_pass("31 minutes").await?;
    let mut confirm = start("confirm", &world.environment()).await?;

    let told = answer(&mut confirm, json!({ "scheduled_time": "2026-11-22T10:30:00Z" })).await?;

    assert_eq!((&told["ok"], &told["total"], &told["processed"]), (&json!(true), &json!(1), &json!(1)));
    assert_eq!((&told["completed"], &told["skipped"], &told["errors"]), (&json!(4), &json!(0), &json!([])));
    assert_eq!(world.statuses().await?, "COMPLETED 4");
    let runs = "select count(*) from relay.task_runs where task_key = 'confirm' and status = 'DONE'";
    assert_eq!(world.number(runs).await?, 1);
    world.assert_accounted_for().await
}

/// Every table that may be read without the payloads, as text.
const LEDGER: &str = "\
    select string_agg(t::text, e'\\n') from (\
      select to_jsonb(o) - 'conversion_id' as t from relay.conversion_outcome o \
      union all select to_jsonb(a) - 'request_sha256' from relay.provider_upload_attempts a \
      union all select to_jsonb(r) from relay.receipt r \
      union all select to_jsonb(h) from relay.hold h \
      union all select to_jsonb(r) from relay.task_runs r \
      union all select to_jsonb(g) from relay.delivery_group g \
      union all select to_jsonb(p) from relay.pause p\
    ) as told";

#[tokio::test]
async fn nothing_personal_is_left_in_logs_errors_and_ledger() -> anyhow::Result<()> {
    let world = World::new().await?;
    let by_rows = world.site(json!({})).await?;
    let by_receipts = world.site(json!({ "transport": "data_manager", "customer_id": "2234567890" })).await?;
    let revoked = world.site(json!({ "refresh_token": "invalid_grant", "client_id": "another" })).await?;
    let ends = [
        "ok",
        "error.UNPARSEABLE_GCLID",
        "error.CLICK_NOT_FOUND",
        "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII*1",
        "error.INVALID_USER_IDENTIFIER*1",
        "error.internalError.INTERNAL_ERROR",
        "error.NO_SUCH_CODE_AT_ALL",
        "error.INVALID_CUSTOMER_FOR_CLICK",
        "error.TOO_RECENT_EVENT",
        "reason.INVALID_EVENT",
        "http.400",
        "http.503",
        "garbage*1",
    ];
    for (number, end) in ends.iter().enumerate() {
        for site in [by_rows, by_receipts, revoked] {
            let mut sale = row("Zaphod-Sale", end, number);
            sale["user"] =
                json!({ "email": format!("zaphod{number}@beeblebrox.example"), "phone": "+12125550123" });
            sale["custom_variables"] = json!({ "7": "zaphods-secret" });
            sale["order_id"] = json!(format!("zaphods-order-{site}-{number}"));
            sale["external_id"] = json!(format!("zaphods-sale-{site}-{number}"));
            world.enqueue(site, &[sale]).await?;
        }
    }
    let mut runner = start("runner", &world.environment()).await?;
    let mut confirm = start("confirm", &world.environment()).await?;

    let mut answers: Vec<Value> = Vec::new();
    for _ in 0..3 {
        answers.push(answer(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" })).await?);
        world.let_pass("40 minutes").await?;
        answers.push(answer(&mut confirm, json!({})).await?);
    }

    let ledger: String = world.sql.query_one(LEDGER, &[]).await?.get(0);
    let logs = [runner.stdout(), runner.stderr(), confirm.stdout(), confirm.stderr()].concat().join("\n");
    let told = format!("{logs}\n{ledger}\n{}", serde_json::to_string(&answers)?).to_lowercase();
    assert!(told.contains("run_complete") && told.contains("unparseable_gclid"), "something is told at all");
    // The hashes that were sent are as personal as what they are of.
    let hashes = "select payload #>> '{user,hashed_email}' from relay.conversion \
                  union select payload #>> '{user,hashed_phone}' from relay.conversion";
    let mut secrets: Vec<String> = Vec::new();
    for row in world.sql.query(hashes, &[]).await? {
        secrets.extend(row.get::<_, Option<String>>(0));
    }
    assert!(secrets.len() > ends.len(), "there are hashes to look for");
    for word in ["zaphod", "beeblebrox", "2125550123"] {
        secrets.push(word.to_owned());
    }
    for secret in [tests::world::VAULT_KEY, "client-secret-for-tests", "refresh-token-for-tests"] {
        secrets.push(secret.to_lowercase());
    }
    let found: Vec<_> = secrets.iter().filter(|secret| told.contains(secret.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
    Ok(())
}

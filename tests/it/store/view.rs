//! The view: one conversion is found in milliseconds, whatever waits, because every step is an index.

use serde_json::json;
use tests::world::World;

#[tokio::test]
async fn asking_for_a_sale_walks_indexes_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1_000).await?;
    world.run(json!({ "mode": "cron", "limit": 500 })).await?;
    world.sql.batch_execute("select relay.keep_partitions(80); analyze").await?;

    for question in ["sale_id = 'sale-7'", "sale_id = 'sale-977'"] {
        let plan: serde_json::Value = world
            .sql
            .query_one(
                &format!("explain (analyze, format json) select * from relay.offline_conversion_queue where {question}"),
                &[],
            )
            .await?
            .get(0);
        let mut walked = Vec::new();
        seq_scans(&plan[0]["Plan"], &mut walked);
        assert_eq!(walked, [""; 0], "{plan:#}");
    }
    Ok(())
}

/// Tables of which the plan reads more than a handful of rows from end to end.
fn seq_scans(plan: &serde_json::Value, walked: &mut Vec<String>) {
    let figure = |name: &str| plan[name].as_f64().unwrap_or(0.0);
    // A table of a handful of rows is read from end to end, and rightly so.
    let read = figure("Actual Loops") * (figure("Actual Rows") + figure("Rows Removed by Filter"));
    if plan["Node Type"] == "Seq Scan" && read > 50.0 {
        walked.push(plan["Relation Name"].as_str().unwrap_or_default().to_owned());
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        seq_scans(child, walked);
    }
}

//! Every code of the taxonomy lands where it should, all the way from the platform's answer to the queue.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::world::{World, row};

/// The classes as the field's list has them: independent of the program's own data.
const CLASSES: &str = include_str!("../../fixtures/google_ads/classes.json");

/// Where a conversion may stand after one answer of a class: status and retries burnt.
fn expected(class: &str) -> &'static [(&'static str, i32)] {
    match class {
        "OK" => &[("COMPLETED", 0)],
        "PERM" => &[("FAILED", 0)],
        "CONFIG" => &[("HELD", 0)],
        "DELAY" => &[("RETRY", 0)],
        // Alone in its request, a row that should be batched otherwise fails for the moment.
        "TRANSIENT" | "SPLIT" => &[("RETRY", 1)],
        // Some are worth another try a day later.
        "UNMATCHED" => &[("COMPLETED", 0), ("RETRY", 1)],
        other => panic!("no such class: {other}"),
    }
}

#[tokio::test]
async fn every_code_of_a_click_upload_lands_where_it_should() -> anyhow::Result<()> {
    let world = World::new().await?;
    let classes: BTreeMap<String, Vec<Value>> = serde_json::from_str(CLASSES)?;
    let codes = &classes["conversionUploadError"];
    assert_eq!(codes.len(), 46);
    for entry in codes {
        // A site of its own for each, as some codes hold everything of their site.
        let code = entry["code"].as_str().unwrap_or_default();
        let site = world.site(json!({})).await?;
        world.enqueue(site, &[row(code, &format!("error.{code}"), 0)]).await?;
    }

    world.run_worker().await?;

    let mut faults = Vec::new();
    for entry in codes {
        let code = entry["code"].as_str().unwrap_or_default();
        let class = entry["class"].as_str().unwrap_or_default();
        let standing = world.standing(&format!("{code}-0")).await?;
        if !expected(class).contains(&(standing.status.as_str(), standing.retry_count)) {
            faults.push(format!("{code} ({class}): {standing:?}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    world.assert_accounted_for().await
}

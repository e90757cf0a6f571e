//! The file of rejects: refused, mended, sent again.

use serde_json::{Value, json};
use tests::world::World;

use super::{Relay, good, lines, taken_in};

#[tokio::test]
async fn ndjson_goes_round() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let rows = [
        good(site, "good", json!({})),
        good(site, "typo", json!({ "value": "12,50" })),
        good(site, "old", json!({ "occurred_at": "2020-01-01T00:00:00Z" })),
        good(site, "good", json!({ "value": "99" })),
    ];
    let mut content = lines(&rows).into_bytes();
    content.extend_from_slice(b"not json\nM\xfcller\n");
    content.extend_from_slice("x".repeat(1 << 20).as_bytes());
    let file = relay.file("conversions.ndjson", content);
    let rejects = relay.path("rejects.ndjson");
    let enqueue = ["enqueue", "--file", &file, "--rejects", &rejects, "--json"];

    let first = relay.run(&enqueue).await.json();
    let refused = relay.read("rejects.ndjson");
    let again = relay.run(&enqueue).await.json();
    let mended = relay.file("mended.ndjson", refused.replace("12,50", "12.50"));
    let (second, _) = relay.enqueue(&mended).await;

    let counts = |summary: &Value| {
        ["queued", "duplicate", "conflict", "expired", "invalid"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [1, 0, 1, 1, 4], "{first}");
    assert_eq!(counts(&again), [0, 1, 1, 1, 4], "{again}");
    assert_eq!(counts(&second), [1, 0, 1, 1, 3], "{second}");
    assert_eq!(taken_in(&world).await, 2);
    let refused: Vec<Value> = refused.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut original = rows[1].clone();
    original["reject_reason"] = refused[0]["reject_reason"].clone();
    assert_eq!(refused[0], original);
    assert!(refused[0]["reject_reason"].as_str().unwrap().starts_with("value: must be a decimal"));
    assert_eq!(
        (&refused[3]["reject_raw"], &refused[4]["reject_raw"]),
        (&json!("not json"), &json!("M\u{fffd}ller"))
    );
    assert_eq!(refused[5]["reject_line"], 7);
}

#[tokio::test]
async fn csv_goes_round() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let now = jiff::Timestamp::now();
    let content = format!(
        "site_id;external_id;occurred_at;value;currency;gclid;phone\n\
         {site};good;{now};5;EUR;a;\n\
         {site};typo;{now};1,5;EUR;\"b\";+49 30 901820\n\
         {site};wide;{now};1;5;EUR;c;\n\
         {site};good;{now};6;EUR;a;\n"
    );
    let file = relay.file("conversions.csv", &content);
    let rejects = relay.path("rejects.csv");
    let enqueue = ["enqueue", "--file", &file, "--rejects", &rejects, "--json"];

    let first = relay.run(&enqueue).await;
    let refused = relay.read("rejects.csv");
    let mended = relay.file(
        "mended.csv",
        refused.replace("1,5", "1.5").replace("wide;", "narrow;").replace(";1;5;EUR", ";1.5;EUR"),
    );
    let (second, _) = relay.enqueue(&mended).await;
    let again = relay.run(&enqueue).await.json();

    let counts = |summary: &Value| {
        ["queued", "duplicate", "conflict", "invalid"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!((counts(&first.json()), first.code), ([1, 0, 1, 2], Some(1)), "{first:?}");
    let header = refused.lines().next().unwrap();
    assert_eq!(header, "site_id;external_id;occurred_at;value;currency;gclid;phone;reject_reason");
    assert!(refused.contains(";+49 30 901820;value: must be a decimal"), "{refused}");
    assert_eq!(counts(&second), [2, 0, 1, 0], "{second}\n{refused}");
    assert_eq!(counts(&again), [0, 1, 1, 2], "{again}");
}

#[tokio::test]
async fn a_whole_file_sent_again_reads_duplicate() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let rows: Vec<_> = (0..2_500).map(|number| good(site, &format!("row-{number}"), json!({}))).collect();
    let file = relay.file("conversions.ndjson", lines(&rows));

    let (first, _) = relay.enqueue(&file).await;
    let (second, code) = relay.enqueue(&file).await;

    assert_eq!((&first["queued"], &second["queued"]), (&json!(2_500), &json!(0)));
    assert_eq!((&second["duplicate"], code), (&json!(2_500), Some(0)));
}

#[tokio::test]
async fn the_file_that_is_read_is_never_the_file_of_rejects() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let file = relay.file("conversions.ndjson", "{}\n");

    let ran = relay.run(&["enqueue", "--file", &file, "--rejects", &file]).await;

    assert_eq!((ran.code, relay.read("conversions.ndjson").as_str()), (Some(2), "{}\n"));
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_the_file_of_rejects() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let file = relay.file("conversions.ndjson", "{}\n");

    relay.run(&["enqueue", "--file", &file, "--rejects", &relay.path("rejects.ndjson")]).await;

    let mode = std::fs::metadata(relay.path("rejects.ndjson")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

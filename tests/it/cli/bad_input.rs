//! Bad input: refused by line and field, and everything else goes in.

use serde_json::{Value, json};
use tests::world::World;

use super::{Relay, good, lines, taken_in};

/// One bad line between two good ones.
async fn check(bad: &[u8], field: &str, reason: &str) {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let mut content = lines(&[good(site, "first", json!({}))]).into_bytes();
    content.extend_from_slice(&replace(bad, &site.to_string()));
    content.push(b'\n');
    content.extend_from_slice(lines(&[good(site, "last", json!({}))]).as_bytes());
    let file = relay.file("conversions.ndjson", content);

    let (summary, code) = relay.enqueue(&file).await;

    let refused = summary["errors"].as_array().unwrap();
    assert!(refused.iter().all(|error| error["line"] == 2), "{summary}");
    assert_eq!(refused[0]["field"], field, "{summary}");
    assert!(refused[0]["reason"].as_str().unwrap().contains(reason), "{summary}");
    assert_eq!(
        (&summary["ok"], &summary["lines"], &summary["queued"], &summary["invalid"]),
        (&json!(false), &json!(3), &json!(2), &json!(1))
    );
    assert_eq!((code, taken_in(&world).await), (Some(1), 2));
}

/// Puts the site where `SITE` stands; not every bad line is text.
fn replace(bytes: &[u8], site: &str) -> Vec<u8> {
    match bytes.windows(4).position(|window| window == b"SITE") {
        Some(at) => [&bytes[..at], site.as_bytes(), &bytes[at + 4..]].concat(),
        None => bytes.to_vec(),
    }
}

/// A conversion that is good but for these fields; `null` leaves one out.
async fn check_fields(fields: Value, field: &str, reason: &str) {
    let mut row = json!({
        "site_id": "SITE", "provider_key": "google_ads", "external_id": "bad", "kind": "conversion",
        "occurred_at": "2026-11-01T10:00:00Z", "click_ids": { "gclid": "abc" },
    });
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    check(row.to_string().as_bytes(), field, reason).await;
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    check_fields(json!({ "gclid": "abc" }), "gclid", "is no field here").await;
}

#[tokio::test]
async fn an_unknown_click_id_is_refused_by_its_path() {
    check_fields(json!({ "click_ids": { "fbclid": "abc" } }), "click_ids.fbclid", "is no field here").await;
}

#[tokio::test]
async fn a_missing_click_id_and_identifier_is_refused() {
    check_fields(json!({ "click_ids": null }), "click_ids", "is missing").await;
}

#[tokio::test]
async fn a_currency_that_is_none_is_refused() {
    check_fields(json!({ "value": 5, "currency": "EURO" }), "currency", "ISO 4217").await;
}

#[tokio::test]
async fn a_time_without_an_offset_is_refused() {
    check_fields(json!({ "occurred_at": "2026-11-01T10:00:00" }), "occurred_at", "with its offset").await;
}

#[tokio::test]
async fn a_time_before_all_clocks_is_refused_and_sinks_no_batch() {
    check_fields(json!({ "occurred_at": "-004800-01-01T00:00:00Z" }), "occurred_at", "1970").await;
}

#[tokio::test]
async fn a_value_that_is_no_decimal_is_refused() {
    check_fields(json!({ "value": "12,50", "currency": "EUR" }), "value", "decimal").await;
}

#[tokio::test]
async fn a_character_that_the_database_cannot_hold_is_refused_and_sinks_no_batch() {
    let fields = json!({ "custom_variables": { "colour": "\u{0}" } });
    check_fields(fields, "custom_variables.colour", "control characters").await;
}

#[tokio::test]
async fn a_line_that_is_no_json_is_refused() {
    check(b"{\"site_id\": ", "(line)", "is not JSON").await;
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() {
    check(b"{\"value\": \"1\", \"value\": \"2\"}", "value", "is given twice").await;
    check(b"{\"user\": {\"email\": \"a\", \"email\": \"b\"}}", "user.email", "is given twice").await;
}

#[tokio::test]
async fn a_line_that_is_no_object_is_refused() {
    check(b"[1, 2]", "(line)", "must be a JSON object").await;
}

#[tokio::test]
async fn a_line_that_is_not_utf8_is_refused() {
    check(b"{\"site_id\": \"SITE\", \"external_id\": \"M\xfcller\"}", "(line)", "is not UTF-8").await;
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_refused() {
    let long = format!("{{\"external_id\": \"{}\"}}", "x".repeat(1 << 20));
    check(long.as_bytes(), "(line)", "is longer than 65536 bytes").await;
}

#[tokio::test]
async fn a_file_that_is_not_utf8_at_all_is_refused_line_by_line() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let file = relay.file("noise.ndjson", [0xff, 0x80, b'\n'].repeat(3));

    let (summary, code) = relay.enqueue(&file).await;

    assert_eq!((&summary["lines"], &summary["invalid"], code), (&json!(3), &json!(3), Some(1)));
}

#[tokio::test]
async fn ten_thousand_lines_are_numbered_right_to_the_last() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let mut content = String::from("\u{feff}");
    for number in 1..=9_999 {
        content += &lines(&[good(site, &format!("row-{number}"), json!({}))]);
    }
    content += "{}";
    let file = relay.file("many", content);

    let (summary, code) = relay.enqueue(&file).await;

    assert_eq!((&summary["lines"], &summary["queued"]), (&json!(10_000), &json!(9_999)));
    assert_eq!((&summary["errors"][0]["line"], code), (&json!(10_000), Some(1)));
    assert_eq!(taken_in(&world).await, 9_999);
}

#[tokio::test]
async fn a_hundred_faults_are_listed_and_all_are_counted() {
    let world = World::new().await.unwrap();
    let relay = Relay::new(&world);
    let file = relay.file("bad.ndjson", "[]\n".repeat(150));

    let (summary, _) = relay.enqueue(&file).await;
    let ran = relay.run(&["enqueue", "--file", &file]).await;

    assert_eq!((summary["errors"].as_array().unwrap().len(), &summary["errors_total"]), (100, &json!(150)));
    assert!(ran.stderr.contains("line 20: (line)") && !ran.stderr.contains("line 21:"), "{ran:?}");
    assert!(ran.stderr.contains("and 130 more"), "{ran:?}");
    assert!(ran.stdout.contains("150 lines: 150 invalid"), "{ran:?}");
}

#[tokio::test]
async fn a_site_without_credentials_is_held_and_stops_nobody() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let stranger = shared::domain::SiteId(uuid::Uuid::new_v4());
    let relay = Relay::new(&world);
    let rows = [good(stranger, "waits", json!({})), good(site, "goes", json!({}))];
    let file = relay.file("two.ndjson", lines(&rows));

    let (summary, code) = relay.enqueue(&file).await;
    let ran = relay.run(&["run", "--mode", "worker", "--provider", "google_ads", "--json"]).await;
    let status = relay.run(&["status", "--json"]).await.json();

    assert_eq!((&summary["held"], &summary["queued"], code), (&json!(1), &json!(1), Some(0)), "{summary}");
    let answer = ran.json();
    assert_eq!((&answer["completed"], ran.code), (&json!(1), Some(1)), "{answer}");
    assert_eq!(answer["errors"][0]["site_id"], stranger.to_string());
    let worst = &status["groups"][0];
    assert_eq!((&worst["site_id"], &worst["hold_code"]), (&json!(stranger), &json!("NO_CREDENTIALS")));
    assert_eq!((&worst["held"], &worst["backlog"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn neither_a_person_nor_a_click_shows_in_what_is_said() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let user = json!({ "user": { "email": "jane@example.com", "phone": "not a phone 555" }, "value": "x" });
    let rows = [
        good(site, "one", user.clone()),
        good(site, "two", json!({ "user": { "email": "jane.example.com@", "phone": "555 is none" } })),
        good(site, "three", json!({ "user": { "email": ["jane@example.com"] } })),
    ];
    let file = relay.file("personal.ndjson", lines(&rows));

    for form in [&["--json"][..], &[]] {
        let ran = relay.run(&[&["enqueue", "--file", file.as_str()], form].concat()).await;

        let said = format!("{}{}", ran.stdout, ran.stderr);
        for secret in ["jane", "example.com", "555", "gclid-"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
}

//! CSV as it comes out of spreadsheets and other people's exports.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::world::World;

use super::{Ran, Relay, taken_in};

/// Two days ago: old enough for every platform, and young enough.
fn at() -> String {
    (Timestamp::now() - 48.hours()).to_string()
}

struct Desk {
    world: World,
    site: SiteId,
    relay: Relay,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new().await.unwrap();
        let site = world.site(json!({})).await.unwrap();
        let relay = Relay::new(&world);
        Self { world, site, relay }
    }

    async fn enqueue(&self, content: impl AsRef<[u8]>) -> (Value, Option<i32>) {
        self.relay.enqueue(&self.relay.file("conversions.csv", content)).await
    }

    /// A conversion as it is kept.
    async fn kept(&self, external_id: &str) -> Value {
        let sql = "select payload from relay.conversion where external_id = $1";
        self.world.sql.query_one(sql, &[&external_id]).await.unwrap().get(0)
    }

    async fn refused_whole(&self, content: impl AsRef<[u8]>) -> Ran {
        let file = self.relay.file("conversions.csv", content);
        let ran = self.relay.run(&["enqueue", "--file", &file, "--json"]).await;
        assert_eq!((ran.code, taken_in(&self.world).await), (Some(1), 0), "{ran:?}");
        ran
    }
}

#[tokio::test]
async fn flat_and_dotted_columns_fill_the_same_fields() {
    let desk = Desk::new().await;
    let at = at();
    let site = desk.site;
    let flat = format!(
        "site_id,external_id,occurred_at,value,currency,gclid,email,consent_ad_user_data,custom_variables.plan\n\
         {site},flat,{at},12.50,EUR,abc,jane@example.com,GRANTED,gold\n"
    );
    let dotted = format!(
        "site_id,external_id,kind,occurred_at,value,currency,click_ids.gclid,user.email,consent.ad_user_data,custom_variables.plan\n\
         {site},dotted,conversion,{at},12.50,EUR,abc,jane@example.com,GRANTED,gold\n"
    );

    let (first, _) = desk.enqueue(flat).await;
    let (second, _) = desk.enqueue(dotted).await;

    assert_eq!((&first["queued"], &second["queued"]), (&json!(1), &json!(1)), "{first} {second}");
    let (mut flat, dotted) = (desk.kept("flat").await, desk.kept("dotted").await);
    flat["external_id"] = json!("dotted");
    assert_eq!(flat, dotted);
    assert_eq!(flat["custom_variables"]["plan"], "gold");
}

#[tokio::test]
async fn semicolons_tabs_a_byte_order_mark_and_carriage_returns_are_understood() {
    let desk = Desk::new().await;
    let at = at();
    for (name, delimiter) in [("a", ";"), ("b", "\t")] {
        let row =
            format!("site_id,external_id,occurred_at,gclid,order_id\r\n{},{name},{at},x,\r\n", desk.site);
        let content = format!("\u{feff}{}{}\r\n", row.replace(',', delimiter), delimiter.repeat(4));

        let (summary, code) = desk.enqueue(content).await;

        assert_eq!(
            (&summary["lines"], &summary["queued"], code),
            (&json!(1), &json!(1), Some(0)),
            "{summary}"
        );
    }
}

#[tokio::test]
async fn a_fault_stands_at_the_line_on_which_its_record_begins() {
    let desk = Desk::new().await;
    let at = at();
    let site = desk.site;
    let content = format!(
        "site_id,external_id,occurred_at,gclid,custom_variables.note\r\n\
         {site},a,{at},x,\"two\r\nlines\"\r\n\
         \r\n\
         {site},b,yesterday,x,\"two\r\nlines\"\r\n\
         {site},c,{at},x\r\n"
    );

    let (summary, _) = desk.enqueue(content).await;

    let told: Vec<_> =
        summary["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["field"])).collect();
    // A line end inside a cell is a control character, and a custom variable takes none.
    assert_eq!(
        told,
        [
            (&json!(2), &json!("custom_variables.note")),
            (&json!(5), &json!("occurred_at")),
            (&json!(5), &json!("custom_variables.note")),
            (&json!(7), &json!("(line)")),
        ],
        "{summary}"
    );
}

#[tokio::test]
async fn a_fault_is_told_by_the_name_of_its_column() {
    let desk = Desk::new().await;
    let at = at();
    let content =
        format!("site_id,external_id,occurred_at,gclid,value,currency\n{},a,{at},a b,1e3x,EUR\n", desk.site);

    let (summary, _) = desk.enqueue(content).await;

    let told: Vec<_> = summary["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(told, ["value", "gclid"], "{summary}");
}

#[tokio::test]
async fn a_record_of_a_megabyte_and_one_that_is_not_utf8_are_refused_by_line() {
    let desk = Desk::new().await;
    let at = at();
    let site = desk.site;
    let mut content = format!("site_id,external_id,occurred_at,gclid\n{site},a,{at},x\n").into_bytes();
    content.extend_from_slice(format!("{site},\"{}\",{at},x\n", "y".repeat(1 << 20)).as_bytes());
    content.extend_from_slice(format!("{site},M\u{0},{at},x\n").replace('\u{0}', "?").as_bytes());
    let place = content.len() - 2;
    content[place] = 0xfc;
    content.extend_from_slice(format!("{site},b,{at},x\n").as_bytes());

    let (summary, code) = desk.enqueue(content).await;

    let told: Vec<_> =
        summary["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["field"])).collect();
    assert_eq!(told, [(&json!(3), &json!("(line)")), (&json!(4), &json!("gclid"))], "{summary}");
    assert_eq!((&summary["queued"], code), (&json!(2), Some(1)));
}

#[tokio::test]
async fn a_quote_left_open_loses_no_more_than_a_record() {
    let desk = Desk::new().await;
    let at = at();
    let mut content = format!("site_id,external_id,occurred_at,gclid\n{},\"open,{at},x\n", desk.site);
    for number in 0..2_000 {
        content += &format!("{},row-{number},{at},x\n", desk.site);
    }

    let (summary, code) = desk.enqueue(content).await;

    assert_eq!((&summary["errors"][0]["line"], &summary["invalid"], code), (&json!(2), &json!(1), Some(1)));
    assert!(summary["queued"].as_u64().unwrap() > 1_000, "{summary}");
}

#[tokio::test]
async fn columns_that_are_unknown_or_missing_are_refused_by_name_before_anything_goes_in() {
    let desk = Desk::new().await;
    let content = format!("site_id,external_id,gclid,Colour,click_ids.gclid\n{},a,x,red,y\n", desk.site);

    let ran = desk.refused_whole(content).await;

    let error = ran.json()["error"].as_str().unwrap().to_owned();
    for told in ["Colour is no column", "occurred_at is missing", "click_ids.gclid"] {
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn utf16_is_refused_by_name_with_and_without_its_mark() {
    let desk = Desk::new().await;
    let at = at();
    let text = format!("site_id,external_id,occurred_at,gclid\n{},a,{at},x\n", desk.site);
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = [&[0xff, 0xfe], &little[..]].concat();

    for content in [marked, little, big] {
        let ran = desk.refused_whole(content).await;

        assert!(ran.json()["error"].as_str().unwrap().contains("UTF-16"), "{ran:?}");
    }
}

#[tokio::test]
async fn standard_input_is_known_by_its_first_line() {
    let desk = Desk::new().await;
    let at = at();
    let csv = format!("site_id,external_id,occurred_at,gclid\n{},a,{at},x\n", desk.site);
    let json = json!({
        "site_id": desk.site, "external_id": "b", "kind": "conversion", "occurred_at": at,
        "click_ids": { "gclid": "x" },
    });

    for input in [csv, json.to_string()] {
        let ran = desk.relay.pipe(&["enqueue", "--file", "-", "--json"], input.as_bytes()).await;

        assert_eq!((&ran.json()["queued"], ran.code), (&json!(1), Some(0)), "{ran:?}");
    }
}

//! The conversions of the demo, as a user would write them: one JSON object per line. What the stand-in shall answer to
//! a conversion stands in its click id (`sandbox/mod.rs` has the words).

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};
use serde_json::{Value, json};

use super::sites::Site;

/// The time until which the answers to the killed runner's requests are held back.
const SLOW: &str = "slow.900*1";

/// What the killed runner has sent by then, in two requests: 300 for Delta, 260 for Borealis.
pub(super) const SENT_BEFORE_THE_KILL: u64 = 560;

/// Google's smallest click age and more: what was clicked then is due at once.
const CLICKED_AGO: Duration = Duration::from_secs(9 * 3_600);
const OCCURRED_AGO: Duration = Duration::from_secs(7 * 3_600);

/// How long a click id is kept; the same number as the adapter's.
const CLICK_ID_AGE: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Writes lines; each conversion gets a number of its own.
pub(super) struct Writer {
    now: Timestamp,
    number: u32,
}

impl Writer {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, number: 0 }
    }

    /// Goes on at a later time.
    pub(super) fn at(&self, now: Timestamp) -> Self {
        Self { now, number: self.number }
    }

    /// What the runner is killed with: two batches whose answers are slow. Ten orders of Delta count for two actions: the
    /// second of each waits for a request of its own.
    pub(super) fn for_the_killed_runner(&mut self) -> Vec<String> {
        let mut lines = self.plain(Site::Delta, 289);
        lines.extend(self.told(Site::Delta, SLOW, 1));
        lines.extend(self.plain(Site::Borealis, 259));
        lines.extend(self.told(Site::Borealis, SLOW, 1));
        for order in 0..10 {
            for action in ["501", "502"] {
                let fields = json!({"order_id": format!("D-{order}-twice"), "conversion_action": action});
                lines.push(self.line(Site::Delta, "", &fields));
            }
        }
        lines
    }

    /// The bulk: every answer there is.
    pub(super) fn for_the_day(&mut self) -> Vec<String> {
        let mut lines = self.for_cedar();

        lines.extend(self.plain(Site::Aurora, 1_480));
        lines.extend(self.told(Site::Aurora, "http.400.row", 1));
        lines.extend(self.told(Site::Aurora, "http.400", 1));
        lines.extend(self.told(Site::Aurora, "error.INVALID_CURRENCY_CODE", 8));
        lines.extend(self.told(Site::Aurora, "error.INVALID_AD_IDENTIFIER_FOR_ACCOUNT", 4));
        lines.extend(self.told(Site::Aurora, "error.EVENT_TIME_INVALID", 6));

        lines.extend(self.plain(Site::Borealis, 119));
        // Taken, and found wanting later: the receipt says how many and never which.
        lines.extend(self.told(Site::Borealis, "reason.INVALID_EVENT", 2));
        lines.extend(self.told(Site::Aurora, "reason.CLICK_NOT_FOUND", 1));
        lines.extend(self.told(Site::Borealis, "reset*1", 1));
        lines.extend(self.plain(Site::Delta, 139));
        lines.extend(self.told(Site::Delta, "timeout*1", 1));
        lines.extend(self.plain(Site::Ember, 59));
        lines.extend(self.told(Site::Ember, "http.429.45*1", 1));
        lines.extend(self.plain(Site::Grove, 80));
        lines.extend(self.plain(Site::Harbor, 40));
        lines
    }

    fn for_cedar(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        // Their 90 days end in two seconds, before any runner comes to them.
        let clicked_at = self.ago(CLICK_ID_AGE - Duration::from_secs(2));
        for _ in 0..3 {
            lines.push(self.line(Site::Cedar, "", &json!({"clicked_at": clicked_at})));
        }
        // Clicked an hour ago: Google does not take them before six.
        let clicked_at = self.ago(Duration::from_secs(3_600));
        for _ in 0..24 {
            let young =
                json!({"clicked_at": clicked_at, "occurred_at": self.ago(Duration::from_secs(1_800))});
            lines.push(self.line(Site::Cedar, "", &young));
        }
        lines.extend(self.plain(Site::Cedar, 1_180));
        for (directive, count) in [
            ("error.UNPARSEABLE_GCLID", 15),
            ("error.EXPIRED_EVENT", 10),
            ("error.TOO_RECENT_EVENT", 12),
            ("error.internalError.INTERNAL_ERROR", 14),
            ("error.conversionUploadError.SOMETHING_NEW", 2),
            ("error.CLICK_NOT_FOUND", 25),
            ("error.INVALID_CUSTOMER_FOR_CLICK", 4),
        ] {
            lines.extend(self.told(Site::Cedar, directive, count));
        }
        let action = format!("customers/{}/conversionActions/404", Site::Cedar.customer());
        for _ in 0..9 {
            let other = json!({"conversion_action": action});
            lines.push(self.line(Site::Cedar, "error.NO_CONVERSION_ACTION_FOUND", &other));
        }
        // One order, exported twice under two external ids: the second ends when the first was delivered.
        for order in 0..12 {
            for _ in 0..2 {
                lines.push(self.line(Site::Cedar, "", &json!({"order_id": format!("C-{order}-twice")})));
            }
        }
        for order in 0..8 {
            lines.push(self.line(Site::Cedar, "", &json!({"order_id": format!("C-{order}-adjusted")})));
        }
        lines
    }

    /// A platform that is down: three requests with all of them, then five of them one by one and as a probe.
    pub(super) fn for_the_outage(&mut self) -> Vec<String> {
        let mut lines = self.told(Site::Fjord, "http.503*4", 4);
        lines.extend(self.told(Site::Fjord, "http.503*3", 296));
        lines
    }

    /// Refunds and corrections of orders that were delivered.
    pub(super) fn for_the_evening(&mut self) -> Vec<String> {
        let occurred_at = self.ago(Duration::from_secs(60));
        let mut adjust = |kind: &str, order: &str| {
            self.number += 1;
            let mut line = json!({
                "site_id": Site::Cedar.id(), "provider_key": "google_ads", "kind": kind, "order_id": order,
                "external_id": format!("cedar-{:05}", self.number), "occurred_at": occurred_at,
            });
            if kind == "restatement" {
                line["value"] = json!("99.00");
                line["currency"] = json!("EUR");
            }
            line.to_string()
        };
        let mut lines: Vec<String> =
            (0..5).map(|order| adjust("restatement", &format!("C-{order}-adjusted"))).collect();
        lines.extend((5..8).map(|order| adjust("retraction", &format!("C-{order}-adjusted"))));
        lines.extend(
            (0..2)
                .map(|n| adjust("restatement", &format!("sandbox-error.MORE_RECENT_RESTATEMENT_FOUND-{n}"))),
        );
        lines
    }

    /// Lines that the door must not take, or not again: mistakes as people make them.
    pub(super) fn with_mistakes(&mut self, taken: &[String]) -> Vec<String> {
        let site = Site::Cedar;
        let mut wrong = |field: &str, value: Value| {
            let mut line: Value = self.value(site, "", &Value::Null);
            line[field] = value;
            line.to_string()
        };
        let mut lines = vec![
            wrong("click_id", json!("CjwKCA")),
            wrong("currency", json!("EURO")),
            wrong("occurred_at", json!("2026-11-22 14:30:00")),
            wrong("value", json!("129,90")),
            wrong("value", json!(-5)),
            wrong("site_id", json!("aurora")),
            wrong("kind", json!("sale")),
            wrong("consent", json!({"ad_user_data": "yes"})),
            wrong("external_id", Value::Null),
            r#"{"site_id": "#.to_owned(),
        ];
        let mut nobody: Value = self.value(site, "", &json!({"user": {"phone": "12"}}));
        nobody["click_ids"] = Value::Null;
        lines.push(nobody.to_string());
        let too_old = json!({"clicked_at": self.ago(CLICK_ID_AGE + Duration::from_secs(3_600))});
        lines.extend((0..5).map(|_| self.line(site, "", &too_old)));

        // The same lines once more, and some with another value under the same external id.
        lines.extend(taken.iter().take(40).cloned());
        lines.extend(taken.iter().skip(40).take(6).map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("a line that we wrote");
            line["value"] = json!("1.00");
            line.to_string()
        }));
        lines
    }

    fn plain(&mut self, site: Site, count: usize) -> Vec<String> {
        self.told(site, "", count)
    }

    /// `count` lines to which the stand-in gives one kind of answer.
    fn told(&mut self, site: Site, directive: &str, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line(site, directive, &Value::Null)).collect()
    }

    fn line(&mut self, site: Site, directive: &str, fields: &Value) -> String {
        self.value(site, directive, fields).to_string()
    }

    /// One conversion; `fields` are laid over the usual ones.
    fn value(&mut self, site: Site, directive: &str, fields: &Value) -> Value {
        self.number += 1;
        let number = self.number;
        let gclid = match directive {
            "" => format!("Cj0KCQjw{number:06}EiwA"),
            _ => format!("Cj0KCQjw-sandbox-{directive}-{number:06}"),
        };
        // A national number where the site says its country, an international one, one that is none, or an address.
        let user = match number % 4 {
            0 => json!({"email": format!("Kunde.{number}@Example.com")}),
            1 => {
                json!({"email": format!("kunde{number}@example.com"), "phone": format!("0151 2{number:07}")})
            }
            2 => json!({"phone": format!("+49 151 2{number:07}")}),
            _ => json!({"email": format!("kunde{number}@example.com"), "phone": "0151"}),
        };
        let mut line = json!({
            "site_id": site.id(),
            "external_id": format!("{}-{number:05}", site.name()),
            "kind": "conversion",
            "occurred_at": self.ago(OCCURRED_AGO - Duration::from_secs(u64::from(number % 3_600))),
            "clicked_at": self.ago(CLICKED_AGO),
            "value": format!("{}.90", 20 + number % 400),
            "currency": "EUR",
            "order_id": format!("{}-{number}", site.name().to_uppercase()),
            "click_ids": {"gclid": gclid},
            "user": user,
            "consent": {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"},
        });
        if site.transport().is_none() {
            line["provider_key"] = json!("google_ads");
        }
        for (name, value) in fields.as_object().into_iter().flatten() {
            line[name] = value.clone();
        }
        line
    }

    /// With an offset, as a shop in Berlin writes it.
    fn ago(&self, ago: Duration) -> String {
        let time = self.now.checked_sub(ago).unwrap_or(self.now);
        time.to_zoned(TimeZone::fixed(offset(1))).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

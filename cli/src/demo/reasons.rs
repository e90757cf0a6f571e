//! What the demo's outcomes and codes mean, in plain words.

/// A few words for one row of the table.
pub(super) fn meaning(status: &str, outcome: Option<&str>, code: Option<&str>) -> &'static str {
    match (status, outcome, code) {
        (
            "COMPLETED",
            Some("delivered"),
            Some("ORDER_ID_ALREADY_IN_USE" | "CLICK_CONVERSION_ALREADY_EXISTS"),
        ) => "sent before, answer was lost",
        ("COMPLETED", Some("delivered"), _) => "taken by Google",
        ("COMPLETED", Some("duplicate"), Some("ORDER_ALREADY_DELIVERED")) => "its order was delivered before",
        ("COMPLETED", Some("superseded"), Some("NEWER_WRITE")) => "a newer value was sent",
        ("COMPLETED", Some("duplicate"), _) => "Google had this order already",
        ("COMPLETED", Some("unmatched"), _) => "no such click: normal",
        ("COMPLETED", Some("superseded"), _) => "Google knows a newer value",
        ("SUBMITTED", ..) => "taken; the receipt comes later",
        ("FAILED", Some("expired"), Some("EXPIRED_BEFORE_DELIVERY")) => "90 days over before its turn",
        ("FAILED", Some("expired"), _) => "too old, says Google",
        ("FAILED", Some("rejected"), Some("ORIGINAL_NOT_DELIVERED")) => "its original was never delivered",
        ("FAILED", Some("rejected"), _) => "refused for good",
        ("QUEUED" | "RETRY", _, Some("ORDER_BUSY")) => "waits for another write of its order",
        ("QUEUED", ..) => "click younger than 6 hours",
        ("RETRY", Some("delayed"), Some(code)) if code.contains("TOO_RECENT") => "too early, says Google",
        ("RETRY", Some("delayed"), _) => "quota: goes on by itself",
        ("RETRY", Some("retry"), _) => "goes again within a minute",
        ("RETRY", ..) => "goes again",
        ("HELD", _, Some("NO_CREDENTIALS")) => "site: waits for credentials",
        ("HELD", _, Some("invalid_grant")) => "site: waits for a new grant",
        ("HELD", _, Some("NO_CONVERSION_ACTION_FOUND")) => "conversion action is unknown",
        ("HELD", ..) => "row: click of another account",
        _ => "",
    }
}

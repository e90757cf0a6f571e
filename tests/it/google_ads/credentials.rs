//! A site's credentials: every wrong field is named, and no value is ever repeated.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{FieldError, Secret};
use shared::providers::google_ads::{GoogleAds, GoogleConfig};
use shared::providers::http::build_client;
use shared::providers::{AccountOptions, Provider};

use super::support::{account, credentials, offline_adapter};

fn open(json: &Value) -> Result<(), Vec<FieldError>> {
    offline_adapter().open_account(&Secret::new(json.to_string()), &AccountOptions::default()).map(drop)
}

fn open_with(name: &str, value: Value) -> Result<(), Vec<FieldError>> {
    let mut json = credentials("ads_api");
    json[name] = value;
    open(&json)
}

#[test]
fn optional_fields_may_be_absent_empty_or_null() {
    for name in ["login_customer_id", "developer_token", "transport", "quota_key"] {
        let mut absent = credentials("ads_api");
        absent.as_object_mut().unwrap().remove(name);

        assert_eq!(open(&absent), Ok(()), "{name}");
        assert_eq!(open_with(name, json!("")), Ok(()), "{name}");
        assert_eq!(open_with(name, Value::Null), Ok(()), "{name}");
    }
}

/// Google's own numbers, and only of Google itself: a stand-in has none.
#[test]
fn a_budget_is_that_of_the_transport_and_of_googles_own_address() {
    let google = GoogleAds::new(GoogleConfig::default(), build_client(Duration::from_secs(2)).unwrap());
    let check = |adapter: &GoogleAds, transport: &str, expected: (Option<u32>, Option<u32>)| {
        let secret = Secret::new(credentials(transport).to_string());
        let budget = adapter.open_account(&secret, &AccountOptions::default()).unwrap().budget();
        assert_eq!((budget.per_minute, budget.per_day), expected, "{transport}");
    };

    check(&google, "data_manager", (Some(300), Some(100_000)));
    check(&google, "ads_api", (None, None));
    check(offline_adapter(), "data_manager", (None, None));
}

#[test]
fn each_wrong_field_is_named() {
    let check = |name: &str, value: Value| {
        let errors = open_with(name, value.clone()).unwrap_err();
        let [error] = errors.as_slice() else { panic!("{name}: {errors:?}") };
        assert_eq!(error.field, name, "{value}");
        assert!(!error.to_string().contains(value.as_str().unwrap_or("\u{0}")), "{error}");
    };

    check("customer_id", json!("12345"));
    check("customer_id", json!(1_234_567_890));
    check("login_customer_id", json!("98765432100"));
    check("client_secret", json!("two words"));
    check("refresh_token", json!("line\nbreak"));
    check("developer_token", json!("schlüssel"));
    check("conversion_action_resource_name", json!("7001"));
    check("transport", json!("pigeon"));
    check("quota_key", json!("what a key"));
    check("password", json!("hunter2"));
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let errors = open(&json!({})).unwrap_err();

    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        ["customer_id", "client_id", "client_secret", "refresh_token", "conversion_action_resource_name"]
    );
}

#[test]
fn what_is_no_object_is_refused_without_repeating_it() {
    for text in ["", "[]", "\"GOCSPX-secret\"", "{\"client_secret\": \"GOCSPX-secret\""] {
        let errors = offline_adapter()
            .open_account(&Secret::new(text.to_owned()), &AccountOptions::default())
            .map(drop)
            .unwrap_err();

        assert!(!format!("{errors:?}").contains("GOCSPX"), "{errors:?}");
    }
}

#[test]
fn keys_are_digests_that_give_nothing_away_and_can_be_set() {
    let account = account("data_manager");
    let mut named = credentials("data_manager");
    named["quota_key"] = json!("agency-1");
    let named =
        offline_adapter().open_account(&Secret::new(named.to_string()), &AccountOptions::default()).unwrap();

    for key in [account.token_key(), account.quota_key()] {
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
    assert_ne!(account.token_key(), account.quota_key());
    assert_eq!(named.quota_key(), "agency-1");
    assert_eq!(named.token_key(), account.token_key());
}

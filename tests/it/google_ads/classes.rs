//! The taxonomy: every code has its class, and the class its meaning.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use shared::domain::{Class, ErrorCode, HoldScope, Kind, Omitted, Transient, Verdict, Wait};
use shared::providers::Memo;
use shared::providers::google_ads::taxonomy::{Body, Context, Rule, Taxonomy, can_probe, families, rules};
use tests::proto::{self, enums};

use super::support::{NOW, fixture, time};

const HOUR: Duration = Duration::from_secs(3_600);

fn memo(kind: Kind) -> Memo {
    Memo {
        kind,
        occurred_at: time("2026-11-22T10:00:00Z"),
        clicked_at: Some(time("2026-11-22T09:00:00Z")),
        parts: Omitted::NONE,
        to_spare: Omitted::NONE,
    }
}

fn context(kind: Kind, field: &str) -> Context<'_> {
    Context { memo: Some(memo(kind)), field, now: time(NOW), body: Body::Api }
}

/// The table that is built in.
static TABLE: LazyLock<Taxonomy> = LazyLock::new(Taxonomy::default);

fn find(family: &str, code: &str, context: &Context<'_>) -> Option<&'static Rule> {
    TABLE.find(family, code, context)
}

fn classify(family: &str, code: &str, context: &Context<'_>) -> Verdict {
    TABLE.classify(family, code, context)
}

fn verdict(family: &str, code: &str) -> Verdict {
    classify(family, code, &context(Kind::Conversion, ""))
}

/// What the contract's own data file says, copied unchanged to `tests/fixtures/google_ads/classes.json`.
#[test]
fn every_code_of_the_contract_has_its_class() {
    let contract = fixture("classes");
    for (family, entries) in contract.as_object().unwrap() {
        for entry in entries.as_array().unwrap() {
            let (code, class) = (entry["code"].as_str().unwrap(), entry["class"].as_str().unwrap());
            let of_kind =
                if code == "CONVERSION_ALREADY_RETRACTED" { Kind::Retraction } else { Kind::Conversion };
            let by_name = classify(family, code, &context(of_kind, ""));
            let by_number = classify(family, &entry["number"].to_string(), &context(of_kind, ""));

            assert_eq!(by_name.class().as_str(), class, "{family}.{code}");
            assert_eq!(by_number, by_name, "{family}.{code}");
        }
    }
}

#[test]
fn every_value_of_the_published_upload_enums_has_a_rule_of_its_own() {
    let enums = enums().unwrap();
    let check = |name: &str, family: &str| {
        for (code, number) in &enums[name] {
            let rule = find(family, code, &context(Kind::Conversion, ""));
            assert_eq!(
                rule.map(|rule| (rule.code.as_str(), rule.number)),
                Some((code.as_str(), Some(i64::from(*number))))
            );
        }
    };

    check("ConversionUploadErrorEnum", "conversionUploadError");
    check("ConversionAdjustmentUploadErrorEnum", "conversionAdjustmentUploadError");
    check("ProcessingErrorReason", "dataManager.ProcessingErrorReason");
}

/// Families of which every code means the same, whatever it is.
const ONE_RULE_FOR_ALL: [&str; 24] = [
    "changeEventError",
    "changeStatusError",
    "clickViewError",
    "contextError",
    "countryCodeError",
    "currencyError",
    "customerError",
    "dateError",
    "dateRangeError",
    "distinctError",
    "enumError",
    "fieldError",
    "idError",
    "languageCodeError",
    "merchantCenterError",
    "notEmptyError",
    "nullError",
    "operationAccessDeniedError",
    "queryError",
    "rangeError",
    "regionCodeError",
    "resourceAccessDeniedError",
    "stringFormatError",
    "stringLengthError",
];

/// Families of other things than the Google Ads API's enums, with the enum that they have.
const OTHERS: [(&str, Option<&str>); 6] = [
    ("dataManager.ErrorReason", Some("ErrorReason")),
    ("dataManager.ProcessingErrorReason", Some("ProcessingErrorReason")),
    ("oauth", None),
    ("rpc.BadRequest", None),
    ("rpc.ErrorInfo", Some("google.api.ErrorReason")),
    ("transport", None),
];

#[test]
fn every_value_of_every_published_family_has_a_rule_of_its_own_or_its_familys() {
    let enums = enums().unwrap();
    let mut by_family = Vec::new();
    let mut faults = Vec::new();
    for family in families() {
        let name = match OTHERS.iter().find(|(other, _)| *other == family) {
            Some((_, None)) => continue,
            Some((_, Some(name))) => name,
            None => family,
        };
        for code in enums[name].keys().filter(|code| !matches!(code.as_str(), "UNKNOWN" | "UNSPECIFIED")) {
            match find(family, code, &context(Kind::Conversion, "")) {
                None => faults.push(format!("{family}.{code} has no rule")),
                Some(rule) if rule.code == "*" => by_family.push(family),
                Some(rule) if rule.code != *code => {
                    faults.push(format!("{family}.{code} has no rule of its own"))
                }
                Some(_) => {}
            }
        }
    }
    by_family.dedup();

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert_eq!(by_family, ONE_RULE_FOR_ALL);
}

#[test]
fn every_family_that_a_method_may_answer_with_is_in_the_table() {
    let listed = proto::families().unwrap();

    assert_eq!(
        listed.keys().collect::<Vec<_>>(),
        ["search", "uploadClickConversions", "uploadConversionAdjustments"]
    );
    for (method, thrown) in listed {
        assert!(thrown.len() >= 7, "{method}: {thrown:?}");
        for family in thrown {
            assert!(!rules(&family).is_empty(), "{family}, which {method} may answer with");
        }
    }
}

#[test]
fn every_rule_is_of_a_code_that_is_published() {
    let enums = enums().unwrap();
    let mut faults = Vec::new();
    for family in families() {
        let name = match OTHERS.iter().find(|(other, _)| *other == family) {
            Some((_, None)) => continue,
            Some((_, Some(name))) => name,
            None => family,
        };
        for rule in rules(family).iter().filter(|rule| !rule.code.ends_with('*')) {
            let published = enums[name].get(&rule.code).map(|number| i64::from(*number));
            if published.is_none() || rule.number.is_some() && rule.number != published {
                faults.push(format!("{family}.{} is {published:?}", rule.code));
            }
        }
    }

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_signal_of_the_way_has_its_class() {
    use Class::{Ambiguous, Config, Delay, Ok, Perm, Split, Transient, Unmatched};
    let check = |code: &str, body: Body, class: Class, scope: Option<HoldScope>| {
        let rule = TABLE.signal(code, &Context { body, ..Context::default() });
        assert_eq!((rule.class, rule.scope), (class, scope), "{code}");
    };

    for code in ["CONNECT_FAILED", "BAD_ADDRESS", "HTTP_408", "HTTP_425", "HTTP_429", "HTTP_407"] {
        check(code, Body::Api, Transient, None);
    }
    for code in [
        "TIMEOUT",
        "CONNECTION_LOST",
        "ANSWER_TOO_LARGE",
        "UNREADABLE_ANSWER",
        "NO_REQUEST_ID",
        "RESULTS_MISMATCH",
        "UNATTRIBUTED_ERROR",
        "NO_RESULT",
        "HTTP_409",
        "HTTP_499",
        "HTTP_500",
        "HTTP_502",
        "HTTP_503",
        "HTTP_504",
        "HTTP_599",
        "HTTP_204",
        "HTTP_302",
        "HTTP_100",
        "NEVER_HEARD_OF",
    ] {
        check(code, Body::Api, Ambiguous, None);
    }
    for code in ["HTTP_400", "HTTP_413", "HTTP_422"] {
        check(code, Body::Api, Split, None);
    }
    check("HTTP_401", Body::Api, Config, Some(HoldScope::Site));
    check("HTTP_403", Body::Api, Config, Some(HoldScope::Site));
    check("HTTP_404", Body::Api, Config, Some(HoldScope::ConversionAction));
    check("HTTP_404", Body::Page, Config, Some(HoldScope::Provider));
    for rule in rules("transport") {
        assert!(
            !matches!(rule.class, Ok | Unmatched | Perm | Delay),
            "{}: no answer is no verdict",
            rule.code
        );
    }
}

#[test]
fn a_look_is_asked_of_what_it_can_prove_and_of_nothing_else() {
    let check = |code: &str, expected: bool| assert_eq!(can_probe(code), expected, "{code}");

    check("authorizationError.USER_PERMISSION_DENIED", true);
    check("authorizationError.ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT", true);
    check("requestError.UNSUPPORTED_VERSION", true);
    check("notAllowlistedError.CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE", true);
    check("conversionUploadError.CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS", true);
    check("dataManager.ErrorReason.INVALID_CONVERSION_ACTION_ID", true);
    check("HTTP_404", true);
    check("disabled_client", true);
    check("invalid_grant", false);
    check("NO_CREDENTIALS", false);
    check("authenticationError.OAUTH_TOKEN_REVOKED", false);
    check("conversionUploadError.UNAUTHORIZED_CUSTOMER", false);
    check("dataManager.ProcessingErrorReason.PROCESSING_ERROR_REASON_NO_CONSENT", false);
    for family in families() {
        for rule in rules(family).iter().filter(|rule| rule.probe) {
            assert_eq!(rule.class, Class::Config, "{family}.{}", rule.code);
        }
    }
}

#[test]
fn rules_say_what_their_class_needs_and_only_that() {
    for family in families() {
        for rule in rules(family) {
            let name = format!("{family}.{}", rule.code);
            assert_eq!(ErrorCode::foreign(&name).as_str().len(), name.len(), "{name} is cut");
            match rule.class {
                Class::Config => assert!(rule.scope.is_some(), "{name} needs a scope"),
                Class::Delay => assert!(rule.wait_seconds.is_some(), "{name} needs a wait"),
                Class::Ok => assert!(rule.ending.is_some(), "{name} needs an ending"),
                Class::Perm | Class::Transient | Class::Split | Class::Unmatched | Class::Ambiguous => {
                    assert!(rule.scope.is_none(), "{name} has a scope");
                }
            }
        }
    }
}

#[test]
fn the_other_families_are_classed_as_the_contract_says() {
    use Class::{Config, Delay, Perm, Split, Transient};
    let check = |family: &str, code: &str, class: Class, scope: Option<HoldScope>| {
        let verdict = verdict(family, code);
        assert_eq!(verdict.class(), class, "{family}.{code}");
        if let Some(scope) = scope {
            assert_eq!(verdict, Verdict::Misconfigured(scope), "{family}.{code}");
        }
    };

    assert_eq!(
        verdict("notAllowlistedError", "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE"),
        Verdict::Rerouted("data_manager")
    );
    check("authenticationError", "OAUTH_TOKEN_EXPIRED", Transient, None);
    check("authenticationError", "OAUTH_TOKEN_REVOKED", Config, Some(HoldScope::Site));
    check("authenticationError", "DEVELOPER_TOKEN_INVALID", Config, Some(HoldScope::Client));
    check("authenticationError", "ORGANIZATION_NOT_APPROVED", Config, Some(HoldScope::Client));
    check("authenticationError", "LOGIN_COOKIE_REQUIRED", Config, Some(HoldScope::Site));
    check("authorizationError", "USER_PERMISSION_DENIED", Config, Some(HoldScope::Site));
    check("authorizationError", "DEVELOPER_TOKEN_PROHIBITED", Config, Some(HoldScope::Client));
    check("authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", Config, Some(HoldScope::Client));
    check("headerError", "INVALID_LOGIN_CUSTOMER_ID", Config, Some(HoldScope::Site));
    check("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", Transient, None);
    check("quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION", Transient, None);
    check("quotaError", "RESOURCE_EXHAUSTED", Delay, None);
    check("quotaError", "ACCESS_PROHIBITED", Config, Some(HoldScope::Client));
    check("internalError", "INTERNAL_ERROR", Transient, None);
    check("databaseError", "CONCURRENT_MODIFICATION", Transient, None);
    check("databaseError", "REQUEST_TOO_LARGE", Split, None);
    check("sizeLimitError", "REQUEST_SIZE_LIMIT_EXCEEDED", Split, None);
    check("requestError", "UNSUPPORTED_VERSION", Config, Some(HoldScope::Provider));
    check("requestError", "INVALID_CUSTOMER_ID", Config, Some(HoldScope::Site));
    check("requestError", "REQUIRED_FIELD_MISSING", Perm, None);
    check("requestError", "TOO_MANY_MUTATE_OPERATIONS", Split, None);
    check("fieldError", "INVALID_VALUE", Perm, None);
    check("stringLengthError", "TOO_SHORT", Perm, None);
    check("currencyCodeError", "UNSUPPORTED", Perm, None);
    check("collectionSizeError", "TOO_MANY", Split, None);
    check("dateError", "INVALID_STRING_DATE_TIME_SECONDS_WITH_OFFSET", Perm, None);
    check("dateError", "LATER_THAN_MAXIMUM_DATE", Delay, None);
    check("mutateError", "RESOURCE_NOT_FOUND", Config, None);
    check("operationAccessDeniedError", "CREATE_OPERATION_NOT_PERMITTED", Config, None);
    check("partialFailureError", "PARTIAL_FAILURE_MODE_REQUIRED", Split, None);
    check("dataManager.ErrorReason", "NO_IDENTIFIERS_PROVIDED", Perm, None);
    check("dataManager.ErrorReason", "TERMS_AND_CONDITIONS_NOT_SIGNED", Config, Some(HoldScope::Site));
    check(
        "dataManager.ErrorReason",
        "INVALID_CONVERSION_ACTION_ID",
        Config,
        Some(HoldScope::ConversionAction),
    );
    check("dataManager.ErrorReason", "TOO_MANY_EVENTS", Split, None);
    check("dataManager.ErrorReason", "INTERNAL_ERROR", Transient, None);
}

#[test]
fn the_place_of_a_fault_can_change_its_class() {
    let check = |family: &str, code: &str, field: &str, expected: Class| {
        assert_eq!(
            classify(family, code, &context(Kind::Conversion, field)).class(),
            expected,
            "{code} at {field}"
        );
    };

    check("collectionSizeError", "TOO_MANY", "conversions.user_identifiers", Class::Perm);
    check("collectionSizeError", "TOO_MANY", "conversions", Class::Split);
    check("requestError", "RESOURCE_NAME_MALFORMED", "conversions.conversion_action", Class::Config);
    check(
        "requestError",
        "RESOURCE_NAME_MALFORMED",
        "conversions.custom_variables.conversion_custom_variable",
        Class::Perm,
    );
}

#[test]
fn a_code_that_nobody_knows_is_tried_three_times() {
    let three_times = Verdict::Failed(Transient { wait: None, max_attempts: Some(3) });

    assert_eq!(verdict("conversionUploadError", "ADDED_IN_V27"), three_times);
    assert_eq!(verdict("familyOfV27", "ANYTHING"), three_times);
    assert_eq!(verdict("fieldError", "UNKNOWN"), three_times);
    assert_eq!(verdict("conversionUploadError", "UNKNOWN"), three_times);
    assert_eq!(verdict("conversionUploadError", "99"), three_times);
}

#[test]
fn endings_are_those_of_the_contract() {
    let family = "conversionAdjustmentUploadError";
    let of = |kind, code| classify(family, code, &context(kind, ""));

    assert_eq!(verdict("conversionUploadError", "EXPIRED_EVENT"), Verdict::Expired);
    assert_eq!(verdict("conversionUploadError", "ORDER_ID_ALREADY_IN_USE"), Verdict::Duplicate);
    assert_eq!(verdict("conversionUploadError", "DUPLICATE_ORDER_ID"), Verdict::Resend);
    assert_eq!(verdict("conversionUploadError", "CLICK_NOT_FOUND"), Verdict::Unmatched(None));
    assert_eq!(of(Kind::Restatement, "MORE_RECENT_RESTATEMENT_FOUND"), Verdict::Superseded);
    assert_eq!(of(Kind::Retraction, "CONVERSION_ALREADY_RETRACTED"), Verdict::Duplicate);
    assert_eq!(of(Kind::Restatement, "CONVERSION_ALREADY_RETRACTED"), Verdict::Rejected);
    assert_eq!(
        verdict("dataManager.ProcessingErrorReason", "PROCESSING_ERROR_REASON_DENIED_CONSENT"),
        Verdict::ConsentDenied
    );
}

#[test]
fn waits_count_from_the_right_moment() {
    let check = |family: &str, code: &str, expected: Wait| {
        assert_eq!(verdict(family, code), Verdict::Delayed(expected), "{code}");
    };

    check("conversionUploadError", "TOO_RECENT_EVENT", Wait::Until(time("2026-11-22T15:00:00Z"), HOUR));
    assert_eq!(
        verdict("conversionUploadError", "TOO_RECENT_CONVERSION_ACTION"),
        Verdict::ActionDelayed(Wait::For(6 * HOUR))
    );
    assert_eq!(
        verdict("conversionAdjustmentUploadError", "CONVERSION_NOT_FOUND"),
        Verdict::DelayedAtMost(Transient { wait: Some(24 * HOUR), max_attempts: Some(3) })
    );
    check("quotaError", "RESOURCE_EXHAUSTED", Wait::Until(time("2026-11-23T08:00:00Z"), Duration::ZERO));

    let unknown_click = Context {
        memo: Some(Memo { clicked_at: None, ..memo(Kind::Conversion) }),
        ..context(Kind::Conversion, "")
    };
    assert_eq!(
        classify("conversionUploadError", "TOO_RECENT_EVENT", &unknown_click),
        Verdict::Delayed(Wait::For(6 * HOUR))
    );
    let next_year = Memo { occurred_at: time("2027-11-22T12:00:00Z"), ..memo(Kind::Conversion) };
    assert_eq!(
        classify(
            "dateError",
            "LATER_THAN_MAXIMUM_DATE",
            &Context { memo: Some(next_year), ..context(Kind::Conversion, "") }
        ),
        Verdict::Delayed(Wait::Until(time("2026-11-23T12:00:00Z"), HOUR))
    );
}

#[test]
fn an_unmatched_event_may_be_tried_again_before_it_ends() {
    let again = |attempts| {
        Verdict::Unmatched(Some(Transient { wait: Some(24 * HOUR), max_attempts: Some(attempts) }))
    };

    assert_eq!(verdict("conversionUploadError", "EVENT_NOT_FOUND"), again(3));
    assert_eq!(verdict("conversionUploadError", "CALL_NOT_FOUND"), again(2));
}

#[test]
fn the_copy_of_the_contract_is_whole() {
    let sizes: Vec<_> = fixture("classes")
        .as_object()
        .unwrap()
        .values()
        .map(|codes| codes.as_array().map_or(0, Vec::len))
        .collect();

    assert_eq!(sizes.iter().sum::<usize>(), 46 + 27 + 45);
    assert!(matches!(fixture("classes"), Value::Object(_)));
}

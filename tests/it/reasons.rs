//! The catalogue of reasons: every code that anybody can meet has its sentence.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Class, Outcome};
use shared::providers::google_ads::taxonomy::{families, full_code, rules};
use shared::providers::google_ads::{GoogleAds, GoogleConfig};
use shared::providers::http::build_client;
use shared::providers::reasons::{self, Whose};
use shared::providers::{Reason, Registry};
use tests::proto::enums;

const PROVIDER: &str = "google_ads";

/// Words that look like codes and are none: the name of a value of Google's enums, a circuit's state.
const NO_CODES: [&str; 2] = ["UNKNOWN", "HALF_OPEN"];

/// Codes of features that come with others of their kind; each is written somewhere, or will be.
const ANNOUNCED: [&str; 20] = [
    "ACTION_HELD",
    "FOREIGN_DUPLICATE",
    "NEWER_WRITE",
    "ORDER_ALREADY_DELIVERED",
    "ORDER_BUSY",
    "ORIGINAL_NOT_DELIVERED",
    "RECEIPT_NEVER_CAME",
    "RECEIPT_PARTIAL",
    "RECEIPT_PENDING",
    "RECEIPT_UNKNOWN",
    "TARGET_CHANGED",
    "TRANSPORT_SWITCHED",
    "omitted:click_ids",
    "omitted:consent",
    "omitted:conversion_environment",
    "omitted:custom_variables",
    "omitted:illegal_pair",
    "omitted:session_attributes",
    "omitted:user_identifiers",
    "omitted:user_ip_address",
];

fn registry() -> Registry {
    let client = build_client(Duration::from_secs(1)).unwrap();
    Registry::new(vec![Arc::new(GoogleAds::new(GoogleConfig::default(), client))])
}

/// What a sentence must be, whoever wrote it.
#[track_caller]
fn assert_plain(name: &str, reason: &Reason) {
    for (part, text) in
        [("says", reason.says), ("then", &*reason.then), ("mend", reason.mend.unwrap_or("Yes."))]
    {
        assert!(text.ends_with('.'), "{name}, {part}: {text:?} is no sentence");
        assert!(text.starts_with(|c: char| c.is_uppercase()), "{name}, {part}: {text:?}");
        assert!(!text.contains('!') && !text.contains("unknown error"), "{name}, {part}: {text:?}");
        assert!(text.chars().count() <= 240, "{name}, {part}: {} characters", text.chars().count());
    }
    let shouts =
        reason.says.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.contains('_'));
    assert_eq!(shouts.collect::<Vec<_>>(), [""; 0], "{name}: a code stands in its own sentence");
    let is_ours_to_mend = matches!(reason.whose, Whose::Operator | Whose::Advertiser);
    assert!(!is_ours_to_mend || reason.mend.is_some(), "{name}: somebody has to do something, but what?");
}

#[test]
fn every_code_of_the_table_has_its_reason() {
    let registry = registry();
    let mut without = Vec::new();
    for family in families() {
        for rule in rules(family).iter().filter(|rule| rule.code == "*" || !rule.code.ends_with('*')) {
            let code = if rule.code == "*" { "ADDED_IN_V27" } else { &rule.code };
            let code =
                full_code(family, if family == "oauth" && rule.code == "*" { "added_later" } else { code });
            match reasons::find(&registry, PROVIDER, &code) {
                Some(reason) => {
                    assert_plain(&code, &reason);
                    let needs = matches!(rule.class, Class::Config | Class::Perm);
                    assert!(
                        !needs || reason.mend.is_some() || reason.whose == Whose::Nobody,
                        "{code}: what to do?"
                    );
                }
                None => without.push(code),
            }
        }
    }

    assert_eq!(without, [""; 0]);
}

#[test]
fn every_published_code_of_a_family_of_the_table_has_its_reason() {
    let registry = registry();
    let enums = enums().unwrap();
    let other = [
        ("dataManager.ErrorReason", "ErrorReason"),
        ("dataManager.ProcessingErrorReason", "ProcessingErrorReason"),
        ("rpc.ErrorInfo", "google.api.ErrorReason"),
    ];
    let mut without = Vec::new();
    for family in families() {
        let name = other.iter().find(|(known, _)| *known == family).map_or(family, |(_, name)| name);
        for code in enums.get(name).into_iter().flat_map(|codes| codes.keys()) {
            let code = full_code(family, code);
            if reasons::find(&registry, PROVIDER, &code).is_none() {
                without.push(code);
            }
        }
    }

    assert_eq!(without, [""; 0]);
}

#[test]
fn every_code_of_our_own_has_its_reason() {
    let registry = registry();
    let mut codes = codes_in_rust();
    codes.extend(codes_in_sql());
    codes.extend(ANNOUNCED.map(str::to_owned));
    for known in [
        "TIMEOUT",
        "NO_RESULT",
        "CUT_SHORT",
        "NOT_SENT",
        "EXPIRED_BEFORE_DELIVERY",
        "CLAIM_LOST",
        "HOLD_LIFTED",
    ] {
        assert!(codes.contains(known), "the sources were read: {known}, {codes:?}");
    }

    let mut without = Vec::new();
    for code in codes {
        let by_code = reasons::find(&registry, PROVIDER, &code);
        match by_code.or_else(|| reasons::of_outcome(&code)).or_else(|| reasons::of_blockade(&code)) {
            Some(reason) => assert_plain(&code, &reason),
            None => without.push(code),
        }
    }

    assert_eq!(without, [""; 0]);
}

#[test]
fn every_outcome_class_and_blockade_has_its_reason() {
    for outcome in Outcome::ALL {
        assert_plain(outcome.as_str(), &reasons::of_outcome(outcome.as_str()).unwrap());
    }
    for class in Class::ALL {
        assert_plain(class.as_str(), &reasons::of_class(class).unwrap());
    }
    let explained = read("migrations/functions/reading/explain_conversion.sql");
    let blocked_by = explained
        .split("'blocked_by', case")
        .nth(1)
        .unwrap()
        .split("end,\n    'blocked_until'")
        .next()
        .unwrap();
    let words: BTreeSet<&str> = blocked_by
        .split("then '")
        .skip(1)
        .chain(blocked_by.split("else '").skip(1))
        .map(|rest| rest.split('\'').next().unwrap())
        .collect();
    assert!(words.len() >= 14, "{words:?}");
    for word in words.into_iter().chain(["ACTION_HELD", "ORDER_BUSY"]) {
        assert_plain(word, &reasons::of_blockade(word).unwrap_or_else(|| panic!("{word}")));
    }
}

#[test]
fn what_is_normal_is_nobodys_move() {
    let registry = registry();
    for code in [
        "conversionUploadError.CLICK_NOT_FOUND",
        "conversionUploadError.EVENT_NOT_FOUND",
        "conversionUploadError.ORDER_ID_ALREADY_IN_USE",
        "conversionAdjustmentUploadError.MORE_RECENT_RESTATEMENT_FOUND",
        "dataManager.ProcessingErrorReason.PROCESSING_ERROR_REASON_DENIED_CONSENT",
        "dataManager.ProcessingErrorReason.PROCESSING_ERROR_REASON_CLICK_NOT_FOUND",
        "NEWER_WRITE",
    ] {
        let reason = reasons::find(&registry, PROVIDER, code).unwrap();
        assert_eq!(reason.whose, Whose::Nobody, "{code}");
        for word in ["fail", "error", "wrong", "problem", "refuse"] {
            assert!(!reason.says.to_lowercase().contains(word), "{code}: {}", reason.says);
        }
    }
}

#[test]
fn what_happens_next_follows_from_the_table() {
    let registry = registry();
    let check = |code: &str, expected: &str| {
        let reason = reasons::find(&registry, PROVIDER, code).unwrap();
        assert_eq!(reason.then, expected, "{code}");
    };

    check("conversionUploadError.TOO_RECENT_EVENT", "Tried again 6 hours after the click; uses up no retry.");
    check(
        "conversionUploadError.EVENT_NOT_FOUND",
        "Tried again in 24 hours, at most three times in all; then it ends as unmatched.",
    );
    check(
        "internalError.INTERNAL_ERROR",
        "Tried again in a minute, then after longer waits, at most five times in all.",
    );
    check("conversionUploadError.UNPARSEABLE_GCLID", "Nothing more happens by itself.");
    check(
        "conversionAdjustmentUploadError.CONVERSION_NOT_FOUND",
        "Tried again in 24 hours, at most three times in all; then it is given up on.",
    );
    let budget = reasons::find(&registry, PROVIDER, "quotaError.RESOURCE_EXHAUSTED").unwrap();
    assert!(budget.then.contains("midnight in California"), "{budget:?}");
    assert!(reasons::find(&registry, PROVIDER, "conversionUploadError.ADDED_IN_V27").is_none());
    assert!(
        reasons::find(&registry, "meta", "invalid_grant").is_none(),
        "another provider's code is no code of its own"
    );
    assert!(reasons::find(&registry, "meta", "TIMEOUT").is_some());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn sources(folder: &str, ending: &str) -> Vec<String> {
    let mut folders = vec![root().join(folder)];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// A code's characters from the start of a text.
fn code_at(text: &str) -> Option<&str> {
    let end = text.find(['"', '\''])?;
    let code = &text[..end];
    let is_code = code.len() > 3
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_code.then_some(code)
}

/// What stands in `ErrorCode::own("…")`, and in the functions that hand a text on to it.
fn codes_in_rust() -> BTreeSet<String> {
    let openings =
        ["ErrorCode::own(\"", "=> \"", "in_doubt(raw, \"", "judge.doubt(\"", "attempt, \"", "{ \""];
    let mut codes = BTreeSet::new();
    for text in sources("shared/src/delivery", "rs").into_iter().chain(sources("shared/src/providers", "rs"))
    {
        for opening in openings {
            codes.extend(text.split(opening).skip(1).filter_map(code_at).map(str::to_owned));
        }
    }
    codes.retain(|code| !NO_CODES.contains(&code.as_str()));
    codes
}

/// Every word in SQL that is quoted and looks like a code.
fn codes_in_sql() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for text in sources("migrations", "sql") {
        let words = text.split('\'').filter(|word| word.contains('_') && !NO_CODES.contains(word));
        codes.extend(words.filter(|word| code_at(&format!("{word}'")) == Some(word)).map(str::to_owned));
    }
    codes
}

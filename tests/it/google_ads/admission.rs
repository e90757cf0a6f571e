//! What comes through the door, hashed as Google wants it.

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::domain::{Conversion, FieldError};
use shared::providers::{Admitted, Provider};

use super::support::{input, offline_adapter, time};

/// SHA-256 of `alexz@example.com`: the vector of Google's format tests.
const ALEXZ: &str = "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a";
/// SHA-256 of `+18005550100`: likewise.
const PHONE: &str = "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30";
/// SHA-256 of `cloudysanfrancisco@gmail.com`, which is what the 2026 formatting guide makes of its example.
const CLOUDY: &str = "223ebda6f6889b1494551ba902d9d381daf2f642bae055888e96343d53e9f9c4";

fn admit(fields: Value, country: Option<&str>) -> Result<Admitted, Vec<FieldError>> {
    let country = country.map(|country| country.parse().unwrap());
    offline_adapter().admit(input(fields), country)
}

fn admit_user(user: Value, country: Option<&str>) -> Conversion {
    admit(json!({"user": user}), country).unwrap().conversion
}

fn hash_of_email(email: &str) -> Option<String> {
    admit_user(json!({"email": email}), None).user.hashed_email
}

#[test]
fn emails_hash_to_googles_own_vectors() {
    let check = |email: &str, expected: &str| {
        assert_eq!(hash_of_email(email).as_deref(), Some(expected), "{email}");
    };

    check("alexz@example.com", ALEXZ);
    check(" AlexZ@Example.com ", ALEXZ);
    check("alex z@example.com", ALEXZ);
    check("cloudy.sanfrancisco+shopping@gmail.com", CLOUDY);
    check("Cloudy.San.Francisco@GMail.com", CLOUDY);
}

/// Digests made with another program (Python's hashlib) of what stands before each line.
#[test]
fn emails_hash_as_the_formatting_guide_normalises_them() {
    let check = |email: &str, expected: &str| {
        assert_eq!(hash_of_email(email).as_deref(), Some(expected), "{email}");
    };

    // cloudysanfrancisco@gmail.com
    check(
        "cloudy.sanfrancisco+shopping@gmail.com",
        "223ebda6f6889b1494551ba902d9d381daf2f642bae055888e96343d53e9f9c4",
    );
    // user.name+nyc@example.com
    check("user.name+NYC@Example.com", "f109a2a632fbcea5fc82049f50beed3d8621bf9034399f437fb622222acccdac");
    // ada.lovelace@example.org
    check(
        "\u{a0}Ada.Lovelace@Example.ORG\u{2003}\n",
        "7799473ff091b38137e0698047364e040446fe7cb3209e8321d5a865127853d0",
    );
    // joe@googlemail.com
    check("J.O.E+a+b@GoogleMail.com", "3e40d1b33127980ee8c341223f1ea72e2e53ed9fc56a27f887718e88b2659fe6");
    // joe.bloggs+x@gmail.co.uk
    check("joe.bloggs+x@gmail.co.uk", "479d9c41d93cfa5f5657d9a1c06b02d636e7a5b605c2b04b448c35c9426b344a");
    // jörg@müller.de
    check("JÖRG@MÜLLER.de", "3d290dd2ff58e31ac44fab39a45ff16204558a1eb2aed12ac098a1daf4735779");
    // o'brien_1@sub.example.co.uk
    check("o'brien_1@sub.example.co.uk", "a51ab87b507db2d8b76e0deec5f31c967a3728b7b7740564900b94c9b82e1e58");
}

/// As above.
#[test]
fn phones_hash_in_e164_by_the_country_of_the_site() {
    let check = |phone: &str, country: Option<&str>, expected: &str| {
        let hash = admit_user(json!({"phone": phone}), country).user.hashed_phone;
        assert_eq!(hash.as_deref(), Some(expected), "{phone} in {country:?}");
    };

    // +18005550100
    check("(800)555-0100", Some("US"), "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30");
    // +4930901820
    check("030 90 18 20", Some("DE"), "4db5829924ee5c466cbd9ac69b2a6af527f758614fa3b3aec8c89b16a709a678");
    // +4930901820
    check("+49 (0)30 901820", None, "4db5829924ee5c466cbd9ac69b2a6af527f758614fa3b3aec8c89b16a709a678");
    // +4930901820
    check("00 49 30 901820", Some("FR"), "4db5829924ee5c466cbd9ac69b2a6af527f758614fa3b3aec8c89b16a709a678");
    // +442079460018
    check("020 7946 0018", Some("GB"), "faad3b10918e39b5f4d5334f1e1e128719608e8bd3ad3b963dc30187b4518e23");
    // +33612345678
    check("06 12 34 56 78", Some("FR"), "42d573cfc315801d4cd8eddd5416b416a0bf298b9b9e12d6b07442c91db42bd8");
    // +390212345678
    check("02 1234 5678", Some("IT"), "cd53ded8dc564b9d1743105e4533289635fe59304336f1ed1aaf04b484ab1a18");
    // +4930901820
    check(
        "\u{ff0b}４９ ３０ ９０１８２０",
        None,
        "4db5829924ee5c466cbd9ac69b2a6af527f758614fa3b3aec8c89b16a709a678",
    );
    // +5511961234567
    check("11 96123-4567", Some("BR"), "ba9e508098a380dd6b0fe2289efc609a4be5e64b6e9fe48f1a1c1d15ccdce21a");
}

#[test]
fn only_gmail_loses_dots_and_suffixes() {
    let check = |left: &str, right: &str, same: bool| {
        assert_eq!(hash_of_email(left) == hash_of_email(right), same, "{left} and {right}");
    };

    check("user.name+NYC@Example.com", "user.name+nyc@example.com", true);
    check("user.name+nyc@example.com", "username@example.com", false);
    check("u.s.e.r+a+b@googlemail.com", "user@googlemail.com", true);
    check("user@googlemail.com", "user@gmail.com", false);
    check("user.name@mail.gmail.com", "username@mail.gmail.com", false);
}

#[test]
fn phones_hash_to_googles_own_vector_however_they_are_written() {
    let check = |phone: &str, country: Option<&str>| {
        let hash = admit_user(json!({"phone": phone}), country).user.hashed_phone;
        assert_eq!(hash.as_deref(), Some(PHONE), "{phone} in {country:?}");
    };

    check("+18005550100", None);
    check("+1 (800) 555-0100", None);
    check("(800) 555-0100", Some("US"));
    check("0018005550100", Some("DE"));
    check("+1 800 555 0100", Some("DE"));
}

#[test]
fn a_valid_number_that_another_library_mangles_stays_whole() {
    let national = admit_user(json!({"phone": "8 (800) 123-45-67"}), Some("RU")).user.hashed_phone;
    let international = admit_user(json!({"phone": "+78001234567"}), None).user.hashed_phone;

    assert!(national.is_some() && national == international);
}

#[test]
fn an_invalid_identifier_is_dropped_by_name_and_never_repeated() {
    let check = |user: Value, country: Option<&str>, field: &str| {
        let admitted = admit(json!({"user": user}), country).unwrap();
        let [dropped] = admitted.dropped.as_slice() else { panic!("{user}: {:?}", admitted.dropped) };
        assert_eq!(dropped.field, field, "{user}");
        assert!(admitted.conversion.user.is_empty(), "{user}");
        for value in user.as_object().unwrap().values() {
            assert!(!dropped.reason.contains(value.as_str().unwrap()), "{}", dropped.reason);
        }
    };

    for email in
        ["nobody", "@example.com", "a@b", "a@b@example.com", "a@-example.com", "+x@gmail.com", "a,b@c.de"]
    {
        check(json!({"email": email}), None, "user.email");
    }
    check(json!({"email": "alexz\u{200b}@example.com"}), None, "user.email");
    check(json!({"phone": "030 123456"}), None, "user.phone");
    check(json!({"phone": "12"}), Some("DE"), "user.phone");
    check(json!({"phone": "020 7946 00189999"}), Some("GB"), "user.phone");
    check(json!({"phone": "+999 12345678"}), None, "user.phone");
    check(json!({"phone": "555-0100"}), Some("US"), "user.phone");
    check(json!({"phone": "+1 555"}), None, "user.phone");
    check(json!({"phone": "call me"}), Some("DE"), "user.phone");
    check(json!({"phone": "030 901820"}), Some("ZZ"), "user.phone");
}

#[test]
fn what_the_sender_hashed_passes_through_and_stands_in_for_what_was_dropped() {
    let passed = admit_user(json!({"hashed_email": ALEXZ.to_uppercase(), "hashed_phone": PHONE}), None);
    let stood_in = admit_user(json!({"email": "nobody", "hashed_email": ALEXZ}), None);

    assert_eq!(passed.user.hashed_email.as_deref(), Some(ALEXZ));
    assert_eq!(passed.user.hashed_phone.as_deref(), Some(PHONE));
    assert_eq!(stood_in.user.hashed_email.as_deref(), Some(ALEXZ));
}

#[test]
fn an_event_that_nothing_is_left_to_match_by_is_refused_with_every_reason() {
    let check = |fields: Value, expected: &[&str]| {
        let errors = admit(fields, None).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, expected);
    };

    check(json!({"click_ids": {}, "user": {"email": "nobody"}}), &["user.email", "click_ids"]);
    check(json!({"kind": "enhancement", "order_id": "o", "user": {"phone": "12"}}), &["user.phone", "user"]);
    check(json!({"conversion_action": "My action"}), &["conversion_action"]);
}

#[test]
fn a_conversion_action_is_a_resource_name_or_a_number() {
    let check = |action: &str, admitted: bool| {
        assert_eq!(admit(json!({"conversion_action": action}), None).is_ok(), admitted, "{action}");
    };

    check("customers/1234567890/conversionActions/7001", true);
    check("7001", true);
    check("customers/123/conversionActions/7001", false);
    check("customers/1234567890/conversionActions/", false);
    check("customers/1234567890/conversionActions/x", false);
    check("AW-7001", false);
}

#[test]
fn the_windows_are_those_of_the_platform() {
    let check = |fields: Value, due_at: Option<&str>, expires_at: &str| {
        let admitted = admit(fields.clone(), None).unwrap();
        assert_eq!(admitted.due_at, due_at.map(time), "{fields}");
        assert_eq!(admitted.expires_at, time(expires_at), "{fields}");
    };
    let user = json!({"email": "alexz@example.com"});

    check(
        json!({"clicked_at": "2026-11-20T09:00:00Z"}),
        Some("2026-11-20T15:00:00Z"),
        "2027-02-18T09:00:00Z",
    );
    check(json!({}), None, "2027-02-18T10:00:00Z");
    check(json!({"click_ids": {}, "user": user}), None, "2027-01-22T10:00:00Z");
    check(json!({"kind": "retraction", "order_id": "o"}), None, "2027-01-13T10:00:00Z");
    check(
        json!({"kind": "restatement", "order_id": "o", "clicked_at": "2026-11-20T09:00:00Z"}),
        None,
        "2027-01-13T09:00:00Z",
    );
}

#[test]
fn a_date_at_the_end_of_time_does_not_overflow() {
    let admitted = admit(json!({"occurred_at": "9999-12-30T00:00:00Z"}), None).unwrap();

    assert_eq!(admitted.expires_at, Timestamp::MAX);
}

#[test]
fn consent_and_all_other_fields_go_through_as_they_came() {
    let given = json!({"ad_user_data": "GRANTED", "ad_personalization": "DENIED"});

    let with = admit(json!({"consent": given, "custom_variables": {"tier": "gold"}}), None).unwrap();
    let without = admit(json!({}), None).unwrap();

    assert_eq!(serde_json::to_value(with.conversion.consent).unwrap(), given);
    assert_eq!(with.conversion.custom_variables["tier"], "gold");
    assert!(without.conversion.consent.is_empty());
}

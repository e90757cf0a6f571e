//! The fields of `IngestEventsRequest`.
//! google/ads/datamanager/v1/ingestion_service.proto and event.proto, read 2026-11-22.

use crate::sandbox::shape::Shape::{self, Choice, Fields, Flag, List, Number, Opaque, Text};

/// The body of `events:ingest`.
pub(super) static INGEST: Shape = Fields(&[
    ("destinations", List(&DESTINATION)),
    ("events", List(&EVENT)),
    ("consent", Fields(CONSENT)),
    ("validateOnly", Flag),
    ("encoding", Choice(&["ENCODING_UNSPECIFIED", "HEX", "BASE64"])),
    ("encryptionInfo", Opaque),
]);

static DESTINATION: Shape = Fields(&[
    ("reference", Text),
    ("loginAccount", Fields(ACCOUNT)),
    ("linkedAccount", Fields(ACCOUNT)),
    ("operatingAccount", Fields(ACCOUNT)),
    ("productDestinationId", Text),
]);

const ACCOUNT: &[(&str, Shape)] = &[
    ("accountId", Text),
    (
        "accountType",
        Choice(&[
            "GOOGLE_ADS",
            "DISPLAY_VIDEO_PARTNER",
            "DISPLAY_VIDEO_ADVERTISER",
            "DATA_PARTNER",
            "GOOGLE_ANALYTICS_PROPERTY",
        ]),
    ),
];

const CONSENT: &[(&str, Shape)] = &[("adUserData", GIVEN), ("adPersonalization", GIVEN)];
const GIVEN: Shape = Choice(&["CONSENT_STATUS_UNSPECIFIED", "CONSENT_GRANTED", "CONSENT_DENIED"]);

static EVENT: Shape = Fields(&[
    ("destinationReferences", List(&Text)),
    ("transactionId", Text),
    ("eventTimestamp", Text),
    ("lastUpdatedTimestamp", Text),
    ("userData", Fields(&[("userIdentifiers", List(&IDENTIFIER))])),
    ("consent", Fields(CONSENT)),
    (
        "adIdentifiers",
        Fields(&[
            ("sessionAttributes", Text),
            ("gclid", Text),
            ("gbraid", Text),
            ("wbraid", Text),
            ("landingPageDeviceInfo", Fields(DEVICE)),
        ]),
    ),
    ("currency", Text),
    ("conversionValue", Number),
    (
        "eventSource",
        Choice(&["EVENT_SOURCE_UNSPECIFIED", "WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"]),
    ),
    ("eventDeviceInfo", Fields(DEVICE)),
    ("cartData", Opaque),
    ("customVariables", List(&VARIABLE)),
    ("userProperties", Opaque),
]);

const DEVICE: &[(&str, Shape)] = &[("userAgent", Text), ("ipAddress", Text)];

static VARIABLE: Shape =
    Fields(&[("variable", Text), ("value", Text), ("destinationReferences", List(&Text))]);

static IDENTIFIER: Shape = Fields(&[
    ("emailAddress", Text),
    ("phoneNumber", Text),
    (
        "address",
        Fields(&[("givenName", Text), ("familyName", Text), ("regionCode", Text), ("postalCode", Text)]),
    ),
]);

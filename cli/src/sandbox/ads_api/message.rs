//! The fields of the two upload requests.
//! google/ads/googleads/v25/services/conversion_upload_service.proto and
//! conversion_adjustment_upload_service.proto, read 2026-11-22; the same up to v26.

use crate::sandbox::shape::Shape::{self, Choice, Fields, Flag, List, Number, Opaque, Text};

/// The body of `:uploadClickConversions`.
pub(super) static CLICKS: Shape = Fields(&[
    ("conversions", List(&CLICK)),
    ("partialFailure", Flag),
    ("validateOnly", Flag),
    ("jobId", Number),
]);

static CLICK: Shape = Fields(&[
    ("gclid", Text),
    ("gbraid", Text),
    ("wbraid", Text),
    ("conversionAction", Text),
    ("conversionDateTime", Text),
    ("conversionValue", Number),
    ("currencyCode", Text),
    ("orderId", Text),
    ("externalAttributionData", Opaque),
    ("customVariables", List(&VARIABLE)),
    ("cartData", Opaque),
    ("userIdentifiers", List(&IDENTIFIER)),
    ("conversionEnvironment", Choice(&["UNSPECIFIED", "UNKNOWN", "APP", "WEB"])),
    ("consent", Fields(&[("adUserData", GIVEN), ("adPersonalization", GIVEN)])),
    ("customerType", Choice(&["UNSPECIFIED", "UNKNOWN", "NEW", "RETURNING"])),
    ("userIpAddress", Text),
    ("sessionAttributesEncoded", Text),
    ("sessionAttributesKeyValuePairs", Opaque),
]);

const GIVEN: Shape = Choice(&["UNSPECIFIED", "UNKNOWN", "GRANTED", "DENIED"]);

static VARIABLE: Shape = Fields(&[("conversionCustomVariable", Text), ("value", Text)]);

static IDENTIFIER: Shape = Fields(&[
    ("userIdentifierSource", Choice(&["UNSPECIFIED", "UNKNOWN", "FIRST_PARTY", "THIRD_PARTY"])),
    ("hashedEmail", Text),
    ("hashedPhoneNumber", Text),
    ("mobileId", Text),
    ("thirdPartyUserId", Text),
    ("addressInfo", Opaque),
]);

/// The body of `:uploadConversionAdjustments`.
pub(super) static ADJUSTMENTS: Shape = Fields(&[
    ("conversionAdjustments", List(&ADJUSTMENT)),
    ("partialFailure", Flag),
    ("validateOnly", Flag),
    ("jobId", Number),
]);

static ADJUSTMENT: Shape = Fields(&[
    ("conversionAction", Text),
    ("adjustmentType", Choice(&["UNSPECIFIED", "UNKNOWN", "RETRACTION", "RESTATEMENT", "ENHANCEMENT"])),
    ("orderId", Text),
    ("gclidDateTimePair", Fields(&[("gclid", Text), ("conversionDateTime", Text)])),
    ("adjustmentDateTime", Text),
    ("restatementValue", Fields(&[("adjustedValue", Number), ("currencyCode", Text)])),
    ("userIdentifiers", List(&IDENTIFIER)),
    ("userAgent", Text),
]);

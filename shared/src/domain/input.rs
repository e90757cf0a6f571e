//! One conversion as its sender wrote it: JSON in, every wrong field named, nothing guessed.

use std::collections::BTreeMap;

use iso_currency::Currency;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::{ClickIds, Consent, ConsentState, FieldError, Kind, Personal, ProviderKey, SiteId};

/// The fields of one conversion, as files and requests write them.
pub const INPUT_FIELDS: [&str; 14] = [
    "site_id",
    "provider_key",
    "external_id",
    "kind",
    "occurred_at",
    "clicked_at",
    "value",
    "currency",
    "order_id",
    "click_ids",
    "user",
    "consent",
    "conversion_action",
    "custom_variables",
];

/// Longest external id. Ours; a UUID, an order number or a CRM's key fit many times over.
const MAX_EXTERNAL_ID: usize = 128;
/// Longest order id: 64 characters at Google, the narrowest of the platforms
/// (<https://support.google.com/google-ads/answer/6386790>, read 2026-11-22).
const MAX_ORDER_ID: usize = 64;
/// Longest click id, e-mail address, phone number or other text. Ours: no platform's is longer.
const MAX_TEXT: usize = 512;
/// Most custom variables of one conversion. Ours.
const MAX_CUSTOM_VARIABLES: usize = 20;

/// A conversion as it came in, checked field by field; personal data is still to be hashed by the provider's rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionInput {
    /// Whose it is.
    pub site_id: SiteId,
    /// Where it goes; every provider with credentials where there is none.
    pub provider_key: Option<ProviderKey>,
    /// The sender's own id.
    pub external_id: String,
    /// What it says.
    pub kind: Kind,
    /// When the sale happened.
    pub occurred_at: Timestamp,
    /// When the ad was clicked.
    pub clicked_at: Option<Timestamp>,
    /// In units of `currency`.
    pub value: Option<Decimal>,
    /// ISO 4217.
    pub currency: Option<Currency>,
    /// The order that adjustments refer to.
    pub order_id: Option<String>,
    /// The clicks.
    pub click_ids: ClickIds,
    /// Who bought.
    pub user: UserInput,
    /// What the person agreed to.
    pub consent: Consent,
    /// The platform's conversion action, where it is not the site's usual one.
    pub conversion_action: Option<String>,
    /// Named values.
    pub custom_variables: BTreeMap<String, String>,
}

/// Identifiers as they came in: raw, or hashed by the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInput {
    /// An e-mail address.
    pub email: Option<Personal>,
    /// A phone number, international or national.
    pub phone: Option<Personal>,
    /// SHA-256 of an address that the sender normalised, 64 hexadecimal digits in lower case.
    pub hashed_email: Option<String>,
    /// The same of a phone number in E.164.
    pub hashed_phone: Option<String>,
}

impl UserInput {
    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ConversionInput {
    /// Reads one JSON object. All that is wrong is told at once, by field; unknown fields are refused by name.
    pub fn parse(json: &Value) -> Result<Self, Vec<FieldError>> {
        let Value::Object(object) = json else {
            return Err(vec![FieldError::new("(line)", "must be a JSON object, one conversion")]);
        };
        let mut reader = Reader::new("", object, &INPUT_FIELDS);

        let site_id = reader.required("site_id", |text| text.parse::<SiteId>());
        let provider_key = reader.optional("provider_key", |text| text.parse::<ProviderKey>());
        let external_id = reader.required("external_id", |text| limited(text, MAX_EXTERNAL_ID));
        let kind = reader.required("kind", parse_kind);
        let occurred_at = reader.required("occurred_at", parse_time);
        let clicked_at = reader.optional("clicked_at", parse_time);
        let value = reader.optional_number("value", parse_decimal);
        let currency = reader.optional("currency", parse_currency);
        let order_id = reader.optional("order_id", |text| limited(text, MAX_ORDER_ID));
        let conversion_action = reader.optional("conversion_action", |text| limited(text, MAX_TEXT));
        let click_ids = reader.nested("click_ids", &["gclid", "gbraid", "wbraid"], |nested| ClickIds {
            gclid: nested.optional("gclid", click_id),
            gbraid: nested.optional("gbraid", click_id),
            wbraid: nested.optional("wbraid", click_id),
        });
        let user =
            reader.nested("user", &["email", "phone", "hashed_email", "hashed_phone"], |nested| UserInput {
                email: nested.optional("email", |text| limited(text, MAX_TEXT).map(Personal::new)),
                phone: nested.optional("phone", |text| limited(text, MAX_TEXT).map(Personal::new)),
                hashed_email: nested.optional("hashed_email", parse_hash),
                hashed_phone: nested.optional("hashed_phone", parse_hash),
            });
        let consent = reader.nested("consent", &["ad_user_data", "ad_personalization"], |nested| Consent {
            ad_user_data: nested.optional("ad_user_data", parse_consent),
            ad_personalization: nested.optional("ad_personalization", parse_consent),
        });
        let custom_variables = reader.variables("custom_variables");

        let mut errors = reader.errors;
        check_together(&mut errors, kind, value, currency, &click_ids, &user, order_id.as_deref());
        check_times(&mut errors, occurred_at, clicked_at);
        match (site_id, external_id, kind, occurred_at) {
            (Some(site_id), Some(external_id), Some(kind), Some(occurred_at)) if errors.is_empty() => {
                Ok(Self {
                    site_id,
                    provider_key,
                    external_id,
                    kind,
                    occurred_at,
                    clicked_at,
                    value,
                    currency,
                    order_id,
                    click_ids,
                    user,
                    consent,
                    conversion_action,
                    custom_variables,
                })
            }
            _ => Err(errors),
        }
    }
}

/// What only shows when fields are seen together.
fn check_together(
    errors: &mut Vec<FieldError>,
    kind: Option<Kind>,
    value: Option<Decimal>,
    currency: Option<Currency>,
    click_ids: &ClickIds,
    user: &UserInput,
    order_id: Option<&str>,
) {
    let mut wrong = |field: &str, reason: &str| {
        // A field that is wrong by itself has been named already.
        if !errors.iter().any(|error| error.field == field || error.field.starts_with(&format!("{field}."))) {
            errors.push(FieldError::new(field, reason));
        }
    };
    if value.is_some() && currency.is_none() {
        wrong("currency", "is missing: a value needs its ISO 4217 currency, such as EUR");
    }
    match kind {
        Some(Kind::Conversion) => {
            if click_ids.is_empty() && user.is_empty() {
                wrong(
                    "click_ids",
                    "is missing: a click id (gclid, gbraid or wbraid) or user.email or user.phone is needed",
                );
            }
        }
        Some(Kind::Restatement) => {
            if value.is_none() {
                wrong("value", "is missing: a restatement says the new value");
            }
        }
        Some(Kind::Enhancement) => {
            if user.is_empty() {
                wrong("user", "is missing: an enhancement says who bought (email or phone)");
            }
        }
        Some(Kind::Retraction) | None => {}
    }
    let adjusts = matches!(kind, Some(Kind::Restatement | Kind::Retraction | Kind::Enhancement));
    if adjusts && order_id.is_none() {
        wrong("order_id", "is missing: an adjustment names the order that it adjusts");
    }
}

fn check_times(errors: &mut Vec<FieldError>, occurred_at: Option<Timestamp>, clicked_at: Option<Timestamp>) {
    if let (Some(occurred_at), Some(clicked_at)) = (occurred_at, clicked_at)
        && clicked_at > occurred_at
    {
        errors
            .push(FieldError::new("clicked_at", "must not be later than occurred_at: the click comes first"));
    }
}

/// Reads the fields of one JSON object and gathers what is wrong with them.
struct Reader<'a> {
    prefix: &'a str,
    object: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn new(prefix: &'a str, object: &'a Map<String, Value>, known: &[&str]) -> Self {
        let mut reader = Self { prefix, object, errors: Vec::new() };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            reader.wrong(&printable(name), format!("is no field here: the fields are {}", known.join(", ")));
        }
        reader
    }

    fn wrong(&mut self, name: &str, reason: impl Into<String>) {
        let field = if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) };
        self.errors.push(FieldError::new(field, reason));
    }

    /// A text, trimmed; `null` and the empty text count as absent, as they do in every export.
    fn text(&mut self, name: &str) -> Option<&'a str> {
        match self.object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.trim()).filter(|text| !text.is_empty()),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong(name, "must be a text in quotes");
                None
            }
        }
    }

    fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        parse(text).map_err(|reason| self.wrong(name, reason)).ok()
    }

    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let before = self.errors.len();
        let read = self.optional(name, parse);
        if read.is_none() && self.errors.len() == before {
            self.wrong(name, "is missing");
        }
        read
    }

    /// A number, written as a number or as a text.
    fn optional_number<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if let Some(Value::Number(number)) = self.object.get(name) {
            return parse(&number.to_string()).map_err(|reason| self.wrong(name, reason)).ok();
        }
        self.optional(name, parse)
    }

    fn nested<T: Default>(
        &mut self,
        name: &str,
        known: &[&str],
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        match self.object.get(name) {
            None | Some(Value::Null) => T::default(),
            Some(Value::Object(object)) => {
                let mut nested = Reader::new(name, object, known);
                let value = read(&mut nested);
                self.errors.append(&mut nested.errors);
                value
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_)) => {
                self.wrong(name, format!("must be an object with {}", known.join(", ")));
                T::default()
            }
        }
    }

    fn variables(&mut self, name: &str) -> BTreeMap<String, String> {
        let object = match self.object.get(name) {
            None | Some(Value::Null) => return BTreeMap::new(),
            Some(Value::Object(object)) if object.len() <= MAX_CUSTOM_VARIABLES => object,
            Some(Value::Object(_)) => {
                self.wrong(name, format!("has too many entries: at most {MAX_CUSTOM_VARIABLES}"));
                return BTreeMap::new();
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_)) => {
                self.wrong(name, "must be an object of texts");
                return BTreeMap::new();
            }
        };
        let mut variables = BTreeMap::new();
        for (key, value) in object {
            let field = format!("{name}.{}", printable(key));
            if key.is_empty() || limited(key, MAX_TEXT).is_err() {
                self.wrong(
                    &field,
                    format!("must have a name of 1 to {MAX_TEXT} bytes without control characters"),
                );
                continue;
            }
            match value.as_str().map(|text| limited(text, MAX_TEXT)) {
                Some(Ok(text)) => {
                    variables.insert(key.clone(), text);
                }
                Some(Err(reason)) => self.wrong(&field, reason),
                None => self.wrong(&field, "must be a text in quotes"),
            }
        }
        variables
    }
}

/// A name from outside, made fit for a message.
fn printable(name: &str) -> String {
    name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn limited(text: &str, max: usize) -> Result<String, String> {
    if text.len() > max {
        return Err(format!("is too long: at most {max} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn click_id(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_whitespace) {
        return Err("must not contain spaces: it is the id from the landing page's address, alone".to_owned());
    }
    limited(text, MAX_TEXT)
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    [Kind::Conversion, Kind::Restatement, Kind::Retraction, Kind::Enhancement]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| "must be conversion, restatement, retraction or enhancement".to_owned())
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    // A timestamp needs its offset: a naive local time would silently move by hours.
    let time = text.parse::<Timestamp>().map_err(|_| {
        "must be an RFC 3339 time with its offset, such as 2026-03-01T14:30:00+01:00".to_owned()
    })?;
    // PostgreSQL's calendar begins after ours: a time before it would sink the whole batch.
    if time < Timestamp::UNIX_EPOCH {
        return Err("must not lie before 1970".to_owned());
    }
    Ok(time)
}

fn parse_decimal(text: &str) -> Result<Decimal, String> {
    let value = Decimal::from_str_exact(text)
        .map_err(|_| "must be a decimal number with a point, such as 129.90".to_owned())?;
    if value.is_sign_negative() && !value.is_zero() {
        return Err("must not be negative: a refund is a retraction or a restatement".to_owned());
    }
    Ok(value)
}

fn parse_currency(text: &str) -> Result<Currency, String> {
    Currency::from_code(text).ok_or_else(|| "must be an ISO 4217 code in capitals, such as EUR".to_owned())
}

fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be a SHA-256 in 64 hexadecimal digits".to_owned())
    }
}

fn parse_consent(text: &str) -> Result<ConsentState, String> {
    match text {
        "GRANTED" => Ok(ConsentState::Granted),
        "DENIED" => Ok(ConsentState::Denied),
        _ => Err("must be GRANTED or DENIED".to_owned()),
    }
}

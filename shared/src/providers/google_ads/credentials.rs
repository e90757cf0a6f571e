//! A site's Google Ads credentials: one JSON object, every wrong field named, no value ever repeated.

use std::str::FromStr;

use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::conversion_action::ActionName;
use super::customer_id::CustomerId;
use super::transport::Transport;
use crate::domain::{FieldError, Secret};

const FIELDS: [&str; 9] = [
    "customer_id",
    "client_id",
    "client_secret",
    "refresh_token",
    "conversion_action_resource_name",
    "login_customer_id",
    "developer_token",
    "transport",
    "quota_key",
];

/// Longest text of a credential. Ours: several times the longest one seen.
const MAX_TEXT: usize = 2_048;

/// Longest quota key: it stands unsealed in a table and in log lines.
const MAX_QUOTA_KEY: usize = 128;

/// What opens a site's account.
pub(crate) struct Credentials {
    /// The account that the requests are about.
    pub(crate) customer_id: CustomerId,
    /// The OAuth client.
    pub(crate) client_id: Zeroizing<String>,
    pub(crate) client_secret: Secret,
    /// The grant.
    pub(crate) refresh_token: Secret,
    /// Where a conversion goes that names no action.
    pub(crate) conversion_action: ActionName,
    /// The manager account through which access was granted.
    pub(crate) login_customer_id: Option<CustomerId>,
    /// Optional, and ignored by Google since 2026-09-09.
    pub(crate) developer_token: Option<Secret>,
    pub(crate) transport: Transport,
    /// What shares a request budget, where the operator named it.
    pub(crate) quota_key: Option<String>,
}

impl Credentials {
    /// Reads the JSON; all that is wrong is told at once.
    pub(crate) fn parse(json: &Secret) -> Result<Self, Vec<FieldError>> {
        let Ok(Value::Object(object)) = serde_json::from_str(json.expose()) else {
            return Err(vec![FieldError::new("credentials", "must be one JSON object")]);
        };
        let mut reader = Reader::new(object);

        let customer_id = reader.required("customer_id", CustomerId::from_str);
        let client_id = reader.required("client_id", |text| printable(text).map(Zeroizing::new));
        let client_secret = reader.required("client_secret", |text| printable(text).map(Secret::new));
        let refresh_token = reader.required("refresh_token", |text| printable(text).map(Secret::new));
        let conversion_action = reader.required("conversion_action_resource_name", ActionName::from_str);
        let login_customer_id = reader.optional("login_customer_id", CustomerId::from_str);
        let developer_token = reader.optional("developer_token", |text| printable(text).map(Secret::new));
        let transport = reader.optional("transport", Transport::from_str).unwrap_or(Transport::DataManager);
        let quota_key = reader.optional("quota_key", parse_quota_key);

        let errors = reader.finish();
        match (customer_id, client_id, client_secret, refresh_token, conversion_action) {
            (Some(customer_id), Some(client_id), Some(client_secret), Some(refresh_token), Some(action))
                if errors.is_empty() =>
            {
                Ok(Self {
                    customer_id,
                    client_id,
                    client_secret,
                    refresh_token,
                    conversion_action: action,
                    login_customer_id,
                    developer_token,
                    transport,
                    quota_key,
                })
            }
            _ => Err(errors),
        }
    }
}

/// Takes the fields out of the object one by one; what is left in the end is unknown. Every text is wiped.
struct Reader {
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Reader {
    fn new(object: Map<String, Value>) -> Self {
        Self { object, errors: Vec::new() }
    }

    fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = match self.object.remove(name)? {
            Value::Null => return None,
            Value::String(text) => Zeroizing::new(text),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.errors.push(FieldError::new(name, "must be a text in quotes"));
                return None;
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        parse(text).map_err(|reason| self.errors.push(FieldError::new(name, reason))).ok()
    }

    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let before = self.errors.len();
        let read = self.optional(name, parse);
        if read.is_none() && self.errors.len() == before {
            self.errors.push(FieldError::new(name, "is missing"));
        }
        read
    }

    fn finish(mut self) -> Vec<FieldError> {
        for (name, value) in std::mem::take(&mut self.object) {
            if let Value::String(mut text) = value {
                text.zeroize();
            }
            let name: String = name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
            let reason = format!("is no field here: the fields are {}", FIELDS.join(", "));
            self.errors.push(FieldError::new(name, reason));
        }
        self.errors
    }
}

/// A text without spaces or control characters, as ids, secrets and tokens are: anything else was pasted wrongly, and
/// would break a header.
fn printable(text: &str) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        Err(format!("is too long: at most {MAX_TEXT} bytes"))
    } else if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be one word of letters, digits and signs, without spaces".to_owned())
    }
}

fn parse_quota_key(text: &str) -> Result<String, String> {
    let is_key = |text: &str| {
        text.len() <= MAX_QUOTA_KEY
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:".contains(&byte))
    };
    if is_key(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a name of at most {MAX_QUOTA_KEY} letters, digits, _ . - or :"))
    }
}

//! What a look at an account means, sentence by sentence: pure.

use super::customer_id::CustomerId;
use super::transport::Transport;
use super::wire::search::{ConversionAction, Customer, Row};
use crate::domain::{ErrorCode, HoldScope, Verdict};
use crate::providers::{Check, Reply, RowAnswer, SendError};

pub(crate) use crate::providers::REQUEST;

pub(crate) const SCOPE: &str = "scope";
pub(crate) const ACCESS: &str = "access";
pub(crate) const ACCOUNT: &str = "account";
pub(crate) const TRACKING: &str = "tracking";
pub(crate) const TERMS: &str = "terms";
pub(crate) const LEADS: &str = "leads";
pub(crate) const ACTION: &str = "action";
pub(crate) const IDENTIFIERS: &str = "identifiers";

/// What only the Google Ads API tells.
const DESCRIBED: [&str; 6] = [ACCESS, ACCOUNT, TRACKING, TERMS, LEADS, ACTION];

/// What a grant covers, beside what its transport needs. Unknown scopes are told by the API itself, later.
pub(crate) fn of_scope(transport: Transport, scopes: Option<&[String]>) -> Check {
    let needed = transport.scope();
    match scopes {
        None => Check::unknown(SCOPE, None, "the token endpoint did not say what the grant covers"),
        Some(scopes) if scopes.iter().any(|scope| scope == needed) => {
            Check::passed(SCOPE, format!("the grant covers {needed}"))
        }
        Some(_) => Check::failed(
            SCOPE,
            ErrorCode::own("rpc.ErrorInfo.ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
            HoldScope::Site,
            format!("the grant does not cover {needed}"),
            "connect the site again and agree to that scope, then relay credentials put",
        ),
    }
}

/// Whether a grant may cover an API, as far as anybody knows.
pub(crate) fn may_cover(transport: Transport, scopes: Option<&[String]>) -> bool {
    scopes.is_none_or(|scopes| scopes.iter().any(|scope| scope == transport.scope()))
}

/// Everything that only the Google Ads API could have told.
pub(crate) fn undescribed(why: &str) -> Vec<Check> {
    DESCRIBED.iter().map(|check| Check::skipped(check, why)).collect()
}

pub(crate) fn of_malformed_action() -> Check {
    let code = ErrorCode::own("CONVERSION_ACTION_MALFORMED");
    let mend = "name the action by its number or as customers/1234567890/conversionActions/987654";
    Check::failed(ACTION, code, HoldScope::Row, "the conversion action's name is malformed", mend)
}

/// A request that cannot be built is refused as its conversion would be.
pub(crate) fn not_built(code: ErrorCode) -> SendError {
    let reply = Reply { code: Some(code), ..Reply::default() };
    SendError::Misconfigured { reply, scope: HoldScope::ConversionAction }
}

/// What an account meets depends on the way that its conversions take.
pub(crate) struct Meets {
    pub(crate) transport: Transport,
}

impl Meets {
    /// The account cannot be asked about. A site on the other way may do without this API; then nothing is known.
    pub(crate) fn of_no_access(&self, error: &SendError) -> Vec<Check> {
        let is_of_this_api = match (self.transport, error) {
            (Transport::AdsApi, _) => false,
            (Transport::DataManager, SendError::Misconfigured { reply, scope }) => {
                matches!(scope, HoldScope::Client | HoldScope::Provider)
                    || last_part(reply.code.as_ref()) == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            }
            (
                Transport::DataManager,
                SendError::Unauthorised(_)
                | SendError::Throttled { .. }
                | SendError::Rerouted { .. }
                | SendError::Refused(_)
                | SendError::TooLarge(_)
                | SendError::Unavailable(_)
                | SendError::Unconfirmed(_),
            ) => false,
        };
        if is_of_this_api {
            let code = error.reply().code.as_ref().map_or("no code", ErrorCode::as_str);
            return undescribed(&format!(
                "the Google Ads API, which alone tells, is closed to the client: {code}"
            ));
        }
        vec![of_error(ACCESS, error)]
    }

    /// The account itself.
    pub(crate) fn of_customer(&self, rows: &[Row], operating: &CustomerId) -> Vec<Check> {
        let Some(customer) = rows.iter().find_map(|row| row.customer.as_ref()) else {
            let says = "the account was found, and nothing was told of it";
            return vec![Check::unknown(ACCOUNT, None, says)];
        };
        let access = Check::passed(ACCESS, format!("the grant may work in account {operating}"));
        vec![
            access,
            of_status(customer),
            self.of_tracking(customer, operating),
            of_terms(customer),
            of_leads(customer),
        ]
    }

    fn of_tracking(&self, customer: &Customer, operating: &CustomerId) -> Check {
        let tracked_in = account_of(&customer.conversion_tracking_setting.google_ads_conversion_customer);
        match tracked_in {
            None => Check::unknown(TRACKING, None, "where the account's conversions are managed is not told"),
            Some(account) if account == operating.as_str() => {
                Check::passed(TRACKING, "the account manages its own conversions")
            }
            Some(account) => Check::failed(
                TRACKING,
                ErrorCode::own("conversionUploadError.INVALID_CUSTOMER_FOR_CLICK"),
                HoldScope::Site,
                format!("the conversions of account {operating} are managed in account {account}"),
                match self.transport {
                    Transport::DataManager => {
                        format!("name an action of that account: customers/{account}/conversionActions/…")
                    }
                    Transport::AdsApi => format!("set customer_id to {account} in the credentials"),
                },
            ),
        }
    }

    /// The action. With a manager the same number may come twice: what counts is the account's own.
    pub(crate) fn of_action(&self, rows: &[Row], operating: &CustomerId) -> Vec<Check> {
        let actions = || rows.iter().filter_map(|row| row.conversion_action.as_ref());
        let owner = |action: &ConversionAction| account_of(&action.owner_customer).map(str::to_owned);
        let own = actions().find(|action| owner(action).as_deref() == Some(operating.as_str()));
        let Some(action) = own.or_else(|| actions().next()) else {
            return vec![Check::failed(
                ACTION,
                ErrorCode::own("conversionUploadError.NO_CONVERSION_ACTION_FOUND"),
                HoldScope::ConversionAction,
                format!("account {operating} has no such conversion action"),
                mend_of("NO_CONVERSION_ACTION_FOUND", HoldScope::ConversionAction),
            )];
        };
        if own.is_none() && self.transport == Transport::DataManager {
            let owner = owner(action).unwrap_or_else(|| "another account".to_owned());
            return vec![Check::failed(
                ACTION,
                ErrorCode::own("dataManager.ErrorReason.INVALID_CONVERSION_ACTION_ID"),
                HoldScope::ConversionAction,
                format!("the conversion action belongs to {owner}, not to account {operating}"),
                format!("name it by its owner: customers/{owner}/conversionActions/…"),
            )];
        }
        vec![of_found_action(action)]
    }
}

fn of_status(customer: &Customer) -> Check {
    match customer.status.as_str() {
        "ENABLED" if customer.test_account => {
            Check::passed(ACCOUNT, "the account is enabled, as a test account")
                .hint("conversions of a test account count nowhere")
        }
        "ENABLED" if customer.manager => Check::passed(ACCOUNT, "the account is enabled, and a manager's"),
        "ENABLED" => Check::passed(ACCOUNT, "the account is enabled"),
        status @ ("CANCELED" | "SUSPENDED" | "CLOSED") => Check::failed(
            ACCOUNT,
            ErrorCode::own("authorizationError.CUSTOMER_NOT_ENABLED"),
            HoldScope::Site,
            format!("the account is {}", status.to_lowercase()),
            mend_of("CUSTOMER_NOT_ENABLED", HoldScope::Site),
        ),
        _ => Check::unknown(ACCOUNT, None, "the account's status is none that this program knows"),
    }
}

fn of_terms(customer: &Customer) -> Check {
    if customer.conversion_tracking_setting.accepted_customer_data_terms {
        return Check::passed(TERMS, "the customer data terms are accepted");
    }
    Check::failed(
        TERMS,
        ErrorCode::own("conversionUploadError.CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS"),
        HoldScope::Site,
        "the customer data terms are not accepted: conversions with an address or number are refused",
        mend_of("CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS", HoldScope::Site),
    )
}

fn of_leads(customer: &Customer) -> Check {
    if customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled {
        return Check::passed(LEADS, "enhanced conversions for leads are on");
    }
    Check::failed(
        LEADS,
        ErrorCode::own("conversionUploadError.CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"),
        HoldScope::Site,
        "enhanced conversions for leads are off: conversions with an address or number are refused",
        mend_of("CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS", HoldScope::Site),
    )
}

fn of_found_action(action: &ConversionAction) -> Check {
    let fault =
        |code, says: String, mend| Check::failed(ACTION, code, HoldScope::ConversionAction, says, mend);
    if action.kind != "UPLOAD_CLICKS" {
        return fault(
            ErrorCode::own("conversionUploadError.INVALID_CONVERSION_ACTION_TYPE"),
            format!("the conversion action is of the type {}, which takes no uploads", word(&action.kind)),
            mend_of("INVALID_CONVERSION_ACTION_TYPE", HoldScope::ConversionAction),
        );
    }
    if action.status != "ENABLED" {
        return fault(
            ErrorCode::own("conversionUploadError.NO_CONVERSION_ACTION_FOUND"),
            format!("the conversion action is {}", word(&action.status).to_lowercase()),
            "enable it in Google Ads, or name one that is enabled",
        );
    }
    let days = action.click_through_lookback_window_days.parse::<u16>();
    let window = days.map_or_else(|_| String::new(), |days| format!(", clicks count for {days} days"));
    let passed = Check::passed(ACTION, format!("the conversion action is enabled and takes uploads{window}"));
    if action.counting_type == "MANY_PER_CLICK" {
        return passed;
    }
    passed.hint("it counts one conversion per click: conversions with gbraid or wbraid need it set to every")
}

/// What it means that a question or a request had no good answer.
pub(crate) fn of_error(check: &'static str, error: &SendError) -> Check {
    let code = error.reply().code.clone();
    match error {
        SendError::Misconfigured { reply, scope } => of_fault(check, reply.code.clone(), *scope),
        SendError::Unauthorised(reply) | SendError::Rerouted { reply, .. } => {
            of_fault(check, reply.code.clone(), HoldScope::Site)
        }
        SendError::Throttled { wait, scope, .. } => {
            let says = "Google asks to wait: its request budget is used up";
            Check { throttled: Some((*scope, *wait)), ..Check::unknown(check, code, says) }
        }
        SendError::Refused(_) | SendError::TooLarge(_) => {
            Check::unknown(check, code, "Google refused the question, and said nothing of the account")
        }
        SendError::Unavailable(_) | SendError::Unconfirmed(_) => {
            Check::unknown(check, code, "Google could not answer: try again")
        }
    }
}

/// What a request that was only validated says. Whatever is said of the made-up row alone proves that all before it is well.
pub(crate) fn of_validation(check: &'static str, said: &Result<Option<RowAnswer>, SendError>) -> Check {
    let well = match check {
        IDENTIFIERS => "hashed addresses and numbers are taken",
        _ => {
            "a made-up conversion was validated; nothing was recorded, and executing is judged more strictly"
        }
    };
    let row = match said {
        Ok(None) => return Check::passed(check, well),
        Ok(Some(row)) => row,
        Err(error) => return of_error(check, error),
    };
    match row.verdict {
        Verdict::Misconfigured(scope) => of_fault(check, row.code.clone(), scope),
        // Conversions would go by the other way: what has to be mended is told all the same.
        Verdict::Rerouted(_) => of_fault(check, row.code.clone(), HoldScope::Site),
        // Or without the part: only what is said of the account is news, not what is said of the made-up part.
        Verdict::Degraded(_) => Some(of_fault(check, row.code.clone(), HoldScope::Site))
            .filter(is_about_identifiers)
            .unwrap_or_else(|| Check::passed(check, well)),
        Verdict::Delivered
        | Verdict::Submitted
        | Verdict::Duplicate
        | Verdict::Unmatched(_)
        | Verdict::Superseded
        | Verdict::ConsentDenied
        | Verdict::Rejected
        | Verdict::Expired
        | Verdict::Delayed(_)
        | Verdict::DelayedAtMost(_)
        | Verdict::ActionDelayed(_) => Check::passed(check, well),
        Verdict::Failed(_) | Verdict::Resend | Verdict::Unconfirmed => Check::unknown(
            check,
            row.code.clone(),
            "Google could not judge the made-up conversion: try again",
        ),
    }
}

/// Whether a fault is one of identifiers, so that conversions without them may go all the same.
pub(crate) fn is_about_identifiers(check: &Check) -> bool {
    matches!(
        last_part(check.code.as_ref()),
        "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS"
            | "CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"
            | "CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS"
            | "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED"
            | "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"
            | "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS"
    )
}

fn of_fault(check: &'static str, code: Option<ErrorCode>, scope: HoldScope) -> Check {
    let code = code.unwrap_or(ErrorCode::own("NO_CODE"));
    let mend = mend_of(last_part(Some(&code)), scope);
    let says = match check {
        ACCESS => "Google does not let the grant see the account",
        IDENTIFIERS => "conversions with an address or number are refused",
        _ => "conversions would be refused",
    };
    Check::failed(check, code, scope, says, mend)
}

/// What to do about a code.
fn mend_of(code: &str, scope: HoldScope) -> &'static str {
    match code {
        "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE" => {
            "set \"transport\": \"data_manager\" in the credentials, with a grant that covers its scope"
        }
        "USER_PERMISSION_DENIED" | "PERMISSION_DENIED" | "NOT_ADS_USER" | "SERVICE_ACCESS_DENIED" => {
            "give the user of the grant access to the account, or name the right manager as login_customer_id"
        }
        "CUSTOMER_NOT_ENABLED" | "ACTION_NOT_PERMITTED" | "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT" => {
            "reactivate the account in Google Ads, or settle what it was suspended for"
        }
        "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS"
        | "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED"
        | "TERMS_AND_CONDITIONS_NOT_SIGNED" => {
            "accept the customer data terms in Google Ads: Goals, Settings, Customer data terms"
        }
        "CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"
        | "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS" => {
            "turn on enhanced conversions for leads in Google Ads: Goals, Settings"
        }
        "CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS"
        | "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS" => {
            "send conversions of this account without addresses and numbers"
        }
        "NO_CONVERSION_ACTION_FOUND"
        | "INVALID_CONVERSION_ACTION_ID"
        | "NOT_FOUND"
        | "CONVERSION_ACTION_MALFORMED" => "name an enabled conversion action that the account owns",
        "INVALID_CONVERSION_ACTION_TYPE" => {
            "name a conversion action of the type import from clicks (UPLOAD_CLICKS)"
        }
        "UNSUPPORTED_VERSION" | "HTTP_404" => "set GOOGLE_ADS_API_VERSION to a version that is alive",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => {
            "connect the site again and agree to the scope of its transport, then relay credentials put"
        }
        "SERVICE_DISABLED" => "enable the API in the cloud project of the OAuth client",
        _ => match scope {
            HoldScope::Row | HoldScope::ConversionAction => "mend the conversion action, or name another",
            HoldScope::Site => "mend the account or its access, or store other credentials",
            HoldScope::Client => "mend the OAuth client or its cloud project; all of its sites are concerned",
            HoldScope::Provider => "mend this program's settings; every site is concerned",
        },
    }
}

/// A code without its family.
fn last_part(code: Option<&ErrorCode>) -> &str {
    code.and_then(|code| code.as_str().rsplit('.').next()).unwrap_or_default()
}

/// `customers/1234567890` is account 1234567890.
fn account_of(name: &str) -> Option<&str> {
    let account = name.strip_prefix("customers/")?;
    (!account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

/// An enum value of a server, as far as it is one.
fn word(value: &str) -> &str {
    let is_word = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_word { value } else { "UNKNOWN" }
}

//! Accounts that are out of order, told by the first four digits of their customer id.

/// What is wrong with an account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// `9991…`: came too late for `uploadClickConversions`; the Data Manager API is open to it.
    NotAllowlisted,
    /// `9992…`: has not accepted the customer data terms; rows with user identifiers are refused.
    TermsNotAccepted,
    /// `9993…`: the user of the token may not touch it.
    NoPermission,
    /// `9994…`: cancelled or suspended.
    NotEnabled,
}

impl Fault {
    /// The fault of a customer id, if it is one of the magic ones.
    pub(super) fn of(customer: &str) -> Option<Self> {
        match customer.get(..4)? {
            "9991" => Some(Self::NotAllowlisted),
            "9992" => Some(Self::TermsNotAccepted),
            "9993" => Some(Self::NoPermission),
            "9994" => Some(Self::NotEnabled),
            _ => None,
        }
    }
}

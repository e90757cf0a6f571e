//! Accounts and conversion actions that are out of order, told by the first four digits of their ids.

use std::collections::HashSet;
use std::sync::Arc;

/// Ids that are kept as mended: more than any test or demo mends.
const MENDED_MAX: usize = 10_000;

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
    fn of(customer: &str) -> Option<Self> {
        match customer.get(..4)? {
            "9991" => Some(Self::NotAllowlisted),
            "9992" => Some(Self::TermsNotAccepted),
            "9993" => Some(Self::NoPermission),
            "9994" => Some(Self::NotEnabled),
            _ => None,
        }
    }
}

/// What is wrong with a conversion action.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionFault {
    /// `9981…`: there is none.
    Missing,
    /// `9982…`: it counts page views and takes no uploads.
    WrongType,
    /// `9983…`: it belongs to the account's manager.
    OtherOwner,
    /// `9984…`: it counts one conversion per click, so that braids are refused.
    OnePerClick,
    /// `9985…`: its manager has one of the same number, which a search finds as well; nothing is wrong.
    TwiceThere,
}

impl ActionFault {
    fn of(action: &str) -> Option<Self> {
        match action.get(..4)? {
            "9981" => Some(Self::Missing),
            "9982" => Some(Self::WrongType),
            "9983" => Some(Self::OtherOwner),
            "9984" => Some(Self::OnePerClick),
            "9985" => Some(Self::TwiceThere),
            _ => None,
        }
    }
}

/// Accounts and conversion actions that somebody put in order.
#[derive(Clone, Default)]
pub(super) struct Mended(Arc<HashSet<String>>);

impl Mended {
    /// What is wrong with an account, if anything still is.
    pub(super) fn fault(&self, customer: &str) -> Option<Fault> {
        Fault::of(customer).filter(|_| !self.0.contains(customer))
    }

    /// What is wrong with a conversion action, if anything still is.
    pub(super) fn action_fault(&self, action: &str) -> Option<ActionFault> {
        ActionFault::of(action).filter(|_| !self.0.contains(action))
    }

    /// Puts an account or a conversion action in order; false where there is no room to remember it.
    pub(super) fn mend(&mut self, id: &str) -> bool {
        let room = self.0.len() < MENDED_MAX;
        if room {
            Arc::make_mut(&mut self.0).insert(id.to_owned());
        }
        room
    }
}

//! What the stand-in has counted, once per account, conversion action and order.

use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::HashMap;

/// Conversions by order and by click, in the order of their first arrival.
#[derive(Default)]
pub(super) struct Ledger {
    actions: Vec<(String, String)>,
    action_keys: HashMap<(String, String), Action>,
    entries: Vec<Entry>,
    by_order: HashMap<(Action, Box<str>), usize>,
    by_click: HashMap<(Action, Box<str>), usize>,
}

/// One conversion action of one account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Action(u32);

/// One conversion as far as the platform can tell it from others.
pub(super) struct Entry {
    action: Action,
    order: Box<str>,
    /// Times it was counted as a new conversion. Anything but 1 at the end of a test is a fault of somebody.
    pub(super) counted: u32,
    pub(super) received: u32,
    pub(super) adjustments: u32,
    pub(super) value: Option<Decimal>,
    pub(super) currency: Option<Box<str>>,
    /// Seconds since 1970 of the conversion, and of its newest adjustment.
    pub(super) occurred_at: i64,
    pub(super) adjusted_at: Option<i64>,
    pub(super) retracted: bool,
    pub(super) enhanced: bool,
}

/// An entry as the inspection endpoint shows it.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    account: &'a str,
    conversion_action: &'a str,
    order_id: &'a str,
    counted: u32,
    received: u32,
    adjustments: u32,
    last_value: Option<Decimal>,
    currency: Option<&'a str>,
    retracted: bool,
}

/// How a row is told from others.
pub(super) struct Identity {
    /// The transaction or order id, if it has one.
    pub(super) order: Option<Box<str>>,
    /// `click@second`, if it has a click id.
    pub(super) click: Option<Box<str>>,
    /// Whatever else names the person; two conversions of one second must not fall together.
    pub(super) person: Option<Box<str>>,
    /// Seconds since 1970.
    pub(super) occurred_at: i64,
}

impl Identity {
    /// Puts a click and its second together.
    pub(super) fn of_click(click: &str, occurred_at: i64) -> Box<str> {
        format!("{click}@{occurred_at}").into()
    }

    /// What the ledger files the row under.
    fn key(&self) -> Box<str> {
        match (&self.order, &self.click) {
            (Some(order), _) => order.clone(),
            (None, Some(click)) => click.clone(),
            (None, None) => Self::of_click(self.person.as_deref().unwrap_or_default(), self.occurred_at),
        }
    }
}

/// What a conversion is worth.
pub(super) struct Worth {
    pub(super) value: Option<Decimal>,
    pub(super) currency: Option<Box<str>>,
}

/// What the ledger made of a conversion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// It was new.
    Counted,
    /// Its order was counted before.
    OrderKnown,
    /// Its click and second were counted before, under another order or none.
    ClickKnown,
}

impl Ledger {
    /// Entries so far.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key of a conversion action.
    pub(super) fn action(&mut self, account: &str, action: &str) -> Action {
        let name = (account.to_owned(), action.to_owned());
        if let Some(key) = self.action_keys.get(&name) {
            return *key;
        }
        // There are never more actions than entries, whose number is bounded far below.
        let key = Action(u32::try_from(self.actions.len()).unwrap_or(u32::MAX));
        self.actions.push(name.clone());
        self.action_keys.insert(name, key);
        key
    }

    /// Notes that a row arrived, whatever becomes of it.
    pub(super) fn receive(&mut self, action: Action, row: &Identity) -> usize {
        let key = (action, row.key());
        let known = self.by_order.get(&key).or_else(|| match &row.order {
            Some(_) => None,
            None => self.by_click.get(&key),
        });
        let at = match known {
            Some(at) => *at,
            None => {
                let at = self.entries.len();
                self.entries.push(Entry::new(action, key.1.clone(), row.occurred_at));
                self.by_order.insert(key, at);
                at
            }
        };
        self.entries[at].received += 1;
        at
    }

    /// Whether a received row is a new conversion; a new one is counted.
    pub(super) fn enter(&mut self, at: usize, row: &Identity, worth: Worth) -> Entered {
        let action = self.entries[at].action;
        let click = row.click.clone().map(|click| (action, click));
        let same_click = click.as_ref().and_then(|click| self.by_click.get(click)).is_some();
        if row.order.is_some() && self.entries[at].counted > 0 {
            return Entered::OrderKnown;
        }
        if same_click {
            return Entered::ClickKnown;
        }
        self.count(at, click, row.occurred_at, worth);
        Entered::Counted
    }

    /// Counts a received row, or overwrites what it is worth if it was counted before.
    pub(super) fn enter_or_overwrite(&mut self, at: usize, row: &Identity, worth: Worth) -> Entered {
        let entry = &mut self.entries[at];
        if entry.counted == 0 {
            let click = row.click.clone().map(|click| (entry.action, click));
            self.count(at, click, row.occurred_at, worth);
            return Entered::Counted;
        }
        if row.order.is_none() && row.click.is_some() {
            return Entered::ClickKnown;
        }
        if row.order.is_none() {
            // Nothing tells this conversion from the earlier one, so that the platform counts both.
            entry.counted += 1;
            return Entered::Counted;
        }
        entry.adjustments += 1;
        entry.value = worth.value.or(entry.value);
        entry.currency = worth.currency.or(entry.currency.take());
        Entered::OrderKnown
    }

    fn count(&mut self, at: usize, click: Option<(Action, Box<str>)>, occurred_at: i64, worth: Worth) {
        let entry = &mut self.entries[at];
        entry.counted += 1;
        entry.occurred_at = occurred_at;
        entry.value = worth.value;
        entry.currency = worth.currency;
        if let Some(click) = click {
            self.by_click.entry(click).or_insert(at);
        }
    }

    /// The counted conversion that an adjustment means. One that came with an order is found by its order only.
    /// <https://developers.google.com/google-ads/api/reference/rpc/v22/ConversionAdjustment>, read 2026-11-22.
    pub(super) fn find(&mut self, action: Action, row: &Identity) -> Option<&mut Entry> {
        let by_order = row.order.as_ref().and_then(|order| self.by_order.get(&(action, order.clone())));
        let by_click = || {
            let click = row.click.as_ref()?;
            let at = self.by_click.get(&(action, click.clone()))?;
            (self.entries[*at].order == *click).then_some(at)
        };
        let at = *by_order.or_else(by_click)?;
        Some(&mut self.entries[at]).filter(|entry| entry.counted > 0)
    }

    /// All entries, in the order of their first arrival.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.entries.iter().map(|entry| {
            let (account, action) = &self.actions[entry.action.0 as usize];
            Line {
                account,
                conversion_action: action,
                order_id: &entry.order,
                counted: entry.counted,
                received: entry.received,
                adjustments: entry.adjustments,
                last_value: entry.value,
                currency: entry.currency.as_deref(),
                retracted: entry.retracted,
            }
        })
    }
}

impl Entry {
    fn new(action: Action, order: Box<str>, occurred_at: i64) -> Self {
        Self {
            action,
            order,
            counted: 0,
            received: 0,
            adjustments: 0,
            value: None,
            currency: None,
            occurred_at,
            adjusted_at: None,
            retracted: false,
            enhanced: false,
        }
    }
}

/// An amount as it stands in the body, never by way of a float.
pub(super) fn decimal(value: Option<&serde_json::Value>) -> Option<Decimal> {
    let text = match value?.as_str() {
        Some(text) => text.to_owned(),
        None => value?.to_string(),
    };
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

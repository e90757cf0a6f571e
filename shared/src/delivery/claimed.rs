//! A claim on its way to a provider, and how it is cut into parts that go by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::decide::{erased, settled};
use crate::domain::{ClaimToken, Class, ErrorCode, GroupId, HoldScope, Outcome, ProviderKey, SiteId};
use crate::providers::{Account, Request, Row};
use crate::store::{ClaimedRow, HeldAction, SettledRow};

/// Conversions under one token: a claim, or a part of one. They go in one request, or are decided without.
#[derive(Debug)]
pub(super) struct Part {
    pub token: ClaimToken,
    pub group: GroupId,
    pub site: SiteId,
    pub provider: ProviderKey,
    pub is_probe: bool,
    pub failure_count: i32,
    pub rows: Vec<ClaimedRow>,
    /// Conversion actions of its group for which nothing goes.
    pub held_actions: Arc<[HeldAction]>,
    /// How often it was cut; an adapter that never came to one request would cut for ever.
    pub depth: u8,
}

/// More cuts than halving 2,000 rows takes, and some.
pub(super) const DEPTH_MAX: u8 = 20;

/// What to do with a part.
pub(super) enum Plan {
    /// Send it: one request carries every row.
    Send(Box<Request>),
    /// Decided without a request, one entry per row.
    Settle(Vec<SettledRow>),
    /// Cut it: the number of the piece for each row.
    Cut(Vec<i32>),
    /// It has had its turn; what is left of it is for another claim.
    GiveBack,
}

/// Rows that are decided before they are sent go into this piece.
const DECIDED: i32 = 0;

/// Packs a part: pure.
pub(super) fn plan(part: &Part, account: &dyn Account, now: Timestamp) -> Plan {
    if let Some(pieces) = by_their_parts(&part.rows) {
        return if part.depth < TURNS_MAX { Plan::Cut(pieces) } else { Plan::GiveBack };
    }
    let mut decided: Vec<Option<SettledRow>> = vec![None; part.rows.len()];
    let mut rows = Vec::with_capacity(part.rows.len());
    // For each row that is packed: its place in the part.
    let mut places = Vec::with_capacity(part.rows.len());
    for (place, row) in part.rows.iter().enumerate() {
        match &row.conversion {
            Some(conversion) => match waits_for_its_action(&part.held_actions, &row.action_key) {
                Some(waits) => decided[place] = Some(waits),
                None => {
                    rows.push(Row { conversion, omitted: row.omitted });
                    places.push(place);
                }
            },
            None if row.is_erased => decided[place] = Some(erased()),
            None => decided[place] = Some(held(row, ErrorCode::own("PAYLOAD_UNREADABLE"))),
        }
    }
    let packed = account.pack(&rows, now);
    for (index, answer) in &packed.refused {
        let row = &part.rows[places[*index]];
        decided[places[*index]] = Some(super::decide::settle_row(row, answer, 0.0));
    }
    let mut pieces = vec![DECIDED; part.rows.len()];
    for (number, request) in (1..).zip(&packed.requests) {
        for (index, target) in request.rows.iter().zip(&request.targets) {
            let place = places[*index];
            let row = &part.rows[place];
            // What may have been delivered there must not be sent here: it would count twice.
            if row.maybe_delivered && row.target.is_some_and(|sent| sent != target.0) {
                decided[place] = Some(held(row, ErrorCode::own("TARGET_CHANGED")));
            } else {
                pieces[place] = number;
            }
        }
    }
    let first = pieces.first().copied().unwrap_or(DECIDED);
    if pieces.iter().any(|piece| *piece != first) {
        return Plan::Cut(pieces);
    }
    match packed.requests.into_iter().next() {
        Some(request) if first != DECIDED => Plan::Send(Box::new(request)),
        _ => Plan::Settle(
            decided
                .into_iter()
                .zip(&part.rows)
                .map(|(row, claimed)| row.unwrap_or_else(|| held(claimed, ErrorCode::own("NOT_PACKED"))))
                .collect(),
        ),
    }
}

/// Pieces of one cut: each request renews the lease of all the others.
const PIECES_MAX: usize = 32;

/// Cuts of what is left after that, before it is given back: one group must not keep a slot for ever.
const TURNS_MAX: u8 = 4;

/// Conversions whose part is not the same must not share a request; none where it is. The last piece is for all parts
/// beyond the limit, and is cut again when it is its turn.
fn by_their_parts(rows: &[ClaimedRow]) -> Option<Vec<i32>> {
    let parts: BTreeSet<Option<i64>> = rows.iter().map(|row| row.part).collect();
    let places: BTreeMap<_, _> = parts.iter().zip(0..).map(|(part, place)| (*part, place)).collect();
    let piece = |row: &ClaimedRow| places[&row.part].min(PIECES_MAX - 1);
    (parts.len() > 1).then(|| rows.iter().map(|row| i32::try_from(piece(row)).unwrap_or(i32::MAX)).collect())
}

/// What becomes of a conversion whose action is held: nothing is sent, and nothing is burnt.
fn waits_for_its_action(held: &[HeldAction], action: &str) -> Option<SettledRow> {
    let held = held.iter().find(|held| held.action == action)?;
    let code = Some(held.code.clone());
    Some(match held.until {
        Some(until) => SettledRow {
            class: Some(Class::Delay),
            code,
            not_before: Some(until),
            ..settled(Outcome::Delayed)
        },
        None => SettledRow {
            class: Some(Class::Config),
            code,
            hold: Some((HoldScope::ConversionAction, action.to_owned())),
            ..settled(Outcome::Held)
        },
    })
}

/// Cuts a part in two, for a request that was refused without naming a row.
pub(super) fn halves(rows: usize) -> Vec<i32> {
    (0..rows).map(|place| i32::from(place >= rows.div_ceil(2))).collect()
}

impl Part {
    /// Names the conversion actions as holds know them.
    pub(super) fn name_actions(&mut self, account: &dyn Account) {
        for row in &mut self.rows {
            let conversion = row.conversion.as_ref();
            row.action_key =
                account.action_key(conversion.and_then(|conversion| conversion.conversion_action.as_deref()));
        }
    }

    /// The pieces of this part, by their numbers and tokens.
    pub(super) fn cut(self, pieces: &[i32], tokens: &[(i32, ClaimToken)]) -> Vec<Part> {
        let mut parts: Vec<(i32, Part)> = tokens
            .iter()
            .map(|(number, token)| {
                let part = Part { token: *token, rows: Vec::new(), depth: self.depth + 1, ..self.head() };
                (*number, part)
            })
            .collect();
        for (row, piece) in self.rows.into_iter().zip(pieces) {
            if let Some((_, part)) = parts.iter_mut().find(|(number, _)| number == piece) {
                part.rows.push(row);
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn head(&self) -> Part {
        Part {
            token: self.token,
            group: self.group,
            site: self.site,
            provider: self.provider,
            is_probe: self.is_probe,
            failure_count: self.failure_count,
            rows: Vec::new(),
            held_actions: Arc::clone(&self.held_actions),
            depth: self.depth,
        }
    }
}

fn held(row: &ClaimedRow, code: ErrorCode) -> SettledRow {
    SettledRow {
        class: Some(Class::Config),
        code: Some(code),
        hold: Some((HoldScope::Row, row.conversion_id.to_string())),
        ..settled(Outcome::Held)
    }
}

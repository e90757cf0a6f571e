//! Claims: who may work on which conversions, and until when.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use super::credentials::{SealedCredentials, stored_key};
use super::{Store, StoreError, seconds};
use crate::domain::{
    AttemptId, ClaimToken, Conversion, ConversionId, ErrorCode, GroupId, Omitted, ProviderKey, RunId, SiteId,
};

/// What a run asks for.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// Who asks.
    pub run: RunId,
    /// For which provider.
    pub provider: ProviderKey,
    /// For one site only.
    pub site: Option<SiteId>,
    /// Most groups, 1 to 1,000; each comes with an upload slot.
    pub groups: i32,
    /// Most conversions over all groups.
    pub rows: i32,
    /// Most conversions of one group, 1 to 10,000.
    pub batch: i32,
    /// How long the claim is fenced for, 5 s to 1 h.
    pub lease: Duration,
}

/// What one group gave.
#[derive(Debug)]
pub struct Claim {
    /// The fence; `None` where all that was due had expired.
    pub token: Option<ClaimToken>,
    /// Whose rows these are.
    pub group: GroupId,
    /// The group's site.
    pub site: SiteId,
    /// Requests in a row that failed as a whole before this claim.
    pub failure_count: i32,
    /// Whether this request probes an open circuit.
    pub is_probe: bool,
    /// Conversions that ended as expired in this claim.
    pub expired: u64,
    /// The conversions, in the claim's order.
    pub rows: Vec<ClaimedRow>,
}

/// Whether a request may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It may, after this wait.
    Booked {
        /// Its ledger row.
        attempt: AttemptId,
        /// Until the budget of its quota key lets it go; the lease counts from there.
        wait: Duration,
    },
    /// The budget is used up for longer than was asked for: nothing was written.
    OverBudget {
        /// When to ask again.
        wait: Duration,
    },
    /// The claim was lost: nothing may be sent.
    Lost,
}

/// One conversion of a claim.
#[derive(Debug)]
pub struct ClaimedRow {
    /// Which one.
    pub conversion_id: ConversionId,
    /// Retries burnt so far.
    pub retry_count: u8,
    /// Whole requests that failed with it since the circuit last changed.
    pub request_failures: u8,
    /// Whether an earlier request may have delivered it.
    pub maybe_delivered: bool,
    /// Where it was sent first, if it was.
    pub target: Option<i64>,
    /// What to send; `None` where this program cannot read what an other one wrote.
    pub conversion: Option<Conversion>,
    /// Whether that is so because its person was erased.
    pub is_erased: bool,
    /// The optional parts that it goes without.
    pub omitted: Omitted,
    /// Conversions of one part go in one request, and nothing else with them.
    pub part: Option<i64>,
    /// Its conversion action in the form that holds know it by. Empty until its account was opened.
    pub action_key: String,
}

/// What a claim is sent with.
#[derive(Debug, Default)]
pub struct ClaimedAccount {
    /// The group's credentials; `None` where it has none.
    pub sealed: Option<SealedCredentials>,
    /// The transport that the group was switched to, by the ledger's name.
    pub transport: Option<String>,
    /// Its conversion actions that are held.
    pub held_actions: Vec<HeldAction>,
}

/// A conversion action for which nothing goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAction {
    /// Its key within the group, as the hold has it.
    pub action: String,
    /// Why.
    pub code: ErrorCode,
    /// Until when, where the hold ends by itself.
    pub until: Option<Timestamp>,
}

/// A payload that does not spoil its batch when it cannot be read.
pub(super) struct Payload {
    pub(super) conversion: Option<Conversion>,
    /// What `erase_person` left of it.
    pub(super) is_erased: bool,
}

/// The mark of an erased payload, which lacks what every conversion has.
#[derive(Deserialize)]
struct Erased {
    erased: bool,
}

impl<'a> FromSql<'a> for Payload {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // `jsonb` on the wire is its version, 1, and then text.
        let text = raw.split_first().map_or(raw, |(_, text)| text);
        let conversion = serde_json::from_slice(text).ok();
        let is_erased = conversion.is_none()
            && serde_json::from_slice::<Erased>(text).is_ok_and(|payload| payload.erased);
        Ok(Self { conversion, is_erased })
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }
}

impl Store {
    /// Claims due conversions. Several groups come with one call; none is an empty answer.
    pub async fn claim_offline_conversion_jobs_v2(
        &self,
        ask: &ClaimRequest,
    ) -> Result<Vec<Claim>, StoreError> {
        let rows = self
            .query(
                "select claim_token, group_id, site_id, failure_count, is_probe, expired, conversion_ids, \
                 retry_counts, request_failures, maybe_delivered, targets, payloads \
                 from relay.claim_offline_conversion_jobs_v2($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&ask.run.0, Type::INT8),
                    (&ask.provider.as_str(), Type::TEXT),
                    (&ask.site.map(|site| site.0), Type::UUID),
                    (&ask.groups, Type::INT4),
                    (&ask.rows, Type::INT4),
                    (&ask.batch, Type::INT4),
                    (&seconds(ask.lease), Type::INT4),
                ],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                let ids: Vec<i64> = row.get("conversion_ids");
                let retry_counts: Vec<i16> = row.get("retry_counts");
                let request_failures: Vec<i16> = row.get("request_failures");
                let maybe_delivered: Vec<bool> = row.get("maybe_delivered");
                let targets: Vec<Option<i64>> = row.get("targets");
                let payloads: Vec<Payload> = row.get("payloads");
                let rows = payloads.into_iter().enumerate().map(|(place, payload)| ClaimedRow {
                    conversion_id: ConversionId(ids[place]),
                    retry_count: u8::try_from(retry_counts[place]).unwrap_or(u8::MAX),
                    request_failures: u8::try_from(request_failures[place]).unwrap_or(u8::MAX),
                    maybe_delivered: maybe_delivered[place],
                    target: targets[place],
                    is_erased: payload.is_erased,
                    conversion: payload.conversion,
                    omitted: Omitted::NONE,
                    part: None,
                    action_key: String::new(),
                });
                Claim {
                    token: row.get::<_, Option<Uuid>>("claim_token").map(ClaimToken),
                    group: GroupId(row.get("group_id")),
                    site: SiteId(row.get("site_id")),
                    failure_count: row.get("failure_count"),
                    is_probe: row.get("is_probe"),
                    expired: u64::try_from(row.get::<_, i32>("expired")).unwrap_or(0),
                    rows: rows.collect(),
                }
            })
            .collect())
    }

    /// Reads what claims are sent with, in one round trip, and completes their rows. Claims that were lost meanwhile
    /// have no entry in the answer.
    pub async fn read_claimed_accounts(
        &self,
        claims: &mut [Claim],
    ) -> Result<HashMap<ClaimToken, ClaimedAccount>, StoreError> {
        let tokens: Vec<Uuid> = claims.iter().filter_map(|claim| claim.token.map(|token| token.0)).collect();
        let rows = self
            .query(
                "select claim_token, group_id, key_version, source, wrapped, sealed, transport, omitted, parts, \
                 held_actions, held_codes, held_until from relay.read_claimed_accounts($1)",
                &[(&tokens, Type::UUID_ARRAY)],
            )
            .await?;
        let mut accounts = HashMap::with_capacity(rows.len());
        for row in &rows {
            let token = ClaimToken(row.get("claim_token"));
            if let Some(claim) = claims.iter_mut().find(|claim| claim.token == Some(token)) {
                complete(&mut claim.rows, row);
            }
            accounts.insert(token, claimed_account(row));
        }
        Ok(accounts)
    }

    /// Cuts a claim into parts: `parts` has one entry per conversion, the part that it goes to. The parts' tokens in
    /// the order of their numbers; empty where the claim was lost.
    pub async fn split_claim(
        &self,
        token: ClaimToken,
        parts: &[i32],
        lease: Duration,
    ) -> Result<Vec<(i32, ClaimToken)>, StoreError> {
        let rows = self
            .query(
                "select part, claim_token from relay.split_claim($1, $2, $3)",
                &[(&token.0, Type::UUID), (&parts, Type::INT4_ARRAY), (&seconds(lease), Type::INT4)],
            )
            .await?;
        Ok(rows.iter().map(|row| (row.get("part"), ClaimToken(row.get("claim_token")))).collect())
    }

    /// Writes the ledger row of a request before it leaves, books it in the budget of its quota key where it may leave
    /// within `wait`, and renews the lease. `targets` has one entry per conversion, or a single one for all.
    pub async fn book_provider_upload_attempt(
        &self,
        token: ClaimToken,
        transport: &str,
        request_sha256: &str,
        targets: &[i64],
        lease: Duration,
        wait: Duration,
    ) -> Result<Opened, StoreError> {
        let rows = self
            .query(
                "select attempt_id, wait_ms from relay.book_provider_upload_attempt($1, $2, $3, $4, $5, $6)",
                &[
                    (&token.0, Type::UUID),
                    (&transport, Type::TEXT),
                    (&request_sha256, Type::TEXT),
                    (&targets, Type::INT8_ARRAY),
                    (&seconds(lease), Type::INT4),
                    (&seconds(wait), Type::INT4),
                ],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Opened::Lost);
        };
        let wait = Duration::from_millis(u64::try_from(row.get::<_, i32>("wait_ms")).unwrap_or(0));
        Ok(match row.get::<_, Option<i64>>("attempt_id") {
            Some(attempt) => Opened::Booked { attempt: AttemptId(attempt), wait },
            None => Opened::OverBudget { wait },
        })
    }
}

/// What the conversions go without and together; absent where there is none of it.
fn complete(claimed: &mut [ClaimedRow], row: &Row) {
    let omitted: Option<Vec<Option<i16>>> = row.get("omitted");
    for (claimed, omitted) in claimed.iter_mut().zip(omitted.into_iter().flatten()) {
        claimed.omitted = Omitted::from_bits(omitted.unwrap_or(0));
    }
    let parts: Option<Vec<Option<i64>>> = row.get("parts");
    for (claimed, part) in claimed.iter_mut().zip(parts.into_iter().flatten()) {
        claimed.part = part;
    }
}

fn claimed_account(row: &Row) -> ClaimedAccount {
    let actions: Vec<String> = row.get::<_, Option<_>>("held_actions").unwrap_or_default();
    let codes: Vec<String> = row.get::<_, Option<_>>("held_codes").unwrap_or_default();
    let until: Vec<Option<Timestamp>> = row.get::<_, Option<_>>("held_until").unwrap_or_default();
    let held = actions.into_iter().zip(codes).zip(until);
    ClaimedAccount {
        sealed: row.get::<_, Option<Vec<u8>>>("sealed").map(|sealed| SealedCredentials {
            group: GroupId(row.get("group_id")),
            key: stored_key(row),
            sealed,
        }),
        transport: row.get("transport"),
        held_actions: held
            .map(|((action, code), until)| HeldAction { action, code: ErrorCode::foreign(&code), until })
            .collect(),
    }
}

//! Receipts: requests that are answered later, and what became of them.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claim::Payload;
use super::credentials::{SealedCredentials, stored_key};
use super::settle::ThrottleScope;
use super::{ClaimedRow, Store, StoreError, seconds};
use crate::domain::{
    AttemptId, ClaimToken, ConversionId, ErrorCode, GroupId, HoldScope, Omitted, ProviderKey, RunId, SiteId,
};

/// A receipt that is due to be asked for; for as long as its lease nobody else asks.
#[derive(Debug)]
pub struct DueReceipt {
    /// The request.
    pub attempt: AttemptId,
    /// Whose.
    pub group: GroupId,
    /// Whose.
    pub site: SiteId,
    /// Its id at the provider.
    pub provider_request_id: String,
    /// The way that it took.
    pub transport: Option<String>,
    /// How many conversions it carried.
    pub conversions: u64,
    /// Whether an earlier request may have delivered one of them.
    pub maybe_delivered: bool,
    /// When the request budget lets the question go.
    pub wait: Duration,
    /// A day has passed: what is not known by now will not be known.
    pub is_last: bool,
    /// For a week nobody could even ask.
    pub is_overdue: bool,
    /// The credentials to ask with; `None` where the site has none.
    pub sealed: Option<SealedCredentials>,
}

/// A receipt that was taken apart.
#[derive(Debug)]
pub struct OpenedReceipt {
    /// The fence of its conversions.
    pub token: ClaimToken,
    /// They.
    pub rows: Vec<ClaimedRow>,
    /// The part that they went as.
    pub part: Option<i64>,
    /// What may have become of them and of those behind, as it was kept.
    pub worlds: Option<Value>,
    /// Conversions that stayed behind for what it tells, without what to send, and their fence.
    pub behind: Option<(ClaimToken, Vec<ClaimedRow>)>,
}

/// Conversions that stay behind while others of their request go again and tell of them.
#[derive(Debug)]
pub struct ReceiptRest {
    /// The part that goes.
    pub part: i64,
    /// Whose.
    pub group: GroupId,
    /// Those that go, in the order of their ids.
    pub sent: Vec<i64>,
    /// Those that stay.
    pub stays: Vec<i64>,
    /// The part that they wait as.
    pub stays_as: i64,
    /// What may have become of all, those that go first: an array for each way, with a code or null for each.
    pub worlds: Value,
}

/// Which receipts to ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiptScope {
    /// Of one site only.
    pub site: Option<SiteId>,
    /// Those, too, that are due within so long, at most a day.
    pub early_minutes: i32,
}

/// What a question that could not be answered asks for.
#[derive(Debug, Default)]
pub struct Postponed {
    /// How long to wait; by a schedule of its own where absent.
    pub wait: Option<Duration>,
    /// Who else waits so long.
    pub throttle: Option<ThrottleScope>,
    /// A hold of the group, or of what it shares.
    pub hold: Option<(HoldScope, ErrorCode)>,
    /// How long ago the credentials were read.
    pub asked: Duration,
}

impl Store {
    /// Receipts that are due, at most `limit`, each with a place in its request budget within `wait`; each once in
    /// a run.
    pub async fn claim_receipts(
        &self,
        run: RunId,
        provider: ProviderKey,
        scope: ReceiptScope,
        limit: i32,
        wait: Duration,
        lease: Duration,
    ) -> Result<Vec<DueReceipt>, StoreError> {
        let rows = self
            .query(
                "select attempt_id, group_id, site_id, provider_request_id, transport, conversions, maybe_delivered, \
                 wait_ms, is_last, is_overdue, key_version, source, wrapped, sealed \
                 from relay.claim_receipts($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&provider.as_str(), Type::TEXT),
                    (&scope.site.map(|site| site.0), Type::UUID),
                    (&limit, Type::INT4),
                    (&seconds(wait), Type::INT4),
                    (&seconds(lease), Type::INT4),
                    (&scope.early_minutes, Type::INT4),
                    (&run.0, Type::INT8),
                ],
            )
            .await?;
        let due = rows.iter().map(|row| DueReceipt {
            attempt: AttemptId(row.get("attempt_id")),
            group: GroupId(row.get("group_id")),
            site: SiteId(row.get("site_id")),
            provider_request_id: row.get("provider_request_id"),
            transport: row.get("transport"),
            conversions: u64::try_from(row.get::<_, i32>("conversions")).unwrap_or(0),
            maybe_delivered: row.get("maybe_delivered"),
            wait: Duration::from_millis(u64::try_from(row.get::<_, i32>("wait_ms")).unwrap_or(0)),
            is_last: row.get("is_last"),
            is_overdue: row.get("is_overdue"),
            sealed: row.get::<_, Option<Vec<u8>>>("sealed").map(|sealed| SealedCredentials {
                group: GroupId(row.get("group_id")),
                key: stored_key(row),
                sealed,
            }),
        });
        Ok(due.collect())
    }

    /// Every conversion of the request was delivered; how many, 0 where the receipt was settled before.
    pub async fn finish_receipt(&self, attempt: AttemptId) -> Result<u64, StoreError> {
        let row = self
            .query_one(
                "select finished from relay.finish_receipt($1) as finished",
                &[(&attempt.0, Type::INT8)],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i32>("finished")).unwrap_or(0))
    }

    /// Asks again later; whether a hold was opened that was not there before.
    pub async fn postpone_receipt(
        &self,
        attempt: AttemptId,
        postponed: &Postponed,
    ) -> Result<bool, StoreError> {
        let throttle = postponed.throttle.map(|scope| match scope {
            ThrottleScope::Group => "group",
            ThrottleScope::QuotaKey => "quota_key",
        });
        let row = self
            .query_one(
                "select opened from relay.postpone_receipt($1, $2, $3, $4, $5, $6) as opened",
                &[
                    (&attempt.0, Type::INT8),
                    (&postponed.wait.map(seconds), Type::INT4),
                    (&throttle, Type::TEXT),
                    (&postponed.hold.as_ref().map(|(scope, _)| scope.as_str()), Type::TEXT),
                    (&postponed.hold.as_ref().map(|(_, code)| code.as_str()), Type::TEXT),
                    (&seconds(postponed.asked), Type::INT4),
                ],
            )
            .await?;
        Ok(row.get("opened"))
    }

    /// Takes a receipt apart: its conversions under a claim that sends nothing, and those that stayed behind for what it
    /// tells under another. `None` where it was settled before.
    pub async fn open_told_receipt(
        &self,
        attempt: AttemptId,
        run: RunId,
        lease: Duration,
    ) -> Result<Option<OpenedReceipt>, StoreError> {
        let rows = self
            .query(
                "select claim_token, conversion_ids, retry_counts, targets, omitted, payloads, part, worlds, stayed_behind \
                 from relay.open_told_receipt($1, $2, $3)",
                &[(&attempt.0, Type::INT8), (&run.0, Type::INT8), (&seconds(lease), Type::INT4)],
            )
            .await?;
        let mut opened: Option<OpenedReceipt> = None;
        for row in &rows {
            let (token, claimed) = (ClaimToken(row.get::<_, Uuid>("claim_token")), claimed_rows(row));
            match &mut opened {
                Some(opened) if row.get("stayed_behind") => opened.behind = Some((token, claimed)),
                _ => {
                    let worlds = row.get("worlds");
                    opened = Some(OpenedReceipt {
                        token,
                        rows: claimed,
                        part: row.get("part"),
                        worlds,
                        behind: None,
                    });
                }
            }
        }
        Ok(opened)
    }

    /// Keeps which conversions stay behind while others go again, before they are put there.
    pub async fn keep_receipt_rest(&self, rest: &ReceiptRest) -> Result<(), StoreError> {
        self.query_one(
            "select from relay.keep_receipt_rest($1, $2, $3, $4, $5, $6)",
            &[
                (&rest.part, Type::INT8),
                (&rest.group.0, Type::INT4),
                (&rest.sent, Type::INT8_ARRAY),
                (&rest.stays, Type::INT8_ARRAY),
                (&rest.stays_as, Type::INT8),
                (&rest.worlds, Type::JSONB),
            ],
        )
        .await?;
        Ok(())
    }
}

fn claimed_rows(row: &Row) -> Vec<ClaimedRow> {
    let ids: Vec<i64> = row.get("conversion_ids");
    let retry_counts: Vec<i16> = row.get("retry_counts");
    let targets: Vec<Option<i64>> = row.get("targets");
    let omitted: Vec<i16> = row.get("omitted");
    let mut payloads = row.get::<_, Vec<Payload>>("payloads").into_iter();
    let claimed = ids.into_iter().enumerate().map(|(place, id)| {
        let payload = payloads.next();
        ClaimedRow {
            conversion_id: ConversionId(id),
            retry_count: u8::try_from(retry_counts[place]).unwrap_or(u8::MAX),
            request_failures: 0,
            maybe_delivered: true,
            target: targets[place],
            is_erased: payload.as_ref().is_some_and(|payload| payload.is_erased),
            conversion: payload.and_then(|payload| payload.conversion),
            omitted: Omitted::from_bits(omitted[place]),
            part: None,
            action_key: String::new(),
        }
    });
    claimed.collect()
}

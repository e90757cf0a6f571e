//! Receipts: requests that are answered later, and what became of them.

use std::time::Duration;

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

    /// Takes a receipt apart: its conversions under a claim that sends nothing. `None` where it was settled before.
    pub async fn open_receipt(
        &self,
        attempt: AttemptId,
        run: RunId,
        lease: Duration,
    ) -> Result<Option<(ClaimToken, Vec<ClaimedRow>)>, StoreError> {
        let rows = self
            .query(
                "select claim_token, conversion_ids, retry_counts, targets, omitted, payloads \
                 from relay.open_receipt($1, $2, $3)",
                &[(&attempt.0, Type::INT8), (&run.0, Type::INT8), (&seconds(lease), Type::INT4)],
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let ids: Vec<i64> = row.get("conversion_ids");
        let retry_counts: Vec<i16> = row.get("retry_counts");
        let targets: Vec<Option<i64>> = row.get("targets");
        let omitted: Vec<i16> = row.get("omitted");
        let payloads: Vec<Payload> = row.get("payloads");
        let claimed = payloads.into_iter().enumerate().map(|(place, payload)| ClaimedRow {
            conversion_id: ConversionId(ids[place]),
            retry_count: u8::try_from(retry_counts[place]).unwrap_or(u8::MAX),
            request_failures: 0,
            maybe_delivered: true,
            target: targets[place],
            is_erased: payload.is_erased,
            conversion: payload.conversion,
            omitted: Omitted::from_bits(omitted[place]),
            part: None,
        });
        Ok(Some((ClaimToken(row.get::<_, Uuid>("claim_token")), claimed.collect())))
    }
}

//! Looks at accounts without a conversion: whose turn it is, what they found, and how a site stands on our own side.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::{Store, StoreError, ThrottleScope, seconds};
use crate::domain::{ErrorCode, GroupId, ProviderKey, SiteId};

/// A group whose credentials are looked at now.
#[derive(Debug, Clone)]
pub struct GroupToProbe {
    /// Which one.
    pub group: GroupId,
    /// Whose.
    pub site: SiteId,
    /// At which provider.
    pub provider: ProviderKey,
    /// What shares its request budget.
    pub quota_key: Option<String>,
    /// The transport that it takes, where that is known.
    pub transport: Option<String>,
    /// When it was claimed: the fence of what is found.
    pub probed_at: Timestamp,
    /// What stops it, or conversion actions of it.
    pub holds: Vec<OpenHold>,
}

/// A hold that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHold {
    /// Which one.
    pub hold_id: i64,
    /// The conversion action that it stops, as conversions name it, empty for the account's own; `None`: the group.
    pub action: Option<String>,
    /// Why.
    pub code: ErrorCode,
}

/// How a site stands with one of its providers, on our own side.
#[derive(Debug, Clone, Default)]
pub struct SiteStanding {
    /// At which provider; `None` where a known site has no group.
    pub provider_key: Option<String>,
    /// Its group there.
    pub group: Option<GroupId>,
    /// What shares its request budget.
    pub quota_key: Option<String>,
    /// The transport that it takes, where that is known.
    pub transport: Option<String>,
    /// When its credentials were stored; `None`: it has none.
    pub credentials_at: Option<Timestamp>,
    /// Why all of it is held, and since when.
    pub hold: Option<(String, Timestamp)>,
    /// Why conversions are parked by themselves, and how many; counting stops at 10,001.
    pub parked: Option<(String, i64)>,
    /// Why it is paused, and until when, where that is known.
    pub pause: Option<(String, Option<Timestamp>)>,
    /// The circuit that is not closed, and when it is probed.
    pub circuit: Option<(String, Option<Timestamp>)>,
    /// Whether the provider's own circuit is not closed.
    pub provider_circuit: Option<String>,
}

impl Store {
    /// Takes the groups that were not looked at for longest: `quiet` ago, or `held` ago where something holds them. From now on
    /// they count as looked at. A provider that this program does not know is left out.
    pub async fn claim_groups_to_probe(
        &self,
        site: Option<SiteId>,
        quiet: Duration,
        held: Duration,
        limit: i32,
    ) -> Result<Vec<GroupToProbe>, StoreError> {
        let rows = self
            .query(
                "select group_id, site_id, provider_key, quota_key, transport, probed_at, hold_id, hold_scope, hold_key, hold_code \
                 from relay.claim_groups_to_probe($1, $2, $3, $4)",
                &[
                    (&site.map(|site| site.0), Type::UUID),
                    (&seconds(quiet), Type::INT4),
                    (&seconds(held), Type::INT4),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        let mut groups: Vec<GroupToProbe> = Vec::new();
        for row in &rows {
            let Ok(provider) = row.get::<_, &str>("provider_key").parse() else { continue };
            let group = GroupId(row.get("group_id"));
            if groups.last().is_none_or(|last| last.group != group) {
                groups.push(GroupToProbe {
                    group,
                    site: SiteId(row.get("site_id")),
                    provider,
                    quota_key: row.get("quota_key"),
                    transport: row.get("transport"),
                    probed_at: row.get("probed_at"),
                    holds: Vec::new(),
                });
            }
            if let (Some(last), Some(hold_id)) = (groups.last_mut(), row.get::<_, Option<i64>>("hold_id")) {
                let of_action = row.get::<_, &str>("hold_scope") == "conversion_action";
                last.holds.push(OpenHold {
                    hold_id,
                    action: of_action.then(|| row.get("hold_key")),
                    code: ErrorCode::foreign(row.get("hold_code")),
                });
            }
        }
        Ok(groups)
    }

    /// Opens a hold of a whole group for what a look found. False where it is held already, was looked at again, or has new
    /// credentials since.
    pub async fn hold_group(
        &self,
        group: GroupId,
        code: &ErrorCode,
        probed_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select opened from relay.hold_group($1, $2, $3) as opened",
                &[(&group.0, Type::INT4), (&code.as_str(), Type::TEXT), (&probed_at, Type::TIMESTAMPTZ)],
            )
            .await?;
        Ok(row.get("opened"))
    }

    /// Lifts one hold after a probe that passed; false where it was lifted before.
    pub async fn lift_probed_hold(&self, hold_id: i64) -> Result<bool, StoreError> {
        let row = self
            .query_one("select lifted from relay.lift_probed_hold($1) as lifted", &[(&hold_id, Type::INT8)])
            .await?;
        Ok(row.get("lifted"))
    }

    /// Takes the requests of one look from the budget of a quota key: how long to wait before they leave. `None` where that
    /// would be longer than `wait`.
    pub async fn reserve_probe_requests(
        &self,
        quota_key: &str,
        requests: u32,
        wait: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        let row = self
            .query_one(
                "select reserved, wait_ms from relay.reserve_probe_requests($1, $2, $3)",
                &[
                    (&quota_key, Type::TEXT),
                    (&i32::try_from(requests).unwrap_or(i32::MAX), Type::INT4),
                    (&seconds(wait), Type::INT4),
                ],
            )
            .await?;
        let wait = Duration::from_millis(u64::try_from(row.get::<_, i64>("wait_ms")).unwrap_or(0));
        Ok(row.get::<_, bool>("reserved").then_some(wait))
    }

    /// A look at an account was asked to wait: nothing goes for its group, or for all of its quota key, for so long.
    pub async fn throttle_probed_group(
        &self,
        site: SiteId,
        provider: ProviderKey,
        scope: ThrottleScope,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let scope = match scope {
            ThrottleScope::Group => "group",
            ThrottleScope::QuotaKey => "quota_key",
        };
        self.query(
            "select from relay.throttle_probed_group($1, $2, $3, $4)",
            &[
                (&site.0, Type::UUID),
                (&provider.as_str(), Type::TEXT),
                (&scope, Type::TEXT),
                (&seconds(wait), Type::INT4),
            ],
        )
        .await?;
        Ok(())
    }

    /// How a site stands with each of its providers; empty where it is unknown.
    pub async fn read_site_standing(&self, site: SiteId) -> Result<Vec<SiteStanding>, StoreError> {
        let rows = self
            .query(
                "select provider_key, group_id, quota_key, transport, credentials_at, hold_code, held_since, parked_code, parked, \
                 pause_reason, paused_until, circuit, next_probe_at, provider_circuit \
                 from relay.read_site_standing($1)",
                &[(&site.0, Type::UUID)],
            )
            .await?;
        let open = |state: Option<String>| state.filter(|state| state != "CLOSED");
        let standing = |row: &tokio_postgres::Row| SiteStanding {
            provider_key: row.get("provider_key"),
            group: row.get::<_, Option<i32>>("group_id").map(GroupId),
            quota_key: row.get("quota_key"),
            transport: row.get("transport"),
            credentials_at: row.get("credentials_at"),
            hold: row.get::<_, Option<String>>("hold_code").zip(row.get("held_since")),
            parked: row.get::<_, Option<String>>("parked_code").map(|code| (code, row.get("parked"))),
            pause: row.get::<_, Option<String>>("pause_reason").map(|why| (why, row.get("paused_until"))),
            circuit: open(row.get("circuit")).map(|state| (state, row.get("next_probe_at"))),
            provider_circuit: open(row.get("provider_circuit")),
        };
        Ok(rows.iter().map(standing).collect())
    }
}

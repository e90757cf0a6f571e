//! One group and the writes of its orders: what they wait for is told by their external ids.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::Value;
use tests::world::World;
use tokio_postgres::Client;
use uuid::Uuid;

use super::put_groups;

/// One write of an order, as a client sends it. It occurred so many minutes into a year.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write<'a> {
    id: &'a str,
    kind: &'a str,
    order: Option<&'a str>,
    action: &'a str,
    minute: i32,
    expires_in_minutes: i32,
}

impl<'a> Write<'a> {
    fn new(kind: &'a str, id: &'a str, order: Option<&'a str>, minute: i32) -> Self {
        Self { id, kind, order, action: "", minute, expires_in_minutes: 50_000 }
    }

    pub(super) fn conversion(id: &'a str, minute: i32) -> Self {
        Self::new("conversion", id, None, minute)
    }

    pub(super) fn restatement(id: &'a str, order: &'a str, minute: i32) -> Self {
        Self::new("restatement", id, Some(order), minute)
    }

    pub(super) fn retraction(id: &'a str, order: &'a str, minute: i32) -> Self {
        Self::new("retraction", id, Some(order), minute)
    }

    pub(super) fn enhancement(id: &'a str, order: &'a str) -> Self {
        Self::new("enhancement", id, Some(order), 0)
    }

    pub(super) fn of_order(self, order: &'a str) -> Self {
        Self { order: Some(order), ..self }
    }

    pub(super) fn of_action(self, action: &'a str) -> Self {
        Self { action, ..self }
    }

    pub(super) fn expires_in_minutes(self, expires_in_minutes: i32) -> Self {
        Self { expires_in_minutes, ..self }
    }
}

/// A claim, with the external ids of what it holds.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) token: Uuid,
    pub(super) ids: Vec<String>,
}

/// What became of a conversion, with the class that goes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct End(pub(super) &'static str, pub(super) Option<&'static str>);

pub(super) const DELIVERED: End = End("DELIVERED", Some("OK"));
pub(super) const REJECTED: End = End("REJECTED", Some("PERM"));
pub(super) const SUBMITTED: End = End("SUBMITTED", Some("OK"));
pub(super) const AGAIN: End = End("RETRY", Some("TRANSIENT"));

pub(super) struct Ground {
    pub(super) world: World,
    site: Uuid,
}

impl Ground {
    pub(super) async fn new() -> anyhow::Result<Self> {
        let world = World::new().await?;
        put_groups(&world.sql, "key", 100, 1).await?;
        let site = world.sql.query_one("select site_id from relay.delivery_group", &[]).await?.get(0);
        Ok(Self { world, site })
    }

    /// Takes writes in, in one batch; what the door said of each.
    pub(super) async fn take_in(&self, writes: &[Write<'_>]) -> anyhow::Result<Vec<String>> {
        self.take_in_by(&self.world.sql, writes).await
    }

    pub(super) async fn take_in_by(&self, sql: &Client, writes: &[Write<'_>]) -> anyhow::Result<Vec<String>> {
        let of = |field: fn(&Write<'_>) -> i32| writes.iter().map(field).collect::<Vec<_>>();
        let ids: Vec<_> = writes.iter().map(|write| write.id).collect();
        let kinds: Vec<_> = writes.iter().map(|write| write.kind).collect();
        let orders: Vec<_> = writes.iter().map(|write| write.order).collect();
        let actions: Vec<_> = writes.iter().map(|write| write.action).collect();
        let statement = include_str!("take_in.sql");
        let rows = sql
            .query(
                statement,
                &[
                    &self.site,
                    &ids,
                    &kinds,
                    &orders,
                    &actions,
                    &of(|write| write.minute),
                    &of(|write| write.expires_in_minutes),
                ],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// One claim call of everything that may go, with a lease of 30 seconds.
    pub(super) async fn claim(&self) -> anyhow::Result<Vec<Claim>> {
        let statement = "select claim_token, array(select external_id from unnest(conversion_ids) with ordinality as c (id, place) \
                         join relay.conversion_key on conversion_id = id order by place) \
                         from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30) \
                         where claim_token is not null";
        let rows = self.world.sql.query(statement, &[]).await?;
        Ok(rows.iter().map(|row| Claim { token: row.get(0), ids: row.get(1) }).collect())
    }

    /// Sends a claim, and all of it ends so.
    pub(super) async fn settle(&self, claim: &Claim, end: End) -> anyhow::Result<()> {
        self.settle_by(&self.world.sql, claim, &vec![end; claim.ids.len()]).await
    }

    /// Sends a claim, and each of it ends as told.
    pub(super) async fn settle_by(&self, sql: &Client, claim: &Claim, ends: &[End]) -> anyhow::Result<()> {
        let open = "select attempt_id from relay.book_provider_upload_attempt($1, 'ads_api', '00', array[1::bigint], 30)";
        let attempt: i64 = sql.query_one(open, &[&claim.token]).await?.get(0);
        let outcomes: Vec<_> = ends.iter().map(|end| end.0).collect();
        let classes: Vec<_> = ends.iter().map(|end| end.1).collect();
        let none = vec![None::<String>; ends.len()];
        let settle = "select accepted from relay.settle_offline_conversions($1, $2, $3, $4, $5, \
                      array_fill(0, array[cardinality($3::text[])]), array_fill(null::timestamptz, array[cardinality($3::text[])]), $5, $5, \
                      'success', null, null, null, null, 200, 'request', null, null, 1, false)";
        let accepted: bool =
            sql.query_one(settle, &[&claim.token, &attempt, &outcomes, &classes, &none]).await?.get(0);
        ensure!(accepted, "{claim:?} was lost");
        Ok(())
    }

    /// Claims once, sends what was claimed, and all of it ends so; what that was.
    pub(super) async fn send(&self, end: End) -> anyhow::Result<Vec<String>> {
        let mut sent = Vec::new();
        for claim in self.claim().await? {
            self.settle(&claim, end).await?;
            sent.extend(claim.ids);
        }
        sent.sort();
        Ok(sent)
    }

    /// How a conversion stands: its status, and why.
    pub(super) async fn standing(&self, id: &str) -> anyhow::Result<String> {
        let standing = self.world.standing(id).await?;
        Ok(format!("{} {}", standing.status, standing.last_error).trim().to_owned())
    }

    pub(super) async fn explain(&self, id: &str) -> anyhow::Result<Value> {
        let explain =
            "select relay.explain_conversion(conversion_id) from relay.conversion_key where external_id = $1";
        Ok(self.world.sql.query_one(explain, &[&id]).await?.get(0))
    }

    /// Sends dead letters again: those with this code, or all.
    pub(super) async fn redrive(&self, code: Option<&str>) -> anyhow::Result<i32> {
        let redrive = "select relay.redrive_dead_letters($1, $2, null, 100)";
        Ok(self.world.sql.query_one(redrive, &[&self.site, &code]).await?.get(0))
    }

    /// See [`assert_in_order`].
    pub(super) async fn assert_in_order(&self) -> anyhow::Result<()> {
        assert_in_order(&self.world).await
    }
}

/// The accounts add up, of no order are two under way, and what waits does so behind the head of its order.
pub(super) async fn assert_in_order(world: &World) -> anyhow::Result<()> {
    let under_way = "select format('%s %s', chain.group_id, chain.order_hash), array_agg(key.external_id) \
                     from relay.conversion join relay.order_chain as chain using (group_id, order_hash) \
                     join relay.conversion_key as key using (conversion_id) \
                     join relay.offline_conversion_queue as queue on queue.id = conversion_id \
                     left join relay.blocked using (conversion_id) \
                     where queue.status not in ('COMPLETED', 'FAILED') and blocked.conversion_id is null \
                     group by 1 having count(*) > 1";
    let twice: BTreeMap<String, Vec<String>> =
        world.sql.query(under_way, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    ensure!(twice.is_empty(), "more than one under way: {twice:?}");
    let astray = "select count(*) from relay.blocked left join relay.order_chain as chain using (group_id, order_hash) \
                  where chain.head is distinct from blocked.head";
    let astray = world.number(astray).await?;
    ensure!(astray == 0, "{astray} wait for another than the head of their order");
    world.assert_accounted_for().await
}

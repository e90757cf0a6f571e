//! Who holds a claim, and who no longer does.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use shared::domain::{ClaimToken, Omitted, Outcome, ProviderKey, RunId};
use shared::store::{
    AttemptEnd, CircuitResult, Claim, ClaimRequest, Opened, Settled, SettledRow, Settlement, SlotUse, Store,
};
use tests::world::World;

const LEASE: Duration = Duration::from_secs(30);

async fn claim(store: &Store, run: i64, groups: i32, rows: i32) -> anyhow::Result<Vec<Claim>> {
    let ask = ClaimRequest {
        run: RunId(run),
        provider: ProviderKey::GoogleAds,
        site: None,
        groups,
        rows,
        batch: rows,
        lease: LEASE,
    };
    Ok(store.claim_offline_conversion_jobs_v2(&ask).await?)
}

fn delivered(token: ClaimToken, attempt: Option<AttemptEnd>, rows: usize) -> Settlement {
    let row = SettledRow {
        outcome: Outcome::Delivered,
        class: None,
        code: None,
        wait: Duration::ZERO,
        not_before: None,
        hold: None,
        omitted: Omitted::NONE,
        part: None,
    };
    Settlement {
        token,
        attempt,
        rows: vec![row; rows],
        circuit: CircuitResult::Success,
        group_hold: None,
        transport: None,
        throttle: None,
        slot: SlotUse::Free,
    }
}

async fn open(store: &Store, token: ClaimToken) -> anyhow::Result<Opened> {
    Ok(store.book_provider_upload_attempt(token, "ads_api", "00", &[1], LEASE, Duration::ZERO).await?)
}

async fn opened(store: &Store, claim: &Claim) -> anyhow::Result<AttemptEnd> {
    let token = claim.token.expect("the claim has rows");
    let Opened::Booked { attempt, .. } = open(store, token).await? else {
        anyhow::bail!("the claim is not live");
    };
    Ok(AttemptEnd {
        attempt,
        http_status: Some(200),
        provider_request_id: None,
        error_code: None,
        error_category: None,
        duration: Duration::ZERO,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runners_never_claim_the_same_conversion() -> anyhow::Result<()> {
    let world = World::new().await?;
    for name in ["a", "b", "c"] {
        let site = world.site(json!({ "quota_key": name })).await?;
        world.enqueue_many(site, name, "ok", 200).await?;
    }

    let mut claimers = tokio::task::JoinSet::new();
    for run in 0..8 {
        let store = world.context.store.clone();
        claimers.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..20 {
                mine.extend(claim(&store, run, 2, 17).await?.into_iter().flat_map(|claim| claim.rows));
            }
            anyhow::Ok(mine.into_iter().map(|row| row.conversion_id).collect::<Vec<_>>())
        });
    }
    let mut claimed = Vec::new();
    while let Some(mine) = claimers.join_next().await {
        claimed.extend(mine??);
    }

    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(claimed.len(), distinct.len());
    // Three keys with ten slots each bound the claims that can be out at once.
    assert!(claimed.len() > 100 && claimed.len() <= 30 * 17, "{}", claimed.len());
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_lost_claim_changes_no_conversion_and_is_recorded() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let first = claim(store, 1, 1, 10).await?.remove(0);
    let late = opened(store, &first).await?;
    world.let_pass("31 seconds").await?;
    let second = claim(store, 2, 1, 10).await?.remove(0);
    let before = world.number("select count(*) from relay.conversion_outcome").await?;

    let settled = store.settle_claimed_conversions(&delivered(first.token.unwrap(), Some(late), 3)).await?;

    assert_eq!(settled, Settled::Stale);
    assert_eq!(second.rows.len(), 3, "the next claimer took them over");
    assert_eq!(world.number("select count(*) from relay.conversion_outcome").await?, before);
    assert_eq!(world.number("select completed_total from relay.provider_upload_metrics").await?, 0);
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where state = 'STALE'").await?,
        1
    );
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_claim_is_settled_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    let claim = claim(store, 1, 1, 10).await?.remove(0);
    let end = opened(store, &claim).await?;
    let settlement = delivered(claim.token.unwrap(), Some(end), 2);

    let first = store.settle_claimed_conversions(&settlement).await?;
    let again = store.settle_claimed_conversions(&settlement).await?;

    assert!(matches!(first, Settled::Accepted { .. }));
    assert_eq!(again, Settled::Stale);
    assert_eq!(world.number("select completed_total from relay.provider_upload_metrics").await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn nothing_may_be_sent_for_a_claim_that_lapsed() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let claim = claim(store, 1, 1, 10).await?.remove(0);
    world.let_pass("31 seconds").await?;

    let opened = open(store, claim.token.unwrap()).await?;

    assert_eq!(opened, Opened::Lost);
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_settlement_that_does_not_fit_its_claim_is_refused_whole() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let claim = claim(store, 1, 1, 10).await?.remove(0);

    let refused = store.settle_claimed_conversions(&delivered(claim.token.unwrap(), None, 2)).await;

    assert!(matches!(refused, Err(shared::store::StoreError::BadArgument(_))), "{refused:?}");
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 1, "the claim stands");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_parts_of_a_claim_have_fences_of_their_own() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let claim = claim(store, 1, 1, 10).await?.remove(0);
    let whole = claim.token.unwrap();

    let parts = store.split_claim(whole, &[0, 1, 0], LEASE).await?;
    let of_the_whole = store.settle_claimed_conversions(&delivered(whole, None, 3)).await?;
    let of_the_first = store.settle_claimed_conversions(&delivered(parts[0].1, None, 2)).await?;

    assert_eq!(of_the_whole, Settled::Stale);
    assert!(matches!(of_the_first, Settled::Accepted { .. }));
    assert_eq!(world.statuses().await?, "COMPLETED 2, PROCESSING 1");
    world.assert_accounted_for().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_uploads_are_in_flight_than_the_quota_key_has_slots() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..15 {
        let site = world.site(json!({ "quota_key": "one-project" })).await?;
        world.enqueue_many(site, &format!("s{number}"), "ok", 5).await?;
    }

    let mut claimers = tokio::task::JoinSet::new();
    for run in 0..16 {
        let store = world.context.store.clone();
        claimers.spawn(async move { claim(&store, run, 5, 100).await.map(|claims| claims.len()) });
    }
    let mut claims = 0;
    while let Some(mine) = claimers.join_next().await {
        claims += mine??;
    }

    assert_eq!(claims as i64, world.number("select count(*) from relay.inflight").await?);
    assert!((1..=10).contains(&claims), "{claims}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_ledger_and_the_history_of_runs_are_closed_once_and_never_changed() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    world.run_worker().await?;

    for statement in [
        "update relay.provider_upload_attempts set http_status = 500",
        "update relay.provider_upload_attempts set closed_at = null, state = 'OPEN'",
        "delete from relay.provider_upload_attempts",
        "update relay.task_runs set notes = 'other'",
        "update relay.task_runs set ended_at = null, status = null",
        "delete from relay.task_runs",
    ] {
        let refused = world.sql.batch_execute(statement).await.expect_err(statement);
        assert_eq!(
            refused.code().map(|code| code.code().to_owned()).as_deref(),
            Some("CR005"),
            "{statement}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_outcome_that_would_lose_its_conversion_is_refused() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let claim = claim(store, 1, 1, 1).await?.remove(0);
    let mut settlement = delivered(claim.token.unwrap(), None, 1);

    for outcome in [Outcome::LeaseLost, Outcome::Requeued, Outcome::Submitted] {
        settlement.rows[0].outcome = outcome;
        let refused = store.settle_claimed_conversions(&settlement).await;
        assert!(matches!(refused, Err(shared::store::StoreError::BadArgument(_))), "{outcome}: {refused:?}");
    }

    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_late_settling_frees_no_slot_but_its_own() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 4).await?;
    let late = claim(store, 1, 1, 2).await?.remove(0);
    // Its slot lapsed and was taken again while its claim is still there.
    world
        .sql
        .execute(
            "update relay.upload_slot set claim_token = gen_random_uuid() where claim_token is not null",
            &[],
        )
        .await?;

    store.settle_claimed_conversions(&delivered(late.token.unwrap(), None, 2)).await?;

    assert_eq!(
        world.number("select count(*) from relay.upload_slot where claim_token is not null").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn parts_that_wait_for_a_request_do_not_lapse_meanwhile() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let whole = claim(store, 1, 1, 3).await?.remove(0);
    let parts = store.split_claim(whole.token.unwrap(), &[0, 1, 2], LEASE).await?;

    for (_, token) in &parts {
        assert_ne!(open(store, *token).await?, Opened::Lost, "the part was lost while another was out");
        world.let_pass("16 seconds").await?;
        store.settle_claimed_conversions(&delivered(*token, None, 1)).await?;
    }

    world.assert_accounted_for().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn holds_circuits_credentials_and_recovery_at_once_never_wait_for_each_other_in_a_ring()
-> anyhow::Result<()> {
    let world = World::new().await?;
    let mut sites = Vec::new();
    for name in ["a", "b", "c"] {
        let site = world.site(json!({ "quota_key": "shared" })).await?;
        world.enqueue_many(site, name, "ok", 120).await?;
        sites.push(site);
    }

    let mut tasks = tokio::task::JoinSet::new();
    for run in 0..6_usize {
        let store = world.context.store.clone();
        tasks.spawn(async move {
            for round in 0..25 {
                for claim in claim(&store, run as i64, 3, 12).await? {
                    let Some(token) = claim.token else { continue };
                    let mut settlement = delivered(token, None, claim.rows.len());
                    match (run + round) % 4 {
                        0 => {
                            settlement.group_hold =
                                Some((shared::domain::HoldScope::Site, shared::domain::ErrorCode::own("X")));
                            settlement.rows.iter_mut().for_each(|row| row.outcome = Outcome::Held);
                        }
                        1 => {
                            settlement.circuit = CircuitResult::Transient;
                            settlement.rows.iter_mut().for_each(|row| row.outcome = Outcome::Unanswered);
                        }
                        2 => {
                            settlement.rows[0].outcome = Outcome::Held;
                            settlement.rows[0].hold =
                                Some((shared::domain::HoldScope::ConversionAction, "action".to_owned()));
                            settlement.rows[1..].iter_mut().for_each(|row| row.outcome = Outcome::Released);
                        }
                        _ => {}
                    }
                    store.settle_claimed_conversions(&settlement).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    for _ in 0..40 {
        for site in &sites {
            world.put_credentials(*site, json!({ "quota_key": "shared" })).await?;
        }
        world.recover(json!({ "min_age_minutes": 0 })).await?;
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }

    world.assert_accounted_for().await
}

#[tokio::test]
async fn no_outcome_of_a_request_is_without_its_ledger_entry() -> anyhow::Result<()> {
    let world = World::new().await?;
    for transport in ["ads_api", "data_manager"] {
        let site = world.site(json!({ "transport": transport })).await?;
        for directive in
            ["ok", "error.UNPARSEABLE_GCLID", "http.400.row", "http.503*2", "reset*1", "http.401*1"]
        {
            world.enqueue_many(site, &format!("{transport}-{directive}"), directive, 4).await?;
        }
    }

    world.run_worker().await?;

    let orphans = "select count(*) from relay.conversion_outcome as o \
                   left join relay.provider_upload_attempts as a on a.attempt_id = o.attempt_id \
                   left join relay.conversion as c on c.conversion_id = o.conversion_id \
                   where a.attempt_id is null or a.group_id <> c.group_id or a.closed_at is null";
    assert!(world.number("select count(*) from relay.conversion_outcome").await? > 48);
    assert_eq!(world.number(orphans).await?, 0);
    // And the other way round: what the ledger counts is what the outcomes say.
    let counted = "select count(*) from relay.provider_upload_attempts as a \
                   where completed_count + failed_count + retry_count + held_count + submitted_count \
                   <> (select count(*) from relay.conversion_outcome as o where o.attempt_id = a.attempt_id)";
    assert_eq!(world.number(counted).await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_claim_never_waits_for_a_row_that_somebody_holds() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 5).await?;
    let mut somebody = world.database.connect().await?;
    let held = somebody.transaction().await?;
    held.execute("select from relay.ready order by conversion_id limit 1 for update", &[]).await?;
    held.execute("select from relay.upload_slot where slot_no = 1 for update", &[]).await?;

    let claims = tokio::time::timeout(LEASE, claim(&world.context.store, 1, 1, 10)).await??;

    assert_eq!(claims[0].rows.len(), 4, "it takes the others, over another slot");
    Ok(())
}

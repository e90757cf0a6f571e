//! Receipts that contradict themselves, are told in part, or are refused: nothing is delivered that is not proven, nothing
//! is lost, and no other receipt waits for it.

use serde_json::json;
use tests::world::{World, row};

const MANAGER: &str = "data_manager";

/// One site with these rows, submitted, and half an hour later.
async fn submitted(rows: &[serde_json::Value]) -> anyhow::Result<World> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": MANAGER })).await?;
    world.enqueue(site, rows).await?;
    world.run_worker().await?;
    world.let_pass("31 minutes").await?;
    Ok(world)
}

/// A day passes, in which everybody asks.
async fn let_a_day_pass(world: &World) -> anyhow::Result<()> {
    for _ in 0..20 {
        world.let_pass("90 minutes").await?;
        world.confirm().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_receipt_that_contradicts_itself_proves_nothing_and_is_asked_again_for_a_day() -> anyhow::Result<()>
{
    for oddity in ["success", "records", "counts"] {
        let odd = format!("receipt.{oddity}");
        let world = submitted(&[row("odd", &odd, 0), row("sale", "ok", 1)]).await?;

        let answer = world.confirm().await?;
        let early = world.statuses().await?;
        let_a_day_pass(&world).await?;

        assert_eq!((answer.skipped, answer.completed, answer.failed), (1, 0, 0), "{oddity}: {answer:?}");
        assert_eq!(early, "SUBMITTED 2", "{oddity}");
        for name in ["odd-0", "sale-1"] {
            let standing = world.standing(name).await?;
            assert_eq!(
                (standing.outcome.as_str(), standing.last_error.as_str()),
                ("unconfirmed", "RECEIPT_CONTRADICTORY"),
                "{oddity}"
            );
        }
        assert!(world.number("select max(polls)::bigint from relay.receipt").await? >= 4, "{oddity}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_place_that_is_never_done_keeps_no_other_from_its_end() -> anyhow::Result<()> {
    let mut elsewhere = row("late", "receipt.pending", 0);
    elsewhere["conversion_action"] = json!("customers/1234567890/conversionActions/1");
    let rows = [row("sale", "ok", 1), row("bad", "reason.INVALID_EVENT", 2), elsewhere];
    let world = submitted(&rows).await?;
    let requests = world.number("select count(*) from relay.provider_upload_attempts").await?;
    let answer = world.confirm().await?;

    let_a_day_pass(&world).await?;
    for _ in 0..3 {
        world.run_worker().await?;
        world.let_pass("31 minutes").await?;
        world.confirm().await?;
    }

    assert_eq!((requests, answer.skipped), (1, 1), "{answer:?}");
    assert_eq!(world.standing("sale-1").await?.outcome, "delivered");
    assert!(world.standing("bad-2").await?.last_error.ends_with("INVALID_EVENT"));
    let late = world.standing("late-0").await?;
    assert_eq!((late.outcome.as_str(), late.last_error.as_str()), ("unconfirmed", "RECEIPT_NEVER_CAME"));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_question_that_is_refused_for_the_moment_is_asked_again() -> anyhow::Result<()> {
    for (poll, wait) in
        [("poll.500*2", "2 hours"), ("poll.429.30*2", "10 minutes"), ("poll.404*1", "2 hours")]
    {
        let world = submitted(&[row("sale", poll, 0)]).await?;

        let answer = world.confirm().await?;
        let early = world.statuses().await?;
        for _ in 0..3 {
            world.let_pass(wait).await?;
            world.confirm().await?;
        }

        assert_eq!((answer.total, answer.processed), (1, 0), "{poll}: {answer:?}");
        assert_eq!(
            (early.as_str(), world.statuses().await?.as_str()),
            ("SUBMITTED 1", "COMPLETED 1"),
            "{poll}"
        );
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_question_that_is_refused_for_ever_ends_where_an_operator_sees_it() -> anyhow::Result<()> {
    for (poll, code) in [("poll.500", "RECEIPT_NEVER_CAME"), ("poll.404", "RECEIPT_UNKNOWN")] {
        let world = submitted(&[row("sale", poll, 0)]).await?;

        let_a_day_pass(&world).await?;
        world.let_pass("7 days").await?;
        world.confirm().await?;

        let standing = world.standing("sale-0").await?;
        let said = (standing.outcome.as_str(), standing.last_error.as_str());
        assert_eq!(said, ("unconfirmed", code), "{poll}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_question_that_needs_a_mend_holds_its_site_and_goes_on_with_new_credentials() -> anyhow::Result<()>
{
    for poll in ["poll.401*2", "poll.403*1"] {
        let world = submitted(&[row("sale", poll, 0)]).await?;

        let answer = world.confirm().await?;
        let holds = world.context.store.read_holds(None, None, 10).await?;
        let site =
            shared::domain::SiteId(world.sql.query_one("select site_id from relay.site", &[]).await?.get(0));
        world.put_credentials(site, json!({ "transport": MANAGER })).await?;
        world.let_pass("2 hours").await?;
        world.confirm().await?;

        assert_eq!((answer.skipped, answer.errors_total, holds.len()), (1, 1, 1), "{poll}: {answer:?}");
        assert_eq!(world.statuses().await?, "COMPLETED 1", "{poll}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_question_that_is_refused_sinks_no_other() -> anyhow::Result<()> {
    for poll in ["poll.401", "poll.403", "poll.404", "poll.429.60", "poll.500"] {
        let world = World::new().await?;
        for (name, directive) in [("odd", poll), ("sale", "ok"), ("more", "ok")] {
            let site = world.site(json!({ "transport": MANAGER, "quota_key": name })).await?;
            world.enqueue(site, &[row(name, directive, 0)]).await?;
        }
        world.run_worker().await?;
        world.let_pass("31 minutes").await?;

        let answer = world.confirm().await?;

        assert_eq!((answer.total, answer.processed, answer.completed), (3, 2, 2), "{poll}: {answer:?}");
        assert_eq!(world.standing("odd-0").await?.status, "SUBMITTED", "{poll}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

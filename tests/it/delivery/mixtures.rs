//! Any mixture of answers: the counters add up, no conversion is without its verdict, and every one comes to its end.

use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use shared::engine::release_holds;
use shared::store::HoldFilter;
use tests::cases::cases;
use tests::world::{World, row};

/// Mixtures that are tried; each is a database of its own.
const CASES: u32 = 10;

/// Rounds until everything has ended: retries take 7 hours, receipts half an hour each, unmatched ones three days.
const ROUNDS: usize = 30;

/// What can be said of one row or because of it, so often that it comes to an end.
const DIRECTIVES: [&str; 22] = [
    "ok",
    "ok",
    "ok",
    "error.UNPARSEABLE_GCLID",
    "error.CLICK_NOT_FOUND",
    "error.ORDER_ID_ALREADY_IN_USE",
    "error.TOO_RECENT_EVENT*1",
    "error.TOO_RECENT_CONVERSION_ACTION*1",
    "error.internalError.INTERNAL_ERROR*2",
    "error.INVALID_CUSTOMER_FOR_CLICK*1",
    "error.CUSTOM_VARIABLE_VALUE_CONTAINS_PII*1",
    "error.SOMETHING_THAT_NOBODY_KNOWS",
    "error.NO_CONVERSION_ACTION_FOUND*1",
    "reason.INVALID_EVENT",
    "reason.CLICK_NOT_FOUND",
    "reason.INTERNAL_ERROR*1",
    "reason.DENIED_CONSENT",
    "http.400.row*1",
    "http.503*2",
    "timeout*1",
    "garbage*1",
    "http.400*1",
];

#[test]
fn whatever_is_answered_every_conversion_ends_and_the_counters_add_up() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mixture = (vec(select(&DIRECTIVES[..]), 1..30), vec(select(&DIRECTIVES[..]), 1..30));
    let mut runner = TestRunner::new(cases(CASES));

    let played = runner.run(&mixture.prop_map(|(by_rows, by_receipts)| [by_rows, by_receipts]), |mixture| {
        runtime.block_on(play(&mixture)).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });

    played.unwrap();
}

async fn play(mixture: &[Vec<&str>; 2]) -> anyhow::Result<()> {
    let world = World::with(std::time::Duration::from_millis(400)).await?;
    for (transport, directives) in ["ads_api", "data_manager"].into_iter().zip(mixture) {
        let site = world.site(json!({ "transport": transport, "quota_key": transport })).await?;
        let rows: Vec<Value> = directives
            .iter()
            .enumerate()
            .map(|(number, directive)| {
                let mut row = row(transport, directive, number);
                row["user"] = json!({ "email": format!("{transport}{number}@example.com") });
                row["custom_variables"] = json!({ "7": "blue" });
                row
            })
            .collect();
        world.enqueue(site, &rows).await?;
    }
    let total = u64::try_from(mixture.iter().map(Vec::len).sum::<usize>())?;

    let (mut completed, mut failed) = (0, 0);
    for _ in 0..ROUNDS {
        let answer = world.run_worker().await?;
        let parts = answer.completed + answer.failed + answer.retry + answer.held + answer.submitted;
        anyhow::ensure!(answer.processed == parts, "{answer:?}");
        world.let_pass("31 minutes").await?;
        let confirmed = world.confirm().await?;
        anyhow::ensure!(confirmed.total == confirmed.processed + confirmed.skipped, "{confirmed:?}");
        completed += answer.completed + confirmed.completed;
        failed += answer.failed + confirmed.failed;
        world.assert_accounted_for().await?;
        if completed + failed >= total {
            break;
        }
        world.let_pass("9 hours").await?;
        for hold in world.context.store.read_holds(None, None, 100).await? {
            let filter = HoldFilter { code: Some(hold.code), ..HoldFilter::default() };
            release_holds(&world.context, &filter).await?;
        }
    }

    let statuses = world.statuses().await?;
    anyhow::ensure!(completed + failed == total, "{completed} and {failed} of {total} ended: {statuses}");
    let without = "select count(*) from relay.conversion c where not exists \
                   (select from relay.conversion_outcome o where o.conversion_id = c.conversion_id)";
    anyhow::ensure!(world.number(without).await? == 0, "a conversion has no verdict: {statuses}");
    anyhow::ensure!(!statuses.contains("SUBMITTED"), "{statuses}");
    Ok(())
}

//! Fairness: one group of many rows that are an hour older, against 1,999 groups of 20.

use std::collections::HashMap;

use anyhow::Context as _;

use crate::report::{Report, number, quantile, times};
use crate::server::Server;
use crate::stage::{Stage, child};

const SMALL_GROUPS: usize = 1_999;
const SMALL_ROWS: usize = 20;

/// OAuth clients that the groups share: slots for ten uploads each.
const QUOTA_KEYS: usize = 1;

/// When each group was done, in seconds after the run began; the whale first.
const COMPLETIONS: &str = "
  select
    extract(epoch from max(outcome.recorded_at) - (select max(started_at) from relay.task_runs))::float8,
    count(*)::float8
  from relay.conversion_outcome as outcome
  join relay.conversion on conversion.conversion_id = outcome.conversion_id
  where outcome.outcome = 'DELIVERED'
  group by conversion.group_id
  order by count(*) desc";

/// Of what was delivered until then, how much was the whale's.
const WHALES_SHARE: &str = "
  select avg((conversion.group_id = $2)::integer)::float8
  from relay.conversion_outcome as outcome
  join relay.conversion on conversion.conversion_id = outcome.conversion_id
  where outcome.recorded_at
    <= (select max(started_at) from relay.task_runs) + make_interval(secs => $1)";

/// Runs it.
pub(crate) async fn run(server: &Server, whale_rows: usize) -> anyhow::Result<Report> {
    let provider = child(&["provider"], &HashMap::new()).await?;
    let stage = Stage::set(server, "relay", provider.ready["url"].as_str().unwrap_or_default()).await?;
    let sites = stage.put_sites(SMALL_GROUPS + 1, QUOTA_KEYS).await?;
    let (whale, small) = sites.split_first().context("there are sites")?;
    stage.enqueue(&[*whale], 0, whale_rows).await?;
    let older = "update relay.ready set next_attempt_at = next_attempt_at - interval '1 hour'; \
         update relay.conversion set due_at = due_at - interval '1 hour'; \
         update relay.delivery_group set turn_at = turn_at - interval '1 hour' where turn_at < 'infinity'; \
         vacuum (analyze)";
    for statement in older.split(';') {
        stage.sql.batch_execute(statement).await?;
    }
    stage.enqueue(small, 0, SMALL_GROUPS * SMALL_ROWS).await?;
    stage.sql.batch_execute("analyze").await?;

    let mut worker = stage.child(&["upload"]).await?;
    let cost = server.measure(&mut worker, Some(&provider)).await?;
    let all = (whale_rows + SMALL_GROUPS * SMALL_ROWS) as f64;

    let groups = stage.sql.query(COMPLETIONS, &[]).await?;
    let seconds: Vec<f64> = groups.iter().map(|row| row.get(0)).collect();
    let (whale_done, small_done) = seconds.split_first().context("there are groups")?;
    let last = quantile(small_done, 1.0);
    let whale_id: i32 = stage
        .sql
        .query_one("select group_id from relay.delivery_group where site_id = $1", &[&whale.0])
        .await?
        .get(0);
    let share: f64 = stage.sql.query_one(WHALES_SHARE, &[&last, &whale_id]).await?.get(0);
    drop((stage, worker));
    server.drop_database("relay").await?;

    // First in, first out: the whale's rows all go before those of the others, at the rate of this run.
    let rate = cost.per_second();
    let fifo = |part: f64| (whale_rows as f64 + part * (SMALL_GROUPS * SMALL_ROWS) as f64) / rate;
    let mut report = Report::new(
        format!("Fairness, one group of {whale_rows} an hour older against {SMALL_GROUPS} of {SMALL_ROWS}"),
        &["completion of", "s", "FIFO s", "to FIFO"],
    );
    for (name, part) in [("small groups, p50", 0.5), ("small groups, p99", 0.99), ("small groups, last", 1.0)]
    {
        let done = quantile(small_done, part);
        report.row([name.into(), number(done), number(fifo(part)), times(done / fifo(part))]);
    }
    let whale_fifo = whale_rows as f64 / rate;
    report.row([
        "the large group".into(),
        number(*whale_done),
        number(whale_fifo),
        times(whale_done / whale_fifo),
    ]);
    if cost.rows < all {
        report.note(format!(
            "LOST TIME: the run said it was done with {} of {} delivered; the rest of the large group was left lying",
            number(cost.rows),
            number(all)
        ));
    }
    report.note(format!(
        "the large group's share of what was delivered until the last small one was done: {:.0} %",
        share * 100.0
    ));
    report.note(format!("{} conversions/s over the whole run", number(rate)));
    Ok(report)
}

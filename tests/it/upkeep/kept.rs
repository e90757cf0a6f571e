//! What is kept for how long: every table has its rule, and the settings agree with each other.

use anyhow::Context as _;
use serde_json::json;
use shared::domain::SiteId;
use shared::engine::Retention;
use shared::engine::tasks::prune;
use tests::world::{VAULT_KEY, World, config, fields};
use uuid::Uuid;

use super::bounds;

/// What becomes of a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// They go once they are past their retention, or over.
    Pruned,
    /// They stay, for this reason.
    Kept(&'static str),
}
use Rule::{Kept, Pruned};

const LIVE: &str = "a row leaves with what it stands for; what lives is never touched";
const PER_SITE: &str = "a row for each site or group, as many as there are";
const ONE: &str = "a handful of rows, written in place";

/// Every table there is. A new one gets a row here: who takes away what it gathers?
const RULES: [(&str, Rule); 45] = [
    ("access_token", Pruned),
    ("blocked", Kept(LIVE)),
    ("circuit_setting", Kept(ONE)),
    ("conversion", Pruned),
    ("conversion_key", Pruned),
    ("conversion_outcome", Pruned),
    ("delivery_day", Pruned),
    ("delivery_group", Kept(PER_SITE)),
    ("delivery_score", Kept(PER_SITE)),
    ("deployment", Kept(ONE)),
    ("erasure", Pruned),
    ("expiry_walk", Kept(ONE)),
    ("gauge", Kept("written anew each minute")),
    ("gauge_mark", Kept("one hour of minutes: the task gauges takes older ones away")),
    ("held", Kept(LIVE)),
    ("hold", Pruned),
    ("inflight", Kept(LIVE)),
    ("ingest_key", Kept("two for each site; removing the site takes them away")),
    ("line", Kept(ONE)),
    ("order_call", Pruned),
    ("order_chain", Pruned),
    ("order_walk", Kept(ONE)),
    ("pause", Pruned),
    ("provider_circuit", Kept(ONE)),
    ("provider_credentials", Kept(PER_SITE)),
    ("provider_health_state", Kept(PER_SITE)),
    ("provider_upload_attempts", Pruned),
    ("provider_upload_metrics", Kept(PER_SITE)),
    ("prune_walk", Kept(ONE)),
    ("quota", Kept(PER_SITE)),
    ("ready", Kept(LIVE)),
    ("receipt", Pruned),
    ("receipt_rest", Kept("ids and codes, gone after 8 days when the next one is kept")),
    ("schema_migration", Kept(ONE)),
    ("scored_day", Pruned),
    ("site", Kept(PER_SITE)),
    ("task_lock", Kept("a row for each exclusive task")),
    ("task_pause", Kept("a row for each task at most")),
    ("task_runs", Pruned),
    ("task_state", Kept("a row for each task")),
    ("taxonomy_override", Kept("an operator's word, until an operator takes it back")),
    ("unknown_code", Kept("at most 1000 for each provider")),
    ("upkeep", Kept(ONE)),
    ("upload_slot", Kept(PER_SITE)),
    ("vault_key", Kept("what was sealed under it opens with nothing else")),
];

async fn prune(world: &World) -> anyhow::Result<prune::Answer> {
    let request = prune::Request::parse(fields(json!({})))?;
    prune::run(&world.context, &request, bounds()).await?.answer().context("skipped")
}

async fn counts(world: &World, rule: impl Fn(Rule) -> bool) -> anyhow::Result<Vec<(&'static str, i64)>> {
    let mut counts = Vec::new();
    for (table, of) in RULES.iter().filter(|(_, of)| rule(*of)) {
        assert!(!matches!(of, Kept("")), "{table} is kept without a reason");
        counts.push((*table, world.number(&format!("select count(*) from relay.{table}")).await?));
    }
    Ok(counts)
}

#[tokio::test]
async fn every_table_has_its_rule() -> anyhow::Result<()> {
    let world = World::new().await?;

    let there = "select relname::text from pg_class where relnamespace = 'relay'::regnamespace and relkind in ('r', 'p') \
                 and not relispartition order by 1";
    let there: Vec<String> = world.sql.query(there, &[]).await?.iter().map(|row| row.get(0)).collect();

    let known: Vec<&str> = RULES.iter().map(|(table, _)| *table).collect();
    assert_eq!(there, known);
    Ok(())
}

/// One row at least in every table that is pruned, all of it old; and live ones of the same age beside them.
async fn grow_old(world: &World) -> anyhow::Result<SiteId> {
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    let old =
        json!({ "external_id": "old-order", "order_id": "o", "click_ids": { "gclid": "sandbox-ok-o" } });
    world.enqueue(site, &[old]).await?;
    world.enqueue_many(later, "submitted", "ok", 2).await?;
    world.run_worker().await?;
    world.sql.batch_execute(
        "update relay.receipt set state = 'SETTLED', outcome = 'DELIVERED', settled_at = clock_timestamp(); \
         insert into relay.pause values ('provider', 'meta', null, 'over', clock_timestamp(), clock_timestamp()), \
           ('provider', 'tiktok', null, 'for ever', clock_timestamp(), 'infinity'); \
         insert into relay.erasure (requested_at, finished_at, hashes, click_hashes, id_to) \
           values (clock_timestamp() - interval '420 days', clock_timestamp() - interval '420 days', '{}', '{}', 1), \
             (clock_timestamp() - interval '420 days', null, '{}', '{}', 1); \
         insert into relay.scored_day values (current_date - 420, clock_timestamp()), (current_date - 1, clock_timestamp()); \
         insert into relay.delivery_day select day, 1, 1, 0, 0, 1, 0 from relay.scored_day",
    ).await?;
    world.let_weeks_pass(60).await?;
    // Tokens expire in an hour, whatever clock they were given by.
    world
        .sql
        .batch_execute("update relay.access_token set expires_at = expires_at - interval '60 weeks'")
        .await?;
    Ok(site)
}

#[tokio::test]
async fn what_is_over_goes_from_every_table_and_what_lives_stays() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = grow_old(&world).await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "young", "ok", 3).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await?;
    world.run_worker().await?;
    // A call that outlives its order: no claim follows it any more.
    let call = "insert into relay.order_call (call_at, group_id, order_hash) \
                select clock_timestamp() - interval '2 minutes', group_id, order_hash from relay.order_chain";
    world.sql.batch_execute(call).await?;
    let before = counts(&world, |rule| rule == Pruned).await?;
    assert!(before.iter().all(|(_, rows)| *rows > 0), "nothing to prune in one of {before:?}");
    let kept = counts(&world, |rule| matches!(rule, Kept(_))).await?;

    let answer = prune(&world).await?;

    assert!(answer.ok && answer.finished, "{answer:?}");
    let leftovers = answer.leftovers;
    let told = (leftovers.days, leftovers.pauses, leftovers.erasures, leftovers.calls);
    assert_eq!(told, (1, 1, 1, 1), "{leftovers:?}");
    let after = counts(&world, |rule| rule == Pruned).await?;
    assert_eq!(answer.runs, 1, "pruning itself is a young run");
    for ((table, before), (_, after)) in
        before.iter().zip(&after).filter(|((table, _), _)| *table != "task_runs")
    {
        assert!(after < before, "nothing went from {table}: {before} before");
    }
    let names = |counts: &[(&str, i64)]| {
        counts
            .iter()
            .filter(|(table, _)| !table.starts_with("task_"))
            .map(|(table, rows)| format!("{table} {rows}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&counts(&world, |rule| matches!(rule, Kept(_))).await?), names(&kept));
    // The young ones, the one that is parked, the pause and the erasure that are not over.
    assert_eq!(world.statuses().await?, "HELD 4");
    assert_eq!(world.number("select count(*) from relay.pause").await?, 1);
    assert_eq!(world.number("select count(*) from relay.erasure where finished_at is null").await?, 1);
    assert_eq!(world.number("select count(*) from relay.delivery_day").await?, 1);
    world.assert_accounted_for().await
}

#[test]
fn retention_is_read_from_the_environment_and_never_shorter_than_scores_need() {
    let read = |settings: &[(&'static str, &str)]| {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let config = config(
            settings.chain([("APP_ENV", "development".to_owned()), ("VAULT_KEY", VAULT_KEY.to_owned())]),
        );
        let tasks = shared::engine::Tasks::of(&shared::providers::Registry::new(Vec::new()));
        config.task_settings(&tasks).map(|settings| settings.retention)
    };

    let usual = Retention { conversion_days: 400, run_days: 90, score_window_days: 180 };
    assert_eq!(read(&[]), Ok(usual));
    let set = [
        ("CONVERSION_RETENTION_DAYS", "200"),
        ("RUN_RETENTION_DAYS", "30"),
        ("RECOMPUTE_SCORES_WINDOW_DAYS", "200"),
    ];
    assert_eq!(read(&set), Ok(Retention { conversion_days: 200, run_days: 30, score_window_days: 200 }));
    let short = [("CONVERSION_RETENTION_DAYS", "200"), ("RECOMPUTE_SCORES_WINDOW_DAYS", "201")];
    let refused = read(&short).unwrap_err().to_string();
    assert!(
        refused.contains("CONVERSION_RETENTION_DAYS") && refused.contains("RECOMPUTE_SCORES_WINDOW_DAYS"),
        "{refused}"
    );
    for wrong in ["179", "x", "-1", "36501"] {
        assert!(read(&[("CONVERSION_RETENTION_DAYS", wrong)]).is_err(), "{wrong}");
    }
    assert!(read(&[("RUN_RETENTION_DAYS", "29")]).is_err());
}

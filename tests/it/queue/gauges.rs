//! What taking the figures costs: pages and groups, whatever waits; and how far an estimate is off.

use tests::world::migrated_database;
use tokio_postgres::Client;

use super::explained::Explained;

/// So many pages and counted entries; the defaults are larger, and a test of them would take as long.
const PAGES: i32 = 300;
const WALK: i32 = 3_000;

async fn fill(sql: &Client, groups: i32, rows: i32, after: &str) -> anyhow::Result<()> {
    let fill = include_str!("fill.sql")
        .replace("{groups}", &groups.to_string())
        .replace("{rows}", &rows.to_string())
        .replace("{after}", after);
    Ok(sql.batch_execute(&fill).await?)
}

async fn number(sql: &Client, query: &str) -> anyhow::Result<i64> {
    Ok(sql.query_one(query, &[]).await?.get(0))
}

#[tokio::test]
async fn figures_cost_pages_and_groups_and_not_what_waits() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    let mut warm = Explained::connect(&database).await?;
    let call = "select relay.take_gauges(10, $1, $2)";
    let mut read = Vec::new();

    for (rows, after) in [(10_000, "-1 minute"), (100_000, "-2 minutes"), (200_000, "-3 minutes")] {
        fill(&sql, 100, rows, after).await?;
        let (_, plans) = warm.query(call, &[&PAGES, &WALK]).await?;
        assert!(plans.rows_read("ready") > 0.0, "no plans were told");
        read.push((plans.rows_read("ready"), plans.rows_read("conversion")));
    }

    // A page has 88 rows; each group's first row is looked for in both bands.
    let groups = number(&sql, "select count(*) from relay.delivery_group").await?;
    let bound = f64::from(PAGES) * 88.0 * 1.2 + f64::from(WALK) + 2.0 * 21.0 * groups as f64;
    assert!(read.iter().all(|(ready, _)| *ready <= bound), "{read:?}, {bound} are enough");
    assert!(read.iter().all(|(_, conversions)| *conversions < 500.0), "{read:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_estimated_says_so_and_is_near_and_small_groups_are_counted() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    fill(&sql, 2_000, 100_000, "-1 minute").await?;

    // About half of the pages: of fewer, too few lie in the largest group for it to be near in every run.
    sql.query("select relay.take_gauges(2000, $1, $2)", &[&(2 * PAGES), &WALK]).await?;

    let all = sql
        .query_one("select backlog, at_risk, approximate from relay.gauge where provider_key = '*'", &[])
        .await?;
    let near = |told: i64, truth: i64| (told as f64 / truth as f64 - 1.0).abs() < 0.35;
    let waiting = number(&sql, "select count(*) from relay.ready").await?;
    let at_risk = number(&sql, "select count(*) from relay.ready where band = 0").await?;
    assert!(near(all.get(0), waiting) && near(all.get(1), at_risk), "{all:?}: {waiting}, {at_risk}");
    assert_eq!(all.get::<_, Vec<String>>(2), ["backlog", "at_risk"]);
    let wrong = "select count(*) from relay.gauge join relay.delivery_group using (site_id, provider_key) \
                 where approximate = '{}' and backlog <> \
                 (select count(*) from relay.ready where ready.group_id = delivery_group.group_id)";
    let counted = "select count(*) from relay.gauge where place > 0 and approximate = '{}'";
    assert_eq!(number(&sql, wrong).await?, 0, "what does not say that it is an estimate is none");
    assert!(number(&sql, counted).await? > 0, "no group was small enough");
    let largest = "select backlog from relay.gauge where place = 1";
    let truth = "select count(*) from relay.ready group by group_id order by 1 desc limit 1";
    assert!(near(number(&sql, largest).await?, number(&sql, truth).await?));
    Ok(())
}

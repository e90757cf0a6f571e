//! What was given up on is found by its own index, however much was delivered.

use tests::world::migrated_database;

use super::explained::Explained;

/// Conversions with an end, and how many of them died.
const ENDED: i64 = 60_000;
const DEAD: i64 = 300;

#[tokio::test]
async fn a_look_at_the_dead_reads_nothing_of_what_was_delivered() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    let fill = include_str!("fill.sql")
        .replace("{groups}", "3")
        .replace("{rows}", &ENDED.to_string())
        .replace("{after}", "-1 minute");
    sql.batch_execute(&fill).await?;
    sql.batch_execute(&format!(
        "insert into relay.conversion_outcome (conversion_id, seq, outcome, code, recorded_at) \
         select conversion_id, 1, case when number <= {DEAD} then 'REJECTED' else 'DELIVERED' end, \
         case when number <= {DEAD} then 'CODE_' || number % 3 end, now() \
         from (select conversion_id, row_number() over () as number from relay.conversion) as conversion; \
         insert into relay.conversion_outcome (conversion_id, seq, outcome, recorded_at) \
         select conversion_id, 2, 'REQUEUED', now() from relay.conversion_outcome where code = 'CODE_0'; \
         analyze"
    ))
    .await?;
    let mut connection = Explained::connect(&database).await?;
    let read = "select code, conversions, walked_all from relay.read_dead_letters(null, null, $1)";

    let (all, plans) = connection.query(read, &[&1_000]).await?;
    let (part, _) = connection.query(read, &[&100]).await?;

    let told: Vec<(String, i64, bool)> = all.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(told, [("CODE_1".to_owned(), 100, true), ("CODE_2".to_owned(), 100, true)]);
    // What is walked is a part, and says so.
    assert!(part.iter().all(|row| !row.get::<_, bool>(2)), "{part:?}");
    // Each dead letter, its conversion and its group's, and whether it came back to life.
    let bound = 4.0 * DEAD as f64;
    assert_eq!(plans.faults(&["conversion"], bound, bound), [""; 0]);
    Ok(())
}

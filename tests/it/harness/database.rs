//! A fresh database for every test.

use std::sync::atomic::{AtomicU32, Ordering};

use tests::database::{Database, Template, connect, server};
use tokio::task::JoinSet;

static FILLS: AtomicU32 = AtomicU32::new(0);

async fn fresh_database() -> Database {
    static TEMPLATE: Template = Template::new("harness");
    let fill = |url: String| async move {
        FILLS.fetch_add(1, Ordering::Relaxed);
        let client = connect(&url).await?;
        client.batch_execute("create table seen (n integer); insert into seen values (1)").await?;
        Ok(())
    };
    TEMPLATE.fresh_database(fill).await.unwrap()
}

async fn rows_seen(database: &Database) -> i64 {
    let client = database.connect().await.unwrap();
    client.query_one("select count(*) from seen", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_database_shows_the_template_and_nothing_of_another_test() {
    let (one, other) = (fresh_database().await, fresh_database().await);

    one.connect().await.unwrap().batch_execute("insert into seen values (2), (3)").await.unwrap();

    assert_eq!((rows_seen(&one).await, rows_seen(&other).await), (3, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_databases_at_once_are_filled_from_one_template() {
    let mut making: JoinSet<Database> = (0..12).map(|_| fresh_database()).collect();

    let mut made = Vec::new();
    while let Some(database) = making.join_next().await {
        made.push(database.unwrap());
    }

    for database in &made {
        assert_eq!(rows_seen(database).await, 1);
    }
    assert_eq!(FILLS.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_database_goes_when_its_guard_goes_also_under_an_open_connection() {
    let database = fresh_database().await;
    let name = database.name().to_string();
    let open = database.connect().await.unwrap();

    drop(database);

    // Orders about databases are taken one at a time, so the next one that is done proves that the last one was.
    let next = fresh_database().await;
    let client = next.connect().await.unwrap();
    let sql = "select count(*) from pg_database where datname = $1";
    assert_eq!(client.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0), 0);
    assert!(open.query("select 1", &[]).await.is_err());
}

#[tokio::test]
async fn another_role_connects_to_the_same_database() {
    let database = fresh_database().await;
    let client = database.connect().await.unwrap();
    client.batch_execute("create role harness_reader login").await.unwrap();

    let reader = database.connect_as("harness_reader").await.unwrap();

    let row = reader.query_one("select current_user::text, current_database()::text", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("harness_reader", database.name()));
}

#[tokio::test]
async fn a_failing_fill_is_told_to_every_test_that_needs_it() {
    static BROKEN: Template = Template::new("harness_broken");

    for _ in 0..2 {
        let error =
            BROKEN.fresh_database(|_| async { anyhow::bail!("migration 7 is broken") }).await.unwrap_err();

        assert!(format!("{error:#}").contains("migration 7 is broken"), "{error:#}");
    }
}

#[tokio::test]
async fn the_log_of_a_database_is_its_own() {
    let (one, other) = (fresh_database().await, fresh_database().await);

    let refused = one.connect().await.unwrap().batch_execute("select no_such_column").await;

    assert!(refused.is_err());
    assert!(one.log().unwrap().iter().any(|line| line.contains("no_such_column")));
    assert!(!other.log().unwrap().iter().any(|line| line.contains("no_such_column")));
    assert!(server().log().unwrap().contains("no_such_column"));
}

//! The migration runner: twice, at once, edited, and on somebody else's database.

use serde_json::json;
use shared::boot::{migrate, open_context};
use tests::database::Database;
use tests::world::{World, config, empty_database, migrated_database};

fn settings(database: &Database, environment: &str) -> shared::boot::Config {
    config([
        ("DATABASE_URL", database.url()),
        ("APP_ENV", environment.to_owned()),
        (
            "VAULT_KEY",
            if environment == "production" { String::new() } else { tests::world::VAULT_KEY.to_owned() },
        ),
    ])
}

#[tokio::test]
async fn a_second_migration_changes_nothing() -> anyhow::Result<()> {
    let database = empty_database().await?;

    let first = migrate(&settings(&database, "staging")).await?;
    let second = migrate(&settings(&database, "staging")).await?;

    assert!(first.migrations.len() >= 3 && first.functions > 20 && first.partitions > 0, "{first:?}");
    assert_eq!((second.migrations.len(), second.functions, second.partitions), (0, 0, 0));
    Ok(())
}

#[tokio::test]
async fn migrations_at_the_same_time_are_safe() -> anyhow::Result<()> {
    let database = empty_database().await?;
    let settings = settings(&database, "development");

    let (a, b, c) = tokio::join!(migrate(&settings), migrate(&settings), migrate(&settings));

    let applied = [a?, b?, c?].iter().map(|run| run.migrations.len()).sum::<usize>();
    assert!(applied >= 3);
    let booked = database
        .connect()
        .await?
        .query_one("select count(*) from relay.schema_migration where name ~ '^[0-9]'", &[])
        .await?;
    assert_eq!(booked.get::<_, i64>(0), i64::try_from(applied)?, "each was applied once");
    Ok(())
}

/// As RDS's master user: it makes databases and roles, and what that gives it from PostgreSQL 16 on is a membership
/// that can only be passed on.
#[tokio::test]
async fn a_login_that_is_no_superuser_can_migrate() -> anyhow::Result<()> {
    // The roles are the server's: a first database's migration makes them.
    let (_first, database) = (migrated_database().await?, empty_database().await?);
    let sql = database.connect().await?;
    let version = sql.query_one("select current_setting('server_version_num')::integer", &[]).await?;
    let given = if version.get::<_, i32>(0) >= 160_000 {
        "admin true, inherit false, set false"
    } else {
        "admin option"
    };
    sql.batch_execute(&format!(
        "create role migrations_master login createrole; \
         grant relay_owner, relay_service, relay_operator to migrations_master with {given}; \
         alter database {} owner to migrations_master",
        database.name()
    ))
    .await?;
    let url = database.url_as("migrations_master");

    let done = migrate(&config([("DATABASE_URL", url), ("APP_ENV", "development".to_owned())])).await?;

    assert!(done.migrations.len() >= 3, "{done:?}");
    Ok(())
}

#[tokio::test]
async fn an_edited_migration_is_refused() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute("update relay.schema_migration set sha256 = 'other' where name like '0001%'").await?;

    let refused = migrate(&settings(&database, "development")).await.expect_err("it was edited");

    let told = format!("{refused:#}");
    assert!(told.contains("0001_conversions.sql") && told.contains("never edited"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_changed_function_is_put_in_place_again() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute("update relay.schema_migration set sha256 = 'older' where name like '%/new_id.sql'")
        .await?;

    let done = migrate(&settings(&database, "development")).await?;

    assert_eq!((done.migrations.len(), done.functions), (0, 1));
    Ok(())
}

#[tokio::test]
async fn another_environments_database_is_refused() -> anyhow::Result<()> {
    let database = migrated_database().await?;

    let migrated = migrate(&settings(&database, "staging")).await.map(drop);
    let opened = open_context(&settings(&database, "production")).await.map(drop);

    let told = format!("{:#}", migrated.expect_err("it is the development's"));
    assert!(told.contains("belongs to development") && told.contains("nothing was touched"), "{told}");
    assert!(matches!(opened, Err(shared::boot::BootError::Environment { .. })));
    Ok(())
}

#[tokio::test]
async fn a_schema_that_does_not_serve_is_named() -> anyhow::Result<()> {
    let (bare, newer, older) =
        (empty_database().await?, migrated_database().await?, migrated_database().await?);
    let sql = newer.connect().await?;
    let newest = "name = (select max(name) from relay.schema_migration where name ~ '^[0-9]')";
    let update = format!("update relay.schema_migration set oldest_program = '99.0.0' where {newest}");
    sql.batch_execute(&update).await?;
    let sql = older.connect().await?;
    sql.batch_execute(&format!("delete from relay.schema_migration where {newest}")).await?;
    let told = async |database: &Database| match open_context(&settings(database, "development")).await {
        Ok(_) => String::from("opened"),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };

    assert!(told(&bare).await.contains("relay migrate"), "{}", told(&bare).await);
    assert!(told(&newer).await.contains("deploy a newer one"), "{}", told(&newer).await);
    assert!(told(&older).await.contains("relay migrate"), "{}", told(&older).await);
    Ok(())
}

/// What a rollback runs: the version before, with its `migrate` on deploy.
#[tokio::test]
async fn an_older_program_leaves_a_newer_schema_as_it_is() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(
        "insert into relay.schema_migration (name, sha256) values ('9999_later.sql', 'later'); \
         update relay.schema_migration set sha256 = 'later' where name like '%/new_id.sql'",
    )
    .await?;

    let done = migrate(&settings(&database, "development")).await?;

    assert_eq!((done.migrations.len(), done.functions, done.schema.as_str()), (0, 0, "9999_later.sql"));
    Ok(())
}

#[tokio::test]
async fn a_program_that_the_schema_does_not_serve_migrates_nothing() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute(
        "insert into relay.schema_migration (name, sha256, oldest_program) \
         values ('9999_later.sql', 'later', '99.0.0')",
    )
    .await?;

    let refused = migrate(&settings(&database, "development")).await.expect_err("it is too old");

    let told = format!("{refused:#}");
    assert!(told.contains("from 99.0.0 on") && told.contains("deploy a newer one"), "{told}");
    Ok(())
}

#[tokio::test]
async fn partitions_lie_ahead_and_are_made_once() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    let ahead: i32 = sql.query_one("select relay.count_weeks_ahead()", &[]).await?.get(0);

    let row = sql
        .query_one(
            "select relay.keep_partitions(20) as made, relay.keep_partitions(20) as again, \
             (select count(*) from pg_inherits where inhparent = 'relay.conversion'::regclass) as partitions",
            &[],
        )
        .await?;

    // A week may have begun since the template was migrated.
    assert!(ahead == 8 || ahead == 7, "{ahead}");
    assert_eq!((row.get::<_, i32>("made"), row.get::<_, i32>("again")), (3 * (20 - ahead), 0));
    Ok(())
}

/// A program of before calls them by these arguments and reads these columns.
#[tokio::test]
async fn what_older_programs_call_still_answers() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.enqueue_many(world.site(json!({})).await?, "sale", "ok", 1).await?;

    let found =
        "select count(conversion_id) from relay.find_conversions('sale-0', 2) where found_by = 'external id'";
    let opened = "select count(relay.open_provider_upload_attempt(claim_token, 'ads_api', '00', array[1], 60)) \
                  from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 5, 50, 50, 60)";

    let stored = "select count(group_id) from relay.put_provider_credentials(gen_random_uuid(), 'google_ads', 1, '', 'k')";
    let sites = "select count(*) from relay.site, relay.put_site(site.site_id, 'DE'), \
                 relay.read_enqueue_sites(array[site.site_id]) as read where read.default_country is null";

    assert_eq!((world.number(found).await?, world.number(opened).await?), (1, 1));
    assert_eq!((world.number(stored).await?, world.number(sites).await?), (1, 2));
    Ok(())
}

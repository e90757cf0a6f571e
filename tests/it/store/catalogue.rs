//! What the catalogue says of every function and grant.

use tests::world::migrated_database;

async fn names(sql: &str) -> anyhow::Result<Vec<String>> {
    let database = migrated_database().await?;
    let rows = database.connect().await?.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn every_function_that_runs_as_its_owner_pins_its_search_path() -> anyhow::Result<()> {
    let sql = "select proname::text from pg_proc \
               where pronamespace = 'relay'::regnamespace \
               and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)";

    assert_eq!(names(sql).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn nobody_may_call_a_function_but_the_roles_named_for_it() -> anyhow::Result<()> {
    let sql = "select proname || ' by ' || coalesce(grantee::regrole::text, 'PUBLIC') \
               from pg_proc cross join lateral aclexplode(coalesce(proacl, acldefault('f', proowner))) \
               where pronamespace = 'relay'::regnamespace \
               and (grantee = 0 or grantee::regrole::text not in ('relay_owner', 'relay_service', 'relay_operator'))";

    assert_eq!(names(sql).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_service_may_touch_no_table() -> anyhow::Result<()> {
    let sql = "select relname::text from pg_class \
               where relnamespace = 'relay'::regnamespace and relkind in ('r', 'p', 'v', 'S') \
               and (has_table_privilege('relay_service', oid, 'select') \
                    or relkind <> 'S' and has_table_privilege('relay_service', oid, 'insert, update, delete, truncate'))";

    assert_eq!(names(sql).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn everything_belongs_to_the_owner_that_cannot_log_in() -> anyhow::Result<()> {
    let sql = "select relname::text from pg_class where relnamespace = 'relay'::regnamespace \
               and pg_get_userbyid(relowner) <> 'relay_owner' \
               union all select proname::text from pg_proc where pronamespace = 'relay'::regnamespace \
               and pg_get_userbyid(proowner) <> 'relay_owner' \
               union all select 'relay_owner can log in' from pg_roles where rolname = 'relay_owner' and rolcanlogin";

    assert_eq!(names(sql).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn every_table_and_function_says_what_it_is_for() -> anyhow::Result<()> {
    let sql = "select relname::text from pg_class where relnamespace = 'relay'::regnamespace \
               and relkind in ('r', 'p', 'v') and not relispartition and obj_description(oid, 'pg_class') is null \
               and relname not in ('schema_migration', 'deployment') \
               union all select proname::text from pg_proc where pronamespace = 'relay'::regnamespace \
               and obj_description(oid, 'pg_proc') is null";

    assert_eq!(names(sql).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_operator_reads_the_named_relations_without_a_schema_and_writes_nothing() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let operator = database.connect_as("relay_operator").await?;

    for relation in ["offline_conversion_queue", "provider_health_state", "provider_upload_metrics"] {
        operator.query(&format!("select * from {relation}"), &[]).await?;
    }
    let payloads = operator.query("select * from relay.conversion", &[]).await;
    let write = operator.execute("update provider_health_state set failure_count = 0", &[]).await;

    assert!(payloads.is_err() && write.is_err());
    Ok(())
}

#[tokio::test]
async fn the_names_and_columns_that_other_programs_use_are_there() -> anyhow::Result<()> {
    let columns = |relation: &str| {
        let sql = format!(
            "select string_agg(attname, ' ' order by attnum)::text from pg_attribute \
             where attrelid = 'relay.{relation}'::regclass and attnum > 0 and not attisdropped"
        );
        async move { names(&sql).await.map(|names| names[0].clone()) }
    };

    assert_eq!(
        columns("offline_conversion_queue").await?,
        "id site_id provider_key sale_id status outcome retry_count next_retry_at last_error uploaded_at \
         provider_request_id provider_error_code provider_error_category claimed_at created_at updated_at"
    );
    for (relation, wanted) in [
        ("provider_health_state", "site_id provider_key state failure_count next_probe_at probe_limit"),
        (
            "provider_upload_metrics",
            "site_id provider_key attempts_total completed_total failed_total retry_total updated_at",
        ),
    ] {
        let there = columns(relation).await?;
        for column in wanted.split(' ') {
            assert!(there.split(' ').any(|name| name == column), "{relation}.{column}: {there}");
        }
    }
    Ok(())
}

/// Tables that hold a handful of rows, or are written once in a site's life: what PostgreSQL does by itself is enough.
const SMALL_AND_STATIC: [&str; 7] = [
    "circuit_setting",
    "deployment",
    "ingest_key",
    "provider_credentials",
    "schema_migration",
    "site",
    "vault_key",
];

#[tokio::test]
async fn every_table_says_when_it_is_vacuumed_or_is_small_and_static() -> anyhow::Result<()> {
    let bare = names(
        "select relname::text from pg_class where relnamespace = 'relay'::regnamespace and relkind = 'r' \
         and not coalesce(reloptions::text like '%autovacuum_vacuum_%threshold%', false) order by 1",
    )
    .await?;

    assert_eq!(bare, SMALL_AND_STATIC);
    Ok(())
}

#[tokio::test]
async fn every_week_is_vacuumed_alike() -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    sql.batch_execute("select relay.keep_partitions(30)").await?;

    let kinds = sql
        .query_one(
            "select count(distinct reloptions::text), min(reloptions::text) from pg_class where relispartition and relkind = 'r'",
            &[],
        )
        .await?;

    assert_eq!(kinds.get::<_, i64>(0), 1);
    assert!(kinds.get::<_, String>(1).contains("freeze_min_age=0"));
    Ok(())
}

#[test]
fn every_numbered_migration_says_the_oldest_program_that_it_serves() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let files = std::fs::read_dir(folder).expect("the migrations").map(|file| file.expect("a file").path());
    let numbered = files.filter(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_digit()) && name != "0000_ground.sql"
    });
    let silent: Vec<_> = numbered
        .filter(|file| {
            let text = std::fs::read_to_string(file).expect("a text");
            !text.lines().take(10).any(|line| line.starts_with("-- oldest program: "))
        })
        .collect();

    assert!(silent.is_empty(), "{silent:?}");
}

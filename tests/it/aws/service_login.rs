//! The login of the programs: the migration makes it known to the database, by a secret and without ever saying the password.

use std::time::Duration;

use serde_json::{Value, json};
use tests::aws::Aws;
use tests::database::connect;
use tests::lambda::Invocation;
use tests::world::{VAULT_KEY, World};

use super::connections::{DATABASE, Server};
use super::{Settings, on, replace};
use crate::functions::{answer, invoke, start};

/// Who migrates, as RDS's master user does: it makes roles, and is no superuser.
const MASTER: &str = "relay_master";

/// A server with nothing in its database but the right to fill it, and AWS beside it.
async fn bare() -> anyhow::Result<(World, Aws, Server)> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let server = Server::empty().await?;
    server.sql(&format!("create role {MASTER} login createrole password 'master''s'")).await?;
    server.sql(&format!("alter database {DATABASE} owner to {MASTER}")).await?;
    server.ask_for_passwords().await?;
    Ok((world, aws, server))
}

fn login(name: &str, password: &str) -> String {
    json!({ "username": name, "password": password }).to_string()
}

/// Settings of a function whose secret holds a login and nothing else, as those that RDS manages itself.
fn with_login(aws: &Aws, world: &World, server: &Server, secret: &str) -> Settings {
    let (port, around) = (server.port(), [("DATABASE_URL", ""), ("VAULT_KEY", VAULT_KEY)]);
    let beside = [
        ("DATABASE_SECRET_ID", secret),
        ("DATABASE_HOST", "127.0.0.1"),
        ("DATABASE_PORT", port.as_str()),
        ("DATABASE_NAME", DATABASE),
    ];
    replace(on(aws, world, &around), &beside)
}

/// Migrates with the master's secret and this one of the service: what was answered, or the error.
async fn migrate(
    (world, aws, server): &(World, Aws, Server),
    service: &str,
) -> anyhow::Result<Result<Value, String>> {
    let master = aws.secret(&login(MASTER, "master's")).await?;
    let settings = with_login(aws, world, server, &master);
    let settings = replace(settings, &[("DATABASE_SERVICE_SECRET_ID", service), ("RUST_LOG", "trace")]);
    let mut process = start("migrate", &settings).await?;
    let told = match invoke(&mut process, json!({})).await? {
        Invocation::Answered(answer) => Ok(answer),
        Invocation::Failed(error) => Err(error.to_string()),
        died @ (Invocation::Died(_) | Invocation::InitFailed(_)) => anyhow::bail!("{died:?}"),
    };
    let said = format!("{told:?} {:?} {:?} {}", process.stdout(), process.stderr(), server.postgres.log()?);
    assert!(!said.contains("hunter2"), "the password was said");
    Ok(told)
}

async fn run(place: &(World, Aws, Server), secret: &str) -> anyhow::Result<Invocation> {
    let (world, aws, server) = place;
    let mut runner = start("runner", &with_login(aws, world, server, secret)).await?;
    invoke(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" })).await
}

#[tokio::test]
async fn a_deploy_from_nothing_gives_the_programs_their_login() -> anyhow::Result<()> {
    let place = bare().await?;
    let (_, aws, server) = &place;
    server.sql("alter system set log_statement = 'all'").await?;
    server.sql("select pg_reload_conf()").await?;
    let service = aws.secret(&login("relay_service", "hunter2 ' \\ ü")).await?;

    let done = migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
    assert_eq!(done["service_login"], json!("relay_service"), "{done}");
    let ran = run(&place, &service).await?;
    assert!(matches!(&ran, Invocation::Answered(answer) if answer["ok"] == json!(true)), "{ran:?}");

    // A password that is good stays: a pooler may have a copy of its verifier.
    server
        .sql("create table public.kept as select rolpassword from pg_authid where rolname = 'relay_service'")
        .await?;
    let done = migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
    assert_eq!(done["service_login"], json!("relay_service"), "{done}");
    let as_it_was = "select count(*) from pg_authid join public.kept using (rolpassword)";
    assert_eq!(server.number(as_it_was).await?, 1);

    // The next deploy brings what the secret says by then.
    aws.rotate(&service, &login("relay_service", "hunter2 and another")).await?;
    let done = migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
    assert_eq!((&done["migrations"], &done["service_login"]), (&json!([]), &json!("relay_service")));
    assert!(matches!(run(&place, &service).await?, Invocation::Answered(_)));
    let before = aws.secret(&login("relay_service", "hunter2 ' \\ ü")).await?;
    assert!(matches!(run(&place, &before).await?, Invocation::Failed(_)));
    let kept = "select count(*) from pg_authid where rolname = 'relay_service' and rolpassword like 'SCRAM-SHA-256$4096:%'";
    assert_eq!(server.number(kept).await?, 1);
    Ok(())
}

/// Holds something up at the server, rotates the secret once somebody waits for it, and lets go.
async fn rotate_behind(
    (_, aws, server): &(World, Aws, Server),
    hold: &str,
    service: &str,
    new: &str,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let holding = connect(&server.url("postgres")).await?;
    holding.batch_execute(hold).await?;
    Ok(async move {
        let waiting = format!(
            "select count(*) from pg_stat_activity where usename = '{MASTER}' and wait_event_type = 'Lock'"
        );
        while server.number(&waiting).await? == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        aws.rotate(service, new).await?;
        Ok(holding.batch_execute("commit").await?)
    })
}

#[tokio::test]
async fn a_secret_that_is_rotated_while_the_migration_runs_locks_nobody_out() -> anyhow::Result<()> {
    let place = bare().await?;
    let (_, aws, server) = &place;
    let service = aws.secret(&login("relay_service", "hunter2")).await?;
    migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;

    // While it waits for another migration, and while the password itself is being set.
    let migration = "begin; select pg_advisory_xact_lock(hashtextextended('relay.migrate', 0))";
    let password = "begin; alter role relay_service connection limit 50";
    for (number, hold) in [migration, password].into_iter().enumerate() {
        aws.rotate(&service, &login("relay_service", &format!("hunter2 {number}"))).await?;
        let new = login("relay_service", &format!("hunter2 {number} and on"));
        let rotating = rotate_behind(&place, hold, &service, &new).await?;

        let (done, rotated) = tokio::join!(migrate(&place, &service), rotating);

        rotated?;
        done?.map_err(anyhow::Error::msg)?;
        let ran = run(&place, &service).await?;
        assert!(
            matches!(&ran, Invocation::Answered(answer) if answer["ok"] == json!(true)),
            "{hold}: {ran:?}"
        );
    }
    assert_eq!(server.number("select count(*) from relay.task_runs where status = 'DONE'").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_login_of_another_name_is_made_and_may_do_what_the_service_may() -> anyhow::Result<()> {
    let place = bare().await?;
    let (_, aws, server) = &place;
    let name = "relay\"; drop schema relay cascade; --'";
    let service = aws.secret(&login(name, "hunter2")).await?;

    for number in 0..3 {
        let done = migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
        assert_eq!(done["service_login"], json!(name));
        // Settings that came later, and one of the login's own that is another: they are brought each time, lists as lists.
        let changed = format!(
            "alter role relay_service set search_path = \"$user\", relay, \"a b, \"\"c\", ''; \
             alter role relay_service set statement_timeout = '{number}1s'; \
             alter role relay_service set temp_tablespaces = ''"
        );
        if number < 2 {
            server.sql(&changed).await?;
        }
    }

    let ran = run(&place, &service).await?;
    assert!(matches!(&ran, Invocation::Answered(answer) if answer["ok"] == json!(true)), "{ran:?}");
    let alike = "select count(distinct (select array_agg(s order by s) from unnest(rolconfig) as s)) from pg_roles where rolname like 'relay\"%' or rolname = 'relay_service'";
    assert_eq!(server.number(alike).await?, 1, "time limits do not go to members by themselves");
    let mighty = "select count(*) from pg_roles where rolname like 'relay\"%' and (rolsuper or rolcreaterole or rolcreatedb)";
    assert_eq!(server.number(mighty).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_not_the_services_is_never_touched() -> anyhow::Result<()> {
    let place = bare().await?;
    let (_, aws, server) = &place;
    let service = aws.secret(&login("relay_service", "hunter2")).await?;
    migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
    server
        .sql(
            "create role stranger login password 'its own'; create role builder login createdb in role relay_service; \
             create role kin login in role relay_owner, relay_service; \
             create role writer login in role relay_service, pg_write_all_data; \
             create role far nologin noinherit in role relay_operator; create role kin_of_far login in role relay_service, far; \
             create role maker nologin createrole; create role kin_of_maker login in role maker, relay_service",
        )
        .await?;
    let passwords = "select count(*) from pg_authid where rolpassword is not null";
    let before = server.number(passwords).await?;
    let names = format!("{}x", "n".repeat(63));

    for (secret, told) in [
        (login("postgres", "hunter2"), "may do more than the service"),
        (login("builder", "hunter2"), "may do more than the service"),
        (login("kin", "hunter2"), "may do more than the service"),
        (login("writer", "hunter2"), "may do more than the service"),
        (login("kin_of_far", "hunter2"), "may do more than the service"),
        (login("kin_of_maker", "hunter2"), "may do more than the service"),
        (login("public", "hunter2"), "is no name for a login"),
        (login("none", "hunter2"), "is no name for a login"),
        (login("current_user", "hunter2"), "is no name for a login"),
        (login(MASTER, "hunter2"), "is a login with another purpose"),
        (login("relay_owner", "hunter2"), "is a login with another purpose"),
        (login("relay_operator", "hunter2"), "is a login with another purpose"),
        (login("stranger", "hunter2"), "is somebody else's: grant relay_service to it"),
        (login("pg_monitor", "hunter2"), "is no name for a login"),
        (login("", "hunter2"), "is no name for a login"),
        (login(&names, "hunter2"), "is no name for a login"),
        (login("x\0y", "hunter2"), "with the character NUL"),
        (login("relay_service", ""), "names a secret that is not as RDS writes it"),
        ("hunter2".to_owned(), "names a secret that is not as RDS writes it"),
    ] {
        let service = aws.secret(&secret).await?;
        let refused = migrate(&place, &service).await?.expect_err(told);
        assert!(
            refused.contains("DATABASE_SERVICE_SECRET_ID") && refused.contains(told),
            "{told}: {refused}"
        );
    }
    let refused = migrate(&place, "no-such-secret").await?.expect_err("there is none");
    assert!(refused.contains("DATABASE_SERVICE_SECRET_ID names no secret"), "{refused}");
    assert_eq!(server.number(passwords).await?, before);
    assert!(matches!(run(&place, &service).await?, Invocation::Answered(_)), "the login is as it was");
    Ok(())
}

#[tokio::test]
async fn settings_name_what_the_secret_leaves_out_and_come_before_what_it_says() -> anyhow::Result<()> {
    let place = bare().await?;
    let (world, aws, server) = &place;
    let master = aws.secret(&login(MASTER, "master's")).await?;

    for (name, value, told) in [
        ("DATABASE_HOST", "", "DATABASE_SECRET_ID names a secret without host: set DATABASE_HOST beside it"),
        (
            "DATABASE_NAME",
            "",
            "DATABASE_SECRET_ID names a secret without dbname: set DATABASE_NAME beside it",
        ),
        ("DATABASE_PORT", "http", "DATABASE_PORT must be a port, such as 5432"),
        ("DATABASE_PORT", "0", "DATABASE_PORT must be a port, such as 5432"),
        ("DATABASE_PORT", "65536", "DATABASE_PORT must be a port, such as 5432"),
    ] {
        let settings = replace(with_login(aws, world, server, &master), &[(name, value)]);
        let mut process = start("migrate", &settings).await?;
        let refused = invoke(&mut process, json!({})).await?;
        let Invocation::Failed(error) = refused else { panic!("{told}: {refused:?}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    // The secret of a login is attached to the server, and the way there leads over a proxy.
    let attached = json!({
        "username": MASTER, "password": "master's", "engine": "postgres",
        "host": "server.example", "port": 1, "dbname": "another", "dbInstanceIdentifier": "one",
    });
    let attached = aws.secret(&attached.to_string()).await?;
    let mut process = start("migrate", &with_login(aws, world, server, &attached)).await?;
    assert_eq!(answer(&mut process, json!({})).await?["ok"], json!(true));
    Ok(())
}

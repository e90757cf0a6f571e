//! The login of the programs: the migration makes it known to the database, by a secret and without ever saying the password.

use serde_json::{Value, json};
use tests::aws::Aws;
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

#[tokio::test]
async fn a_login_of_another_name_is_made_and_may_do_what_the_service_may() -> anyhow::Result<()> {
    let place = bare().await?;
    let (_, aws, server) = &place;
    let name = "relay\"; drop schema relay cascade; --'";
    let service = aws.secret(&login(name, "hunter2")).await?;

    for _ in 0..2 {
        let done = migrate(&place, &service).await?.map_err(anyhow::Error::msg)?;
        assert_eq!(done["service_login"], json!(name));
    }

    let ran = run(&place, &service).await?;
    assert!(matches!(&ran, Invocation::Answered(answer) if answer["ok"] == json!(true)), "{ran:?}");
    let alike = "select count(distinct rolconfig) from pg_roles where rolname like 'relay\"%' or rolname = 'relay_service'";
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
             create role kin login in role relay_owner, relay_service",
        )
        .await?;
    let passwords = "select count(*) from pg_authid where rolpassword is not null";
    let before = server.number(passwords).await?;
    let names = format!("{}x", "n".repeat(63));

    for (secret, told) in [
        (login("postgres", "hunter2"), "may do more than the service"),
        (login("builder", "hunter2"), "may do more than the service"),
        (login("kin", "hunter2"), "may do more than the service"),
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

//! Secrets Manager: two values are good at once, what is known serves while it is away, and a rotated password is no failure.

use std::time::Duration;

use serde_json::{Value, json};
use tests::aws::{Aws, READ_SECRET};
use tests::lambda::{Invocation, LambdaProcess};
use tests::skew::Skew;
use tests::world::World;

use super::connections::Server;
use super::way::Way;
use super::{on, replace};
use crate::functions::{answer, http, invoke, start};

const CRON: &str = "/api/cron/process-offline-conversions";

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

async fn status(runner: &mut LambdaProcess, shown: Value) -> anyhow::Result<u64> {
    Ok(http(runner, "POST", CRON, "", shown, None).await?.0)
}

#[tokio::test]
async fn the_current_and_the_previous_value_open_the_doors_also_while_it_is_away() -> anyhow::Result<()> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let cron = aws.secret("first").await?;
    aws.rotate(&cron, "second").await?;
    let internal = aws.secret(r#"{"current":"third","previous":"fourth"}"#).await?;
    let settings = on(
        &aws,
        &world,
        &[
            ("CRON_SECRET", ""),
            ("CRON_SECRET_ID", &cron),
            ("INTERNAL_SECRET", ""),
            ("INTERNAL_SECRET_ID", &internal),
        ],
    );
    let mut runner = start("runner", &settings).await?;

    answer(&mut runner, worker()).await?;
    assert_eq!(aws.calls(READ_SECRET), 0, "a direct invoke shows no secret");
    for shown in ["first", "second"] {
        assert_eq!(status(&mut runner, json!({ "x-cron-secret": shown })).await?, 200, "{shown}");
    }
    for shown in ["third", "fourth"] {
        assert_eq!(status(&mut runner, json!({ "x-internal-secret": shown })).await?, 200, "{shown}");
    }
    assert_eq!(aws.calls(READ_SECRET), 4, "each secret and stage once");

    aws.refuse(READ_SECRET, "InternalServiceError");
    assert_eq!(status(&mut runner, json!({ "x-cron-secret": "second" })).await?, 200);
    assert_eq!(status(&mut runner, json!({ "x-cron-secret": "fifth" })).await?, 401);
    let mut cold = start("runner", &settings).await?;
    assert_eq!(status(&mut cold, json!({ "x-cron-secret": "second" })).await?, 503);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_told_by_its_setting() -> anyhow::Result<()> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let (no_json, other) = (aws.secret("postgres").await?, aws.secret(r#"{"engine":"mysql"}"#).await?);
    let bare = aws.secret(r#"{"username":"relay_service","password":"x"}"#).await?;

    for (id, url, told) in [
        ("no-such-secret", "", "DATABASE_SECRET_ID names no secret"),
        (no_json.as_str(), "", "names a secret that is not as RDS writes it"),
        (other.as_str(), "", "names a secret that is not as RDS writes it"),
        (bare.as_str(), "", "set DATABASE_HOST beside it"),
        (bare.as_str(), "postgresql://here/relay", "DATABASE_SECRET_ID is set beside DATABASE_URL"),
    ] {
        let settings = on(&aws, &world, &[("DATABASE_SECRET_ID", id), ("DATABASE_URL", url)]);
        let mut runner = start("runner", &settings).await?;
        let Invocation::Failed(error) = invoke(&mut runner, worker()).await? else { panic!("{told}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    let both = on(&aws, &world, &[("CRON_SECRET_ID", "cron")]);
    let mut runner = start("runner", &both).await?;
    let (status, body) = http(&mut runner, "POST", CRON, "", json!({ "x-cron-secret": "x" }), None).await?;
    assert_eq!(
        (status, &body["error"]),
        (500, &json!("CRON_SECRET_ID is set beside CRON_SECRET: set only one of them"))
    );
    Ok(())
}

#[tokio::test]
async fn a_rotated_database_password_is_picked_up_without_a_failed_run() -> anyhow::Result<()> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let server = Server::with_passwords().await?;
    server.sql("alter role relay_service password 'one'").await?;
    let secret = aws.secret(&server.secret("one")).await?;
    let settings = replace(
        on(&aws, &world, &[("DATABASE_URL", ""), ("DATABASE_SECRET_ID", &secret)]),
        &[("VAULT_KEY", tests::world::VAULT_KEY)],
    );
    let mut runner = start("runner", &settings).await?;
    answer(&mut runner, worker()).await?;
    assert_eq!(aws.calls(READ_SECRET), 1);

    server.sql("alter role relay_service password 'two'").await?;
    aws.rotate(&secret, &server.secret("two")).await?;
    server.cut_all().await?;
    answer(&mut runner, worker()).await?;

    assert_eq!(aws.calls(READ_SECRET), 2);
    assert_eq!(server.number("select count(*) from relay.task_runs where status = 'DONE'").await?, 2);
    assert_eq!(server.number("select count(*) from relay.task_runs where status <> 'DONE'").await?, 0);

    // A password that is wrong there, too, is asked for a few times and then told.
    server.sql("alter role relay_service password 'three'").await?;
    server.cut_all().await?;
    let Invocation::Failed(error) = invoke(&mut runner, worker()).await? else { panic!("it logged in") };
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    assert!(!error.to_string().contains("two"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_not_to_be_had_for_a_moment_costs_no_run() -> anyhow::Result<()> {
    let (world, aws, server) = (World::new().await?, Aws::start().await?, Server::with_passwords().await?);
    server.sql("alter role relay_service password 'one'").await?;
    let secret = aws.secret(&server.secret("one")).await?;
    let settings = on(&aws, &world, &[("DATABASE_URL", ""), ("DATABASE_SECRET_ID", &secret)]);

    for code in ["InternalServiceError", "ThrottlingException"] {
        aws.refuse_times(READ_SECRET, code, 2);
        let mut cold = start("runner", &settings).await?;
        answer(&mut cold, worker()).await?;
    }
    assert_eq!(aws.calls(READ_SECRET), 6);

    // Away for longer, it is told of, and the same process goes on once it is back.
    aws.refuse(READ_SECRET, "ThrottlingException");
    let mut cold = start("runner", &settings).await?;
    let Invocation::Failed(error) = invoke(&mut cold, worker()).await? else { panic!("it knew the login") };
    assert!(error.to_string().contains("Secrets Manager gave no answer for DATABASE_SECRET_ID"), "{error}");
    aws.mend();
    answer(&mut cold, worker()).await?;
    assert_eq!(server.number("select count(*) from relay.task_runs where status = 'DONE'").await?, 3);
    Ok(())
}

/// Waits until secrets were read so often: what is read behind a call is read after its answer.
async fn until_read(aws: &Aws, times: usize) -> anyhow::Result<()> {
    let read = async {
        while aws.calls(READ_SECRET) < times {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(60), read).await?)
}

#[tokio::test]
async fn a_value_past_its_time_serves_once_more_while_the_new_one_is_read_behind_the_call()
-> anyhow::Result<()> {
    let (world, aws, skew) = (World::new().await?, Aws::start().await?, Skew::new()?);
    let cron = aws.secret("first").await?;
    let mut settings = on(&aws, &world, &[("CRON_SECRET", ""), ("CRON_SECRET_ID", &cron)]);
    settings.extend(skew.environment()?);
    let mut runner = start("runner", &settings).await?;
    let shown = |secret: &str| json!({ "x-cron-secret": secret });
    assert_eq!(status(&mut runner, shown("first")).await?, 200);
    aws.rotate(&cron, "second").await?;
    aws.rotate(&cron, "third").await?;

    skew.set(4 * 60)?;
    assert_eq!(status(&mut runner, shown("first")).await?, 200);
    assert_eq!(aws.calls(READ_SECRET), 2, "each stage once in five minutes");
    skew.set(6 * 60)?;
    assert_eq!(status(&mut runner, shown("first")).await?, 200);
    until_read(&aws, 4).await?;

    // What was read behind that call is what is known now.
    assert_eq!(status(&mut runner, shown("third")).await?, 200);
    assert_eq!(status(&mut runner, shown("second")).await?, 200);
    assert_eq!(status(&mut runner, shown("first")).await?, 401);
    assert_eq!(aws.calls(READ_SECRET), 4);

    // And it serves for as long as it cannot be read anew.
    aws.refuse(READ_SECRET, "AccessDeniedException");
    for minutes in [12, 18] {
        skew.set(minutes * 60)?;
        assert_eq!(status(&mut runner, shown("third")).await?, 200);
    }
    until_read(&aws, 6).await?;
    assert_eq!(status(&mut runner, shown("third")).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_cold_start_asks_for_the_doors_secret_and_the_databases_at_the_same_time() -> anyhow::Result<()> {
    let (world, aws, server) = (World::new().await?, Aws::start().await?, Server::with_passwords().await?);
    server.sql("alter role relay_service password 'one'").await?;
    let (cron, database) = (aws.secret("first").await?, aws.secret(&server.secret("one")).await?);
    let settings = on(
        &aws,
        &world,
        &[
            ("CRON_SECRET", ""),
            ("CRON_SECRET_ID", &cron),
            ("DATABASE_URL", ""),
            ("DATABASE_SECRET_ID", &database),
        ],
    );
    let mut runner = start("runner", &settings).await?;
    // Two stages of the door's, and the database's.
    aws.answer_together(READ_SECRET, 3);

    assert_eq!(status(&mut runner, json!({ "x-cron-secret": "first" })).await?, 200);

    assert_eq!(aws.calls(READ_SECRET), 3);
    // Who shows nothing is turned away before anything is asked for.
    let mut cold = start("runner", &settings).await?;
    assert_eq!(status(&mut cold, json!({ "x-vercel-cron": "1" })).await?, 401);
    assert_eq!(aws.calls(READ_SECRET), 3);
    Ok(())
}

#[tokio::test]
async fn a_call_beside_a_database_that_does_not_open_is_told_and_does_not_open_it_again() -> anyhow::Result<()>
{
    let (world, aws, server) = (World::new().await?, Aws::start().await?, Server::with_passwords().await?);
    let way = Way::to(&server.port()).await?;
    let url = server.url_over(&way).replace("relay_service@", "relay_service:wrong@");
    let cron = aws.secret("first").await?;
    let settings =
        on(&aws, &world, &[("CRON_SECRET", ""), ("CRON_SECRET_ID", &cron), ("DATABASE_URL", &url)]);
    let mut runner = start("runner", &settings).await?;

    for opened in [1, 2] {
        let (status, body) =
            http(&mut runner, "POST", CRON, "", json!({ "x-cron-secret": "first" }), None).await?;
        assert_eq!((status, &body["error"]), (503, &json!("the database cannot be reached")));
        assert_eq!(way.said().len(), opened, "once for each call");
    }
    // Whoever may not come in hears nothing of it.
    assert_eq!(status(&mut runner, json!({ "x-cron-secret": "second" })).await?, 401);
    server.sql("alter role relay_service password 'wrong'").await?;
    assert_eq!(status(&mut runner, json!({ "x-cron-secret": "first" })).await?, 200);
    Ok(())
}

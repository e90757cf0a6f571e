//! KMS: one call for all sites, and an answer for each way in which a key does not open.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::aws::{Aws, DECRYPT, GENERATE};
use tests::lambda::{Invocation, LambdaProcess};
use tests::world::{World, credentials};
use uuid::Uuid;

use super::on;
use super::way::Way;
use crate::functions::{answer, invoke, start};

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

/// A world whose data keys are in KMS, and a process that seals there.
async fn world() -> anyhow::Result<(World, Aws, String, LambdaProcess)> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let key = aws.key().await?;
    let seed = start("seed", &on(&aws, &world, &[("VAULT_KEY", ""), ("KMS_KEY_ID", &key)])).await?;
    Ok((world, aws, key, seed))
}

async fn put_site(seed: &mut LambdaProcess) -> anyhow::Result<SiteId> {
    let site = SiteId(Uuid::new_v4());
    let request = json!({
        "site_id": site.to_string(), "provider_key": "google_ads", "credentials": credentials(json!({})),
    });
    let stored = answer(seed, request).await?;
    anyhow::ensure!(stored["ok"] == true, "{stored}");
    Ok(site)
}

async fn runner(aws: &Aws, world: &World, key: &str) -> anyhow::Result<LambdaProcess> {
    start("runner", &on(aws, world, &[("VAULT_KEY", ""), ("KMS_KEY_ID", key)])).await
}

#[tokio::test]
async fn two_hundred_sites_cost_one_call_to_kms() -> anyhow::Result<()> {
    let (world, aws, key, mut seed) = world().await?;
    let mut sites = Vec::new();
    for _ in 0..200 {
        sites.push(put_site(&mut seed).await?);
    }
    for site in &sites {
        world.enqueue_many(*site, &site.to_string(), "ok", 1).await?;
    }
    let mut runner = runner(&aws, &world, &key).await?;

    // With time for two hundred sites on a busy machine.
    let first = runner.invoke(worker(), Duration::from_secs(120)).await?;
    let Invocation::Answered(first) = first else { panic!("{first:?}") };
    world.enqueue_many(sites[0], "later", "ok", 1).await?;
    let warm = answer(&mut runner, worker()).await?;

    assert_eq!((&first["completed"], &warm["completed"]), (&json!(200), &json!(1)), "{first} {warm}");
    assert_eq!((aws.calls(GENERATE), aws.calls(DECRYPT)), (1, 1));
    let row = world.sql.query_one("select source, wrapped from relay.vault_key", &[]).await?;
    assert_eq!(row.get::<_, String>("source"), "kms");
    let context = |version: &str| json!({ "app": "conversion-relay", "environment": "development", "key_version": version });
    let wrapped: Vec<u8> = row.get("wrapped");
    assert_eq!(aws.decrypt(&wrapped, context("1")).await?.map(|key| key.len()), Ok(32));
    assert_eq!(aws.decrypt(&wrapped, context("2")).await?.unwrap_err(), "InvalidCiphertextException");
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_refused_holds_uploads_which_go_on_by_themselves() -> anyhow::Result<()> {
    let (world, aws, key, mut seed) = world().await?;
    let site = put_site(&mut seed).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    // Moto decrypts with a disabled key, and denies nothing.
    for (code, told) in [
        ("DisabledException", "is disabled: enable it"),
        ("AccessDeniedException", "AWS denies it"),
        ("KMSInvalidStateException", "cancel its deletion"),
        ("NotFoundException", "there is no KMS key as KMS_KEY_ID names it"),
    ] {
        aws.refuse(DECRYPT, code);
        let mut runner = runner(&aws, &world, &key).await?;
        let held = answer(&mut runner, worker()).await?;
        assert_eq!((&held["processed"], &held["errors_total"]), (&json!(0), &json!(1)), "{code}: {held}");
        assert_eq!(held["errors"][0]["site_id"], json!(site.to_string()), "{held}");
        assert!(held["errors"][0]["error"].as_str().unwrap().starts_with("KEY_REFUSED"), "{held}");
        assert!(runner.stdout().iter().any(|line| line.contains(told)), "{code}: {:?}", runner.stdout());
        let holds = world.context.store.read_holds(None, None, 10).await?;
        assert_eq!(holds.len(), 1, "{holds:?}");
        assert_eq!((holds[0].code.as_str(), holds[0].sites, holds[0].conversions), ("KEY_REFUSED", 1, 3));
        assert_eq!(holds[0].scope_key.as_deref(), Some("key version 1"));
        aws.mend();
    }

    let mut runner = runner(&aws, &world, &key).await?;
    let gone_on = answer(&mut runner, worker()).await?;
    assert_eq!(gone_on["completed"], json!(3), "{gone_on}");
    assert_eq!(world.standing("sale-0").await?.retry_count, 0);
    assert_eq!(world.context.store.read_holds(None, None, 10).await?, []);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_wrapped_key_of_another_context_does_not_open() -> anyhow::Result<()> {
    let (world, aws, key, mut seed) = world().await?;
    let site = put_site(&mut seed).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let copy = "insert into relay.vault_key select 2, source, wrapped, created_at from relay.vault_key; \
                update relay.provider_credentials set key_version = 2";
    world.sql.batch_execute(copy).await?;
    let mut runner = runner(&aws, &world, &key).await?;

    let held = answer(&mut runner, worker()).await?;

    assert_eq!(held["processed"], json!(0), "{held}");
    assert!(held["errors"][0]["error"].as_str().unwrap().starts_with("KEY_REFUSED"), "{held}");
    assert!(runner.stdout().iter().any(|line| line.contains("made under another APP_ENV or key version")));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn throttling_is_waited_out_and_silence_ends_the_run_and_burns_nothing() -> anyhow::Result<()> {
    let (world, aws, key, mut seed) = world().await?;
    let site = put_site(&mut seed).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    let event = json!({ "mode": "cron", "limit": 1 });

    aws.refuse_times(DECRYPT, "ThrottlingException", 2);
    let mut waits = runner(&aws, &world, &key).await?;
    let waited = answer(&mut waits, event.clone()).await?;
    assert_eq!((&waited["completed"], aws.calls(DECRYPT)), (&json!(1), 3), "{waited}");

    aws.refuse(DECRYPT, "ThrottlingException");
    let mut throttled = runner(&aws, &world, &key).await?;
    let away = [("VAULT_KEY", ""), ("KMS_KEY_ID", key.as_str()), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    let mut unreachable = start("runner", &on(&aws, &world, &away)).await?;
    for silent in [&mut throttled, &mut unreachable] {
        let Invocation::Failed(error) = invoke(silent, event.clone()).await? else {
            panic!("{:?}", silent.stdout())
        };
        assert!(error.to_string().contains("the key source gave no answer"), "{error}");
    }
    assert_eq!(world.statuses().await?, "COMPLETED 1, QUEUED 1");
    assert_eq!(world.context.store.read_holds(None, None, 10).await?, []);
    aws.mend();
    assert_eq!(answer(&mut throttled, event).await?["completed"], json!(1));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_passes_within_a_second_is_tried_again_within_the_run() -> anyhow::Result<()> {
    let (world, aws, key, mut seed) = world().await?;
    let site = put_site(&mut seed).await?;
    world.enqueue_many(site, "sale", "ok", 4).await?;
    let event = json!({ "mode": "cron", "limit": 1 });

    for code in ["KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"] {
        aws.refuse_times(DECRYPT, code, 2);
        let mut runner = runner(&aws, &world, &key).await?;
        assert_eq!(answer(&mut runner, event.clone()).await?["completed"], json!(1), "{code}");
    }
    let kms = aws.environment().into_iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").unwrap().1;
    let way = Way::to(kms.rsplit_once(':').unwrap().1).await?;
    way.close_next(2);
    let over = format!("http://127.0.0.1:{}", way.port());
    let away = [("VAULT_KEY", ""), ("KMS_KEY_ID", key.as_str()), ("AWS_ENDPOINT_URL", over.as_str())];
    let mut runner = start("runner", &on(&aws, &world, &away)).await?;
    assert_eq!(answer(&mut runner, event).await?["completed"], json!(1), "connections that break");

    assert_eq!(world.statuses().await?, "COMPLETED 4");
    assert_eq!(world.number("select count(*) from relay.task_runs where status <> 'DONE'").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn two_key_sources_at_once_are_refused_by_name_and_so_is_a_key_of_the_other() -> anyhow::Result<()> {
    let (world, aws) = (World::new().await?, Aws::start().await?);
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let key = aws.key().await?;

    for (replaced, told) in [
        (vec![("KMS_KEY_ID", key.as_str())], "KMS_KEY_ID is set beside VAULT_KEY"),
        (vec![("KMS_KEY_ID", key.as_str()), ("VAULT_KEY", "")], "it was made under a VAULT_KEY"),
        (vec![("KMS_KEY_ID", key.as_str()), ("VAULT_KEY", ""), ("AWS_REGION", "")], "AWS_REGION is missing"),
    ] {
        let mut runner = start("runner", &on(&aws, &world, &replaced)).await?;
        let Invocation::Failed(error) = invoke(&mut runner, worker()).await? else { panic!("{told}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    assert_eq!(aws.calls(DECRYPT), 0);
    assert_eq!(world.statuses().await?, "QUEUED 1");
    Ok(())
}

//! What cannot work fails loudly: an exit code, a message, a hint, and never a run of zeros.

use serde_json::json;
use tests::database::server;
use tests::world::{VAULT_KEY, World, migrated_database};

use super::{Ran, Relay, good, lines};

const RUN: [&str; 5] = ["run", "--mode", "worker", "--provider", "google_ads"];

/// The same failure for a person and for a program.
async fn check(relay: &Relay, arguments: &[&str], code: i32, told: &str, hint: &str) {
    let json = relay.run(&[arguments, &["--json"]].concat()).await;
    let person = relay.run(arguments).await;

    let document = json.json();
    assert_eq!((json.code, person.code), (Some(code), Some(code)), "{json:?} {person:?}");
    assert_eq!((&document["ok"], &document["exit_code"]), (&json!(false), &json!(code)));
    assert!(document["error"].as_str().unwrap().contains(told), "{document}");
    assert!(document["hint"].as_str().unwrap().contains(hint), "{document}");
    assert!(document.get("processed").is_none(), "{document}");
    assert!(person.stdout.is_empty() && person.stderr.contains(told), "{person:?}");
    let hints = person.stderr.lines().filter(|line| line.starts_with("hint: ")).count();
    assert_eq!((hints, person.stderr.lines().last().unwrap().starts_with("hint: ")), (1, true), "{person:?}");
}

fn nowhere(password: &str) -> String {
    format!("postgresql://relay_service:{password}@127.0.0.1:1/relay")
}

#[tokio::test]
async fn a_database_that_is_down_is_a_failure_and_never_zeros() {
    let relay = Relay::with(vec![("DATABASE_URL", nowhere("hunter2")), ("APP_ENV", "staging".to_owned())]);
    for arguments in [&RUN[..], &["recover"], &["status"], &["audit"], &["explain", "1"], &["migrate"]] {
        check(&relay, arguments, 1, "the database cannot be reached", "pg_isready").await;

        let said = relay.run(arguments).await;
        assert!(!format!("{said:?}").contains("hunter2"));
    }
}

/// `pg_isready` would say of both that all is well.
#[tokio::test]
async fn a_server_that_refuses_the_login_or_has_no_such_database_is_hinted_as_such() {
    let with = |url: String| Relay::with(vec![("DATABASE_URL", url), ("APP_ENV", "development".to_owned())]);

    let url = server().url("no_such_database");
    check(&with(url), &["migrate"], 1, "does not exist", "createdb").await;
    let url = server().url("postgres").replacen("postgres@", "nobody@", 1);
    check(&with(url), &["migrate"], 1, "\"nobody\" does not exist", "psql").await;
}

#[tokio::test]
async fn a_country_or_a_consent_that_is_none_is_refused_at_the_door() {
    let relay = Relay::with(vec![]);
    let site = "3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11";
    for country in ["UK", "XX", "germany"] {
        check(&relay, &["site", "put", "--site", site, "--country", country], 2, "country", "relay").await;
    }
    for state in ["yes", "granted", ""] {
        let put = ["site", "put", "--site", site, "--ad-user-data", state];
        check(&relay, &put, 2, "--ad-user-data", "relay").await;
    }
}

#[tokio::test]
async fn a_setting_that_is_wrong_is_named_once() {
    let database = migrated_database().await.unwrap();
    let relay = Relay::with(vec![
        ("DATABASE_URL", database.url()),
        ("APP_ENV", "development".to_owned()),
        ("VAULT_KEY", "abc".to_owned()),
    ]);

    check(&relay, &["status"], 2, ": VAULT_KEY is not padded base64", "vault-key").await;
}

#[tokio::test]
async fn a_database_that_goes_away_half_way_is_told_with_what_is_in() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let rows: Vec<_> = (0..5_000).map(|number| good(site, &format!("row-{number}"), json!({}))).collect();
    let file = relay.file("conversions.ndjson", lines(&rows));
    // The third batch meets a database that refuses.
    let sql = "create sequence batches; grant usage on sequence batches to public;
               create function refuse() returns trigger language plpgsql security definer as
               $$ begin if nextval('public.batches') > 2 then raise exception using errcode = '57P01', message = 'going down';
               end if; return null; end $$;
               create trigger refuse after insert on relay.conversion for each statement execute function refuse();";
    world.sql.batch_execute(sql).await.unwrap();

    let ran = relay.run(&["enqueue", "--file", &file, "--json"]).await;

    let answer = ran.json();
    assert_eq!(
        (ran.code, &answer["ok"], &answer["queued"]),
        (Some(1), &json!(false), &json!(4_000)),
        "{answer}"
    );
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("4,000 lines") && error.contains("duplicate"), "{error}");
    world.sql.batch_execute("drop trigger refuse on relay.conversion").await.unwrap();
    let (again, _) = relay.enqueue(&file).await;
    assert_eq!((&again["duplicate"], &again["queued"]), (&json!(4_000), &json!(1_000)));
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named() {
    let relay = Relay::with(vec![]);

    check(&relay, &["status"], 2, "DATABASE_URL is missing", "export DATABASE_URL=").await;
}

#[tokio::test]
async fn a_database_that_was_never_migrated_says_what_to_do() {
    let relay = Relay::with(vec![("DATABASE_URL", server().url("postgres"))]);

    check(&relay, &["status"], 1, "schema", "relay migrate").await;
}

#[tokio::test]
async fn another_environments_database_is_refused() {
    let database = migrated_database().await.unwrap();
    let relay = Relay::with(vec![("DATABASE_URL", database.url())]);

    for arguments in [&RUN[..], &["status"], &["migrate"]] {
        check(&relay, arguments, 3, "the database belongs to development", "export APP_ENV=development")
            .await;
    }
}

#[tokio::test]
async fn another_vault_key_is_refused_and_touches_nothing() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "waiting", "ok", 3).await.unwrap();
    let relay = Relay::new(&world);
    let key = relay.run(&["vault-key"]).await.stdout;
    let relay = relay.set("VAULT_KEY", key.trim());

    check(&relay, &RUN, 4, "VAULT_KEY does not open key version 1", "export VAULT_KEY=").await;

    assert_eq!(world.statuses().await.unwrap(), "QUEUED 3");
    assert_eq!(world.sandbox.summary().totals.requests, 0);
}

#[tokio::test]
async fn usage_is_told_as_one_document_and_exits_2() {
    let relay = Relay::with(vec![]);
    let said = |ran: &Ran| (ran.code, ran.json()["error"].as_str().unwrap().to_owned());

    let no_verb = relay.run(&["--json", "frobnicate"]).await;
    let no_provider = relay.run(&["run", "--mode", "worker", "--json"]).await;
    let no_mode = relay.run(&["run", "--json"]).await;
    let no_file = relay.run(&["enqueue", "--json"]).await;
    let no_uuid = relay.run(&["status", "--site", "shop", "--json"]).await;
    let too_many = relay.run(&["run", "--mode", "cron", "--limit", "1001", "--json"]).await;

    assert_eq!(said(&no_verb).0, Some(2));
    assert_eq!(said(&no_provider), (Some(2), "mode worker requires provider_key".to_owned()));
    assert_eq!(said(&no_mode), (Some(2), "mode is missing: worker or cron".to_owned()));
    assert_eq!(said(&too_many), (Some(2), "limit must be a whole number from 1 to 1000".to_owned()));
    assert_eq!(said(&no_uuid).0, Some(2));
    assert!(said(&no_file).1.contains("--file <FILE>"), "{no_file:?}");
    assert!(said(&no_uuid).1.contains("must be a UUID"), "{no_uuid:?}");
}

#[tokio::test]
async fn a_new_vault_key_is_32_bytes_and_new() {
    let relay = Relay::with(vec![]);

    let (one, other) = (relay.run(&["vault-key"]).await, relay.run(&["vault-key", "--json"]).await);

    assert_eq!(one.stdout.trim().len(), VAULT_KEY.len());
    assert_ne!(other.json()["vault_key"], one.stdout.trim());
}

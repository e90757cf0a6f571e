//! A day at the desk: migrate, run, look, explain, recover, prove.

use std::io::{BufRead as _, BufReader};

use serde_json::json;
use tests::database::Template;
use tests::world::World;

use super::{Relay, good};

const RUN: [&str; 5] = ["run", "--mode", "worker", "--provider", "google_ads"];

#[tokio::test]
async fn migrating_an_empty_database_twice_is_safe() {
    static EMPTY: Template = Template::new("cli_empty");
    let database = EMPTY.fresh_database(|_| async { Ok(()) }).await.unwrap();
    let relay = Relay::with(vec![("DATABASE_URL", database.url()), ("APP_ENV", "development".to_owned())]);

    let first = relay.run(&["migrate", "--json"]).await;
    let second = relay.run(&["migrate", "--json"]).await;

    assert!(!first.json()["migrations"].as_array().unwrap().is_empty(), "{first:?}");
    assert_eq!((second.json()["migrations"].clone(), second.code), (json!([]), Some(0)));
}

#[tokio::test]
async fn a_run_delivers_and_status_explain_and_audit_agree() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 3).await.unwrap();
    world.enqueue_many(site, "later", "error.internalError.INTERNAL_ERROR", 1).await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&[&RUN[..], &["--json"]].concat()).await;
    let status = relay.run(&["status", "--fresh", "--outcomes", "--json"]).await;
    let explained = relay.run(&["explain", "sale-0", "--json"]).await;
    let audited = relay.run(&["audit", "--json"]).await;

    assert_eq!((&ran.json()["completed"], &ran.json()["retry"]), (&json!(3), &json!(1)), "{ran:?}");
    let status = status.json();
    assert_eq!(
        (&status["all"]["completed_total"], &status["all"]["backlog"]),
        (&json!(3), &json!(1)),
        "{status}"
    );
    assert_eq!(status["outcomes"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(explained.json()["conversion"]["status"], "COMPLETED");
    assert_eq!((audited.code, &audited.json()["faults_total"]), (Some(0), &json!(0)));
}

#[tokio::test]
async fn what_people_read_fits_a_hundred_columns() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 2).await.unwrap();
    world.enqueue_many(site, "later", "error.internalError.INTERNAL_ERROR", 1).await.unwrap();
    let broken = world.site(json!({ "refresh_token": "invalid_grant" })).await.unwrap();
    world.enqueue_many(broken, "held", "ok", 1).await.unwrap();
    let relay = Relay::new(&world);

    for arguments in
        [&RUN[..], &["status", "--outcomes"], &["explain", "later-0"], &["explain", "held-0"], &["audit"]]
    {
        let ran = relay.run(arguments).await;

        assert!(ran.stdout.lines().all(|line| line.chars().count() <= 110), "{}", ran.stdout);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
    }
    let status = relay.run(&["status", "--fresh"]).await.stdout;
    assert!(status.lines().all(|row| row.chars().count() <= 80), "{status}");
    let of = |site: &str| status.find(site).unwrap_or_else(|| panic!("{site}: {status}"));
    assert!(of(&broken.to_string()) < of(&site.to_string()), "the worst stands first: {status}");
}

#[tokio::test]
async fn explain_says_where_it_stands_what_blocks_it_and_until_when() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "later", "error.internalError.INTERNAL_ERROR", 1).await.unwrap();
    world.run_worker().await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&["explain", "later-0"]).await;

    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("It is RETRY: it is not due until 20"), "{}", ran.stdout);
    assert!(ran.stdout.contains("The provider takes it until 20"), "{}", ran.stdout);
    assert!(ran.stdout.contains("ENQUEUED"), "{}", ran.stdout);
}

#[tokio::test]
async fn explain_lists_several_and_fails_for_none() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let order = json!({ "order_id": "order-7" });
    world.enqueue(site, &[good(site, "one", order.clone()), good(site, "two", order)]).await.unwrap();
    let relay = Relay::new(&world);

    let several = relay.run(&["explain", "order-7", "--json"]).await;
    let none = relay.run(&["explain", "order-8", "--json"]).await;

    let several = several.json();
    assert_eq!(several["matches"].as_array().unwrap().len(), 2, "{several}");
    assert_eq!(several["matches"][0]["external_id"], "one");
    assert_eq!(several["matches"][1]["site_id"], site.to_string());
    assert_eq!(several["matches"][1]["status"], "QUEUED");
    assert_eq!((none.code, &none.json()["ok"]), (Some(1), &json!(false)));
}

#[tokio::test]
async fn explain_lists_twenty_by_what_a_person_knows_them_by() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let order = json!({ "order_id": "order-7" });
    let rows: Vec<_> = (0..25).map(|number| good(site, &format!("sale-{number}"), order.clone())).collect();
    world.enqueue(site, &rows).await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&["explain", "order-7"]).await;

    let listed: Vec<&str> = ran.stdout.lines().filter(|line| line.contains(&site.to_string())).collect();
    assert_eq!(listed.len(), 20, "{}", ran.stdout);
    assert!(listed[0].contains("sale-0") && listed[0].ends_with("QUEUED"), "{}", ran.stdout);
    assert!(ran.stdout.contains("several conversions have this order id"), "{}", ran.stdout);
    assert!(ran.stdout.contains("and more"), "{}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
}

#[tokio::test]
async fn status_shows_what_is_at_risk_of_expiring() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "old", "ok", 3).await.unwrap();
    let relay = Relay::new(&world);
    // Two days old when they came, ninety is the most: a day is left.
    world.let_pass("87 days").await.unwrap();
    world.enqueue_many(site, "new", "ok", 4).await.unwrap();

    let site = site.to_string();
    let by_site = ["status", "--site", &site, "--json"];
    let before = relay.run(&by_site).await.json();
    world.context.store.expire_conversions(1_000).await.unwrap();
    let after = relay.run(&by_site).await.json();
    let figures = relay.run(&["status", "--fresh", "--json"]).await.json();
    let shown = relay.run(&["status", "--site", &site]).await.stdout;

    assert_eq!((&before["groups"][0]["at_risk"], &before["groups"][0]["waiting"]), (&json!(0), &json!(7)));
    assert_eq!((&after["groups"][0]["at_risk"], &after["totals"]["at_risk"]), (&json!(3), &json!(3)));
    assert_eq!((&figures["all"]["at_risk"], &figures["groups"][0]["at_risk"]), (&json!(3), &json!(3)));
    assert!(shown.contains("at risk") && shown.contains("within 48 hours: 3"), "{shown}");
}

#[tokio::test]
async fn pruning_keeps_what_is_young_and_is_a_run_of_its_own() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "old", "ok", 6).await.unwrap();
    world.run_worker().await.unwrap();
    world.let_weeks_pass(40).await.unwrap();
    world.enqueue_many(site, "new", "ok", 2).await.unwrap();
    world.run_worker().await.unwrap();
    let relay = Relay::new(&world);

    let usual = relay.run(&["prune", "--json"]).await;
    let short = relay.run(&["prune", "--retention-days", "200", "--json"]).await;
    let told = relay.run(&["prune"]).await;
    let refused = relay.run(&["prune", "--retention-days", "179"]).await;
    let audited = relay.run(&["audit", "--json"]).await;

    // Runs are kept for 90 days.
    assert_eq!((&usual.json()["keys"], &usual.json()["runs"]), (&json!(0), &json!(1)), "{usual:?}");
    let short = short.json();
    assert_eq!((&short["keys"], &short["processed"], &short["ok"]), (&json!(6), &json!(3), &json!(true)));
    assert!(told.stdout.contains("dropped 0 partitions"), "{told:?}");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("from 180 to"), "{refused:?}");
    assert_eq!(audited.json()["totals"]["keys"], 2);
    let runs = "select count(*) from relay.task_runs where task_key = 'prune' and status = 'DONE'";
    assert_eq!(world.number(runs).await.unwrap(), 3);
    let keys = "select counters ->> 'keys' from relay.task_runs where task_key = 'prune' order by run_id offset 1 limit 1";
    assert_eq!(world.sql.query_one(keys, &[]).await.unwrap().get::<_, String>(0), "6");
}

#[tokio::test]
async fn keeping_partitions_says_how_far_they_reach() {
    let world = World::new().await.unwrap();
    // A week may have begun since the template was migrated.
    world.context.store.keep_partitions(8).await.unwrap();
    let relay = Relay::new(&world);

    let kept = relay.run(&["keep-partitions", "--weeks-ahead", "12", "--json"]).await;
    let again = relay.run(&["keep-partitions"]).await;

    let answer = kept.json();
    assert_eq!((&answer["processed"], &answer["weeks_ahead"]), (&json!(12), &json!(12)), "{answer}");
    assert!(again.stdout.contains("made 0 partitions; 12 weeks"), "{again:?}");
    let runs = "select count(*) from relay.task_runs where task_key = 'keep-partitions' and status = 'DONE'";
    assert_eq!(world.number(runs).await.unwrap(), 2);
}

#[tokio::test]
async fn the_audit_says_where_everything_is() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 3).await.unwrap();
    world.run_worker().await.unwrap();
    world.enqueue_many(site, "new", "ok", 2).await.unwrap();
    let relay = Relay::new(&world);

    let answer = relay.run(&["audit", "--json"]).await.json();
    let told = relay.run(&["audit"]).await.stdout;

    let equation = "5 conversions = 2 waiting + 0 in flight + 0 held + 0 submitted + 3 completed + 0 failed";
    assert_eq!((&answer["equation"], &answer["balanced"]), (&json!(equation), &json!(true)));
    assert_eq!((&answer["totals"]["waiting"], &answer["totals"]["completed"]), (&json!(2), &json!(3)));
    assert!(told.starts_with(equation), "{told}");
}

#[tokio::test]
async fn a_fault_in_the_accounts_turns_the_audit_red() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "lost", "ok", 1).await.unwrap();
    world.sql.batch_execute("delete from relay.ready").await.unwrap();
    let relay = Relay::new(&world);

    let ran = relay.run(&["audit", "--json"]).await;

    assert_eq!((ran.code, &ran.json()["faults_total"]), (Some(5), &json!(1)), "{ran:?}");
}

#[tokio::test]
async fn dead_letters_of_several_codes_go_again() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "a", "error.UNPARSEABLE_GCLID", 1).await.unwrap();
    world.enqueue_many(site, "b", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await.unwrap();
    world.run_worker().await.unwrap();
    let codes: Vec<String> = {
        let sql = "select last_error from relay.offline_conversion_queue where status = 'FAILED' order by 1";
        world.sql.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let relay = Relay::new(&world);
    let mut arguments = vec!["recover", "--min-age-minutes", "0", "--json"];
    arguments.extend(codes.iter().flat_map(|code| ["--redrive-code", code.as_str()]));

    let ran = relay.run(&arguments).await;

    assert!(!codes.is_empty());
    assert_eq!((&ran.json()["redriven"], ran.code), (&json!(codes.len()), Some(0)), "{ran:?}");
}

#[tokio::test]
async fn a_national_phone_number_is_read_with_the_sites_country() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let row = good(site, "phone", json!({ "user": { "phone": "030 901820" } }));
    let file = relay.file("phone.ndjson", format!("{row}\n"));

    let put = relay.run(&["site", "put", "--site", &site.to_string(), "--country", "de", "--json"]).await;
    let (summary, _) = relay.enqueue(&file).await;

    let consent = ["site", "put", "--site", &site.to_string(), "--ad-user-data", "DENIED", "--json"];
    let kept = relay.run(&consent).await;

    assert_eq!(put.json()["country"], "DE");
    assert_eq!((&kept.json()["country"], &kept.json()["ad_user_data"]), (&json!("DE"), &json!("DENIED")));
    assert_eq!((&summary["queued"], &summary["dropped_identifiers"]), (&json!(1), &json!(0)), "{summary}");
}

#[tokio::test]
async fn ctrl_c_ends_a_run_after_what_is_in_flight() {
    let world = World::with(std::time::Duration::from_secs(20)).await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "slow", "slow.3000", 1).await.unwrap();
    let relay = Relay::new(&world);
    let child = relay.command(&[&RUN[..], &["--json"]].concat()).spawn().unwrap();
    while world.sandbox.summary().totals.requests < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();

    let answer: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&answer["completed"], &answer["stopped"]), (&json!(1), &json!("shutdown")), "{answer}");
    assert_eq!(ended.status.code(), Some(130));
    world.assert_accounted_for().await.unwrap();
}

#[tokio::test]
async fn the_sandbox_says_how_to_reach_it_and_stops_on_ctrl_c() {
    let relay = Relay::with(vec![]);
    let mut child = relay.command(&["sandbox", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();

    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    // SAFETY: a signal to a child that was not waited for yet.
    unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();

    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["environment"].as_object().unwrap().len(), 4, "{answer}");
    assert_eq!(
        answer["environment"]["GOOGLE_OAUTH_TOKEN_URL"],
        format!("{}/token", answer["base_url"].as_str().unwrap())
    );
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_pause_says_why_and_ends_when_it_is_told_to() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 1).await.unwrap();
    let relay = Relay::new(&world);
    let site = site.to_string();
    let which = ["--provider", "google_ads", "--site", &site];

    let unsaid = relay.run(&[&["pause"], &which[..]].concat()).await;
    let paused =
        relay.run(&[&["pause"], &which[..], &["--for", "2h", "--reason", "wrong prices"]].concat()).await;
    let listed = relay.run(&["pause"]).await;
    let explained = relay.run(&["explain", "sale-0"]).await;
    let status = relay.run(&["status"]).await;
    let resumed = relay.run(&[&["resume"], &which[..], &["--json"]].concat()).await;
    let ran = relay.run(&[&RUN[..], &["--json"]].concat()).await;

    assert_eq!((unsaid.code, unsaid.stderr.contains("--reason")), (Some(2), true), "{unsaid:?}");
    assert!(paused.stdout.contains("is paused until"), "{paused:?}");
    assert!(listed.stdout.contains("wrong prices") && listed.stdout.contains(&site), "{listed:?}");
    assert!(explained.stdout.contains("an operator paused it until"), "{explained:?}");
    assert!(status.stdout.contains("paused to"), "{status:?}");
    assert_eq!(resumed.json()["resumed"], json!(true));
    assert_eq!(ran.json()["completed"], json!(1));
}

#[tokio::test]
async fn a_quota_key_is_set_and_shown() {
    let world = World::new().await.unwrap();
    world.site(json!({ "quota_key": "agency" })).await.unwrap();
    let relay = Relay::new(&world);

    let put =
        ["quota", "put", "--key", "agency", "--slots", "4", "--per-minute", "300", "--per-day", "100000"];
    let set = relay.run(&put).await;
    let listed = relay.run(&["quota"]).await;
    let json = relay.run(&["quota", "--json"]).await.json();
    let unknown = relay.run(&["quota", "put", "--key", "nobody", "--slots", "4"]).await;
    let nothing = relay.run(&["quota", "put", "--key", "agency"]).await;

    assert_eq!(set.code, Some(0), "{set:?}");
    let shown = listed.stdout.lines().find(|line| line.contains("agency")).unwrap_or_default();
    for part in ["0 of 4", "300", "100,000", "now"] {
        assert!(shown.contains(part), "{}", listed.stdout);
    }
    assert_eq!(json["quotas"][0]["per_minute"], json!(300), "{json}");
    assert_eq!((unknown.code, nothing.code), (Some(1), Some(2)));
    assert!(unknown.stderr.contains("no site has the quota key nobody"), "{unknown:?}");
}

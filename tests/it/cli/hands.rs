//! What is ended by hand: dead letters that go again, what is cancelled, who is erased, which site is taken off.

use serde_json::json;
use tests::world::World;

use super::{Relay, good, lines};

#[tokio::test]
async fn dead_letters_are_told_by_code_and_go_again_with_their_key_and_history() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let other = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 3).await.unwrap();
    world.enqueue_many(site, "worse", "error.INVALID_CONVERSION_ACTION", 1).await.unwrap();
    world.enqueue_many(other, "others", "error.UNPARSEABLE_GCLID", 2).await.unwrap();
    world.run_worker().await.unwrap();
    let relay = Relay::new(&world);
    let site = site.to_string();
    let before = "select string_agg(conversion_id::text || external_id, ',' order by conversion_id) from relay.conversion_key";
    let keys: String = world.sql.query_one(before, &[]).await.unwrap().get(0);

    let listed = relay.run(&["dead-letters", "--json"]).await.json();
    let group = &listed["dead_letters"][0];
    let code = group["code"].as_str().unwrap().to_owned();
    let example = group["conversion_id"].to_string();
    let by_id = relay.run(&["dead-letters", "--redrive", "--id", &example, "--yes", "--json"]).await.json();
    let by_code = relay
        .run(&["dead-letters", "--redrive", "--code", &code, "--site", &site, "--yes", "--json"])
        .await
        .json();
    let by_site = relay.run(&["dead-letters", "--redrive", "--site", &site, "--yes", "--json"]).await.json();

    assert!(code.contains("UNPARSEABLE_GCLID"), "{listed}");
    assert_eq!((&group["conversions"], &listed["total"]), (&json!(5), &json!(listed["total"])), "{listed}");
    assert_eq!(by_id["redriven"], json!(1));
    // Its youngest example may be of either site.
    let left = 3 - i64::from(group_is_of(&world, &example, &site).await);
    assert_eq!(by_code["redriven"], json!(left), "{by_code}");
    assert!(by_site["redriven"].as_i64().unwrap() <= 1, "{by_site}");
    let after: String = world.sql.query_one(before, &[]).await.unwrap().get(0);
    assert_eq!(keys, after, "the keys are what they were");
    let history = "select string_agg(outcome, ' ' order by seq) from relay.conversion_outcome \
                   join relay.conversion_key using (conversion_id) where external_id = 'bad-0'";
    let history: String = world.sql.query_one(history, &[]).await.unwrap().get(0);
    assert!(history.ends_with("REJECTED REQUEUED"), "what became of it before stays: {history}");
    world.assert_accounted_for().await.unwrap();
}

async fn group_is_of(world: &World, conversion: &str, site: &str) -> bool {
    let sql = format!(
        "select count(*) from relay.offline_conversion_queue where id = {conversion} and site_id = '{site}'"
    );
    world.number(&sql).await.unwrap() == 1
}

#[tokio::test]
async fn a_site_is_cancelled_where_somebody_says_so_and_one_conversion_by_its_number() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "done", "ok", 1).await.unwrap();
    world.run_worker().await.unwrap();
    world.enqueue_many(site, "sale", "ok", 4).await.unwrap();
    let relay = Relay::new(&world);
    let (site, number) = (site.to_string(), "select min(conversion_id) from relay.ready");
    let waiting = world.number(number).await.unwrap().to_string();
    let done = world.number("select min(conversion_id) from relay.conversion").await.unwrap().to_string();

    let unsaid = relay.run(&["cancel", "--site", &site]).await;
    let named = relay.run(&["cancel", "--id", &waiting, &done, "--json"]).await;
    let unknown = relay.run(&["cancel", "--id", "5", "--json"]).await;
    let whole = relay.run(&["cancel", "--site", &site, "--provider", "google_ads", "--yes"]).await;
    let nothing = relay.run(&["cancel"]).await;
    let explained = relay.run(&["explain", "sale-3"]).await;

    assert_eq!((unsaid.code, unsaid.stderr.contains("--yes")), (Some(2), true), "{unsaid:?}");
    let told = named.json();
    assert_eq!((&told["cancelled"], &told["ended"], named.code), (&json!(1), &json!(1), Some(0)), "{told}");
    assert_eq!((&unknown.json()["unknown"], unknown.code), (&json!(1), Some(1)));
    assert!(whole.stdout.starts_with("cancelled: 3") && whole.code == Some(0), "{whole:?}");
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(explained.stdout.contains("An operator cancelled it"), "{explained:?}");
    world.assert_accounted_for().await.unwrap();
}

#[tokio::test]
async fn a_person_is_erased_from_standard_input_and_told_of_nowhere() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    let relay = Relay::new(&world);
    let jane =
        good(site, "jane", json!({ "user": { "email": "Jane@Example.com", "phone": "+49 30 901820" } }));
    let file = relay.file("people.ndjson", lines(&[jane, good(site, "john", json!({}))]));
    relay.enqueue(&file).await;

    let erased = relay.pipe(&["erase", "--email", "-", "--json"], b" jane@example.com\n").await;
    let again = relay.run(&["erase", "--phone", "+49 30 901820"]).await;
    let by_click = relay.run(&["erase", "--click-id", "gclid-john", "--json"]).await;
    let national = relay.run(&["erase", "--phone", "030 901820"]).await;
    let nobody = relay.run(&["erase"]).await;
    let twice = relay.run(&["erase", "--email", "-", "--phone", "-"]).await;
    let explained = relay.run(&["explain", "jane"]).await;

    let told = erased.json();
    assert_eq!(
        (&told["conversions"], &told["ready"], &told["finished"]),
        (&json!(1), &json!(1), &json!(true)),
        "{told}"
    );
    assert!(again.stdout.contains("blanked 0"), "what is gone is gone: {again:?}");
    assert_eq!(by_click.json()["ready"], json!(1));
    assert_eq!(
        (national.code, nobody.code, twice.code),
        (Some(2), Some(2), Some(2)),
        "{national:?} {twice:?}"
    );
    for ran in [&erased, &again, &by_click, &national, &explained] {
        let said = format!("{}{}", ran.stdout, ran.stderr).to_lowercase();
        assert!(
            !said.contains("jane@") && !said.contains("901820") && !said.contains("gclid-john"),
            "{ran:?}"
        );
    }
    assert!(explained.stdout.contains("was erased"), "{explained:?}");
    world.assert_accounted_for().await.unwrap();
}

#[tokio::test]
async fn a_site_is_taken_off_and_its_door_says_so() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 2).await.unwrap();
    let relay = Relay::new(&world);
    let id = site.to_string();

    let unsaid = relay.run(&["site", "remove", "--site", &id]).await;
    let removed = relay.run(&["site", "remove", "--site", &id, "--yes", "--json"]).await;
    relay.run(&["tasks", "run", "gauges"]).await;
    let status = relay.run(&["status"]).await;
    let file = relay.file("late.ndjson", lines(&[good(site, "late", json!({}))]));
    let (summary, code) = relay.enqueue(&file).await;
    let unknown =
        relay.run(&["site", "remove", "--site", "3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11", "--yes"]).await;
    let again = relay.run(&["site", "remove", "--site", &id, "--yes"]).await;

    assert_eq!((unsaid.code, unsaid.stderr.contains("--yes")), (Some(2), true), "{unsaid:?}");
    let told = removed.json();
    assert_eq!(
        (&told["credentials"], &told["cancelled"], &told["finished"]),
        (&json!(1), &json!(2), &json!(true)),
        "{told}"
    );
    assert_eq!((&summary["site_removed"], code), (&json!(1), Some(1)), "{summary}");
    assert!(summary["errors"][0]["reason"].as_str().unwrap().contains("was removed"), "{summary}");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(again.stdout.contains("was removed before"), "{again:?}");
    let line = status.stdout.lines().find(|line| line.contains(&id)).unwrap_or_default();
    assert!(line.contains("removed") && !line.contains("good") && !line.contains("held"), "{status:?}");
    world.assert_accounted_for().await.unwrap();
}

#[tokio::test]
async fn a_retention_shorter_than_scores_need_is_refused_by_both_names() {
    let world = World::new().await.unwrap();
    let relay =
        Relay::new(&world).set("CONVERSION_RETENTION_DAYS", "200").set("RECOMPUTE_SCORES_WINDOW_DAYS", "300");

    let refused = relay.run(&["prune"]).await;
    let relay = relay.set("CONVERSION_RETENTION_DAYS", "300");
    let shorter = relay.run(&["prune", "--retention-days", "299"]).await;
    let pruned = relay.run(&["prune", "--json"]).await;

    for ran in [&refused, &shorter] {
        assert_eq!(
            (ran.code, ran.stderr.contains("RECOMPUTE_SCORES_WINDOW_DAYS")),
            (Some(2), true),
            "{ran:?}"
        );
    }
    assert!(refused.stderr.contains("CONVERSION_RETENTION_DAYS"), "{refused:?}");
    assert_eq!((&pruned.json()["retention_days"], pruned.code), (&json!(300), Some(0)), "{pruned:?}");
}

#[tokio::test]
async fn the_nightly_audit_raises_the_alarm_and_says_which() {
    let world = World::new().await.unwrap();
    let site = world.site(json!({})).await.unwrap();
    world.enqueue_many(site, "sale", "ok", 3).await.unwrap();
    let relay = Relay::new(&world);

    let sound = relay.run(&["tasks", "run", "audit", "--json"]).await;
    let lose = "delete from relay.ready where conversion_id = (select min(conversion_id) from relay.ready)";
    world.sql.batch_execute(lose).await.unwrap();
    let faulty = relay.run(&["tasks", "run", "audit", "--json"]).await;

    let (one, other) = (&sound.json()["tasks"]["audit"], &faulty.json()["tasks"]["audit"]);
    assert_eq!(
        (&one["ok"], &one["total"], &one["processed"]),
        (&json!(true), &json!(3), &json!(3)),
        "{sound:?}"
    );
    assert_eq!(
        (&other["ok"], &other["errors_total"], &other["processed"]),
        (&json!(false), &json!(2), &json!(1)),
        "{faulty:?}"
    );
    assert!(!sound.stderr.contains("audit_fault") && faulty.stderr.contains("audit_fault"), "{faulty:?}");
    assert!(faulty.stderr.contains("not in exactly one place"), "{faulty:?}");
    let counted =
        "select errors_count from relay.task_runs where task_key = 'audit' order by run_id desc limit 1";
    assert_eq!(world.number(counted).await.unwrap(), 2);
}

//! The door for conversions: who may come in, what is taken, what each item is answered. Every way in is tried alike.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::front::{Front, Told, digest, signature};
use tests::lambda::Invocation;
use tests::skew::skew;
use tests::world::{World, conversion};
use uuid::Uuid;

use super::{invoke, start, with};

const PATH: &str = "/v1/conversions";

/// A world with a site that has credentials, and a key of it.
async fn ground() -> anyhow::Result<(World, SiteId, String)> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let key = new_key(&world, site).await?.1;
    Ok((world, site, key))
}

async fn new_key(world: &World, site: SiteId) -> anyhow::Result<(i32, String)> {
    let (id, key) = world.context.access.add_ingest_key(site).await?.expect("the site has room for a key");
    Ok((id, key.expose().to_owned()))
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A good conversion of a site, with these fields besides.
fn good(site: SiteId, external_id: &str, fields: Value) -> Value {
    let mut all =
        json!({ "external_id": external_id, "click_ids": { "gclid": format!("gclid-{external_id}") } });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    conversion(site, &all)
}

fn headers(site: SiteId, signature: String) -> Vec<(&'static str, String)> {
    vec![("x-relay-site", site.to_string()), ("x-relay-signature", signature)]
}

async fn send(front: &mut Front, site: SiteId, key: &str, body: &Value) -> anyhow::Result<Told> {
    send_bytes(front, site, key, body.to_string().as_bytes()).await
}

async fn send_bytes(front: &mut Front, site: SiteId, key: &str, body: &[u8]) -> anyhow::Result<Told> {
    front.call("POST", PATH, &headers(site, signature(key, now(), body)), body).await
}

/// The results of an answer, an item a line: `good: google_ads queued`.
fn results(told: &Told) -> Vec<String> {
    let item = |item: &Value| {
        let providers = item["providers"].as_array().unwrap().iter();
        let results: Vec<String> = providers
            .map(|one| {
                let errors = one["errors"].as_array().into_iter().flatten();
                let fields: Vec<_> = errors.map(|error| error["field"].as_str().unwrap()).collect();
                let said = format!("{} {}", one["provider_key"], one["result"].as_str().unwrap());
                format!("{} {}", said.replace('"', ""), fields.join(",")).trim().to_owned()
            })
            .collect();
        format!("{}: {}", item["external_id"].as_str().unwrap_or("?"), results.join("; "))
    };
    told.body["results"].as_array().unwrap_or_else(|| panic!("{told:?}")).iter().map(item).collect()
}

async fn taken_in(world: &World) -> anyhow::Result<i64> {
    world.number("select count(*) from relay.offline_conversion_queue").await
}

#[tokio::test]
async fn every_item_has_its_result_and_a_bad_one_sinks_no_other() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let other = SiteId(Uuid::new_v4());
    let mut bare = good(site, "bare", json!({}));
    bare.as_object_mut().unwrap().remove("site_id");
    bare.as_object_mut().unwrap().remove("provider_key");

    for (number, mut front) in Front::all("ingest", &world.environment()).await?.into_iter().enumerate() {
        let id = |name: &str| format!("{name}-{number}");
        bare["external_id"] = json!(id("bare"));
        let body = json!([
            good(site, &id("good"), json!({})),
            bare,
            good(site, &id("good"), json!({ "value": "99.00" })),
            good(site, &id("bad"), json!({ "currency": "EURO", "kind": "sale", "extra": 1 })),
            good(other, &id("other"), json!({})),
            good(site, &id("old"), json!({ "occurred_at": "2020-01-01T00:00:00Z" })),
            "text",
        ]);

        let first = send(&mut front, site, &key, &body).await?;
        let again = send(&mut front, site, &key, &body).await?;

        assert_eq!(first.status, 202, "{first:?}");
        assert_eq!(first.headers["content-type"], "application/json");
        let expected = |first: &str, second: &str| {
            [
                format!("{}: google_ads {first}", id("good")),
                format!("{}: google_ads {first}", id("bare")),
                format!("{}: google_ads {second}", id("good")),
                format!("{}: google_ads invalid extra,kind,currency", id("bad")),
                format!("{}: google_ads invalid site_id", id("other")),
                format!("{}: google_ads expired", id("old")),
                "?: null invalid (item)".to_owned(),
            ]
        };
        assert_eq!(results(&first), expected("queued", "conflict"));
        assert_eq!(results(&again), expected("duplicate", "conflict"));
        assert_eq!(first.body["counts"], json!({ "queued": 2, "conflict": 1, "invalid": 3, "expired": 1 }),);
        assert!(first.body["results"][0]["providers"][0]["conversion_id"].is_number());
    }
    assert_eq!(taken_in(&world).await?, 6);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_body_is_an_array_an_object_with_conversions_or_one_conversion() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let mut front = Front::serve(&world.environment()).await?;

    for (name, body) in [
        ("array", json!([good(site, "array", json!({}))])),
        ("wrapped", json!({ "conversions": [good(site, "wrapped", json!({}))] })),
        ("one", good(site, "one", json!({}))),
    ] {
        let told = send(&mut front, site, &key, &body).await?;
        assert_eq!((told.status, results(&told)), (202, vec![format!("{name}: google_ads queued")]));
    }
    assert_eq!(taken_in(&world).await?, 3);
    Ok(())
}

#[tokio::test]
async fn what_is_no_list_of_one_to_a_thousand_items_is_refused_by_name() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let many = |count: usize| {
        let item = |number: usize| json!({ "external_id": number.to_string(), "kind": "retraction" });
        json!((0..count).map(item).collect::<Vec<_>>())
    };

    for mut front in Front::all("ingest", &world.environment()).await? {
        for (body, status, told) in [
            ("no json".to_owned(), 400, "the body is not JSON, from line 1, column 2 on"),
            (String::new(), 400, "the body is not JSON"),
            ("7".to_owned(), 400, "the body must be a JSON array"),
            ("[]".to_owned(), 400, "conversions must hold 1 to 1000 items, not 0"),
            (many(1_001).to_string(), 400, "conversions must hold 1 to 1000 items, not 1001"),
            ("{\"conversions\":{}}".to_owned(), 400, "conversions must be a JSON array"),
            ("{\"conversions\":[],\"dry_run\":true}".to_owned(), 400, "dry_run is no field here"),
            ("{\"conversions\":[],\"conversions\":[]}".to_owned(), 400, "conversions is given twice"),
            (many(1_000).to_string(), 422, "no item is valid: in the first, occurred_at is missing"),
            ("{\"external_id\":\"a\"}".to_owned(), 422, "no item is valid: in the first, kind is missing"),
            (format!("[\"{}\"]", "x".repeat(1024 * 1024)), 413, "the body must be at most 1048576 bytes"),
        ] {
            let answer = send_bytes(&mut front, site, &key, body.as_bytes()).await?;
            let error = answer.body["error"].as_str().unwrap_or_default();
            assert!(answer.status == status && error.starts_with(told), "{told}: {answer:?}");
        }
    }
    assert_eq!(taken_in(&world).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_name_that_stands_twice_makes_its_item_invalid_and_no_other() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let mut front = Front::serve(&world.environment()).await?;
    let twice = good(site, "twice", json!({})).to_string().replacen('{', "{\"value\":\"1.00\",", 1);
    let deep = good(site, "deep", json!({ "click_ids": { "gclid": "x" } }));
    let deep = deep.to_string().replace("{\"gclid\":\"x\"}", "{\"gclid\":\"x\",\"gclid\":\"y\"}");
    let body = format!("{{\"conversions\":[{twice},{deep},{}]}}", good(site, "good", json!({})));

    let told = send_bytes(&mut front, site, &key, body.as_bytes()).await?;
    let alone = send_bytes(&mut front, site, &key, twice.as_bytes()).await?;

    assert_eq!(
        results(&told),
        [
            "twice: google_ads invalid value",
            "deep: google_ads invalid click_ids.gclid",
            "good: google_ads queued",
        ]
    );
    assert_eq!((alone.status, results(&alone)), (422, vec!["twice: google_ads invalid value".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn whoever_did_not_sign_gets_one_and_the_same_answer() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let (other, keyless) = (world.site(json!({})).await?, world.site(json!({})).await?);
    let other_key = new_key(&world, other).await?.1;
    let body = json!([good(site, "refused", json!({}))]).to_string();
    let body = body.as_bytes();
    let right = signature(&key, now(), body);
    let as_site = |signature: String| headers(site, signature);

    for mut front in Front::all("ingest", &world.environment()).await? {
        for (what, headers) in [
            ("nothing shown", vec![]),
            ("no site", vec![("x-relay-signature", right.clone())]),
            ("no signature", vec![("x-relay-site", site.to_string())]),
            ("no UUID", vec![("x-relay-site", "site".to_owned()), ("x-relay-signature", right.clone())]),
            ("an unknown site", headers(SiteId(Uuid::new_v4()), right.clone())),
            ("a site without keys", headers(keyless, right.clone())),
            ("another site's key", as_site(signature(&other_key, now(), body))),
            ("another site than signed", headers(other, right.clone())),
            ("another body", as_site(signature(&key, now(), b"[]"))),
            ("another time than was signed", as_site(right.replace("t=", "t=1"))),
            ("six minutes ago", as_site(signature(&key, now() - 360, body))),
            ("six minutes ahead", as_site(signature(&key, now() + 360, body))),
            ("no time", as_site(format!("v1={}", digest(&key, now(), body)))),
            ("two times", as_site(format!("t={},{right}", now()))),
            ("an old scheme", as_site(right.replace("v1=", "v0="))),
            ("half a digest", as_site(right[..right.len() - 32].to_owned())),
            ("no digits", as_site(format!("t={},v1={}", now(), "z".repeat(64)))),
            ("an empty digest", as_site(format!("t={},v1=", now()))),
            ("the cron secret", vec![("x-cron-secret", tests::world::CRON_SECRET.to_owned())]),
            ("an endless header", as_site(format!("{right},v1={}", "a".repeat(2_000)))),
        ] {
            let told = front.call("POST", PATH, &headers, body).await?;
            assert_eq!((told.status, told.body), (401, json!({ "error": "Unauthorized" })), "{what}");
        }
        // Four minutes are within the window, and of several digests one is enough.
        let late = signature(&key, now() - 240, body);
        assert_eq!(front.call("POST", PATH, &as_site(late), body).await?.status, 202);
        let at = now();
        let both = format!(
            "t={at}, v0=abc, v1={}, v1={}",
            digest("relay_ingest_older", at, body),
            digest(&key, at, body)
        );
        assert_eq!(front.call("POST", PATH, &as_site(both), body).await?.status, 202);
    }
    assert_eq!(taken_in(&world).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_key_takes_over_from_another_and_a_retired_one_is_refused() -> anyhow::Result<()> {
    let (world, site, old) = ground().await?;
    let access = &world.context.access;
    let mut front = Front::serve(&world.environment()).await?;
    let body = json!([good(site, "rotated", json!({}))]);
    assert_eq!(send(&mut front, site, &old, &body).await?.status, 202);

    // The process knows the site by now; a new key is good all the same, as soon as it looks again.
    let (_, new) = new_key(&world, site).await?;
    let mut looks = 0;
    while send(&mut front, site, &new, &body).await?.status != 202 {
        looks += 1;
        assert!(looks < 200, "the new key is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(send(&mut front, site, &old, &body).await?.status, 202);
    assert!(access.add_ingest_key(site).await?.is_none(), "two are the most");
    let first = access.list_ingest_keys(site).await?[0].key_id;
    assert!(access.retire_ingest_key(site, first).await?);
    assert!(!access.retire_ingest_key(site, first).await?);

    // Another process does not know the retired key; this one forgets it in ten seconds.
    let mut fresh = Front::serve(&world.environment()).await?;
    assert_eq!(send(&mut fresh, site, &old, &body).await?.status, 401);
    assert_eq!(send(&mut fresh, site, &new, &body).await?.status, 202);
    Ok(())
}

#[tokio::test]
async fn the_clock_is_the_databases_whatever_the_host_believes() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    turn_the_databases_clock(&world, "10 minutes").await?;
    let body = json!([good(site, "clock", json!({}))]).to_string();
    let body = body.as_bytes();

    for mut front in Front::all("ingest", &world.environment()).await? {
        let mut at = async |at: i64| -> anyhow::Result<u16> {
            Ok(front.call("POST", PATH, &headers(site, signature(&key, at, body)), body).await?.status)
        };
        // The host's own hour is refused, the database's is not.
        assert_eq!((at(now()).await?, at(now() + 600).await?, at(now() + 1_200).await?), (401, 202, 401));
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_ten_minutes_off_lets_in_whom_it_should_and_nobody_else() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let body = json!([good(site, "skewed", json!({}))]).to_string();
    let body = body.as_bytes();

    for seconds in [-600, 600] {
        let mut settings = world.environment();
        settings.extend(skew(seconds)?);
        let mut front = Front::serve(&settings).await?;
        let mut at = async |at: i64| -> anyhow::Result<u16> {
            Ok(front.call("POST", PATH, &headers(site, signature(&key, at, body)), body).await?.status)
        };
        assert_eq!((at(now()).await?, at(now() + seconds).await?), (202, 401), "{seconds}");
    }
    Ok(())
}

/// Makes the function that tells the door the time tell another: host and database are apart by so much.
async fn turn_the_databases_clock(world: &World, by: &str) -> anyhow::Result<()> {
    let sql = include_str!("../../../migrations/functions/ingest/read_ingest_site.sql");
    let clock = "pg_catalog.clock_timestamp()";
    assert_eq!(sql.matches(clock).count(), 1);
    let skewed = sql.replace(clock, &format!("({clock} + interval '{by}')"));
    Ok(world.sql.batch_execute(&format!("set role relay_owner; {skewed}; reset role")).await?)
}

#[tokio::test]
async fn what_somebody_saw_and_sends_again_is_a_duplicate_and_later_nothing() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let body = json!([good(site, "seen", json!({}))]).to_string();
    let seen = headers(site, signature(&key, now(), body.as_bytes()));
    let mut front = Front::serve(&world.environment()).await?;

    let first = front.call("POST", PATH, &seen, body.as_bytes()).await?;
    let again = front.call("POST", PATH, &seen, body.as_bytes()).await?;
    turn_the_databases_clock(&world, "6 minutes").await?;
    let mut later = Front::serve(&world.environment()).await?;
    let later = later.call("POST", PATH, &seen, body.as_bytes()).await?;

    assert_eq!(results(&first), ["seen: google_ads queued"]);
    assert_eq!(results(&again), ["seen: google_ads duplicate"]);
    assert_eq!((later.status, later.body), (401, json!({ "error": "Unauthorized" })));
    Ok(())
}

#[tokio::test]
async fn a_known_site_costs_one_call_to_the_database() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let mut front = Front::serve(&world.environment()).await?;
    let body = |id: &str| {
        let mut one =
            good(site, id, json!({ "user": { "email": "a@example.com", "phone": "+49 30 901820" } }));
        one.as_object_mut().unwrap().remove("provider_key");
        json!([one])
    };
    assert_eq!(send(&mut front, site, &key, &body("first")).await?.status, 202);

    // Whatever else it would ask is gone: sites' defaults, their keys, what the database is.
    world
        .sql
        .batch_execute(
            "revoke execute on all functions in schema relay from relay_service; \
             grant execute on function relay.take_in_offline_conversions to relay_service",
        )
        .await?;
    let second = send(&mut front, site, &key, &body("second")).await?;

    assert_eq!((second.status, results(&second)), (202, vec!["second: google_ads queued".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn a_key_is_nowhere_in_the_clear_and_opens_for_no_other_site() -> anyhow::Result<()> {
    let (world, site, key) = ground().await?;
    let thief = SiteId(Uuid::new_v4());
    world.sql.execute("insert into relay.site values ($1, null, now(), now())", &[&thief.0]).await?;
    world
        .sql
        .execute(
            "insert into relay.ingest_key (site_id, key_version, sealed, created_at) \
             select $1, key_version, sealed, created_at from relay.ingest_key",
            &[&thief.0],
        )
        .await?;
    let mut front = Front::serve(&world.environment()).await?;

    let told = send(&mut front, thief, &key, &json!([good(thief, "stolen", json!({}))])).await?;
    let own = send(&mut front, site, &key, &json!([good(site, "own", json!({}))])).await?;

    assert_eq!((told.status, own.status), (401, 202), "{told:?} {own:?}");
    let tables = "select quote_ident(relname) from pg_class where relnamespace = 'relay'::regnamespace \
                  and relkind = 'r'";
    for row in world.sql.query(tables, &[]).await? {
        let table: &str = row.get(0);
        let in_clear = format!(
            "select count(*) from relay.{table} as t where t::text like '%{key}%' or t::text like '%{}%'",
            key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
        );
        assert_eq!(world.number(&in_clear).await?, 0, "{table}");
    }
    let logged = front.logged().join("\n");
    assert!(!logged.contains(&key) && logged.contains("does not open"), "{logged}");
    Ok(())
}

#[tokio::test]
async fn without_credentials_a_named_provider_is_held_and_an_unnamed_one_invalid() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = SiteId(Uuid::new_v4());
    let key = new_key(&world, site).await?.1;
    let mut front = Front::serve(&world.environment()).await?;
    let mut unnamed = good(site, "unnamed", json!({}));
    unnamed.as_object_mut().unwrap().remove("provider_key");

    let told = send(&mut front, site, &key, &json!([good(site, "named", json!({})), unnamed])).await?;

    assert_eq!(results(&told), ["named: google_ads held", "unnamed: null invalid provider_key"]);
    Ok(())
}

#[tokio::test]
async fn a_direct_invoke_takes_the_same_items_without_a_signature() -> anyhow::Result<()> {
    let (world, site, _) = ground().await?;
    let other = world.site(json!({})).await?;
    let mut ingest = start("ingest", &world.environment()).await?;
    let direct = json!({ "site_id": site.to_string(), "conversions": [
        good(site, "direct", json!({})), good(other, "foreign", json!({})),
    ] });
    let any = json!({ "conversions": [good(site, "one", json!({})), good(other, "two", json!({}))] });

    let mut results = Vec::new();
    for event in [direct, any] {
        let Invocation::Answered(body) = invoke(&mut ingest, event).await? else { panic!("no answer") };
        results.extend(self::results(&Told { status: 0, headers: Default::default(), body }));
    }

    assert_eq!(
        results,
        [
            "direct: google_ads queued",
            "foreign: google_ads invalid site_id",
            "one: google_ads queued",
            "two: google_ads queued",
        ]
    );
    for (event, told) in [
        (json!({}), "conversions must be a JSON array"),
        (json!({ "conversions": [] }), "conversions must hold 1 to 1000 items, not 0"),
        (json!({ "conversions": [1], "site": 1 }), "site is no field of this call"),
        (json!({ "conversions": [1], "site_id": "x" }), "site_id must be a UUID"),
    ] {
        let refused = invoke(&mut ingest, event).await?;
        let Invocation::Failed(error) = refused else { panic!("{told}: {refused:?}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_gone_is_told_and_nothing_of_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let nowhere = "postgresql://relay_service@127.0.0.1:1/nowhere";
    let site = SiteId(Uuid::new_v4());

    for mut front in Front::all("ingest", &with(&world, &[("DATABASE_URL", nowhere)])).await? {
        let told = send(&mut front, site, "relay_ingest_any", &json!([])).await?;
        assert_eq!((told.status, told.body), (503, json!({ "error": "the database cannot be reached" })));
    }
    Ok(())
}

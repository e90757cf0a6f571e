//! `relay serve`: every function on one port, what it refuses, and how it ends.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::boot::{Callers, functions};
use tests::front::request;
use tests::served::ServeProcess;
use tests::world::{CRON_SECRET, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::with;

const CRON: &str = "/api/cron/process-offline-conversions";

/// How long anything is waited for.
const LIMIT: Duration = Duration::from_secs(60);

fn secret() -> [(&'static str, String); 1] {
    [("x-cron-secret", CRON_SECRET.to_owned())]
}

/// Sends bytes as they are, and reads what comes until the other side closes: its first line, and its document.
async fn raw(served: &ServeProcess, bytes: &[u8]) -> anyhow::Result<(String, Value)> {
    let mut stream = TcpStream::connect(served.address()).await?;
    stream.write_all(bytes).await?;
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.context("no answer")??;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer:?}"))?;
    let body = serde_json::from_str(body).with_context(|| answer.clone())?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body))
}

#[tokio::test]
async fn every_function_is_behind_its_door() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "served", "ok", 3).await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let credentials = json!({
        "site_id": site.to_string(), "provider_key": "google_ads",
        "credentials": tests::world::credentials(json!({})),
    });

    for (path, body, field) in [
        ("/api/cron/process-offline-conversions?limit=1", json!({}), "processed"),
        ("/api/workers/google-ads-oci", json!({}), "processed"),
        ("/api/cron/confirm-conversions", json!({}), "total"),
        ("/api/cron/providers/recover-processing?min_age_minutes=15", json!({}), "requeued"),
        ("/api/cron/maintain", json!({ "tasks": ["recover"] }), "tasks"),
        ("/api/cron/providers/seed-credentials", credentials, "key_version"),
    ] {
        let url = format!("{}{path}", served.base_url());
        let shut = request(&url, "POST", &[("x-vercel-cron", "1".to_owned())], b"").await?;
        let open = request(&url, "POST", &secret(), body.to_string().as_bytes()).await?;
        let wrong = request(&url, "PUT", &secret(), b"").await?;

        assert_eq!((shut.status, shut.body), (401, json!({ "error": "Unauthorized" })), "{path}");
        assert!(open.status == 200 && !open.body[field].is_null(), "{path}: {open:?}");
        assert_eq!((wrong.status, wrong.headers["allow"].as_str()), (405, "POST"), "{path}");
    }
    assert_eq!(world.statuses().await?, "COMPLETED 3");
    let logged = served.stderr().join("\n");
    assert!(logged.contains("answered") && !logged.contains(CRON_SECRET), "{logged}");
    Ok(())
}

#[tokio::test]
async fn in_production_the_job_that_is_forbidden_is_so_before_anything_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    let settings = with(&world, &[("APP_ENV", ""), ("VAULT_KEY", ""), ("CRON_SECRET", "")]);
    let served = ServeProcess::start(&settings, &[]).await?;

    for (method, path, status, told) in [
        ("POST", "/api/cron/providers/seed-credentials", 403, "seed is refused in production"),
        ("GET", "/api/cron/providers/seed-credentials", 403, "seed is refused in production"),
        ("POST", CRON, 500, "CRON_SECRET not configured"),
        ("POST", "/elsewhere", 404, "no such path"),
    ] {
        let answer = request(&format!("{}{path}", served.base_url()), method, &[], b"no json").await?;
        let error = answer.body["error"].as_str().unwrap_or_default();
        assert!(answer.status == status && error.starts_with(told), "{method} {path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn behind_every_door_a_database_that_is_gone_is_told_and_nothing_of_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let nowhere = "postgresql://relay_service@127.0.0.1:1/nowhere";
    let served = ServeProcess::start(&with(&world, &[("DATABASE_URL", nowhere)]), &[]).await?;
    let credentials = json!({
        "site_id": "3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11", "provider_key": "google_ads",
        "credentials": tests::world::credentials(json!({})),
    });
    let doors = functions::ALL.iter().filter(|function| function.callers == Callers::WithSecret);

    for door in doors.flat_map(|function| function.doors) {
        let body = if door.path.ends_with("seed-credentials") { credentials.clone() } else { json!({}) };
        let url = format!("{}{}", served.base_url(), door.path);
        let told = request(&url, door.method, &secret(), body.to_string().as_bytes()).await?;

        let expected = json!({ "error": "the database cannot be reached" });
        assert_eq!((told.status, told.body), (503, expected), "{}", door.path);
    }
    assert_eq!(request(&format!("{}/health/live", served.base_url()), "GET", &[], b"").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn names_that_stand_twice_are_refused_in_bodies_and_events() -> anyhow::Result<()> {
    let world = World::new().await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let mut runner = super::start("runner", &world.environment()).await?;

    for (body, told) in [
        ("{\"limit\":1,\"limit\":2}", "limit is given twice"),
        ("{\"limit\":1,\"l\\u0069mit\":2}", "limit is given twice"),
        ("{\"site_id\":{\"a\":[{\"b\":1,\"b\":1}]}}", "site_id.a[0].b is given twice"),
    ] {
        let over_http =
            request(&format!("{}{CRON}", served.base_url()), "POST", &secret(), body.as_bytes()).await?;
        let direct = runner.invoke_text(body.to_owned(), LIMIT).await?;

        assert_eq!((over_http.status, over_http.body), (400, json!({ "error": told })));
        assert!(format!("{direct:?}").contains(told), "{direct:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_http_is_answered_in_json_too() -> anyhow::Result<()> {
    let world = World::new().await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let host = "host: localhost\r\nconnection: close\r\n";

    for (bytes, line) in [
        ("hello\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        (format!("GET /<> HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 400 Bad Request"),
        (format!("GET /health/%zz%00 HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404 Not Found"),
        (format!("GET /health/../health/live HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404 Not Found"),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), "HTTP/1.1 404 Not Found"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(70_000)), "HTTP/1.1 414 URI Too Long"),
        (
            format!(
                "POST {CRON} HTTP/1.1\r\nx-cron-secret: {CRON_SECRET}\r\ntransfer-encoding: chunked\r\n{host}\r\nzz\r\n"
            ),
            "HTTP/1.1 400 Bad Request",
        ),
    ] {
        let (head, body) = raw(&served, bytes.as_bytes()).await?;
        assert!(head == line && body["error"].is_string(), "{head}: {body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_read_to_its_limit_and_no_further() -> anyhow::Result<()> {
    let world = World::new().await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let url = format!("{}{CRON}", served.base_url());
    let most = 1024 * 1024;
    let padded = |bytes: usize| format!("{{\"limit\":1{}}}", " ".repeat(bytes - 11));

    let fits = request(&url, "POST", &secret(), padded(most).as_bytes()).await?;
    let too_large = request(&url, "POST", &secret(), padded(most + 1).as_bytes()).await?;
    let unknown = request(&url, "POST", &[], padded(3 * most).as_bytes()).await?;
    // A length that nobody waits for, and one that is not told beforehand.
    let head = format!("POST {CRON} HTTP/1.1\r\nhost: localhost\r\nx-cron-secret: {CRON_SECRET}\r\n");
    let announced = raw(&served, format!("{head}content-length: 99999999999\r\n\r\n").as_bytes()).await?;
    let mut chunked = format!("{head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..17 {
        chunked.extend_from_slice(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let (line, _) = raw(&served, &chunked).await?;

    assert_eq!((fits.status, too_large.status, unknown.status), (200, 413, 401), "{fits:?}");
    assert_eq!(
        (announced.0.as_str(), line.as_str()),
        ("HTTP/1.1 413 Payload Too Large", "HTTP/1.1 413 Payload Too Large")
    );
    Ok(())
}

#[tokio::test]
async fn whoever_sends_slowly_is_let_go() -> anyhow::Result<()> {
    let world = World::new().await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let head = format!("POST {CRON} HTTP/1.1\r\nhost: localhost\r\nx-cron-secret: {CRON_SECRET}\r\n");

    // Half a head and half a body, and then silence: at the same time, for both take their time.
    let (silent, half) = tokio::join!(
        async {
            let mut stream = TcpStream::connect(served.address()).await?;
            stream.write_all(b"POST /").await?;
            let mut answer = Vec::new();
            timeout(LIMIT, stream.read_to_end(&mut answer)).await.context("it is kept for ever")??;
            anyhow::Ok(answer)
        },
        async {
            raw(&served, format!("{head}connection: close\r\ncontent-length: 10\r\n\r\n{{").as_bytes()).await
        }
    );

    assert_eq!(String::from_utf8_lossy(&silent?), "");
    assert_eq!(half?.0, "HTTP/1.1 408 Request Timeout");
    Ok(())
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_throttled_and_health_is_not() -> anyhow::Result<()> {
    let world = World::with(LIMIT).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "slow", "slow.6000", 1).await?;
    let served = ServeProcess::start(&world.environment(), &["--max-calls", "1"]).await?;
    let url = format!("{}{CRON}", served.base_url());
    let (first, url_of_first) = (secret(), url.clone());

    let under_way = tokio::spawn(async move { request(&url_of_first, "POST", &first, b"").await });
    until_sent(&world, 0).await?;
    let second = request(&url, "POST", &secret(), b"").await?;
    let ready_url = format!("{}/health/ready", served.base_url());
    let mut ready = request(&ready_url, "GET", &[], b"").await?;
    // A look that takes half a second has failed, which is no throttling.
    while ready.status == 503 && !under_way.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ready = request(&ready_url, "GET", &[], b"").await?;
    }
    let first = under_way.await??;

    assert_eq!((second.status, second.headers["retry-after"].as_str()), (429, "1"), "{second:?}");
    assert_eq!((ready.status, first.status), (200, 200), "{ready:?}");
    assert_eq!(request(&url, "POST", &secret(), b"").await?.status, 200);
    Ok(())
}

/// Requests to the platform so far.
const SENT: &str = "select count(*) from relay.provider_upload_attempts";

/// Waits until one more request to the platform is on its way. One that is over before we look counts, too.
async fn until_sent(world: &World, before: i64) -> anyhow::Result<()> {
    timeout(LIMIT, async {
        while world.number(SENT).await? <= before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    })
    .await
    .context("nothing was sent")?
}

#[tokio::test]
async fn a_signal_sees_what_is_in_flight_to_its_end() -> anyhow::Result<()> {
    let world = World::with(LIMIT).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "slow", "slow.1500", 1).await?;

    for signal in [libc::SIGTERM, libc::SIGINT] {
        let before = world.number(SENT).await?;
        world.enqueue_many(site, &format!("slow-{signal}"), "slow.1500", 1).await?;
        let mut served = ServeProcess::start(&world.environment(), &[]).await?;
        let url = format!("{}{CRON}", served.base_url());
        let url_of_call = url.clone();
        let under_way = tokio::spawn(async move { request(&url_of_call, "POST", &secret(), b"").await });
        until_sent(&world, before).await?;

        served.signal(signal)?;
        let answer = under_way.await??;
        let ended = served.ended().await?;

        assert_eq!((answer.status, ended.code()), (200, Some(0)), "{answer:?} {:?}", served.stderr());
        assert!(request(&url, "POST", &secret(), b"").await.is_err());
    }
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_own_wait_and_not_the_work() -> anyhow::Result<()> {
    let world = World::with(LIMIT).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "left", "slow.700", 1).await?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let mut stream = TcpStream::connect(served.address()).await?;
    let head = format!("POST {CRON} HTTP/1.1\r\nhost: localhost\r\nx-cron-secret: {CRON_SECRET}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    until_sent(&world, 0).await?;

    drop(stream);

    timeout(LIMIT, async {
        while world.statuses().await? != "COMPLETED 1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    })
    .await
    .context("the work was given up with its caller")??;
    world.assert_accounted_for().await
}

//! What goes over the wire to the database: nothing after which RDS Proxy would keep a connection for one client alone.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::world::{World, row};
use uuid::Uuid;

use super::connections::Server;
use super::replace;
use super::way::Way;
use crate::functions::{answer, start};

/// Statements that are longer pin a connection; so do SET, PREPARE, DECLARE, LISTEN, temporary tables, session advisory locks and
/// the like, which are all no calls of a function of ours.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html>, read 2026-11-22.
const STATEMENT_MAX: usize = 16 * 1024;

/// Version 3.0.
const PROTOCOL: u32 = 3 << 16;

/// What a client says of itself when it comes, as every driver does. Anything else there is a setting of its session.
const OF_ITSELF: [&str; 4] = ["application_name", "client_encoding", "database", "user"];

/// One message of a client.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>, read 2026-11-22.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    /// What the client says of itself.
    Startup(Vec<String>),
    /// A statement with the name that it is kept under; none is kept for this call alone.
    Parse { name: String, statement: String },
    /// Anything else that names a statement or a portal.
    Names(char, String),
    /// A statement without parameters.
    Query(String),
    /// Anything else.
    Other(char),
}

/// Takes a text that ends with zero.
fn text(bytes: &mut &[u8]) -> anyhow::Result<String> {
    let end = bytes.iter().position(|byte| *byte == 0).context("a text has no end")?;
    let text = std::str::from_utf8(&bytes[..end])?.to_owned();
    *bytes = &bytes[end + 1..];
    Ok(text)
}

/// Takes a message: a length that counts itself, and what follows.
fn body<'a>(bytes: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>().context("a message has no length")?;
    let length =
        usize::try_from(u32::from_be_bytes(*length))?.checked_sub(4).context("a length is too short")?;
    let (body, rest) = rest.split_at_checked(length).context("a message is cut off")?;
    *bytes = rest;
    Ok(body)
}

fn messages(mut said: &[u8]) -> anyhow::Result<Vec<Message>> {
    let (protocol, mut startup) = body(&mut said)?.split_first_chunk().context("no protocol is named")?;
    // A request to cancel comes on a connection of its own, too, and the proxy does not take it.
    ensure!(u32::from_be_bytes(*protocol) == PROTOCOL, "not the protocol, but {protocol:?}");
    let mut names = Vec::new();
    while !matches!(startup, [] | [0]) {
        names.push(text(&mut startup)?);
        text(&mut startup)?;
    }
    let mut messages = vec![Message::Startup(names)];
    while let Some((kind, rest)) = said.split_first() {
        said = rest;
        let mut body = body(&mut said)?;
        messages.push(match kind {
            b'P' => Message::Parse { name: text(&mut body)?, statement: text(&mut body)? },
            b'Q' => Message::Query(text(&mut body)?),
            // A portal and a statement; a portal; the kind of what is named, and its name.
            b'B' => Message::Names('B', text(&mut body)? + &text(&mut body)?),
            b'E' => Message::Names('E', text(&mut body)?),
            b'D' | b'C' => {
                body = body.get(1..).context("nothing is named")?;
                Message::Names(char::from(*kind), text(&mut body)?)
            }
            other => Message::Other(char::from(*other)),
        });
    }
    Ok(messages)
}

/// What would pin, or might: everything but calls of functions, each for itself and without a name.
fn pins(message: &Message) -> bool {
    match message {
        Message::Startup(names) => names.iter().any(|name| !OF_ITSELF.contains(&name.as_str())),
        Message::Parse { name, statement } => {
            let call = statement.starts_with("select ") && statement.matches("from relay.").count() == 1;
            !name.is_empty() || !call || statement.contains(';') || statement.len() > STATEMENT_MAX
        }
        Message::Names(_, name) => !name.is_empty(),
        Message::Query(_) => true,
        // Sync, an end, and what shows a password.
        Message::Other(kind) => !['S', 'X', 'p'].contains(kind),
    }
}

/// Every function at work, on its own: conversions come in, are sent, are confirmed, and everything is looked after.
async fn work(settings: &[(&'static str, String)]) -> anyhow::Result<()> {
    let site = Uuid::new_v4().to_string();
    let credentials = tests::world::credentials(json!({ "transport": "data_manager" }));
    let seeded = json!({ "site_id": site, "provider_key": "google_ads", "credentials": credentials });
    let conversions: Vec<Value> = (0..50).map(|number| taken_in(&site, number)).collect();
    for (name, event) in [
        ("seed", seeded),
        ("ingest", json!({ "site_id": site, "conversions": conversions })),
        ("runner", json!({ "mode": "worker", "provider_key": "google_ads" })),
        ("runner", json!({ "mode": "cron", "limit": 50 })),
        ("confirm", json!({ "early_minutes": 60 })),
        ("recover", json!({ "min_age_minutes": 0 })),
        ("maintain", json!({})),
    ] {
        let mut process = start(name, settings).await?;
        let told = answer(&mut process, event).await?;
        ensure!(told["ok"] == json!(true), "{name}: {told}");
    }
    let mut health = start("health", settings).await?;
    // A look that takes half a second has failed, and its connection is there for the next one.
    for tries in 0.. {
        let told = crate::functions::http(&mut health, "GET", "/health/ready", "", json!({}), None).await?.1;
        if told["checks"]["database"] == json!("ok") {
            break;
        }
        ensure!(tries < 100, "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn taken_in(site: &str, number: usize) -> Value {
    let mut conversion = row("sale", "ok", number);
    let usual = json!({
        "site_id": site, "provider_key": "google_ads", "kind": "conversion", "value": "1.50", "currency": "EUR",
    });
    if let (Value::Object(conversion), Value::Object(usual)) = (&mut conversion, usual) {
        conversion.extend(usual);
    }
    conversion
}

#[tokio::test]
async fn nothing_on_the_wire_pins_a_connection_of_rds_proxy() -> anyhow::Result<()> {
    let (world, server) = (World::new().await?, Server::new().await?);
    let way = Way::to(&server.port()).await?;
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_over(&way))]);

    work(&settings).await?;

    let mut pinning = BTreeSet::new();
    let mut statements = BTreeSet::new();
    for said in way.said() {
        for message in messages(&said)? {
            if let Message::Parse { statement, .. } = &message {
                statements.insert(statement.clone());
            }
            if pins(&message) {
                pinning.insert(message);
            }
        }
    }
    assert_eq!(pinning, BTreeSet::new());
    assert!(statements.len() > 30, "that was not all: {statements:#?}");
    Ok(())
}

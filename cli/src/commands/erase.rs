//! `relay erase`: takes a person out of everything that was taken in.

use std::io::Read as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::Personal;
use shared::engine::tasks::erase;
use shared::engine::{Bounds, Reply};
use shared::providers::{Identity, IdentityKind};
use shared::store::Erasure;

use crate::failure::{Exit, Failure};
use crate::output::{Output, grouped, skipped};

/// What is not walked through in so long the task goes on with, which runs every five minutes.
const DEADLINE: Duration = Duration::from_secs(900);

/// Longest value on standard input: no address, number or click id comes near it.
const INPUT_MAX: u64 = 4_096;

/// Take a person out of everything that was taken in until now: identifiers are blanked, what waits is cancelled
#[derive(Args)]
#[group(id = "person", required = true, multiple = true, args = ["email", "phone", "click_id"])]
pub(super) struct Arguments {
    /// An e-mail address, or its SHA-256; `-` reads it from standard input, so that no shell keeps it
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// An international phone number, or its SHA-256; `-` is standard input
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    phone: Vec<String>,
    /// A click id; `-` is standard input
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    click_id: Vec<String>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let people = [
        (IdentityKind::Email, "--email", arguments.email),
        (IdentityKind::Phone, "--phone", arguments.phone),
        (IdentityKind::ClickId, "--click-id", arguments.click_id),
    ];
    if people.iter().flat_map(|(_, _, values)| values).filter(|value| *value == "-").count() > 1 {
        return Err(Failure::new(Exit::Usage, "standard input holds one value: say - once").into());
    }
    let context = boot::open_context(&Config::from_env()).await?;
    let mut identity = Identity::default();
    for (kind, name, values) in people {
        for value in values {
            let value = if value == "-" { read_input()? } else { Personal::new(value) };
            identity.add(kind, &value, context.access.registry()).map_err(|why| {
                // Never the value itself: the shell's history may have it, and a log shall not.
                Failure::new(Exit::Usage, format!("what {name} names {why}"))
            })?;
        }
    }
    let erasure_id = erase::ask(&context, &identity).await?;
    // Where another run is at it, that one does this, too; and if none gets to it, the next within five minutes.
    let reply = erase::run(&context, &erase::Request::default(), Bounds::after(DEADLINE)).await?;
    let erasure = erase::read(&context, erasure_id).await?.context("the request is gone")?;
    let mut answer = json!(erasure);
    let is_finished = erasure.finished_at.is_some();
    answer["ok"] = json!(is_finished);
    answer["finished"] = json!(is_finished);
    let why = match reply {
        Reply::Skipped { reason, .. } if !is_finished => Some(reason),
        Reply::Skipped { .. } | Reply::Answer(_) => None,
    };
    answer["skipped"] = json!(why);
    output.answer(&answer, || match why {
        Some(reason) => format!("{}\n{}", text(&erasure), skipped(reason)),
        None => text(&erasure),
    })?;
    Ok(if is_finished { Exit::Done } else { Exit::Failed })
}

fn read_input() -> anyhow::Result<Personal> {
    let mut text = String::new();
    std::io::stdin().take(INPUT_MAX).read_to_string(&mut text).context("standard input cannot be read")?;
    Ok(Personal::new(text.trim().to_owned()))
}

fn text(erasure: &Erasure) -> String {
    let mut text = format!(
        "erasure {}: looked at {} conversions, blanked {} and the digests of {} keys",
        erasure.erasure_id,
        grouped(erasure.walked),
        grouped(erasure.conversions),
        grouped(erasure.keys),
    );
    for (count, what) in [
        (erasure.ready, "waited to be sent: cancelled"),
        (erasure.held, "waited for a mend: cancelled"),
        (erasure.blocked, "waited for their order: cancelled"),
        (erasure.in_flight, "are on their way: they end with their answer, and are not sent again"),
        (erasure.submitted, "were taken by a platform that answers later: they end with their receipt"),
    ] {
        if count > 0 {
            text += &format!("\n{} of them {what}", grouped(count));
        }
    }
    text += match erasure.finished_at {
        Some(_) => {
            "\nthe keys stay, so that nothing brings a conversion back; what the platforms have is theirs to erase"
        }
        None => "\nnot finished: it goes on by itself",
    };
    text
}

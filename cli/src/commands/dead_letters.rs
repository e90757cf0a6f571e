//! `relay dead-letters`: what was given up on, why, and what to do about it.

use clap::Args;
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::{ConversionId, ProviderKey, SiteId};
use shared::engine::Context;
use shared::providers::{Reason, Registry, reasons};
use shared::store::{DeadLetters, Redrive};

use super::meaning::advice;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table};

/// Dead letters that are looked at to count them; what lies beyond is said to be there.
const WALK_LIMIT: i32 = 100_000;

/// Conversions that one call of the database sends again.
const REDRIVE_LIMIT: i32 = 10_000;

const LETTERS: [(&str, Set); 4] = [
    ("conversions", Set::Number),
    ("code", Set::Text),
    ("example", Set::Whole),
    ("why, and what to do", Set::Text),
];

/// What was given up on, by code: how many, why, and what to do; --redrive sends it again
#[derive(Args)]
pub(super) struct Arguments {
    /// One site only
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    /// One ad platform only
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider, conflicts_with = "redrive")]
    provider: Option<ProviderKey>,
    /// Send dead letters to work again, with their key and history: those of --code, --site or --id
    #[arg(long)]
    redrive: bool,
    /// With --redrive: those with this code
    #[arg(long, value_name = "CODE", requires = "redrive")]
    code: Option<String>,
    /// With --redrive: this conversion; may be given several times
    #[arg(long, value_name = "ID", requires = "redrive", value_parser = clap::value_parser!(i64).range(1..))]
    id: Vec<i64>,
    /// With --redrive: do it, and do not only say what would be done
    #[arg(long, requires = "redrive")]
    yes: bool,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    if arguments.redrive && arguments.site.is_none() && arguments.code.is_none() && arguments.id.is_empty() {
        let told = "--redrive needs to know which: say --code, --site or --id";
        return Err(Failure::new(Exit::Usage, told).hint("relay dead-letters").into());
    }
    let context = boot::open_context(&Config::from_env()).await?;
    if arguments.redrive {
        return redrive(&context, &arguments, output).await;
    }
    let letters = context.store.read_dead_letters(arguments.provider, arguments.site, WALK_LIMIT).await?;
    let registry = context.access.registry();
    let all = letters.iter().all(|group| group.walked_all);
    let total: i64 = letters.iter().map(|group| group.conversions).sum();
    let answer = json!({
        "ok": true, "total": total, "walked_all": all,
        "dead_letters": letters.iter().map(|group| document(group, registry)).collect::<Vec<_>>(),
    });
    output.answer(&answer, || text(&letters, registry, total, all))?;
    Ok(Exit::Done)
}

/// Why they were given up on: the code's own reason, or that of how they ended.
fn reason(group: &DeadLetters, registry: &Registry) -> Option<Reason> {
    let by_code = group.code.as_deref().and_then(|code| reasons::find(registry, &group.provider_key, code));
    let by_outcome = || reasons::of_outcome(&group.outcome);
    match by_code {
        // What a code does to a conversion that is tried again is over; what is to be done is not.
        Some(reason) => {
            let mend = reason.mend.or_else(|| by_outcome()?.mend);
            Some(Reason {
                then: by_outcome().map(|outcome| outcome.then).unwrap_or_default(),
                mend,
                ..reason
            })
        }
        None => by_outcome(),
    }
}

fn document(group: &DeadLetters, registry: &Registry) -> Value {
    let mut document = json!(group);
    document["reason"] = json!(reason(group, registry));
    document
}

fn text(letters: &[DeadLetters], registry: &Registry, total: i64, all: bool) -> String {
    if letters.is_empty() {
        return "no dead letter: nothing was given up on".to_owned();
    }
    let row = |group: &DeadLetters| {
        let why = reason(group, registry).as_ref().map_or_else(String::new, advice);
        vec![
            grouped(group.conversions),
            group.code.clone().unwrap_or_else(|| group.outcome.to_lowercase()),
            group.conversion_id.to_string(),
            why,
        ]
    };
    let more = if all { "" } else { " of those that were looked at; there are more" };
    format!(
        "{}\n\ndead letters: {}{more}; `relay dead-letters --redrive --code CODE --yes` sends those of a code again",
        table(&LETTERS, letters.iter().map(row)),
        grouped(total)
    )
}

async fn redrive(context: &Context, arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let conversions = arguments.id.iter().copied().map(ConversionId).collect::<Vec<_>>();
    let redrive = Redrive {
        site: arguments.site,
        code: arguments.code.clone(),
        conversions: Some(conversions).filter(|ids| !ids.is_empty()),
    };
    if !arguments.yes {
        let told = "dead letters go again with the key and the content that they had: say --yes to do it";
        return Err(Failure::new(Exit::Usage, told).hint("relay dead-letters").into());
    }
    let mut redriven = 0;
    loop {
        let gone = context.store.redrive_dead_letters(&redrive, REDRIVE_LIMIT).await?;
        redriven += gone;
        if gone < u64::try_from(REDRIVE_LIMIT)? {
            break;
        }
    }
    output.answer(&json!({ "ok": true, "redriven": redriven }), || {
        format!("dead letters that go again with the next run: {}", grouped(redriven))
    })?;
    Ok(Exit::Done)
}

//! `relay pause` and `relay resume`: stop a provider, or one site at it, and let it go on.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{ProviderKey, SiteId};
use shared::engine::{Context, Tasks};
use shared::store::{Pause, TaskPause};

use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, table, time};

const PAUSES: [(&str, Set); 4] =
    [("what", Set::Whole), ("site", Set::Whole), ("until", Set::Whole), ("reason", Set::Text)];

/// Stop deliveries to a provider, or of one site to it, or a task; without arguments, list what is stopped
#[derive(Args)]
pub(super) struct Arguments {
    /// Which provider
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider, requires = "reason")]
    provider: Option<ProviderKey>,
    /// One site only
    #[arg(long, value_name = "UUID", value_parser = super::parse_site, requires = "provider")]
    site: Option<SiteId>,
    /// A task instead, such as prune; `relay tasks` lists them
    #[arg(long, value_name = "TASK", conflicts_with = "provider", requires = "reason")]
    task: Option<String>,
    /// For how long, such as 90m or 2h; until resumed unless said
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, requires = "reason")]
    lasts: Option<SignedDuration>,
    /// Why, in words that `relay explain` repeats
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let a provider, or one site at it, or a task go on
#[derive(Args)]
pub(super) struct ResumeArguments {
    /// Which provider
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider, required_unless_present = "task")]
    provider: Option<ProviderKey>,
    /// One site only
    #[arg(long, value_name = "UUID", value_parser = super::parse_site, requires = "provider")]
    site: Option<SiteId>,
    /// A task instead
    #[arg(long, value_name = "TASK", conflicts_with = "provider")]
    task: Option<String>,
}

fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let lasts: SignedDuration =
        text.parse().map_err(|_| format!("{text} is no duration: say it as 90m, 2h or 1h30m"))?;
    match lasts.is_positive() && lasts <= SignedDuration::from_hours(24 * 366) {
        true => Ok(lasts),
        false => Err("a pause lasts longer than nothing and a year at most".to_owned()),
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let (what, reason) = match (arguments.task, arguments.provider, arguments.reason) {
        (Some(task), _, Some(reason)) => (Err(task), reason),
        (None, Some(provider), Some(reason)) => (Ok(provider), reason),
        (None, None, Some(_)) => {
            return Err(Failure::new(Exit::Usage, "say what to stop: --provider or --task").into());
        }
        (_, _, None) => {
            let pauses = context.store.read_pauses().await?;
            let tasks = context.store.read_task_pauses().await?;
            let answer = json!({ "ok": true, "pauses": pauses, "tasks": tasks });
            output.answer(&answer, || list(&pauses, &tasks))?;
            return Ok(Exit::Done);
        }
    };
    if reason.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "--reason is empty: say why").into());
    }
    let until = arguments.lasts.map(|lasts| Timestamp::now() + lasts);
    let provider = match what {
        Ok(provider) => provider,
        Err(task) => return pause_task(&context, &task, until, reason.trim(), output).await,
    };
    if !context.store.pause_deliveries(provider, arguments.site, until, reason.trim()).await? {
        let told = format!("the site has nothing to do with {provider}: no credentials, no conversion");
        return Err(Failure::new(Exit::Failed, told).hint("relay status").into());
    }
    let answer = json!({
        "ok": true, "provider_key": provider, "site_id": arguments.site, "paused_until": until, "reason": reason.trim(),
    });
    output.answer(&answer, || {
        let whom = whom(provider, arguments.site);
        let until =
            until.map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
        format!("{whom} is paused {until}; requests on their way are seen through")
    })?;
    Ok(Exit::Done)
}

async fn pause_task(
    context: &Context,
    task: &str,
    until: Option<Timestamp>,
    reason: &str,
    output: Output,
) -> anyhow::Result<Exit> {
    check_task(context, task)?;
    context.store.pause_task(task, until, reason).await?;
    let answer = json!({ "ok": true, "task_key": task, "paused_until": until, "reason": reason });
    output.answer(&answer, || {
        let until =
            until.map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
        format!("the task {task} is paused {until}; a run that is going on is seen through")
    })?;
    Ok(Exit::Done)
}

fn check_task(context: &Context, task: &str) -> anyhow::Result<()> {
    match Tasks::of(&context.registry).get(task) {
        Some(_) => Ok(()),
        None => {
            Err(Failure::new(Exit::Usage, format!("there is no task {task:?}")).hint("relay tasks").into())
        }
    }
}

pub(super) async fn resume(arguments: ResumeArguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let (Some(provider), site) = (arguments.provider, arguments.site) else {
        let task = arguments.task.unwrap_or_default();
        check_task(&context, &task)?;
        let resumed = context.store.resume_task(&task).await?;
        let answer = json!({ "ok": true, "task_key": task, "resumed": resumed });
        output.answer(&answer, || match resumed {
            true => format!("the task {task} goes on with its next call"),
            false => format!("the task {task} was not paused"),
        })?;
        return Ok(Exit::Done);
    };
    let resumed = context.store.resume_deliveries(provider, site).await?;
    let answer = json!({ "ok": true, "provider_key": provider, "site_id": site, "resumed": resumed });
    output.answer(&answer, || match resumed {
        true => format!("{} goes on", whom(provider, site)),
        false => format!("{} was not paused", whom(provider, site)),
    })?;
    Ok(Exit::Done)
}

fn whom(provider: ProviderKey, site: Option<SiteId>) -> String {
    site.map_or_else(|| provider.to_string(), |site| format!("{site} at {provider}"))
}

fn list(pauses: &[Pause], tasks: &[TaskPause]) -> String {
    if pauses.is_empty() && tasks.is_empty() {
        return "nothing is paused".to_owned();
    }
    let row = |pause: &Pause| {
        vec![
            pause.provider_key.clone(),
            pause.site_id.map_or_else(|| "all".to_owned(), |site| site.to_string()),
            pause.paused_until.map_or_else(|| "no end".to_owned(), time),
            pause.reason.clone(),
        ]
    };
    let task = |pause: &TaskPause| {
        vec![
            format!("task {}", pause.task_key),
            String::new(),
            pause.paused_until.map_or_else(|| "no end".to_owned(), time),
            pause.reason.clone(),
        ]
    };
    table(&PAUSES, pauses.iter().map(row).chain(tasks.iter().map(task)))
}

//! `relay tasks`: what every task is about, and calls of them by hand.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::SiteId;
use shared::engine::maintain::{self, Answer, Request};
use shared::engine::{Bounds, Tasks, Trigger, Turns};
use shared::store::TaskStanding;

use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, table, time};
use crate::signals::Stop;

const COLUMNS: [(&str, Set); 6] = [
    ("task", Set::Whole),
    ("status", Set::Whole),
    ("last success", Set::Whole),
    ("failures", Set::Number),
    ("next", Set::Whole),
    ("because", Set::Text),
];

/// What is not done in so long goes with the next call.
const DEADLINE: Duration = Duration::from_secs(900);

/// Show every task: what it did last, when it goes next, what stops it; or run some of them now
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Run(Run),
    Unlock(Unlock),
}

/// Run tasks now, one after the other: those that are named, or all that are exclusive
#[derive(Args)]
struct Run {
    /// Their keys, such as expire or keep-partitions
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// One site only; the tasks must know sites
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
}

/// Take a task's lock from its owner, who writes nothing more: for a run that hangs. A lock of the dead lapses by itself
#[derive(Args)]
struct Unlock {
    /// The task's key
    #[arg(value_name = "TASK")]
    task: String,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    match arguments.command {
        None => list(output).await,
        Some(Command::Run(run)) => run_now(run, output).await,
        Some(Command::Unlock(unlock)) => take_lock(&unlock, output).await,
    }
}

async fn list(output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let standing = context.store.read_task_standing().await?;
    let tasks = Tasks::of(&context.registry);
    let now = Timestamp::now();
    let next = |task: &TaskStanding| {
        let wait = tasks.get(&task.task_key)?.descriptor.schedule.until_next(now)?;
        Some(now + jiff::SignedDuration::try_from(wait).ok()?)
    };
    let told = standing.iter().map(|task| {
        let mut told = json!(task);
        told["next_at"] = json!(next(task));
        told
    });
    output.answer(&json!({ "ok": true, "tasks": told.collect::<Vec<_>>() }), || {
        let row = |task: &TaskStanding| {
            vec![
                task.task_key.clone(),
                task.status.to_lowercase(),
                task.last_success_at.map_or_else(|| "never".to_owned(), time),
                task.consecutive_failures.to_string(),
                next(task).map_or_else(|| "on request".to_owned(), time),
                because(task),
            ]
        };
        table(&COLUMNS, standing.iter().map(row))
    })?;
    Ok(Exit::Done)
}

/// What an operator should know of a task, in a few words.
fn because(task: &TaskStanding) -> String {
    if let Some(reason) = &task.paused_reason {
        let until =
            task.paused_until.map_or_else(|| "until resumed".to_owned(), |at| format!("until {}", time(at)));
        return format!("paused {until}: {reason}");
    }
    if let Some(owner) = &task.locked_by {
        return format!("runs in {owner}");
    }
    match (&task.error_code, &task.error_message) {
        (Some(code), Some(message)) if task.consecutive_failures > 0 => format!("{code}: {message}"),
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

async fn run_now(arguments: Run, output: Output) -> anyhow::Result<Exit> {
    let stop = Stop::listen()?;
    let context = boot::open_context(&Config::from_env()).await?;
    let request = Request { tasks: arguments.tasks, site: arguments.site, trigger: Trigger::default() };
    let bounds = Bounds { shutdown: stop.token(), ..Bounds::after(DEADLINE) };
    let answer = maintain::run(&context, &request, bounds).await?;
    output.answer(&answer, || text(&answer))?;
    Ok(match stop.exit() {
        Some(exit) => exit,
        None if answer.ok => Exit::Done,
        None => Exit::Failed,
    })
}

fn text(answer: &Answer) -> String {
    let rows = answer.tasks.iter().map(|(key, told)| vec![key.clone(), told.to_string()]);
    let mut text = table(&[("task", Set::Whole), ("answer", Set::Text)], rows);
    text += &format!("\n\n{} of {} tasks ran, {} skipped", answer.processed, answer.total, answer.skipped);
    text
}

async fn take_lock(arguments: &Unlock, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let tasks = Tasks::of(&context.registry);
    let Some(task) = tasks.get(&arguments.task) else {
        let told = format!("there is no task {:?}", arguments.task);
        return Err(Failure::new(Exit::Usage, told).hint("relay tasks").into());
    };
    let Turns::Exclusive(own) = task.descriptor.turns else {
        let told = format!("{} has no lock: any number of its runs may go on at once", arguments.task);
        return Err(Failure::new(Exit::Usage, told).hint("relay tasks").into());
    };
    let lock = context.settings.lock_ids.get(&arguments.task).copied().unwrap_or(own);
    let broken = context.store.break_task_lock(lock).await?;
    let answer = json!({ "ok": true, "task_key": arguments.task, "lock_id": lock, "unlocked": broken });
    output.answer(&answer, || match broken {
        true => format!("the lock of {} is free; whoever had it writes nothing more", arguments.task),
        false => format!("nobody had the lock of {}", arguments.task),
    })?;
    Ok(Exit::Done)
}

//! `relay status`: how each provider stands, then its worst groups, by the figures of the last minute.

mod site;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::SiteId;
use shared::engine::tasks::gauges;
use shared::engine::{Bounds, Context, Tasks};
use shared::providers::Registry;
use shared::store::{Gauge, Pause, ProviderCircuit, TaskStanding};

use crate::failure::Exit;
use crate::output::{Output, Set, grouped, table_within, time};
use told::{WIDTH, age, clock, counted_holds, holds_json, holds_text, outcomes_text, since, stops_text};

/// Figures are taken once a minute: older than three of them, and nobody takes them.
const AGE_MAX: f64 = 180.0;

/// A task that has not succeeded in so many of its intervals wants a look.
const INTERVALS_MAX: f64 = 3.0;

/// Groups of each provider that have figures of their own.
const GROUPS_MAX: i32 = 200;

/// How long taking the figures may last.
const DEADLINE: Duration = Duration::from_secs(60);

const PROVIDERS: [(&str, Set); 9] = [
    ("provider", Set::Whole),
    ("backlog", Set::Number),
    ("oldest", Set::Number),
    ("at risk", Set::Number),
    ("held", Set::Number),
    ("dead", Set::Number),
    ("open", Set::Number),
    ("score", Set::Number),
    ("last run", Set::Text),
];

const GROUPS: [(&str, Set); 5] = [
    ("site", Set::Whole),
    ("waits", Set::Number),
    ("oldest", Set::Number),
    ("at risk", Set::Number),
    ("stands", Set::Text),
];

const TASKS: [(&str, Set); 3] = [("task", Set::Text), ("last success", Set::Whole), ("because", Set::Text)];

/// How each provider stands and its worst groups, by the figures that the task `gauges` takes once a minute
#[derive(Args)]
pub(super) struct Arguments {
    /// The groups of one site, counted now
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: Option<SiteId>,
    /// Most groups of each provider
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i32).range(0..=200))]
    limit: i32,
    /// Take the figures first
    #[arg(long)]
    fresh: bool,
    /// Also what became of all conversions; walks the whole queue
    #[arg(long)]
    outcomes: bool,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let outcomes = match arguments.outcomes {
        true => Some(context.store.count_conversions(arguments.site).await?),
        false => None,
    };
    if let Some(site) = arguments.site {
        site::run(&context, site, outcomes, output).await?;
        return Ok(Exit::Done);
    }
    let standing = Standing::read(&context, &arguments).await?;
    let mut answer = standing.to_json(&context.registry);
    if let Some(outcomes) = &outcomes {
        answer["outcomes"] = json!(outcomes);
    }
    output.answer(&answer, || standing.to_text(&context.registry) + &outcomes_text(outcomes.as_deref()))?;
    Ok(Exit::Done)
}

/// All that the answer is made of.
struct Standing {
    all: Option<Gauge>,
    providers: Vec<Gauge>,
    groups: Vec<Gauge>,
    /// Groups of each provider that a person is shown.
    limit: usize,
    pauses: Vec<Pause>,
    circuits: Vec<ProviderCircuit>,
    tasks: Vec<TaskStanding>,
    /// Those of the tasks that fail, or are quiet.
    troubled: Vec<TaskStanding>,
}

impl Standing {
    async fn read(context: &Context, arguments: &Arguments) -> anyhow::Result<Self> {
        let mut gauges = context.store.read_gauges(GROUPS_MAX).await?;
        // Where none were ever taken there is nobody who takes them yet.
        if arguments.fresh || gauges.is_empty() {
            gauges::run(context, &gauges::Request::default(), Bounds::after(DEADLINE)).await?;
            gauges = context.store.read_gauges(GROUPS_MAX).await?;
        }
        let (groups, whole): (Vec<_>, Vec<_>) = gauges.into_iter().partition(|gauge| gauge.site_id.is_some());
        let (providers, all): (Vec<_>, Vec<_>) =
            whole.into_iter().partition(|gauge| gauge.provider_key.is_some());
        let tasks = context.store.read_task_standing().await?;
        let known = Tasks::of(&context.registry);
        let troubled = tasks.iter().filter(|task| is_troubled(task, &known)).cloned().collect();
        Ok(Self {
            all: all.into_iter().next(),
            providers,
            groups,
            limit: usize::try_from(arguments.limit)?,
            pauses: context.store.read_pauses().await?,
            circuits: context.store.read_provider_circuits().await?,
            tasks,
            troubled,
        })
    }

    /// When a provider's uploads last began.
    fn last_run(&self, provider: &str) -> Option<Timestamp> {
        let key = format!("upload:{provider}");
        self.tasks.iter().find(|task| task.task_key == key)?.last_run_at
    }

    fn to_json(&self, registry: &Registry) -> Value {
        let provider = |gauge: &Gauge| {
            let mut told = json!(gauge);
            told["last_run_at"] = json!(gauge.provider_key.as_deref().and_then(|key| self.last_run(key)));
            told
        };
        json!({
            "ok": true,
            "taken_at": self.all.as_ref().map(|all| all.taken_at),
            "age_seconds": self.all.as_ref().map(|all| all.age_seconds),
            "all": self.all,
            "providers": self.providers.iter().map(provider).collect::<Vec<_>>(),
            "groups": self.groups,
            "pauses": self.pauses,
            "circuits": self.circuits,
            "holds": holds_json(self.held(), registry),
            "tasks": self.troubled,
        })
    }

    fn held(&self) -> BTreeMap<(&str, &str), usize> {
        let held = self.groups.iter();
        let held = held.filter_map(|group| Some((group.provider_key.as_deref()?, group.hold()?)));
        counted_holds(held)
    }

    fn to_text(&self, registry: &Registry) -> String {
        let now = Timestamp::now();
        let mut text = stops_text(&self.pauses, &self.circuits) + &self.age_text();
        if self.providers.is_empty() {
            return text + "no group yet: store credentials or enqueue a conversion" + &self.tasks_text();
        }
        text += &table_within(
            WIDTH,
            &PROVIDERS,
            self.providers.iter().map(|gauge| self.provider_row(gauge, now)),
        );
        text += &self.all.as_ref().map_or_else(String::new, hour_text);
        for provider in &self.providers {
            text += &self.groups_text(provider, now);
        }
        text + &holds_text(self.held(), registry) + &self.tasks_text()
    }

    /// How old the figures are, and that nobody takes them where that is so.
    fn age_text(&self) -> String {
        let Some(all) = &self.all else { return "there are no figures yet\n\n".to_owned() };
        #[allow(clippy::cast_possible_truncation)] // Seconds of a person's time.
        let ago = since(all.age_seconds as i64);
        let stale = "nobody takes them: is the task gauges scheduled? --fresh takes them now";
        let stale = if all.age_seconds > AGE_MAX { format!("\n{stale}") } else { String::new() };
        format!("figures of {} ({ago} ago){stale}\n\n", time(all.taken_at))
    }

    fn provider_row(&self, gauge: &Gauge, now: Timestamp) -> Vec<String> {
        let key = gauge.provider_key.as_deref().unwrap_or_default();
        let ran = self.last_run(key).map(|at| since(now.duration_since(at).as_secs()));
        vec![
            key.to_owned(),
            about(gauge, "backlog", gauge.backlog),
            age(gauge.oldest_waiting_seconds),
            about(gauge, "at_risk", gauge.at_risk),
            about(gauge, "held", gauge.held),
            about(gauge, "dead_letters", gauge.dead_letters),
            grouped(gauge.open_circuits),
            gauge.score.map_or_else(String::new, |score| score.to_string()),
            ran.unwrap_or_else(|| "never".to_owned()),
        ]
    }

    fn groups_text(&self, provider: &Gauge, now: Timestamp) -> String {
        let of_it = self.groups.iter().filter(|group| group.provider_key == provider.provider_key);
        let rows: Vec<_> = of_it.take(self.limit).map(|group| group_row(group, &self.pauses, now)).collect();
        let more = usize::try_from(provider.groups).unwrap_or(0).saturating_sub(rows.len());
        let key = provider.provider_key.as_deref().unwrap_or_default();
        if rows.is_empty() {
            return String::new();
        }
        let more = match more {
            0 => String::new(),
            more => format!("\nand {} more; --limit shows up to 200, --site any", grouped(more as u64)),
        };
        format!("\n\nworst groups of {key}\n{}{more}", table_within(WIDTH, &GROUPS, rows))
    }

    fn tasks_text(&self) -> String {
        let row = |task: &TaskStanding| {
            let because = match (&task.error_code, task.consecutive_failures) {
                (Some(code), 1..) => format!("failed {} times in a row: {code}", task.consecutive_failures),
                (Some(_) | None, _) => "quiet for three of its intervals".to_owned(),
            };
            let success = task.last_success_at.map_or_else(|| "never".to_owned(), time);
            vec![task.task_key.clone(), success, because]
        };
        let rows: Vec<_> = self.troubled.iter().map(row).collect();
        if rows.is_empty() { String::new() } else { format!("\n\n{}", table_within(WIDTH, &TASKS, rows)) }
    }
}

/// Whether a task fails, or has not succeeded for three of its intervals, and nobody paused it.
fn is_troubled(task: &TaskStanding, known: &Tasks) -> bool {
    let interval = known.get(&task.task_key).and_then(|task| task.descriptor.schedule.interval());
    let quiet = interval.is_some_and(|interval| task.quiet_seconds > INTERVALS_MAX * interval.as_secs_f64());
    task.paused_reason.is_none() && (task.consecutive_failures > 0 || quiet)
}

/// What the last hour brought, and what is out.
fn hour_text(all: &Gauge) -> String {
    let count = |count: Option<i64>| grouped(count.unwrap_or_default());
    let oldest = all
        .oldest_submitted_seconds
        .map_or_else(String::new, |seconds| format!(", the oldest for {}", age(Some(seconds))));
    format!(
        "\n\nlast hour: completed {}, failed {}, retries {}, stale outcomes {}\n\
         groups {}: held {}, circuit open {}, silent {}\n\
         in flight {}; submitted, to be confirmed {}{oldest}\n\
         so far: requests {}, completed {}, failed {}, retries {}",
        count(all.completed_last_hour),
        count(all.failed_last_hour),
        count(all.retry_last_hour),
        count(all.stale_outcomes_last_hour),
        grouped(all.groups),
        grouped(all.held_groups),
        grouped(all.open_circuits),
        grouped(all.silent_groups),
        grouped(all.processing),
        about(all, "submitted", all.submitted),
        grouped(all.attempts_total),
        grouped(all.completed_total),
        grouped(all.failed_total),
        grouped(all.retry_total),
    )
}

fn group_row(group: &Gauge, pauses: &[Pause], now: Timestamp) -> Vec<String> {
    let waits = if group.backlog > 0 { "backlog" } else { "held" };
    vec![
        group.site_id.map_or_else(String::new, |site| site.to_string()),
        about(group, waits, group.backlog + group.held),
        age(group.oldest_waiting_seconds),
        about(group, "at_risk", group.at_risk),
        stands(group, pauses, now).join(", "),
    ]
}

/// What stands in the way of a group, and what a person should know besides.
fn stands(group: &Gauge, pauses: &[Pause], now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    told.extend(group.is_removed().then(|| "removed".to_owned()));
    told.extend(group.hold().map(|code| format!("held: {code}")));
    let paused = pauses.iter().find(|pause| {
        Some(&pause.provider_key) == group.provider_key.as_ref()
            && pause.site_id.is_none_or(|site| Some(site) == group.site_id)
    });
    told.extend(paused.map(|pause| {
        pause.paused_until.map_or_else(|| "paused".to_owned(), |at| format!("paused to {}", clock(at)))
    }));
    match (group.circuit.as_deref(), group.next_probe_at) {
        (Some("OPEN"), Some(probe)) => told.push(format!("open to {}", clock(probe))),
        (Some("HALF_OPEN"), _) => told.push("half open".to_owned()),
        (Some(_) | None, _) => {}
    }
    if group.hold_code.is_none() && group.held > 0 {
        told.push(format!("{} held", about(group, "held", group.held)));
    }
    if let Some(last) = group.last_arrival_at.filter(|_| group.silent_groups > 0) {
        let usual = age(group.usual_gap_seconds);
        told.push(format!("silent {}, usually {usual} at most", since(now.duration_since(last).as_secs())));
    }
    if group.dead_letters > 0 {
        told.push(format!("{} dead", about(group, "dead_letters", group.dead_letters)));
    }
    if told.is_empty() {
        told.push("good".to_owned());
    }
    told.extend(group.score.map(|score| format!("score {score}")));
    told
}

/// A figure, with a mark where it is an estimate.
fn about(gauge: &Gauge, figure: &str, value: i64) -> String {
    let mark = if gauge.is_approximate(figure) { "~" } else { "" };
    format!("{mark}{}", grouped(value))
}

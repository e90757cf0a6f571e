//! Maintenance: the tasks that keep the house in order, by name or all of them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cycle::{CycleRequest, Summary, TaskEnd, run_once};
use super::task::{Bounds, SkipReason, Task, Turns};
use super::{BadRequest, Context, Fields, Tasks, Trigger};
use crate::domain::SiteId;

const FIELDS: [&str; 4] = ["tasks", "site_id", "scheduled_time", "lockId"];

/// What maintenance is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The tasks, by their keys; none: all that are exclusive, or, with a site, all of those that know sites.
    pub tasks: Vec<String>,
    /// One site only.
    pub site: Option<SiteId>,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"tasks":["expire",…]?,"site_id"?}`. In a query string, `tasks` is a list with commas.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let wrong = || BadRequest("tasks must be a list of task keys, such as [\"expire\"]".to_owned());
        let tasks = match fields.take("tasks") {
            None => Vec::new(),
            Some(Value::String(list)) => list.split(',').map(|key| key.trim().to_owned()).collect(),
            Some(Value::Array(list)) => {
                let text = |key: &Value| key.as_str().map(str::to_owned);
                list.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(wrong()),
        };
        let request = Self { tasks, site: fields.parsed("site_id")?, trigger: Trigger::take(&mut fields)? };
        fields.finish(&FIELDS)?;
        Ok(request)
    }

    /// The tasks that it means, in the order of the registry, each once.
    fn choose<'a>(&self, tasks: &'a Tasks) -> Result<Vec<&'a Task>, BadRequest> {
        let may = |task: &&Task| matches!(task.descriptor.turns, Turns::Exclusive(_));
        if let Some(unknown) = self.tasks.iter().find(|key| tasks.get(key).filter(may).is_none()) {
            let known: Vec<_> = tasks.iter().filter(may).map(|task| task.descriptor.key.as_str()).collect();
            let unknown: String = unknown.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(BadRequest(format!(
                "tasks names {unknown:?}, which is none of {}",
                known.join(", ")
            )));
        }
        let asked = |task: &&Task| match (self.tasks.is_empty(), self.site) {
            (false, _) => self.tasks.iter().any(|key| key == task.descriptor.key.as_str()),
            (true, Some(_)) => task.descriptor.scope == super::Scope::BySite,
            (true, None) => true,
        };
        Ok(tasks.iter().filter(may).filter(asked).collect())
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Whether no task failed.
    pub ok: bool,
    /// Tasks that were asked for.
    pub total: u64,
    /// Those that ran to their end.
    pub processed: u64,
    /// Those that were locked, paused or done, or that the deadline came before.
    pub skipped: u64,
    /// Those that failed, each with the reason.
    pub errors: Vec<Value>,
    /// What each of them answered, by its key.
    pub tasks: Map<String, Value>,
    /// Tasks that are stopped at this moment.
    pub paused: Vec<String>,
}

/// Runs the tasks that were asked for, one after the other; one that fails stops no other.
///
/// # Errors
/// [`BadRequest`] for a task that is unknown or knows no sites. The database's, where nothing could be run at all. And
/// where a schedule asked and a task failed, or its turn never came: the retry runs what is not done yet.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Answer> {
    let tasks = Tasks::of(&context.registry);
    let chosen = request.choose(&tasks)?;
    let cycle = CycleRequest {
        site: request.site,
        scheduled_time: request.trigger.scheduled_time,
        lock_id: request.trigger.lock_id,
    };
    let summary = run_once(context, &chosen, cycle, &bounds).await?;
    let late = |end: &&TaskEnd| end.skipped == Some(SkipReason::Deadline);
    let late: Vec<_> = summary.tasks.iter().filter(late).map(|end| end.task_key.clone()).collect();
    let answer = answer(summary);
    if request.trigger.scheduled_time.is_some() {
        if !answer.ok {
            let failed = Value::Array(answer.errors);
            let count = failed.as_array().map_or(0, Vec::len);
            anyhow::bail!("{count} of {} tasks failed: {failed}", answer.total);
        }
        if !late.is_empty() {
            anyhow::bail!("the time was up before the turn of {}", late.join(", "));
        }
    }
    Ok(answer)
}

fn answer(summary: Summary) -> Answer {
    let errors =
        summary.worst.iter().map(|worst| json!({ "task_key": worst.task_key, "error": worst.error }));
    let mut answer = Answer {
        ok: summary.failed == 0,
        total: summary.total,
        processed: summary.success,
        skipped: summary.skipped,
        errors: errors.collect(),
        tasks: Map::new(),
        paused: summary.paused,
    };
    for end in summary.tasks {
        let told = match (end.answer, end.skipped, end.error) {
            (Some(answer), _, _) => answer,
            (None, Some(reason), _) => json!({ "skipped": true, "reason": reason }),
            (None, None, error) => json!({ "ok": false, "error": error }),
        };
        answer.tasks.insert(end.task_key, told);
    }
    answer
}

//! Gauges: takes the figures that dashboards, alarms and `relay status` read, once a minute for all programs.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{TRIGGER_FIELDS, Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::Gauge;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("gauges"),
    turns: Turns::Exclusive(482_181),
    schedule: Schedule::Every(Duration::from_secs(60)),
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

/// Groups of each provider that get figures of their own, the worst first: what a person looks through, and no more
/// than a minute's worth of writing.
const GROUPS: i32 = 200;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads a call without fields of its own.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&TRIGGER_FIELDS)?;
        Ok(Self { trigger })
    }
}

/// What was taken.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Always true: figures that cannot be taken are an error.
    pub ok: bool,
    /// Rows of figures: of all providers, of each, of the worst groups.
    pub total: u64,
    /// As many.
    pub processed: u64,
    /// None.
    pub skipped: u64,
    /// None.
    pub errors: Vec<String>,
    /// Those of all providers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Gauge>,
}

/// Gauges as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Takes the figures.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let mut work = Taking::default();
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &json!({}), bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer()),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

#[derive(Default)]
struct Taking {
    written: u64,
    all: Option<Gauge>,
}

impl Work for Taking {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let context = &running.context;
        self.written = u64::try_from(context.store.take_gauges(GROUPS).await?).unwrap_or(0);
        let gauges = context.store.read_gauges(0).await?;
        if let Some(figures) = &context.figures {
            figures.tell_gauges(&gauges);
        }
        self.all = gauges.into_iter().find(|gauge| gauge.provider_key.is_none());
        Ok(())
    }

    fn tally(&self) -> Tally {
        let counters = match &self.all {
            Some(all) => json!({
                "rows": self.written, "backlog": all.backlog, "at_risk": all.at_risk, "waiting_held": all.held,
                "waiting_submitted": all.submitted, "dead_letters": all.dead_letters,
                "open_circuits": all.open_circuits, "silent_groups": all.silent_groups,
            }),
            None => json!({ "rows": self.written }),
        };
        Tally { counters, ..Tally::default() }
    }
}

impl Taking {
    fn answer(self) -> Answer {
        Answer {
            ok: true,
            total: self.written,
            processed: self.written,
            skipped: 0,
            errors: Vec::new(),
            all: self.all,
        }
    }
}

//! `relay run --forever`: a host that does on a machine what schedules do on AWS, and says whether it is ready.

use std::sync::Arc;

use serde_json::{Map, json};
use shared::boot::{self, Boot, Config, functions};
use shared::engine::tasks::upload;
use shared::engine::{Fields, Pulse, Task, Tasks, run_forever};

use super::{Arguments, GRACE};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::serve::{listen, serve};
use crate::signals::Stop;

/// Questions for its health that are answered at once.
const CALLS_MAX: usize = 16;

impl Arguments {
    /// What a host runs: uploads as these arguments want them, and every scheduled task.
    fn tasks(&self, tasks: &Tasks) -> anyhow::Result<Vec<Task>> {
        let given = [("mode", &self.mode), ("site_id", &self.site), ("limit", &self.limit)];
        let given =
            given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
        let says: Map<_, _> = given.collect();
        let mut chosen = Vec::new();
        for task in tasks.scheduled() {
            match task.descriptor.provider {
                None => chosen.push(task.clone()),
                Some(provider) if self.provider.as_deref().is_none_or(|key| key == provider.as_str()) => {
                    let mut fields = says.clone();
                    fields.insert("provider_key".to_owned(), json!(provider));
                    // What the task would refuse with each run is refused here, once.
                    upload::Request::parse(Fields::new(fields.clone()))?;
                    chosen.push(task.clone().saying(fields));
                }
                Some(_) => {}
            }
        }
        if self.provider.is_some() && !chosen.iter().any(|task| task.descriptor.provider.is_some()) {
            upload::Request::parse(self.fields())?;
        }
        Ok(chosen)
    }
}

/// Runs until a signal. A supervisor reads the exit code: 0 after SIGTERM, 130 after Ctrl-C, 1 where something broke
/// or did not end in time, and the host is to be started again.
pub(super) async fn run(mut arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    arguments.mode.get_or_insert_with(|| "worker".to_owned());
    let stop = Stop::listen()?;
    let context = boot::open_context(&Config::from_env()).await?;
    let tasks = arguments.tasks(&Tasks::of(&context.registry))?;
    let (listener, address) = listen(arguments.listen).await?;
    let url = format!("http://{address}");
    let keys: Vec<_> = tasks.iter().map(|task| task.descriptor.key.clone()).collect();
    output.answer(&json!({ "ok": true, "base_url": url, "tasks": keys }), || {
        let keys: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
        format!(
            "runs {}\nsays whether it is ready at {url}/health/ready; Ctrl-C or SIGTERM stops it",
            keys.join(", ")
        )
    })?;
    let pulse = Pulse::new();
    let health = Boot::new(Config::from_env()).with_pulse(Arc::clone(&pulse));
    // Health is told for as long as there is work to be seen to its end.
    let serving = serve(listener, &[&functions::HEALTH], health, CALLS_MAX, stop.token());
    let token = stop.token();
    tokio::select! {
        ended = run_forever(&context, tasks, stop.token(), &pulse) => ended?,
        _ = async { serving.await; std::future::pending::<()>().await } => {}
        () = async { token.cancelled().await; tokio::time::sleep(GRACE).await } => {
            let told = "stopped: requests that were in flight did not end in time, their claims lapse by themselves";
            return Err(Failure::new(Exit::Failed, told).hint("relay recover").into());
        }
    }
    Ok(match stop.exit() {
        Some(Exit::Interrupted) => Exit::Interrupted,
        Some(_) | None => Exit::Done,
    })
}

//! A custom resource of CloudFormation: its event becomes a request, and however the work ends, its answer is delivered.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::call::told;
use super::config::{AppEnv, Config};
use super::context::BootError;
use crate::delivery::Deadline;
use crate::domain::Secret;
use crate::engine::{BadRequest, Fields};
use crate::providers::http::{build_client, exchange};
use crate::store::StoreError;

/// The largest answer, in bytes.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>, read 2026-11-22.
const ANSWER_BYTES_MAX: usize = 4096;

/// The longest reason, in bytes: enough for what is wrong and what to do, and CloudFormation's list of events stays readable.
const REASON_BYTES_MAX: usize = 1000;

/// What is left of the deadline for the answer, half of it at most: several tries at a slow S3. Without an answer
/// CloudFormation waits an hour before it gives up.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// One try to deliver the answer.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries to deliver it, where the deadline allows, and the wait after the first, which doubles.
const DELIVERY_TRIES: u32 = 8;
const DELIVERY_WAIT: Duration = Duration::from_millis(200);

/// A database that is being made, woken or moved is waited for so long, a quarter of the deadline at most.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_WAIT: Duration = Duration::from_secs(1);

/// What CloudFormation wants of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Create,
    Update,
    Delete,
}

/// A call that CloudFormation makes, and where it waits for the answer.
pub(super) struct CustomResource {
    /// Nothing: a change that this program does not know.
    change: Option<Change>,
    /// A pre-signed address: whoever has it can answer, so it is told to nobody.
    answer_to: Secret,
    physical_id: String,
    stack_id: String,
    request_id: String,
    logical_id: String,
}

/// The answer, by CloudFormation's own names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl CustomResource {
    /// Takes CloudFormation's fields; nothing, where the call is none of its.
    ///
    /// `purpose` ends the name of the resource, which is the stack's and stays the same: with another one CloudFormation would
    /// take each deploy for a new resource and delete the old one. Fields that are not needed are passed over: a name that AWS adds
    /// must not stop deploys.
    ///
    /// # Errors
    /// A field that is missing or wrong, by its name.
    pub(super) fn read(fields: &mut Fields, purpose: &str) -> Result<Option<Self>, BadRequest> {
        let (change, url) = (fields.text("RequestType")?, fields.text("ResponseURL")?);
        if change.is_none() && url.is_none() {
            return Ok(None);
        }
        let missing =
            |name: &str| BadRequest(format!("{name} is missing: an event of CloudFormation has it"));
        let mut needed = |name: &str| fields.text(name)?.ok_or_else(|| missing(name));
        let (stack_id, request_id) = (needed("StackId")?, needed("RequestId")?);
        let logical_id = needed("LogicalResourceId")?;
        let url = url.ok_or_else(|| missing("ResponseURL"))?;
        // `arn:aws:cloudformation:region:account:stack/name/id`
        let stack = stack_id.split('/').nth(1).unwrap_or("relay");
        let physical_id = fields.text("PhysicalResourceId")?.unwrap_or_else(|| format!("{stack}-{purpose}"));
        *fields = Fields::default();
        let change = match change.as_deref() {
            Some("Create") => Some(Change::Create),
            Some("Update") => Some(Change::Update),
            Some("Delete") => Some(Change::Delete),
            Some(_) | None => None,
        };
        let answer_to = Secret::new(url);
        Ok(Some(Self { change, answer_to, physical_id, stack_id, request_id, logical_id }))
    }

    /// Does the work where something is created or updated, nothing where it is deleted, and delivers what came of it: a fault,
    /// a panic and too little time, too. A database that cannot be reached is tried again for a while.
    ///
    /// # Errors
    /// Where the answer cannot be delivered, and only there: a failure that CloudFormation knows of is told, and a second
    /// invocation would only answer a question that nobody asks any more.
    pub(super) async fn answer<F>(
        self,
        config: &Config,
        deadline: Deadline,
        work: impl Fn() -> F,
    ) -> anyhow::Result<Value>
    where
        F: Future<Output = anyhow::Result<Value>>,
    {
        let left = deadline.remaining();
        let time = left.saturating_sub(ANSWER_TIME.min(left / 2));
        let done = match self.change {
            Some(Change::Create | Change::Update) => {
                let patience = PATIENCE.min(left / 4);
                match timeout(time, unbroken(patiently(patience, work))).await {
                    Ok(done) => done,
                    Err(_) => Err(anyhow::anyhow!(
                        "not done within {} s: deploy again, it goes on where it stopped",
                        time.as_secs()
                    )),
                }
            }
            Some(Change::Delete) => Ok(Value::Null),
            None => Err(anyhow::anyhow!("RequestType must be Create, Update or Delete")),
        };
        let (status, data, failure) = match done {
            Ok(data) => ("SUCCESS", Some(data).filter(|data| !data.is_null()), None),
            Err(failure) => {
                let refused = if is_refused_login(&failure) {
                    "the database refused the login or its password: "
                } else {
                    ""
                };
                let failure = format!("{refused}{}", told(&failure));
                error!(error = failure, "the migration failed, as CloudFormation is told");
                ("FAILED", None, Some(failure))
            }
        };
        let (body, reason) = self.body(status, failure.as_deref(), data.as_ref(), &log_place(config))?;
        self.deliver(&body, config.app_env(), deadline).await?;
        info!(status, "CloudFormation has its answer");
        Ok(serde_json::json!({ "ok": failure.is_none(), "status": status, "reason": reason }))
    }

    /// The answer, and its reason: as much of the failure as there is room for, and where the whole of it is.
    fn body(
        &self,
        status: &'static str,
        failure: Option<&str>,
        data: Option<&Value>,
        log: &str,
    ) -> anyhow::Result<(Vec<u8>, Option<String>)> {
        let failure: Option<String> =
            failure.map(|failure| failure.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        let mut room = REASON_BYTES_MAX;
        loop {
            let reason = failure
                .as_ref()
                .map(|failure| format!("{}.{log}", &failure[..failure.floor_char_boundary(room)]));
            let answer = Answer {
                status,
                reason: reason.as_deref(),
                physical_resource_id: &self.physical_id,
                stack_id: &self.stack_id,
                request_id: &self.request_id,
                logical_resource_id: &self.logical_id,
                data,
            };
            let body = serde_json::to_vec(&answer).context("the answer cannot be written as JSON")?;
            if body.len() <= ANSWER_BYTES_MAX || room == 0 {
                return Ok((body, reason));
            }
            room /= 2;
        }
    }

    /// Puts it where CloudFormation waits for it. The signature of the address covers the type of the content: there is none.
    async fn deliver(&self, body: &[u8], app_env: AppEnv, deadline: Deadline) -> anyhow::Result<()> {
        let url = address(&self.answer_to, app_env)?;
        let client = build_client(DELIVERY_TIMEOUT)?;
        let mut wait = DELIVERY_WAIT;
        for number in 1.. {
            let why = match exchange(client.put(url.clone()).body(body.to_vec())).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(()),
                Ok(answer) => format!("HTTP_{}", answer.status),
                Err(fault) => fault.code().to_owned(),
            };
            if number == DELIVERY_TRIES || deadline.remaining() <= wait {
                bail!(
                    "CloudFormation's answer could not be delivered ({why}): let this function reach S3; \
                     CloudFormation fails the deploy when its own time is over"
                );
            }
            warn!(why, number, "CloudFormation's answer was not taken: it is sent again");
            sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }
}

/// Where the answer goes: S3, or this machine where it is not production. A wrong address is told without quoting it.
fn address(url: &Secret, app_env: AppEnv) -> anyhow::Result<Url> {
    let url: Url = url.expose().parse().map_err(|_| BadRequest("ResponseURL must be a URL".to_owned()))?;
    let host = url.host_str().unwrap_or_default();
    let is_s3 = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]") && app_env != AppEnv::Production;
    if (url.scheme() == "https" && is_s3) || (url.scheme() == "http" && is_here) {
        Ok(url)
    } else {
        Err(BadRequest(
            "ResponseURL must be an https URL of amazonaws.com, where CloudFormation waits".to_owned(),
        )
        .into())
    }
}

/// Does the work, and again where what it needs may come about by itself.
async fn patiently<T, F>(patience: Duration, work: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let until = Deadline::after(patience);
    loop {
        match work().await {
            Err(failure) if may_pass(&failure) && until.remaining() > PATIENCE_WAIT => {
                warn!(error = told(&failure), "the migration could not begin: it is tried again");
                sleep(PATIENCE_WAIT).await;
            }
            done => return done,
        }
    }
}

/// Whether database or Secrets Manager gave no answer. A login that was refused is an answer: it was asked for anew where it is
/// kept, and each further try is one more that the server counts.
fn may_pass(failure: &anyhow::Error) -> bool {
    !is_refused_login(failure)
        && failure.chain().any(|cause| {
            let store = stored(cause);
            let driver = cause.downcast_ref::<tokio_postgres::Error>();
            let boot = cause.downcast_ref::<BootError>();
            store.is_some_and(|error| matches!(error, StoreError::Unavailable(_)))
                || driver.is_some_and(|error| error.as_db_error().is_none())
                || boot.is_some_and(|error| matches!(error, BootError::SecretAway { .. }))
        })
}

fn is_refused_login(failure: &anyhow::Error) -> bool {
    failure.chain().filter_map(stored).any(StoreError::is_refused_login)
}

/// What the database was to a cause.
fn stored<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e StoreError> {
    match cause.downcast_ref::<BootError>() {
        Some(BootError::Store(error)) => Some(error),
        Some(_) | None => cause.downcast_ref(),
    }
}

/// The work's end, and an error where it panics: whoever waits for an answer gets one then, too.
async fn unbroken<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut work = pin!(work);
    // What panicked is never polled again, so nobody sees what it left half done.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(anyhow::anyhow!("the program panicked: this is a fault of its own"))),
    })
    .await
}

/// Where the log is, as a sentence; nothing outside Lambda.
fn log_place(config: &Config) -> String {
    let place = config.get("AWS_LAMBDA_LOG_GROUP_NAME").zip(config.get("AWS_LAMBDA_LOG_STREAM_NAME"));
    place.map(|(group, stream)| format!(" Log: {group}, {stream}")).unwrap_or_default()
}

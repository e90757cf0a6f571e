//! The way in over HTTP: from a path to a door, from a door to an answer, in the order in which callers are turned away.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use super::authentication::TurnedAway;
use super::call::{Call, CallError};
use super::function::{Answer, Boot, Callers, Door, Function};
use super::http::{BODY_MAX, HttpAnswer, HttpCall};
use crate::delivery::Deadline;
use crate::engine::Fields;

/// HTTP APIs wait 30 s for their function; a run that came this way is over before.
const HTTP_DEADLINE: Duration = Duration::from_secs(25);

/// A door that stands open for one call.
#[derive(Debug, Clone, Copy)]
pub struct Entrance<'a> {
    /// The function behind it.
    pub function: &'a Function,
    door: &'a Door,
}

/// Finds the door of a call among those of `functions`, by all that can be known before its body is read: that the job is
/// forbidden here comes first, the secret last.
///
/// # Errors
/// How the call is turned away: 403, 404, 405, 500 or 401.
pub fn enter<'a>(
    functions: &[&'a Function],
    boot: &Boot,
    call: &HttpCall,
) -> Result<Entrance<'a>, HttpAnswer> {
    let app_env = boot.config.app_env();
    // A function on its own that is forbidden has no other paths to tell about.
    if let [function] = functions
        && function.is_forbidden(app_env)
    {
        return Err(HttpAnswer::error(403, function.forbidden()));
    }
    let at_path: Vec<Entrance<'a>> = functions
        .iter()
        .flat_map(|function| function.doors.iter().map(|door| Entrance { function, door }))
        .filter(|entrance| entrance.door.path == call.path)
        .collect();
    let Some(first) = at_path.first() else {
        return Err(HttpAnswer::error(404, "no such path"));
    };
    if first.function.is_forbidden(app_env) {
        return Err(HttpAnswer::error(403, first.function.forbidden()));
    }
    let Some(entrance) = at_path.iter().find(|entrance| entrance.door.method == call.method) else {
        let allowed = at_path.iter().map(|entrance| entrance.door.method).collect::<Vec<_>>().join(", ");
        let answer = HttpAnswer::error(405, format!("the method must be {allowed}"));
        return Err(answer.header("allow", allowed));
    };
    match entrance.function.callers {
        Callers::WithSecret => {
            boot.secrets.check(&call.headers).map_err(|turned_away| match turned_away {
                TurnedAway::NotConfigured => HttpAnswer::error(500, "CRON_SECRET not configured"),
                TurnedAway::Unauthorized => HttpAnswer::unauthorized(),
            })?
        }
        Callers::OfItsOwnChoice | Callers::Anybody => {}
    }
    Ok(*entrance)
}

/// Answers a call that came through its door, with its body.
pub async fn answer(
    entrance: Entrance<'_>,
    boot: &Boot,
    http: HttpCall,
    deadline: Duration,
    shutdown: &CancellationToken,
) -> HttpAnswer {
    let deadline = Deadline::after(deadline.min(HTTP_DEADLINE));
    let call = match read(entrance, http, deadline, shutdown) {
        Ok(call) => call,
        Err(answer) => return answer,
    };
    match (entrance.function.handler)(boot, call).await {
        Ok(Answer { status, body }) => HttpAnswer::new(status, body),
        Err(error) => refuse(&CallError::new(&error)),
    }
}

fn read(
    Entrance { function, door }: Entrance<'_>,
    http: HttpCall,
    deadline: Deadline,
    shutdown: &CancellationToken,
) -> Result<Call, HttpAnswer> {
    if http.body.len() > BODY_MAX {
        return Err(HttpAnswer::too_large());
    }
    let bad = |bad: crate::engine::BadRequest| HttpAnswer::error(400, bad.to_string());
    let mut fields = match function.callers {
        Callers::WithSecret => http.fields().map_err(bad)?,
        Callers::OfItsOwnChoice | Callers::Anybody => Fields::default(),
    };
    for (name, value) in door.says {
        fields.say(name, value).map_err(bad)?;
    }
    let http = Some(http).filter(|_| function.callers == Callers::OfItsOwnChoice);
    Ok(Call { fields, http, deadline, shutdown: shutdown.clone() })
}

fn refuse(error: &CallError) -> HttpAnswer {
    match error {
        CallError::BadRequest(told) => HttpAnswer::error(400, told),
        CallError::Unauthorized => HttpAnswer::unauthorized(),
        CallError::Unavailable { told, brief } => {
            error!(error = told, "the call failed");
            HttpAnswer::error(503, brief)
        }
        CallError::Failed(told) => {
            error!(error = told, "the call failed");
            HttpAnswer::error(500, "the call failed: see the log")
        }
    }
}

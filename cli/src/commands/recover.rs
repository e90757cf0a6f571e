//! `relay recover`: what the `recover` function does, from here.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use shared::boot::{self, Config};
use shared::engine::tasks::recover::{self, Answer, Request};
use shared::engine::{Bounds, Fields, Reply};

use crate::failure::Exit;
use crate::output::{Output, grouped};

/// What cannot be put back in so long goes to the next call.
const DEADLINE: Duration = Duration::from_secs(300);

/// Put back what crashed runs left, and send dead letters to work again on request
#[derive(Args)]
pub(super) struct Arguments {
    /// How old a lapsed claim must be; 15 unless said
    #[arg(long, value_name = "N")]
    min_age_minutes: Option<String>,
    /// One site only
    #[arg(long, value_name = "UUID")]
    site: Option<String>,
    /// Dead letters with this code go again, at most 10,000; may be given several times
    #[arg(long, value_name = "CODE")]
    redrive_code: Vec<String>,
}

impl Arguments {
    /// One request for each code, for an event names one.
    fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let redrives: Vec<Value> = match self.redrive_code.as_slice() {
            [] => vec![Value::Null],
            codes => codes.iter().map(|code| json!({ "code": code, "site_id": self.site })).collect(),
        };
        let request = |redrive| {
            let mut fields = Map::new();
            fields.insert("min_age_minutes".to_owned(), json!(self.min_age_minutes));
            fields.insert("site_id".to_owned(), json!(self.site));
            fields.insert("redrive".to_owned(), redrive);
            Ok(Request::parse(Fields::new(fields))?)
        };
        redrives.into_iter().map(request).collect()
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let requests = arguments.requests()?;
    let bounds = Bounds::after(DEADLINE);
    let context = boot::open_context(&Config::from_env()).await?;
    let mut sum: Option<Reply<Answer>> = None;
    for request in &requests {
        let reply = recover::run(&context, request, bounds.clone()).await?;
        sum = Some(match sum {
            Some(Reply::Answer(sum)) => reply.map(|answer| add(sum, answer)),
            Some(Reply::Skipped { .. }) | None => reply,
        });
    }
    let reply = sum.expect("there is one request at least");
    output.reply(&reply, text)?;
    Ok(match reply {
        Reply::Answer(answer) if !answer.errors.is_empty() => Exit::Failed,
        Reply::Answer(_) | Reply::Skipped { .. } => Exit::Done,
    })
}

fn add(mut sum: Answer, answer: Answer) -> Answer {
    sum.recovered += answer.recovered;
    sum.requeued += answer.requeued;
    sum.exhausted += answer.exhausted;
    sum.attempts_settled += answer.attempts_settled;
    sum.leases_freed += answer.leases_freed;
    sum.redriven += answer.redriven;
    sum.errors.extend(answer.errors);
    sum
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "recovered {} conversions of claims lapsed for {} minutes: {} go again, {} were lost too often and ended\n\
         settled {} requests whose answer never came, freed {} upload slots, redrove {} dead letters",
        grouped(answer.recovered),
        answer.min_age_minutes,
        grouped(answer.requeued),
        grouped(answer.exhausted),
        grouped(answer.attempts_settled),
        grouped(answer.leases_freed),
        grouped(answer.redriven),
    );
    for error in &answer.errors {
        text += &format!("\nerror: {error}");
    }
    text
}

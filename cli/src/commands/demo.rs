//! `relay demo`: the whole path on real parts, from nothing to a proof.

use clap::Args;
use serde::Serialize;

use crate::demo::{self, Interrupted, Telling};
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Play the whole path on a database and a stand-in of its own, and account for every conversion
#[derive(Args)]
pub(super) struct Arguments {
    /// Play on AWS as a developer has it: the functions of this checkout behind `cargo lambda watch`, with every file of
    /// events/, keys in KMS and secrets in Secrets Manager (moto). Needs a checkout, cargo, and Python 3.11 or newer
    #[arg(long)]
    aws: bool,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let telling = match output.form() {
        Form::Person => Telling::AsItHappens,
        Form::Json => Telling::AtTheEnd,
    };
    if arguments.aws {
        let demo = demo::run_on_aws(telling).await.map_err(stopped)?;
        return end(&demo, demo.ok, telling, output);
    }
    let demo = demo::run(telling).await.map_err(stopped)?;
    end(&demo, demo.ok, telling, output)
}

fn end(demo: &impl Serialize, ok: bool, telling: Telling, output: Output) -> anyhow::Result<Exit> {
    if telling == Telling::AtTheEnd {
        output.answer(demo, String::new)?;
    }
    Ok(if ok { Exit::Done } else { Exit::Red })
}

fn stopped(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Interrupted>() {
        Some(stopped) => Failure::new(Exit::Signalled(stopped.exit_code), stopped.to_string()).into(),
        None => error,
    }
}

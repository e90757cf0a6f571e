//! `relay demo`: the whole path on real parts, from nothing to a proof.

use clap::Args;

use crate::demo::{self, Interrupted, Telling};
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Play the whole path on a database and a stand-in of its own, and account for every conversion
#[derive(Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_: Arguments, output: Output) -> anyhow::Result<Exit> {
    let telling = match output.form() {
        Form::Person => Telling::AsItHappens,
        Form::Json => Telling::AtTheEnd,
    };
    let demo = demo::run(telling).await.map_err(|error| match error.downcast_ref::<Interrupted>() {
        Some(stopped) => Failure::new(Exit::Signalled(stopped.exit_code), stopped.to_string()).into(),
        None => error,
    })?;
    if telling == Telling::AtTheEnd {
        output.answer(&demo, String::new)?;
    }
    Ok(if demo.ok { Exit::Done } else { Exit::Red })
}

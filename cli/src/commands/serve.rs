//! `relay serve`: all functions that speak HTTP, on one local port, until Ctrl-C or SIGTERM.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use shared::boot::{Boot, Config, functions};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::serve::{Ended, listen, serve};
use crate::signals::Stop;

/// Serve all functions that speak HTTP on one local port, as they are on Lambda
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// Calls in flight; more are answered 429
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    max_calls: u16,
}

const AFTER_HELP: &str = "\
GET /openapi.json says what is served. Plain HTTP: beyond this machine, put something before it that speaks TLS.
Ctrl-C or SIGTERM stops it once what is in flight has its answer, within ten seconds; then it ends with 0, else with 6
(130 after Ctrl-C). A second Ctrl-C ends it at once.";

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let stop = Stop::listen()?;
    let boot = Boot::new(Config::from_env());
    let (listener, address) = listen(arguments.listen).await?;
    let url = format!("http://{address}");
    output
        .answer(&json!({ "ok": true, "base_url": url }), || format!("listens on {url}; Ctrl-C stops it"))?;
    let ended = serve(listener, functions::ALL, boot, arguments.max_calls.into(), stop.token()).await;
    match ended {
        Ended::Clean => Ok(Exit::Done),
        Ended::CutOff => {
            let told =
                "stopped: calls that were in flight did not end in time, their claims lapse by themselves";
            Err(Failure::new(stop.exit().unwrap_or(Exit::Cancelled), told).hint("relay recover").into())
        }
    }
}

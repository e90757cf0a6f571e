//! The relay binary.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use relay_cli::demo::{self, Interrupted, Telling};
use shared::boot::{Config, Output, open_context, start_telemetry};
use shared::delivery::Deadline;
use shared::engine::Fields;
use shared::engine::tasks::upload;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    start_telemetry(Output::Stderr, demo::LOG_FILTER);
    let done = match arguments.as_slice() {
        ["demo"] => demo(Telling::AsItHappens).await,
        ["demo", "--json"] => demo(Telling::AtTheEnd).await,
        ["run", "--mode", "worker", "--provider", provider] => run(provider).await,
        _ => Err(anyhow::anyhow!("relay demo [--json]")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        error.downcast_ref::<Interrupted>().map_or(ExitCode::FAILURE, |stopped| stopped.exit_code.into())
    })
}

async fn demo(telling: Telling) -> anyhow::Result<ExitCode> {
    let demo = demo::run(telling).await?;
    if telling == Telling::AtTheEnd {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&demo)?)?;
    }
    Ok(if demo.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(provider: &str) -> anyhow::Result<ExitCode> {
    let context = open_context(&Config::from_env()).await?;
    let fields = [("mode", "worker"), ("provider_key", provider)];
    let fields =
        Fields::new(fields.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect());
    let deadline = Deadline::after(Duration::from_secs(60));
    upload::run(&context, &upload::Request::parse(fields)?, deadline, CancellationToken::new()).await?;
    Ok(ExitCode::SUCCESS)
}

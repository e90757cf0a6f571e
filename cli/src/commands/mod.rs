//! The command line: one file per verb.

mod audit;
mod cancel;
mod confirm;
mod credentials;
mod dead_letters;
mod demo;
mod doctor;
mod enqueue;
mod erase;
mod explain;
mod holds;
mod keep_partitions;
mod meaning;
mod migrate;
mod pause;
mod plan;
mod probe_credentials;
mod prune;
mod quota;
mod recover;
mod run;
mod sandbox;
mod serve;
mod site;
mod status;
mod tasks;
mod taxonomy;
mod vault_key;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use shared::boot::{Output as LogOutput, start_telemetry};
use shared::domain::{ProviderKey, SiteId};

use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Delivers offline conversions to ad platforms, and proves what became of each.
#[derive(Parser)]
#[command(name = "relay", version, after_help = AFTER_HELP)]
struct Cli {
    /// One JSON document on standard output, errors too
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Settings come from the environment: DATABASE_URL, APP_ENV (production unless set), KMS_KEY_ID or VAULT_KEY, RUST_LOG.
Exit codes: 0 done, 1 failed or done in part, 2 usage, 3 refused here, 4 credentials, 5 a check is red, 6 cancelled,
130 Ctrl-C.";

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Migrate(migrate::Arguments),
    Credentials(credentials::Arguments),
    Site(site::Arguments),
    Enqueue(enqueue::Arguments),
    Run(run::Arguments),
    Confirm(confirm::Arguments),
    Recover(recover::Arguments),
    Cancel(cancel::Arguments),
    Erase(erase::Arguments),
    Status(status::Arguments),
    Explain(explain::Arguments),
    DeadLetters(dead_letters::Arguments),
    Taxonomy(taxonomy::Arguments),
    Holds(holds::Arguments),
    Doctor(doctor::Arguments),
    ProbeCredentials(probe_credentials::Arguments),
    Pause(pause::Arguments),
    Resume(pause::ResumeArguments),
    Quota(quota::Arguments),
    Audit(audit::Arguments),
    Prune(prune::Arguments),
    Tasks(tasks::Arguments),
    KeepPartitions(keep_partitions::Arguments),
    Serve(serve::Arguments),
    Sandbox(sandbox::Arguments),
    Plan(plan::Arguments),
    VaultKey(vault_key::Arguments),
}

impl Command {
    /// What is logged where `RUST_LOG` says nothing.
    fn log_filter(&self) -> &'static str {
        if matches!(self, Command::Demo(_)) {
            crate::demo::LOG_FILTER
        } else if matches!(self, Command::Serve(_)) {
            "info"
        } else {
            "warn"
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let output = Output::new(if cli.json { Form::Json } else { Form::Person });
    start_telemetry(LogOutput::Stderr, cli.command.log_filter());
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(cli.command, output));
            // A read of standard input that nobody waits for any more must not keep the process.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    let exit = ended.unwrap_or_else(|error| {
        let failure = Failure::of(error);
        output.failure(&failure);
        failure.exit()
    });
    exit.into()
}

async fn run(command: Command, output: Output) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(arguments) => demo::run(arguments, output).await,
        Command::Migrate(arguments) => migrate::run(arguments, output).await,
        Command::Credentials(arguments) => credentials::run(arguments, output).await,
        Command::Site(arguments) => site::run(arguments, output).await,
        Command::Enqueue(arguments) => enqueue::run(arguments, output).await,
        Command::Run(arguments) => run::run(arguments, output).await,
        Command::Confirm(arguments) => confirm::run(arguments, output).await,
        Command::Recover(arguments) => recover::run(arguments, output).await,
        Command::Cancel(arguments) => cancel::run(arguments, output).await,
        Command::Erase(arguments) => erase::run(arguments, output).await,
        Command::Status(arguments) => status::run(arguments, output).await,
        Command::Explain(arguments) => explain::run(arguments, output).await,
        Command::Holds(arguments) => holds::run(arguments, output).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments, output).await,
        Command::Taxonomy(arguments) => taxonomy::run(arguments, output).await,
        Command::Doctor(arguments) => doctor::run(arguments, output).await,
        Command::ProbeCredentials(arguments) => probe_credentials::run(arguments, output).await,
        Command::Pause(arguments) => pause::run(arguments, output).await,
        Command::Resume(arguments) => pause::resume(arguments, output).await,
        Command::Quota(arguments) => quota::run(arguments, output).await,
        Command::Audit(arguments) => audit::run(arguments, output).await,
        Command::Tasks(arguments) => tasks::run(arguments, output).await,
        Command::Prune(arguments) => prune::run(arguments, output).await,
        Command::KeepPartitions(arguments) => keep_partitions::run(arguments, output).await,
        Command::Serve(arguments) => serve::run(arguments, output).await,
        Command::Sandbox(arguments) => sandbox::run(arguments, output).await,
        Command::Plan(arguments) => plan::run(&arguments, output),
        Command::VaultKey(arguments) => vault_key::run(arguments, output),
    }
}

/// Tells what is wrong with the call, or what was asked for: help, the version.
fn usage(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.print().ok();
        return Exit::Done;
    }
    let text = error.render().to_string();
    let told = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let message = told.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    // The arguments could not be read, so whether JSON is wanted is seen by the word alone.
    let json = std::env::args_os().skip(1).any(|word| word == OsStr::new("--json"));
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !json {
        error.print().ok();
    } else {
        let form = if json { Form::Json } else { Form::Person };
        Output::new(form).failure(&Failure::new(Exit::Usage, message).hint("relay --help"));
    }
    Exit::Usage
}

fn parse_site(text: &str) -> Result<SiteId, String> {
    text.parse()
}

fn parse_provider(text: &str) -> Result<ProviderKey, String> {
    text.parse()
}

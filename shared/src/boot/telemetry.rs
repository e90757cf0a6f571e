//! Logs: structured JSON, one line each.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output: what Lambda collects.
    Stdout,
    /// Standard error: standard output belongs to the answer.
    Stderr,
}

/// Starts logging, as `RUST_LOG` says; `default` where it says nothing. A second call changes nothing.
pub fn start_telemetry(output: Output, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let (writer, person) = match output {
        Output::Stdout => (BoxMakeWriter::new(std::io::stdout), false),
        Output::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    start(filter, writer, person);
}

fn start<W>(filter: EnvFilter, writer: W, person: bool)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // Somebody who started logging before us, as a test harness may, keeps what is there.
    let _ = if person {
        logs.with_target(false).compact().try_init()
    } else {
        logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
}

//! Logs: structured JSON, one line each. And figures, where they are wanted.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::config::Config;
use super::lines::JsonLines;
use crate::engine::Figures;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output: what Lambda collects.
    Stdout,
    /// Standard error: standard output belongs to the answer.
    Stderr,
}

/// Libraries that write down what passes through them, where they may say everything: events with credentials and addresses,
/// pre-signed addresses, keys that were opened.
const DISCREET: [&str; 3] = ["aws_smithy_runtime=info", "h2=info", "lambda_runtime=info"];

/// Starts logging, as `RUST_LOG` says; `default` where it says nothing. A second call changes nothing.
pub fn start_telemetry(output: Output, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let discreet = DISCREET.iter().filter_map(|directive| directive.parse().ok());
    let filter = discreet.fold(filter, EnvFilter::add_directive);
    let (writer, person) = match output {
        Output::Stdout => (BoxMakeWriter::new(std::io::stdout), false),
        Output::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    // Somebody who started logging before us, as a test harness may, keeps what is there.
    let _ = if person {
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
        logs.with_target(false).compact().try_init().ok()
    } else {
        tracing_subscriber::registry().with(filter).with(JsonLines::new(writer)).try_init().ok()
    };
}

/// Starts telling figures where the settings want it; the first call in a process decides, for all of it.
pub(super) fn start_figures(config: &Config) -> Option<Figures> {
    static FIGURES: OnceLock<Option<Figures>> = OnceLock::new();
    let (namespace, stream) = config.figures()?;
    let start = || match Figures::start(namespace, config.app_env().as_str(), stream) {
        Ok(figures) => Some(figures),
        Err(error) => {
            warn!(error = format!("{error:#}"), "no figures will be told");
            None
        }
    };
    *FIGURES.get_or_init(start)
}

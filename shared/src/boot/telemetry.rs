//! Logs: structured JSON, one line each. And figures, where they are wanted.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::warn;
use tracing_subscriber::filter::{LevelFilter, Targets};
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
/// pre-signed addresses, keys that were opened. `RUST_LOG` lets none of them, nor a part of one, say more than `info`.
const DISCREET: [&str; 3] = ["aws_smithy_runtime", "h2", "lambda_runtime"];

/// Starts logging, as `RUST_LOG` says: levels, each for everything or for a target (`info,hyper=debug`); `default` where it
/// says nothing, or nothing that can be read. A second call changes nothing.
pub fn start_telemetry(output: Output, default: &str) {
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.trim().is_empty());
    let read = said.as_deref().map(str::parse::<Targets>);
    let (filter, unread) = match read {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default.parse().unwrap_or_default(), Some(error)),
        None => (default.parse().unwrap_or_default(), None),
    };
    let capped = Targets::new().with_default(LevelFilter::TRACE);
    // A filter of its own: whoever names a part of one of them would win over a level in the same filter.
    let capped = capped.with_targets(DISCREET.map(|target| (target, LevelFilter::INFO)));
    let (writer, person) = match output {
        Output::Stdout => (BoxMakeWriter::new(std::io::stdout), false),
        Output::Stderr => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
    };
    // Somebody who started logging before us, as a test harness may, keeps what is there.
    let _ = if person {
        let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false).compact();
        tracing_subscriber::registry().with(filter).with(capped).with(lines).try_init().ok()
    } else {
        tracing_subscriber::registry().with(filter).with(capped).with(JsonLines::new(writer)).try_init().ok()
    };
    if let Some(error) = unread {
        warn!(
            error = format!("{error:#}"),
            "RUST_LOG must be levels such as info or info,hyper=debug: {default} is taken"
        );
    }
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

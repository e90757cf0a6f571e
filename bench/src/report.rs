//! Tables: on the screen, and appended to the recorded results.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::{fs, io};

use anyhow::Context as _;
use jiff::Timestamp;

/// The recorded results.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// One table with what is to be said of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(ToString::to_string).collect();
        Self { title: title.into(), head, ..Self::default() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// In Markdown that reads as well on a screen.
    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            });
            format!("|{}\n", cells.collect::<String>())
        };
        let mut text = format!("### {}\n\n{}", self.title, line(&self.head));
        let rules = widths.iter().enumerate();
        let rules = rules.map(|(column, width)| match column {
            0 => format!("{}|", "-".repeat(width + 2)),
            _ => format!("{}:|", "-".repeat(width + 1)),
        });
        let _ = writeln!(text, "|{}", rules.collect::<String>());
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text.push('\n');
        self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        text
    }

    /// Shows it.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        Ok(writeln!(io::stdout(), "\n{}", self.text())?)
    }
}

/// Appends what was measured, as it was measured.
pub(crate) fn record(reports: &[Report], versions: &str) -> anyhow::Result<()> {
    let mut text = fs::read_to_string(RESULTS)
        .unwrap_or_else(|_| "# Results\n\nAs measured, losses too. `bench/README.md` says how.\n".to_owned());
    let _ = write!(
        text,
        "\n## {}\n\n{}; {versions}\n",
        Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        machine()
    );
    for report in reports {
        let _ = write!(text, "\n{}", report.text());
    }
    fs::write(RESULTS, text).context("write bench/RESULTS.md")
}

/// This machine, its load, and the code that was measured.
fn machine() -> String {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{cores} cores of {}, memory {}, load at the end {load}; commit {}",
        line("/proc/cpuinfo", "model name"),
        line("/proc/meminfo", "MemTotal"),
        commit.unwrap_or_default()
    )
}

/// A number as people write it: 12,345; 3.21.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0
            && (digits.len() - place).is_multiple_of(3)
            && digit.is_ascii_digit()
            && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio: 1.25×.
pub(crate) fn times(value: f64) -> String {
    format!("{value:.2}×")
}

/// The value below which this part of them lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len().saturating_sub(1)) as f64 * part).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

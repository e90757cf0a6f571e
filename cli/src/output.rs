//! Where words go: the answer to standard output, all else to standard error; one JSON document where asked for.

use std::io::{self, ErrorKind, IsTerminal, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use shared::engine::{Reply, SkipReason};

use crate::failure::Failure;

/// Columns of a table where there is no terminal to ask.
const WIDTH: u16 = 100;

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Person,
    Json,
}

/// The way out of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    form: Form,
}

impl Output {
    pub(crate) fn new(form: Form) -> Self {
        Self { form }
    }

    pub(crate) fn form(self) -> Form {
        self.form
    }

    /// The answer, once per command.
    pub(crate) fn answer(self, json: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = match self.form {
            Form::Person => text(),
            Form::Json => serde_json::to_string(json)?,
        };
        Ok(print(&text)?)
    }

    /// The answer of a task, or why it did nothing.
    pub(crate) fn reply<A: Serialize>(
        self,
        reply: &Reply<A>,
        text: impl FnOnce(&A) -> String,
    ) -> anyhow::Result<()> {
        self.answer(reply, || match reply {
            Reply::Answer(answer) => text(answer),
            Reply::Skipped { reason, .. } => skipped(*reason).to_owned(),
        })
    }

    /// The answer of a command that failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let written = match self.form {
            Form::Person => writeln!(io::stderr(), "{}", failure.to_text()),
            Form::Json => print(&failure.to_json().to_string()),
        };
        // There is nowhere left to tell it.
        written.ok();
    }
}

/// Why a task did nothing.
pub(crate) fn skipped(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Locked => "nothing was done: another run of this task is going on (relay tasks shows it)",
        SkipReason::Paused => "nothing was done: it is paused (relay pause shows why and until when)",
        SkipReason::Done => "nothing was done: a run of this scheduled time has succeeded",
        SkipReason::Deadline => "nothing was done: the time was up before its turn came",
    }
}

/// Whoever closed the pipe has read what they wanted.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// How a column of a table is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// Broken where the line is full.
    Text,
    /// Never broken.
    Whole,
    /// Never broken, to the right.
    Number,
}

/// A table without lines or colours.
pub(crate) fn table(columns: &[(&str, Set)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_within(WIDTH, columns, rows)
}

/// The same for a terminal of so many columns, where there is none to ask.
pub(crate) fn table_within(
    width: u16,
    columns: &[(&str, Set)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(width);
    }
    table.set_header(columns.iter().map(|(name, _)| *name)).add_rows(rows);
    for (column, (_, set)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if *set == Set::Number {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if *set != Set::Text {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A text in lines of the usual width, all but the first with so many spaces before them.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    let start = text.len() - text.trim_start().len();
    for word in text.trim_start().split(' ') {
        let line = lines.last_mut().expect("there is a line from the start");
        if !line.is_empty() && line.chars().count() + word.chars().count() >= usize::from(WIDTH) {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        } else {
            let gap = if line.is_empty() { " ".repeat(start) } else { " ".to_owned() };
            *line += &gap;
            *line += word;
        }
    }
    lines.join("\n")
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: impl TryInto<i128>) -> String {
    let number: i128 = number.try_into().unwrap_or_default();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time to the second, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A bar over so many bytes, or a count of them where the end is not known; nothing off a terminal.
pub(crate) fn progress(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match bytes {
        Some(bytes) => {
            let template = "{bar:30} {percent:>3} %  {msg}  {elapsed} of about {duration}";
            (ProgressBar::with_draw_target(Some(bytes), target), template)
        }
        None => (ProgressBar::with_draw_target(None, target), "{spinner} {bytes}  {msg}  {elapsed}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant that parses"))
}

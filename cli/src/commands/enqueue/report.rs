//! What became of the lines of a file: counted, and the first faults kept.

use indicatif::ProgressBar;
use serde::Serialize;
use shared::delivery::ItemAnswer;
use shared::domain::FieldError;
use shared::store::EnqueueResult;

use crate::output::{Form, grouped};

/// Faults that a person is shown as they come.
const SHOWN: u64 = 20;

/// Faults that the JSON document lists.
const LISTED: usize = 100;

/// What became of the lines of a file. A line can go to several providers, each with an end of its own.
#[derive(Serialize)]
pub(super) struct Report {
    /// Whether nothing was refused.
    pub(super) ok: bool,
    pub(super) lines: u64,
    queued: u64,
    held: u64,
    duplicate: u64,
    conflict: u64,
    expired: u64,
    superseded: u64,
    order_delivered: u64,
    original_failed: u64,
    site_removed: u64,
    invalid: u64,
    dropped_identifiers: u64,
    errors: Vec<LineError>,
    errors_total: u64,
    /// Identifiers that were left out of conversions that went in.
    dropped: Vec<LineError>,
    #[serde(skip)]
    form: Form,
}

#[derive(Serialize)]
struct LineError {
    line: u64,
    field: String,
    reason: String,
}

impl Report {
    pub(super) fn new(form: Form) -> Self {
        Self {
            ok: true,
            lines: 0,
            queued: 0,
            held: 0,
            duplicate: 0,
            conflict: 0,
            expired: 0,
            superseded: 0,
            order_delivered: 0,
            original_failed: 0,
            site_removed: 0,
            invalid: 0,
            dropped_identifiers: 0,
            errors: Vec::new(),
            errors_total: 0,
            dropped: Vec::new(),
            form,
        }
    }

    /// Counts a line. Answers why it was refused, if it was.
    pub(super) fn count(&mut self, line: u64, answer: &ItemAnswer, bar: &ProgressBar) -> Option<String> {
        self.lines += 1;
        let refused: Vec<FieldError> = match answer {
            ItemAnswer::Invalid(errors) => {
                self.invalid += 1;
                errors.clone()
            }
            ItemAnswer::Taken { providers, dropped } => {
                for error in dropped {
                    self.drop_identifier(line, error, bar);
                }
                let refused = providers.iter().filter_map(|answer| {
                    let (count, field, reason) = match answer.result {
                        EnqueueResult::Queued => (&mut self.queued, "", ""),
                        EnqueueResult::Held => (&mut self.held, "", ""),
                        EnqueueResult::Duplicate => (&mut self.duplicate, "", ""),
                        EnqueueResult::Conflict => (&mut self.conflict, "external_id", CONFLICT),
                        EnqueueResult::Expired => (&mut self.expired, "occurred_at", EXPIRED),
                        EnqueueResult::Superseded => (&mut self.superseded, "", ""),
                        EnqueueResult::OrderDelivered => (&mut self.order_delivered, "", ""),
                        EnqueueResult::OriginalFailed => (&mut self.original_failed, "", ""),
                        EnqueueResult::SiteRemoved => (&mut self.site_removed, "site_id", REMOVED),
                    };
                    *count += 1;
                    let reason = format!("{reason} ({})", answer.provider_key);
                    (!field.is_empty()).then(|| FieldError::new(field, reason))
                });
                refused.collect()
            }
        };
        for error in &refused {
            self.refuse(line, error, bar);
        }
        let reasons: Vec<String> = refused.iter().map(ToString::to_string).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn refuse(&mut self, line: u64, error: &FieldError, bar: &ProgressBar) {
        self.ok = false;
        self.errors_total += 1;
        if self.errors.len() < LISTED {
            self.errors.push(LineError::new(line, error));
        }
        if self.errors_total <= SHOWN && self.form == Form::Person {
            bar.suspend(|| eprintln!("line {line}: {error}"));
        }
    }

    fn drop_identifier(&mut self, line: u64, error: &FieldError, bar: &ProgressBar) {
        self.dropped_identifiers += 1;
        if self.dropped.len() < LISTED {
            self.dropped.push(LineError::new(line, error));
        }
        if self.dropped_identifiers <= SHOWN && self.form == Form::Person {
            bar.suspend(|| eprintln!("line {line}: goes without {error}"));
        }
    }

    /// Tells what was not shown.
    pub(super) fn end(&mut self) {
        if self.form == Form::Json {
            return;
        }
        if self.errors_total > SHOWN {
            eprintln!(
                "and {} more faults; --rejects FILE keeps them all",
                grouped(self.errors_total - SHOWN)
            );
        }
        if self.dropped_identifiers > SHOWN {
            let more = grouped(self.dropped_identifiers - SHOWN);
            eprintln!("and {more} more identifiers that cannot be used");
        }
    }

    pub(super) fn text(&self) -> String {
        let counts = [
            (self.queued, "queued"),
            (self.held, "held"),
            (self.duplicate, "duplicate"),
            (self.conflict, "conflict"),
            (self.expired, "expired"),
            (self.superseded, "superseded by a newer value"),
            (self.order_delivered, "of an order that was delivered"),
            (self.original_failed, "of an order that was never delivered"),
            (self.site_removed, "of a site that was removed"),
            (self.invalid, "invalid"),
        ];
        let met: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{} {name}", grouped(*count)))
            .collect();
        let met = if met.is_empty() { "nothing in it".to_owned() } else { met.join(", ") };
        let held = if self.held > 0 {
            "\nheld conversions wait for a mend: `relay status` says for which"
        } else {
            ""
        };
        let dead = if self.original_failed > 0 {
            "\nwhat adjusts an order that was never delivered is a dead letter: redrive it after its original"
        } else {
            ""
        };
        format!("{} lines: {met}{held}{dead}", grouped(self.lines))
    }
}

const CONFLICT: &str = "is known with other content; nothing was changed";
const REMOVED: &str = "was removed: relay credentials put brings it back";
const EXPIRED: &str = "is too long ago to be delivered";

impl LineError {
    fn new(line: u64, error: &FieldError) -> Self {
        Self { line, field: error.field.clone(), reason: error.reason.clone() }
    }
}

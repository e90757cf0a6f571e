//! What codes mean, in plain words, for every command that names one.

use std::collections::BTreeSet;

use shared::providers::reasons::{self, Whose};
use shared::providers::{Reason, Registry};

use crate::output::{Set, table, wrapped};

const MEANINGS: [(&str, Set); 2] = [("code", Set::Text), ("meaning", Set::Text)];

/// Each code once with its sentence, as a table; nothing where none has one.
pub(super) fn meanings<'a>(
    registry: &Registry,
    codes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let codes: BTreeSet<(&str, &str)> = codes.into_iter().collect();
    let rows: Vec<_> = codes
        .into_iter()
        .filter_map(|(provider, code)| {
            let reason = reasons::find(registry, provider, code)?;
            Some(vec![code.to_owned(), reason.says.to_owned()])
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("\n\n{}", table(&MEANINGS, rows)) }
}

/// A reason in a few lines: why, whose move it is, what happens by itself, what to do.
pub(super) fn paragraph(reason: &Reason) -> String {
    let mut parts = vec![("why", reason.says), ("whose move", whose(reason.whose)), ("then", &reason.then)];
    parts.extend(reason.mend.map(|mend| ("to do", mend)));
    let line = |(name, text): (&str, &str)| wrapped(&format!("  {:<12}{text}", format!("{name}:")), 14);
    parts.into_iter().filter(|(_, text)| !text.is_empty()).map(line).collect::<Vec<_>>().join("\n")
}

/// A reason in one cell: why, whose move it is, what to do.
pub(super) fn advice(reason: &Reason) -> String {
    let mend = reason.mend.map_or_else(String::new, |mend| format!(" {mend}"));
    format!("{} ({} move){mend}", reason.says, whose(reason.whose))
}

/// Whose move it is, as people say it.
pub(super) fn whose(whose: Whose) -> &'static str {
    match whose {
        Whose::Nobody => "nobody’s",
        Whose::Operator => "the operator’s",
        Whose::Advertiser => "the advertiser’s",
        Whose::Platform => "the platform’s",
    }
}

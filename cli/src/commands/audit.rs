//! `relay audit`: the proof of accounting.

use clap::Args;
use serde_json::json;
use shared::boot::{self, Config};

use crate::failure::Exit;
use crate::output::{Output, Set, grouped, table};

/// Faults that an answer lists; the rest is counted.
const LISTED: usize = 100;

const COLUMNS: [(&str, Set); 3] = [("conversion", Set::Whole), ("fault", Set::Text), ("detail", Set::Text)];

/// Prove that every conversion is in exactly one place with a history without gaps; walks everything
#[derive(Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let faults = context.store.audit_conversions().await?;
    let listed = &faults[..faults.len().min(LISTED)];
    let answer = json!({ "ok": faults.is_empty(), "faults": listed, "faults_total": faults.len() });
    output.answer(&answer, || {
        if faults.is_empty() {
            return "no fault: every conversion is in exactly one place, its history without gap or double"
                .to_owned();
        }
        let row = |fault: &shared::store::AuditFault| {
            vec![
                fault.conversion_id.to_string(),
                fault.fault.clone(),
                fault.detail.clone().unwrap_or_default(),
            ]
        };
        let rows = table(&COLUMNS, listed.iter().map(row));
        format!("{} faults\n\n{rows}", grouped(faults.len() as u64))
    })?;
    Ok(if faults.is_empty() { Exit::Done } else { Exit::Red })
}

//! `relay audit`: the proof of accounting.

use clap::Args;
use serde_json::json;
use shared::boot::{self, Config};
use shared::engine::tasks::audit::prove;
use shared::store::{Accounts, AuditFault};

use crate::failure::Exit;
use crate::output::{Output, Set, grouped, table};

/// Faults that an answer lists; the rest is counted.
const LISTED: usize = 100;

const COLUMNS: [(&str, Set); 3] = [("conversion", Set::Whole), ("fault", Set::Text), ("detail", Set::Text)];

/// Prove that every conversion is in exactly one place with a history without gaps; walks everything, slice by slice
#[derive(Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let accounts = prove(&context.store, LISTED).await?;
    let ok = accounts.faults_total == 0 && accounts.balance();
    let answer = json!({
        "ok": ok, "faults": accounts.faults, "faults_total": accounts.faults_total,
        "totals": {
            "keys": accounts.keys, "waiting": accounts.waiting, "in_flight": accounts.in_flight,
            "held": accounts.held, "submitted": accounts.submitted, "completed": accounts.completed,
            "failed": accounts.failed,
        },
        "equation": equation(&accounts),
        "balanced": accounts.balance(),
    });
    output.answer(&answer, || {
        let equation = equation(&accounts);
        if ok {
            return format!(
                "{equation}\n\
                 no fault: every conversion is in exactly one place, its history without gap or double"
            );
        }
        let row = |fault: &AuditFault| {
            vec![
                fault.conversion_id.to_string(),
                fault.fault.clone(),
                fault.detail.clone().unwrap_or_default(),
            ]
        };
        let rows = table(&COLUMNS, accounts.faults.iter().map(row));
        format!("{equation}\n{} faults\n\n{rows}", grouped(accounts.faults_total))
    })?;
    Ok(if ok { Exit::Done } else { Exit::Red })
}

/// Every conversion that was taken in, and where it is.
fn equation(accounts: &Accounts) -> String {
    let sign = if accounts.balance() { '=' } else { '≠' };
    format!(
        "{} conversions {sign} {} waiting + {} in flight + {} held + {} submitted + {} completed + {} failed",
        grouped(accounts.keys),
        grouped(accounts.waiting),
        grouped(accounts.in_flight),
        grouped(accounts.held),
        grouped(accounts.submitted),
        grouped(accounts.completed),
        grouped(accounts.failed),
    )
}

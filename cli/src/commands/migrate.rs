//! `relay migrate`: brings the schema to this program's version.

use clap::Args;
use shared::boot::{self, Config};

use crate::failure::Exit;
use crate::output::Output;

/// Bring the schema to this program's version; running it twice, or two at once, is safe
#[derive(Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_: Arguments, output: Output) -> anyhow::Result<Exit> {
    let done = boot::migrate(&Config::from_env()).await?;
    output.answer(&done, || {
        let migrations = match done.migrations.len() {
            0 => "no new migration".to_owned(),
            _ => format!("applied {}", done.migrations.join(", ")),
        };
        let login = done.service_login.as_ref();
        let login = login.map(|login| format!("; the login {login} has its password")).unwrap_or_default();
        format!(
            "{migrations}; {} functions put in place, {} partitions made; the schema stands at {}{login}",
            done.functions, done.partitions, done.schema
        )
    })?;
    Ok(Exit::Done)
}

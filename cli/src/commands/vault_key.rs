//! `relay vault-key`: a new key for `VAULT_KEY`.

use clap::Args;
use serde_json::json;
use shared::boot;

use crate::failure::Exit;
use crate::output::Output;

/// Print a new random VAULT_KEY, for staging and development
#[derive(Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: Arguments, output: Output) -> anyhow::Result<Exit> {
    let key = boot::new_vault_key()?;
    // The key is the answer here: this is the line that hands it to its owner.
    output.answer(&json!({ "ok": true, "vault_key": key.expose() }), || key.expose().to_owned())?;
    Ok(Exit::Done)
}

//! `relay credentials`: stores a site's credentials, sealed; the way for production. And makes the key anew that seals them.

use std::fs::File;
use std::io::{self, Read};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use shared::boot::{self, Config};
use shared::delivery::AccessError;
use shared::domain::{FieldError, ProviderKey, Secret, SiteId};
use shared::engine::tasks::seed::Answer;
use shared::vault::SECRET_BYTES_MAX;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The credentials of sites
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Seal and store a site's credentials, and lift the holds that waited for them
    Put {
        /// The site
        #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
        site: SiteId,
        /// The ad platform, such as google_ads
        #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
        provider: ProviderKey,
        /// A file with one JSON object; - is standard input
        #[arg(long, value_name = "FILE")]
        file: String,
    },
    /// Make a new data key, which seals what is stored from now on; a task seals the rest with it. Also the way on where the
    /// key is lost
    Rotate,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    match arguments.action {
        Action::Put { site, provider, file } => put(site, provider, &file, output).await,
        Action::Rotate => rotate(output).await,
    }
}

async fn rotate(output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let rotated = context.access.rotate_key().await?;
    let version = rotated.key_version;
    output.answer(&json!({ "ok": true, "key_version": version }), || {
        format!(
            "key version {version} seals what is stored from now on; `relay tasks run reseal-credentials` seals the \
             rest with it at once, and the task does so by itself each night"
        )
    })?;
    Ok(Exit::Done)
}

async fn put(site: SiteId, provider: ProviderKey, file: &str, output: Output) -> anyhow::Result<Exit> {
    let credentials = read(file)?;
    let context = boot::open_context(&Config::from_env()).await?;
    let stored = context.access.put_credentials(site, provider, &credentials).await;
    let key_version = match stored {
        Ok(version) => version,
        Err(AccessError::Credentials(errors)) => return Err(wrong(&errors).into()),
        Err(error) => return Err(error.into()),
    };
    let answer = Answer { ok: true, site_id: site, provider_key: provider, key_version };
    output.answer(&answer, || {
        format!("{site}: credentials for {provider} are stored, sealed with key version {key_version}")
    })?;
    Ok(Exit::Done)
}

fn wrong(errors: &[FieldError]) -> Failure {
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::new(
        Exit::Credentials,
        format!("the credentials are wrong, nothing was stored: {}", told.join("; ")),
    )
    .figures(json!({ "fields": errors }))
}

fn read(file: &str) -> anyhow::Result<Secret> {
    let mut source: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin()),
        _ => Box::new(File::open(file).context("the file with the credentials cannot be opened")?),
    };
    // Room for all of it at once: a text that grows leaves copies behind that nobody wipes.
    let mut text = String::with_capacity(SECRET_BYTES_MAX + 1);
    let read = source.by_ref().take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    let text = Secret::new(text);
    if read.context("the file with the credentials cannot be read")? > SECRET_BYTES_MAX {
        let told = format!("the file is longer than {SECRET_BYTES_MAX} bytes: these are no credentials");
        return Err(Failure::new(Exit::Credentials, told).into());
    }
    Ok(text)
}

//! `relay site put`: what is known of a site besides its credentials.

use clap::{Args, Subcommand};
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{Country, SiteId};

use crate::failure::Exit;
use crate::output::Output;

/// What is known of a site besides its credentials
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Set how the site's national phone numbers are read
    Put {
        /// The site
        #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
        site: SiteId,
        /// ISO 3166 code, such as DE; without it, only international numbers are read
        #[arg(long, value_name = "CODE", value_parser = parse_country)]
        country: Option<Country>,
    },
}

fn parse_country(text: &str) -> Result<Country, String> {
    text.parse()
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let Action::Put { site, country } = arguments.action;
    let context = boot::open_context(&Config::from_env()).await?;
    context.store.put_site(site, country).await?;
    let country = country.map(|country| country.to_string());
    let answer = json!({ "ok": true, "site_id": site, "country": country });
    output.answer(&answer, || match &country {
        Some(country) => format!("{site}: national phone numbers are read as those of {country}"),
        None => format!("{site}: only international phone numbers are read"),
    })?;
    Ok(Exit::Done)
}

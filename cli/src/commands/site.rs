//! `relay site`: what is known of a site besides its credentials.

mod keys;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{ConsentState, Country, SiteId};
use shared::store::{Change, StandingDefaults};

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
    /// Set what holds for its conversions where they say nothing themselves; what is not named stays as it is
    Put {
        /// The site
        #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
        site: SiteId,
        /// How national phone numbers are read: an ISO 3166 code, such as DE, or none
        #[arg(long, value_name = "CODE", value_parser = parse_country)]
        country: Option<Change<Country>>,
        /// Consent to user data being sent for advertising: GRANTED, DENIED or none
        #[arg(long, value_name = "STATE", value_parser = parse_consent)]
        ad_user_data: Option<Change<ConsentState>>,
        /// Consent to personalised advertising: GRANTED, DENIED or none
        #[arg(long, value_name = "STATE", value_parser = parse_consent)]
        ad_personalization: Option<Change<ConsentState>>,
    },
    Keys(keys::Arguments),
}

fn parse_country(text: &str) -> Result<Change<Country>, String> {
    if text == "none" {
        return Ok(Change::None);
    }
    let country: Country = text.parse()?;
    match country.has_phone_numbers() {
        true => Ok(Change::Set(country)),
        false => Err(format!("{country} is no country of ISO 3166 (Great Britain is GB)")),
    }
}

fn parse_consent(text: &str) -> Result<Change<ConsentState>, String> {
    match text {
        "none" => Ok(Change::None),
        "GRANTED" => Ok(Change::Set(ConsentState::Granted)),
        "DENIED" => Ok(Change::Set(ConsentState::Denied)),
        _ => Err("must be GRANTED, DENIED or none".to_owned()),
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let (site, country, ad_user_data, ad_personalization) = match arguments.action {
        Action::Put { site, country, ad_user_data, ad_personalization } => {
            (site, country, ad_user_data, ad_personalization)
        }
        Action::Keys(arguments) => return keys::run(arguments, output).await,
    };
    let context = boot::open_context(&Config::from_env()).await?;
    let stands = context
        .store
        .put_site_defaults(
            site,
            country.unwrap_or(Change::Kept),
            ad_user_data.unwrap_or(Change::Kept),
            ad_personalization.unwrap_or(Change::Kept),
        )
        .await?;
    let answer = json!({
        "ok": true, "site_id": site, "country": stands.country, "ad_user_data": stands.ad_user_data,
        "ad_personalization": stands.ad_personalization,
    });
    output.answer(&answer, || text(site, &stands))?;
    Ok(Exit::Done)
}

fn text(site: SiteId, stands: &StandingDefaults) -> String {
    let phones = match &stands.country {
        Some(country) => format!("national phone numbers are read as those of {country}"),
        None => "only international phone numbers are read".to_owned(),
    };
    let consent = |state: &Option<String>| match state {
        Some(state) => state.clone(),
        None => "not said".to_owned(),
    };
    format!(
        "{site}: {phones}\nconsent where a conversion says nothing: ad_user_data {}, ad_personalization {}",
        consent(&stands.ad_user_data),
        consent(&stands.ad_personalization),
    )
}

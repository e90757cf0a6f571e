//! `relay site`: what is known of a site besides its credentials, and its end.

mod keys;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{ConsentState, Country, SiteId};
use shared::engine::Bounds;
use shared::engine::hands::{self, Removed};
use shared::store::{Change, StandingDefaults};

use crate::failure::{Exit, Failure};
use crate::output::{Output, grouped};

/// What is not cancelled in so long is cancelled with the next call, or by itself within minutes.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(900);

/// What is known of a site besides its credentials, and its end
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
    /// Off-board it: credentials, tokens and keys go, what waits is cancelled, nothing is taken in any more; history stays
    Remove {
        /// The site
        #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
        site: SiteId,
        /// Do it, and do not only say what would be done
        #[arg(long)]
        yes: bool,
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
        Action::Remove { site, yes: true } => return remove(site, output).await,
        Action::Remove { site, yes: false } => {
            let told = format!(
                "all credentials and keys of {site} would be deleted and all that waits cancelled: say --yes to do it"
            );
            return Err(Failure::new(Exit::Usage, told).hint("relay status").into());
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

async fn remove(site: SiteId, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let Some(removed) = hands::remove_site(&context, site, &Bounds::after(REMOVAL_DEADLINE)).await? else {
        let told = format!("nobody knows the site {site}");
        return Err(Failure::new(Exit::Failed, told).hint("relay status").into());
    };
    let mut answer = json!(removed);
    answer["ok"] = json!(removed.finished);
    answer["site_id"] = json!(site);
    output.answer(&answer, || removal(site, &removed))?;
    Ok(if removed.finished { Exit::Done } else { Exit::Failed })
}

fn removal(site: SiteId, removed: &Removed) -> String {
    let done = if removed.site.removed_before { "was removed before" } else { "is removed" };
    let rest = if removed.finished {
        "history stays until its retention; relay credentials put brings the site back"
    } else {
        "not finished; call again"
    };
    format!(
        "{site} {done}: deleted {} credentials, {} access tokens and {} keys, cancelled {} conversions that waited\n{rest}",
        grouped(removed.site.credentials),
        grouped(removed.access_tokens),
        grouped(removed.site.ingest_keys),
        grouped(removed.cancelled),
    )
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

//! `relay doctor`: looks at a site from end to end without sending a conversion.

use clap::Args;
use shared::boot::{self, Config};
use shared::domain::{ProviderKey, SiteId};
use shared::engine::doctor::{Diagnosis, SiteCheck, diagnose};

use crate::failure::Exit;
use crate::output::{Output, Set, table};

const CHECKS: [(&str, Set); 4] =
    [("check", Set::Whole), ("result", Set::Whole), ("what", Set::Text), ("how to mend it", Set::Text)];

/// Check a site end to end without sending a conversion, and say how to mend what is wrong
#[derive(Args)]
pub(super) struct Arguments {
    /// The site
    #[arg(long, value_name = "UUID", value_parser = super::parse_site)]
    site: SiteId,
    /// One ad platform only, such as google_ads
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: Option<ProviderKey>,
    /// Another conversion action than the account's own, as conversions name it
    #[arg(long, value_name = "ACTION")]
    conversion_action: Option<String>,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let action = arguments.conversion_action.as_deref();
    let diagnosis = diagnose(&context, arguments.site, arguments.provider, action).await?;
    output.answer(&diagnosis, || text(&diagnosis))?;
    Ok(if diagnosis.ok { Exit::Done } else { Exit::Red })
}

fn text(diagnosis: &Diagnosis) -> String {
    let several = diagnosis.checks.iter().filter(|check| check.check.check == "credentials").count() > 1;
    let row = |found: &SiteCheck| {
        let check = &found.check;
        let name = match &found.provider_key {
            Some(provider) if several => format!("{provider} {}", check.check),
            Some(_) | None => check.check.to_owned(),
        };
        let code = check.code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
        let mend = check.mend.clone().unwrap_or_default();
        vec![name, check.result.as_str().to_owned(), format!("{}{code}", check.says), mend]
    };
    let red = diagnosis.checks.iter().filter(|check| check.check.is_red()).count();
    let end = match red {
        0 => "nothing is wrong as far as can be told without a conversion".to_owned(),
        1 => "1 check is red".to_owned(),
        _ => format!("{red} checks are red"),
    };
    format!("site {}\n\n{}\n\n{end}", diagnosis.site_id, table(&CHECKS, diagnosis.checks.iter().map(row)))
}

//! The doctor: looks at one site from our own books to a request that is only validated, and says how to mend what is wrong.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::delivery::{AccessError, Subject};
use crate::domain::{ErrorCode, GroupId, HoldScope, ProviderKey, SiteId};
use crate::providers::{Check, Depth};
use crate::store::SiteStanding;

/// What was found of a site.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// Whether no check is red.
    pub ok: bool,
    /// The site.
    pub site_id: SiteId,
    /// In the order in which they were looked at.
    pub checks: Vec<SiteCheck>,
}

/// One check of a site.
#[derive(Debug, Serialize)]
pub struct SiteCheck {
    /// At which provider; `None` of the site itself.
    pub provider_key: Option<String>,
    /// What was found.
    #[serde(flatten)]
    pub check: Check,
}

/// Looks at a site, at one of its providers or all of them, for one conversion action or the account's own. No conversion is
/// sent and nothing is written, but the booked requests and the token that was fetched.
///
/// # Errors
/// The database's.
pub async fn diagnose(
    context: &Context,
    site: SiteId,
    provider: Option<ProviderKey>,
    action: Option<&str>,
) -> anyhow::Result<Diagnosis> {
    let wanted = |key: &str| provider.is_none_or(|provider| provider.as_str() == key);
    let standings = context.store.read_site_standing(site).await?;
    let mut checks = vec![SiteCheck { provider_key: None, check: of_site(&standings) }];
    let of_provider = |standing: &&SiteStanding| standing.provider_key.as_deref().is_some_and(wanted);
    let groups: Vec<&SiteStanding> = standings.iter().filter(of_provider).collect();
    if groups.is_empty() && !standings.is_empty() {
        let key = provider.map(|provider| provider.as_str().to_owned());
        checks.push(SiteCheck { provider_key: key, check: no_credentials(site) });
    }
    for standing in groups {
        let key = &standing.provider_key;
        let own = of_standing(context, site, standing);
        let there = of_account(context, site, standing, action).await?;
        let check = |check| SiteCheck { provider_key: key.clone(), check };
        checks.extend(own.into_iter().chain(there).map(check));
    }
    let ok = !checks.iter().any(|check| check.check.is_red());
    Ok(Diagnosis { ok, site_id: site, checks })
}

fn of_site(standings: &[SiteStanding]) -> Check {
    if !standings.is_empty() {
        return Check::passed("site", "the site is known");
    }
    let code = ErrorCode::own("UNKNOWN_SITE");
    let mend = "check its UUID, or begin with relay credentials put";
    Check::failed("site", code, HoldScope::Site, "the site is unknown here", mend)
}

fn no_credentials(site: SiteId) -> Check {
    let mend = format!("relay credentials put --site {site} --provider KEY --file FILE");
    let code = ErrorCode::own("NO_CREDENTIALS");
    Check::failed("credentials", code, HoldScope::Site, "the site has no credentials for it", mend)
}

/// What our own books say of a group.
fn of_standing(context: &Context, site: SiteId, standing: &SiteStanding) -> Vec<Check> {
    let credentials = match standing.credentials_at {
        Some(at) => Check::passed("credentials", format!("credentials were stored at {}", time(at))),
        None => no_credentials(site),
    };
    let mut checks = vec![credentials];
    checks.push(match &standing.hold {
        None => Check::passed("hold", "nothing holds its conversions"),
        Some((code, since)) => {
            let code = ErrorCode::foreign(code);
            let says = format!("all of its conversions wait since {}", time(*since));
            let mend = if can_probe(context, standing, &code) {
                format!("mend what is red below, then relay probe-credentials --site {site}")
            } else {
                "store new credentials: relay credentials put lifts it".to_owned()
            };
            Check::failed("hold", code, HoldScope::Site, says, mend)
        }
    });
    if let Some((code, conversions)) = &standing.parked {
        let says = format!("conversions that wait for a mend of their own or of their action: {conversions}");
        let mend = "relay explain shows one; what is red below is often the reason";
        checks.push(Check::failed("parked", ErrorCode::foreign(code), HoldScope::Row, says, mend));
    }
    checks.push(match &standing.pause {
        None => Check::passed("pause", "nobody paused it"),
        Some((reason, until)) => {
            let until =
                until.map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
            let says = format!("an operator paused it {until}: {reason}");
            Check::failed("pause", ErrorCode::own("PAUSED"), HoldScope::Site, says, "relay resume")
        }
    });
    let provider =
        standing.provider_circuit.as_ref().map(|state| ("the provider's own circuit", state, None));
    let own = standing.circuit.as_ref().map(|(state, at)| ("its circuit", state, *at));
    checks.push(match provider.or(own) {
        None => Check::passed("circuit", "its circuit is closed"),
        Some((whose, state, at)) => {
            let at = at.map_or_else(String::new, |at| format!(", probed at {}", time(at)));
            let says = format!("{whose} is {}{at}", state.to_lowercase());
            let mend = "nothing: it is probed by itself and closes once the platform answers";
            Check::failed("circuit", ErrorCode::own("CIRCUIT_OPEN"), HoldScope::Site, says, mend)
        }
    });
    checks
}

fn can_probe(context: &Context, standing: &SiteStanding, code: &ErrorCode) -> bool {
    let provider = standing.provider_key.as_deref().and_then(|key| key.parse().ok());
    provider
        .and_then(|provider| context.registry.get(provider))
        .is_some_and(|adapter| adapter.can_probe(code))
}

/// What the account and its platform say.
async fn of_account(
    context: &Context,
    site: SiteId,
    standing: &SiteStanding,
    action: Option<&str>,
) -> anyhow::Result<Vec<Check>> {
    let provider = standing.provider_key.as_deref().and_then(|key| key.parse::<ProviderKey>().ok());
    let (Some(provider), Some(group)) = (provider, standing.group) else {
        return Ok(vec![Check::skipped("account", "this program does not know the provider")]);
    };
    let Some(sealed) = read_credentials(context, group).await? else {
        return Ok(vec![Check::skipped("account", "there is nothing to open it with")]);
    };
    let subject = Subject {
        site,
        provider,
        quota_key: standing.quota_key.as_deref(),
        transport: standing.transport.as_deref(),
        sealed: &sealed,
    };
    match context.access.examine(&subject, Depth::Full, action, Instant::now()).await {
        Ok(found) => Ok(found.checks),
        Err(AccessError::Vault(error)) => {
            let code = ErrorCode::own("CREDENTIALS_DO_NOT_OPEN");
            let says = format!("the vault does not open: {error}");
            Ok(vec![Check::failed("vault", code, HoldScope::Provider, says, "mend the vault's key")])
        }
        Err(
            error @ (AccessError::Store(_) | AccessError::Credentials(_) | AccessError::UnknownProvider(_)),
        ) => Err(error.into()),
    }
}

async fn read_credentials(
    context: &Context,
    group: GroupId,
) -> anyhow::Result<Option<crate::store::SealedCredentials>> {
    Ok(context.store.read_provider_credentials(&[group]).await?.pop())
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

//! `relay taxonomy`: what each code means, and to say that one means something else.

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::json;
use shared::boot::{self, Config};
use shared::domain::{Class, HoldScope, MAX_RETRY_ATTEMPTS, ProviderKey};
use shared::engine::Context;
use shared::providers::{CodeRule, Provider};
use shared::store::{NewOverride, TaxonomyOverride, UnknownCode};

use super::meaning::meanings;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table, time};

/// Codes that are listed as unknown; a provider has 1,000 at most.
const UNKNOWN_LISTED: i32 = 10_000;

/// Codes that an error names as what may have been meant.
const SUGGESTED: usize = 3;

/// The longest wait that can be said; longer ones are holds.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24 * 30);

const RULES: [(&str, Set); 6] = [
    ("code", Set::Text),
    ("class", Set::Whole),
    ("scope", Set::Whole),
    ("wait", Set::Number),
    ("tries", Set::Number),
    ("said by", Set::Text),
];

const UNKNOWN: [(&str, Set); 4] =
    [("code", Set::Text), ("answers", Set::Number), ("first seen", Set::Whole), ("last seen", Set::Whole)];

/// What each code means: its class, what waits and how long; and to say that one means something else
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only codes that hold this text
    #[arg(long, value_name = "TEXT")]
    code: Option<String>,
    /// One ad platform only
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: Option<ProviderKey>,
    /// Codes that came and that nobody has said the meaning of
    #[arg(long)]
    unknown: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Say what a code means, from the next run on
    Put(Put),
    /// Give a code back to the built-in table, from the next run on
    Remove {
        /// The ad platform, such as google_ads
        #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
        provider: ProviderKey,
        /// The whole code, as `relay explain` shows it
        #[arg(long, value_name = "CODE")]
        code: String,
    },
}

#[derive(Args)]
struct Put {
    /// The ad platform, such as google_ads
    #[arg(long, value_name = "KEY", value_parser = super::parse_provider)]
    provider: ProviderKey,
    /// The whole code, as `relay explain` shows it
    #[arg(long, value_name = "CODE")]
    code: String,
    /// OK, PERM, CONFIG, DELAY, TRANSIENT, SPLIT, UNMATCHED or AMBIGUOUS (which alone means: perhaps delivered)
    #[arg(long, value_name = "CLASS", value_parser = parse_class)]
    class: Class,
    /// With CONFIG, what has to be mended; with DELAY, who waits where a whole request was refused: row,
    /// conversion_action, site, client or provider
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<HoldScope>,
    /// With DELAY, TRANSIENT and UNMATCHED: how long, such as 30m or 6h
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    wait: Option<SignedDuration>,
    /// With TRANSIENT and UNMATCHED: attempts in all, 1 to 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=i64::from(MAX_RETRY_ATTEMPTS)))]
    max_attempts: Option<i32>,
    /// Nothing is left out of the conversion for this code; else the part that the built-in rule leaves out goes first
    #[arg(long)]
    whole: bool,
    /// Why, for whoever reads the table next
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

fn parse_class(text: &str) -> Result<Class, String> {
    text.to_ascii_uppercase().parse()
}

fn parse_scope(text: &str) -> Result<HoldScope, String> {
    text.to_ascii_lowercase().parse()
}

fn parse_wait(text: &str) -> Result<SignedDuration, String> {
    let wait: SignedDuration =
        text.parse().map_err(|_| format!("{text} is no duration: say it as 30s, 90m or 6h"))?;
    match wait >= SignedDuration::from_secs(1) && wait <= LONGEST_WAIT {
        true => Ok(wait),
        false => Err("a wait lasts a second at least and 30 days at most".to_owned()),
    }
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    match arguments.action {
        Some(Action::Put(put)) => say(&context, &put, output).await,
        Some(Action::Remove { provider, code }) => {
            if !context.store.delete_taxonomy_override(provider, &code).await? {
                let told = format!("--code: nobody has said anything else of {code} than the built-in table");
                return Err(Failure::new(Exit::Failed, told).hint("relay taxonomy").into());
            }
            let answer = json!({ "ok": true, "provider_key": provider, "code": code });
            output.answer(&answer, || {
                format!("{code} means what the built-in table says, from the next run on")
            })?;
            Ok(Exit::Done)
        }
        None if arguments.unknown => {
            let unknown = context.store.read_unknown_codes(UNKNOWN_LISTED).await?;
            output.answer(&json!({ "ok": true, "unknown_codes": unknown }), || list_unknown(&unknown))?;
            Ok(Exit::Done)
        }
        None => list(&context, &arguments, output).await,
    }
}

async fn say(context: &Context, put: &Put, output: Output) -> anyhow::Result<Exit> {
    let adapter = context.access.registry().get(put.provider);
    let adapter =
        adapter.ok_or_else(|| Failure::new(Exit::Usage, "--provider: this program has no such adapter"))?;
    check(put, adapter.as_ref()).map_err(|told| Failure::new(Exit::Usage, told))?;
    if !knows(adapter.as_ref(), &put.code) {
        let seen = context.store.read_unknown_codes(UNKNOWN_LISTED).await?;
        let key = put.provider.as_str();
        if !seen.iter().any(|seen| seen.provider_key == key && seen.code == put.code) {
            let failure = Failure::new(Exit::Usage, no_such_code(adapter.as_ref(), &put.code));
            return Err(failure.hint("relay taxonomy --code TEXT, or relay taxonomy --unknown").into());
        }
    }
    let said = NewOverride {
        provider: put.provider,
        code: &put.code,
        class: put.class,
        scope: put.scope,
        wait_seconds: put.wait.map(|wait| i32::try_from(wait.as_secs())).transpose()?,
        max_attempts: put.max_attempts,
        whole: put.whole,
        reason: put.reason.trim(),
    };
    context.store.put_taxonomy_meaning(&said).await?;
    let answer = json!({
        "ok": true, "provider_key": put.provider, "code": put.code, "class": put.class, "scope": put.scope,
        "wait_seconds": said.wait_seconds, "max_attempts": put.max_attempts, "whole": put.whole, "reason": said.reason,
    });
    output.answer(&answer, || format!("{} is {} from the next run on", put.code, put.class))?;
    Ok(Exit::Done)
}

/// Whether the parts fit the class.
fn check(put: &Put, adapter: &dyn Provider) -> Result<(), String> {
    let (has_scope, has_wait, has_attempts) = match put.class {
        Class::Config => (true, false, false),
        Class::Delay => (true, true, false),
        Class::Transient | Class::Unmatched => (false, true, true),
        Class::Ok | Class::Perm | Class::Split | Class::Ambiguous => (false, false, false),
    };
    let class = put.class;
    if put.scope.is_some() && !has_scope {
        return Err(format!("--scope belongs to CONFIG and DELAY; {class} has none"));
    }
    if put.scope.is_none() && class == Class::Config {
        let scopes = HoldScope::ALL.map(HoldScope::as_str).join(", ");
        return Err(format!("--scope is missing: CONFIG holds one of {scopes}"));
    }
    if put.wait.is_some() && !has_wait {
        return Err(format!("--wait belongs to DELAY, TRANSIENT and UNMATCHED; {class} has none"));
    }
    if put.max_attempts.is_some() && !has_attempts {
        return Err(format!("--max-attempts belongs to TRANSIENT and UNMATCHED; {class} has none"));
    }
    if put.reason.trim().is_empty() {
        return Err("--reason is empty: say why".to_owned());
    }
    if matches!(class, Class::Ok | Class::Unmatched) && adapter.is_signal(&put.code) {
        let told = "is no answer, so it can make no delivery: --class must be TRANSIENT, AMBIGUOUS, CONFIG, DELAY, SPLIT or PERM";
        return Err(format!("{} {told}", put.code));
    }
    Ok(())
}

/// Whether a code is one of the adapter's: in its table, in its catalogue, or a status.
fn knows(adapter: &dyn Provider, code: &str) -> bool {
    let is_status = code.strip_prefix("HTTP_").is_some_and(|status| {
        status.len() == 3 && status.parse().is_ok_and(|status: u16| (100..=599).contains(&status))
    });
    let is_listed = || adapter.code_rules().iter().any(|rule| rule.code == code);
    !code.contains('*')
        && (is_status && adapter.is_signal(code) || is_listed() || adapter.reason(code).is_some())
}

fn no_such_code(adapter: &dyn Provider, code: &str) -> String {
    let (family, name) = code.rsplit_once('.').unwrap_or(("", code));
    let rules = adapter.code_rules();
    let near = |rule: &&CodeRule| !name.is_empty() && rule.code.to_lowercase().contains(&name.to_lowercase());
    let mut near: Vec<&str> = rules.iter().filter(near).map(|rule| rule.code.as_str()).collect();
    near.dedup();
    near.truncate(SUGGESTED);
    let has_family =
        !family.is_empty() && rules.iter().any(|rule| rule.code.starts_with(&format!("{family}.")));
    let what = match (near.is_empty(), has_family) {
        (false, _) => format!("did you mean {}?", near.join(", ")),
        (true, true) => format!("the family {family} has no such code, and none like it ever came"),
        (true, false) => "it must be a whole code, family and all, such as `relay explain` shows".to_owned(),
    };
    format!("--code: {} has no code {code}: {what}", adapter.key())
}

async fn list(context: &Context, arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let text = arguments.code.clone().unwrap_or_default().to_lowercase();
    let wanted = |code: &str| code.to_lowercase().contains(&text);
    let registry = context.access.registry();
    let adapters = || {
        registry.iter().filter(|adapter| arguments.provider.is_none_or(|provider| adapter.key() == provider))
    };
    let providers: Vec<ProviderKey> = adapters().map(|adapter| adapter.key()).collect();
    let mut overrides = context.store.read_taxonomy_meanings(&providers).await?;
    overrides.retain(|said| wanted(&said.code));
    let rules: Vec<(ProviderKey, CodeRule)> = adapters()
        .flat_map(|adapter| adapter.code_rules().into_iter().map(|rule| (adapter.key(), rule)))
        .filter(|(_, rule)| wanted(&rule.code))
        .collect();
    let rules_json = rules.iter().map(|(provider, rule)| {
        let mut document = json!(rule);
        document["provider_key"] = json!(provider);
        document
    });
    let answer = json!({ "ok": true, "overrides": overrides, "rules": rules_json.collect::<Vec<_>>() });
    output.answer(&answer, || {
        if overrides.is_empty() && rules.is_empty() {
            return "no code holds this text".to_owned();
        }
        let said = overrides.iter().map(override_row);
        let built_in = rules.iter().map(|(_, rule)| rule_row(rule));
        let told = table(&RULES, said.chain(built_in));
        // A handful has room for what it means.
        let named = rules.iter().map(|(provider, rule)| (provider.as_str(), rule.code.as_str()));
        told + &if text.is_empty() { String::new() } else { meanings(registry, named) }
    })?;
    Ok(Exit::Done)
}

fn override_row(said: &TaxonomyOverride) -> Vec<String> {
    let whole = if said.whole { ", whole" } else { "" };
    vec![
        said.code.clone(),
        said.class.to_string(),
        said.scope.map_or_else(String::new, |scope| scope.as_str().to_owned()),
        said.wait_seconds.map_or_else(String::new, |seconds| wait(i64::from(seconds))),
        said.max_attempts.map_or_else(String::new, |most| most.to_string()),
        format!("operator{whole}: {}", said.reason),
    ]
}

fn rule_row(rule: &CodeRule) -> Vec<String> {
    let condition = if rule.is_conditional { "built in, in part" } else { "built in" };
    vec![
        rule.code.clone(),
        rule.class.to_string(),
        rule.scope.map_or_else(String::new, |scope| scope.as_str().to_owned()),
        rule.wait_seconds
            .map_or_else(String::new, |seconds| wait(i64::try_from(seconds).unwrap_or(i64::MAX))),
        rule.max_attempts.map_or_else(String::new, |most| most.to_string()),
        condition.to_owned(),
    ]
}

fn wait(seconds: i64) -> String {
    format!("{:#}", SignedDuration::from_secs(seconds))
}

fn list_unknown(unknown: &[UnknownCode]) -> String {
    if unknown.is_empty() {
        return "every code that came is known".to_owned();
    }
    let row = |code: &UnknownCode| {
        vec![code.code.clone(), grouped(code.times), time(code.first_seen_at), time(code.last_seen_at)]
    };
    format!(
        "{}\n\nEach is tried three times, then given up on; `relay taxonomy put` says what it means.",
        table(&UNKNOWN, unknown.iter().map(row))
    )
}

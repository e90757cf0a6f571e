//! `relay site keys`: the keys with which a site signs what it sends to `POST /v1/conversions`.

use clap::Args;
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::SiteId;
use shared::store::IngestKey;

use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, table, time};

/// The keys with which a site signs what it sends to POST /v1/conversions: two at most, so that one takes over from the other
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The site
    #[arg(long, value_name = "UUID", value_parser = super::super::parse_site)]
    site: SiteId,
    /// Make a key and print it, this once
    #[arg(long, conflicts_with = "retire")]
    add: bool,
    /// Take the key of this id away
    #[arg(long, value_name = "ID")]
    retire: Option<i32>,
}

const AFTER_HELP: &str = "\
A new key is good at once; a retired one is refused within 10 seconds. To change keys: --add, give the new one to the site,
and --retire the old one once it signs with the new one.";

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let Arguments { site, add, retire } = arguments;
    let access = boot::open_context(&Config::from_env()).await?.access;
    let list = format!("relay site keys --site {site}");
    if let Some(key_id) = retire {
        if !access.retire_ingest_key(site, key_id).await? {
            return Err(Failure::new(Exit::Failed, format!("{site} has no key {key_id}")).hint(list).into());
        }
        let answer = json!({ "ok": true, "site_id": site, "retired": key_id });
        output.answer(&answer, || format!("{site}: key {key_id} is retired"))?;
        return Ok(Exit::Done);
    }
    if add {
        let Some((key_id, key)) = access.add_ingest_key(site).await? else {
            let told = format!("{site} has two keys already: retire one first");
            return Err(Failure::new(Exit::Failed, told).hint(list).into());
        };
        // The key is the answer here: this is the line that hands it to its owner.
        let answer = json!({ "ok": true, "site_id": site, "key_id": key_id, "key": key.expose() });
        output.answer(&answer, || {
            format!("{site}: key {key_id}, which nobody can show again:\n{}", key.expose())
        })?;
        return Ok(Exit::Done);
    }
    let keys = access.list_ingest_keys(site).await?;
    let listed: Vec<Value> =
        keys.iter().map(|key| json!({ "key_id": key.key_id, "created_at": key.created_at })).collect();
    output.answer(&json!({ "ok": true, "site_id": site, "keys": listed }), || text(site, &keys))?;
    Ok(Exit::Done)
}

fn text(site: SiteId, keys: &[IngestKey]) -> String {
    if keys.is_empty() {
        return format!("{site} has no keys: nothing comes in for it over HTTP");
    }
    let rows = keys.iter().map(|key| vec![key.key_id.to_string(), time(key.created_at)]);
    table(&[("key", Set::Number), ("made", Set::Whole)], rows)
}

//! `relay sandbox`: the local stand-in for Google, until Ctrl-C.

use std::net::SocketAddr;

use clap::Args;
use serde_json::{Map, json};

use crate::failure::Exit;
use crate::output::Output;
use crate::sandbox::{self, Options};
use crate::signals::Stop;

/// The newest version of the Google Ads API that the stand-in speaks.
const API_VERSION: &str = "v26";

/// Start the local stand-in for Google: token endpoint, Data Manager API, Google Ads API
#[derive(Args)]
#[command(after_help = DIRECTIVES)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
}

const DIRECTIVES: &str = "\
A conversion says how it is answered, in its click id or else its order id: sandbox-<directive>[*times][-anything].
With *times it holds for so many requests, and is ok from then on.

  ok                       judged like any other
  slow.<ms>                the whole request is answered so much later
  error.<CODE>             the row is refused; also error.<family>.<CODE>
  reason.<REASON>          Data Manager takes the row, its receipt counts it under this reason
  warning.<REASON>         Data Manager takes the row, its receipt warns of this reason
  http.<status>            the whole request is refused with this status, nothing recorded
  http.<status>.<seconds>  the same with Retry-After
  http.400.row             the same, and the body says which row
  refuse.<CODE>            the whole request is refused with this code and no row's place
  timeout                  recorded, then never answered
  reset                    recorded, then the connection is reset
  reset-before             the connection is reset, nothing recorded
  garbage                  recorded, then a 200 that cannot be read

Refresh tokens that contain invalid_grant, invalid_client, token_503, scope_missing, adwords_missing or expired_once are
answered so. Customer ids that begin with 9991 to 9994 are accounts out of order, conversion actions that begin with 9981 to
9984 actions out of order; POST /sandbox/mend?id=… puts one in order.
GET /sandbox/ledger and /sandbox/requests show what was counted; DELETE /sandbox/ledger forgets it.";

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let stop = Stop::listen()?;
    let sandbox = sandbox::start(arguments.listen, Options::default()).await?;
    let base_url = sandbox.base_url();
    let environment = [
        ("GOOGLE_ADS_BASE_URL", base_url.clone()),
        ("GOOGLE_ADS_API_VERSION", API_VERSION.to_owned()),
        ("GOOGLE_DATA_MANAGER_BASE_URL", base_url.clone()),
        ("GOOGLE_OAUTH_TOKEN_URL", format!("{base_url}/token")),
    ];
    let settings: Map<_, _> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let answer = json!({ "ok": true, "base_url": base_url, "environment": settings });
    output.answer(&answer, || {
        let exports: Vec<_> =
            environment.iter().map(|(name, value)| format!("export {name}={value}")).collect();
        format!("# the stand-in for Google listens on {base_url}; Ctrl-C stops it\n{}", exports.join("\n"))
    })?;
    stop.token().cancelled().await;
    sandbox.stop().await;
    Ok(Exit::Done)
}

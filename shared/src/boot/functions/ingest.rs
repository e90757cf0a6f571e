//! The `ingest` function: takes conversions in, signed by their site over HTTP, or from whom IAM let in.

use jiff::Timestamp;
use tokio::time::timeout;

use crate::boot::call::{OutOfTime, Unauthorized};
use crate::boot::{Answer, Boot, Call, Callers, Door, Function, HttpCall, InProduction};
use crate::delivery::{IngestAnswer, Items, KnownSite, Signature};
use crate::domain::{SiteId, read_json};
use crate::engine::{BadRequest, Context, Fields};

const FIELDS: [&str; 2] = ["site_id", "conversions"];

/// Takes conversions in.
pub const INGEST: Function = Function {
    name: "ingest",
    doors: &[Door { method: "POST", path: "/v1/conversions", says: &[] }],
    production: InProduction::Allowed,
    callers: Callers::OfItsOwnChoice,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let context = boot.context().await?;
    let taken = async {
        match &call.http {
            Some(http) => take_signed(context, http).await,
            None => take_invoked(context, call.fields).await,
        }
    };
    // Whatever was on its way may have gone in; sent again it reads duplicate.
    let answer = timeout(call.deadline.remaining(), taken).await.map_err(|_| OutOfTime)??;
    Answer::with(if answer.ok { 202 } else { 422 }, &answer)
}

async fn take_signed(context: &Context, http: &HttpCall) -> anyhow::Result<IngestAnswer> {
    let header = |name: &str| http.headers.get(name).map(String::as_str);
    let site =
        header("x-relay-site").and_then(|text| text.trim().parse::<SiteId>().ok()).ok_or(Unauthorized)?;
    let signature = header("x-relay-signature").and_then(Signature::parse).ok_or(Unauthorized)?;
    let site = context.access.authenticate_site(site, &signature, &http.body).await?.ok_or(Unauthorized)?;

    let (body, twice) = read_json(&http.body).map_err(|at| {
        BadRequest(format!("the body is not JSON, from line {}, column {} on", at.line, at.column))
    })?;
    let items = Items::read(body, &twice, site.defaults().site).map_err(BadRequest::from)?;
    take(context, items, &site).await
}

async fn take_invoked(context: &Context, mut fields: Fields) -> anyhow::Result<IngestAnswer> {
    let site = fields.parsed::<SiteId>("site_id")?;
    let items = Items::read_list(fields.take("conversions"), site).map_err(BadRequest::from);
    fields.finish(&FIELDS)?;
    let mut items = items?;
    match site {
        Some(site) => take(context, items, &*context.access.ingest_site(site).await?).await,
        None => {
            let answers = context.producer().enqueue(items.take_inputs(), Timestamp::now()).await?;
            Ok(items.answer(answers))
        }
    }
}

/// Of one site, whose defaults and whose time are known: one round trip.
async fn take(context: &Context, mut items: Items, site: &KnownSite) -> anyhow::Result<IngestAnswer> {
    let answers =
        context.producer().enqueue_of_site(items.take_inputs(), site.defaults(), site.now()).await?;
    Ok(items.answer(answers))
}

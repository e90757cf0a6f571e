//! The loopback provider: takes uploads as the Google Ads API does and answers each row, at the least cost.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::worker;

/// 2,000 rows are about 1 MiB.
const BODY_MAX: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
struct Upload<'a> {
    #[serde(borrow)]
    conversions: Vec<Row<'a>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    gclid: Cow<'a, str>,
    #[serde(borrow)]
    conversion_action: Cow<'a, str>,
    #[serde(borrow)]
    conversion_date_time: Cow<'a, str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    results: Vec<Row<'a>>,
}

/// Serves until the parent lets go; says first where.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let app = Router::new()
        .route("/token", post(token))
        .route("/v26/customers/{call}", post(upload))
        .layer(DefaultBodyLimit::max(BODY_MAX));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("find a free port")?;
    let url = format!("http://{}", listener.local_addr().context("find a free port")?);
    worker::say(&json!({ "url": url }))?;
    worker::end_with_parent();
    axum::serve(listener, app).await.context("serve")
}

async fn token() -> Response {
    let token = json!({ "access_token": "bench", "expires_in": 3599, "token_type": "Bearer" });
    ([(CONTENT_TYPE, "application/json")], token.to_string()).into_response()
}

async fn upload(body: Bytes) -> Response {
    let answer = serde_json::from_slice::<Upload<'_>>(&body)
        .and_then(|upload| serde_json::to_vec(&Answer { results: upload.conversions }));
    match answer {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

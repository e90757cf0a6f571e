//! The way to AWS: region, credentials and endpoints as every program of AWS finds them, over the client that all else uses.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::config::ConfigError;
use super::context::{BootError, install_tls};
use crate::providers::http::build_client;

/// One request to AWS, at most: each caller has a shorter time of its own.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach AWS, found out when it is first needed: most functions on a developer's machine never do.
#[derive(Default)]
pub(super) struct Aws(OnceCell<SdkConfig>);

impl Aws {
    /// Reads `AWS_REGION`, `AWS_ENDPOINT_URL` and a profile, where there is one. Credentials are asked for by the first call
    /// that needs them, and no host is asked here.
    ///
    /// # Errors
    /// [`BootError::Config`] where nobody says which region, [`BootError::Http`].
    pub(super) async fn config(&self) -> Result<&SdkConfig, BootError> {
        // Boxed: the SDK's futures are deep, and everything that waits for them would be deeper still.
        let read: fn() -> Reading = || Box::pin(read());
        self.0.get_or_try_init(read).await
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<SdkConfig, BootError>> + Send>>;

async fn read() -> Result<SdkConfig, BootError> {
    install_tls();
    // Not from the machine's metadata service: where there is none, asking it takes seconds.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let client = Client(build_client(HTTP_TIMEOUT)?);
    let config = aws_config::from_env().region(region).http_client(client).load().await;
    if config.region().is_none_or(|region| region.as_ref().trim().is_empty()) {
        let reason = "is missing: the AWS region of the key and the secrets, such as eu-central-1";
        return Err(ConfigError { setting: "AWS_REGION".into(), reason: reason.to_owned() }.into());
    }
    Ok(config)
}

/// The client that the platforms are reached with, in the place of the SDK's own: one set of root certificates.
#[derive(Debug, Clone)]
struct Client(reqwest::Client);

impl HttpClient for Client {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let method = request.method().parse().map_err(|error| user(Box::new(error)))?;
    let mut builder = client.request(method, request.uri());
    for (name, value) in request.headers() {
        builder = builder.header(name, value);
    }
    // Requests of KMS and Secrets Manager are whole in memory.
    let body = request.body().bytes().ok_or_else(|| user("a request that is streamed".into()))?;
    let mut answer = builder.body(body.to_vec()).send().await.map_err(sort)?;
    let status = answer.status().as_u16();
    let headers = std::mem::take(answer.headers_mut());
    let body = Zeroizing::new(answer.bytes().await.map_err(sort)?.to_vec());
    let other = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(error, None);
    let status = status.try_into().map_err(|_| other("an HTTP status that there is not".into()))?;
    let mut response = HttpResponse::new(status, SdkBody::from(body.as_slice()));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

/// What the SDK tries again: what did not arrive in time, and what broke on its way. The address is left out.
fn sort(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(Box::new(error))
    } else if error.is_builder() {
        ConnectorError::user(Box::new(error))
    } else {
        ConnectorError::io(Box::new(error))
    }
}

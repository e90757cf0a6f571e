//! The migrate function as CloudFormation calls it: whatever happens, the one who waits at the pre-signed address gets an answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tests::database::Database;
use tests::lambda::{Invocation, LambdaProcess};
use tests::world::{VAULT_KEY, empty_database, migrated_database};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{answer, invoke, start};

const STACK: &str = "arn:aws:cloudformation:eu-central-1:000000000000:stack/relay-staging/0f1e2d3c";
const SIGNATURE: &str = "capability-of-whoever-has-it";
const NEWEST: &str = "select max(name) from relay.schema_migration where name ~ '^[0-9]'";

/// What S3 takes in a request with a pre-signed address: of whatever its signature covers, exactly that.
struct Put {
    method: Method,
    headers: HeaderMap,
    address: String,
    body: Bytes,
}

/// S3, as far as CloudFormation's answers go.
pub(crate) struct Bucket {
    port: u16,
    puts: Arc<Puts>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Puts {
    taken: Mutex<Vec<Put>>,
    /// How often it is too busy to take anything.
    busy: Mutex<usize>,
}

impl Bucket {
    async fn busy(times: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let puts = Arc::new(Puts { busy: Mutex::new(times), ..Puts::default() });
        let routes = Router::new().fallback(take).with_state(Arc::clone(&puts));
        let server = tokio::spawn(async move {
            // It ends with the test.
            axum::serve(listener, routes).await.ok();
        });
        Ok(Self { port, puts, server })
    }

    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::busy(0).await
    }

    fn address(&self) -> String {
        format!(
            "http://127.0.0.1:{}/{}%7Cmigration%7C1?X-Amz-Expires=7200&X-Amz-Signature={SIGNATURE}",
            self.port,
            STACK.replace(':', "%3A")
        )
    }

    /// CloudFormation's event; some of its fields are others.
    pub(crate) fn event(&self, change: &str, fields: Value) -> Value {
        let mut event = json!({
            "RequestType": change,
            "ResponseURL": self.address(),
            "ServiceToken": "arn:aws:lambda:eu-central-1:000000000000:function:relay-staging-migrate",
            "StackId": STACK,
            "RequestId": "request-1",
            "LogicalResourceId": "migration",
            "ResourceType": "Custom::Migration",
            "ResourceProperties": { "ServiceToken": "arn", "Version": "1" },
        });
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        event
    }

    /// The one answer since the last time, which is as S3 and CloudFormation take it.
    pub(crate) fn answer(&self) -> anyhow::Result<Value> {
        let mut puts = self.puts.taken.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(puts.len() == 1, "{} answers", puts.len());
        let Put { method, headers, address, body } = puts.remove(0);
        anyhow::ensure!(self.address().ends_with(&address), "{address}");
        assert_eq!((method, headers.get("content-type")), (Method::PUT, None));
        assert_eq!(headers["content-length"].to_str()?, body.len().to_string());
        assert!(body.len() <= 4096, "{}", body.len());
        let answer: Value = serde_json::from_slice(&body)?;
        for (name, copied) in
            [("StackId", STACK), ("RequestId", "request-1"), ("LogicalResourceId", "migration")]
        {
            assert_eq!(answer[name], json!(copied), "{answer}");
        }
        Ok(answer)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(puts): State<Arc<Puts>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else { return StatusCode::BAD_REQUEST };
    let mut busy = puts.busy.lock().unwrap_or_else(PoisonError::into_inner);
    if *busy > 0 {
        *busy -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let put = Put { method: parts.method, headers: parts.headers, address: parts.uri.to_string(), body };
    puts.taken.lock().unwrap_or_else(PoisonError::into_inner).push(put);
    StatusCode::OK
}

fn settings(database: &Database, replaced: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("DATABASE_URL", database.url()),
        ("APP_ENV", "development".to_owned()),
        ("VAULT_KEY", VAULT_KEY.to_owned()),
    ];
    settings.extend(replaced.iter().map(|(name, value)| (*name, (*value).to_owned())));
    settings
}

async fn migrate(database: &Database, replaced: &[(&'static str, &str)]) -> anyhow::Result<LambdaProcess> {
    start("migrate", &settings(database, replaced)).await
}

async fn schema(database: &Database) -> anyhow::Result<String> {
    Ok(database.connect().await?.query_one(NEWEST, &[]).await?.get(0))
}

/// The answer to an event that comes to nothing: the invocation itself did what it had to, and is not made again.
async fn failure(process: &mut LambdaProcess, bucket: &Bucket, event: Value) -> anyhow::Result<String> {
    let told = answer(process, event).await?;
    assert_eq!((&told["ok"], &told["status"]), (&json!(false), &json!("FAILED")), "{told}");
    let put = bucket.answer()?;
    assert_eq!((&put["Status"], &put["Reason"], put.get("Data")), (&json!("FAILED"), &told["reason"], None));
    assert!(put["PhysicalResourceId"].as_str().is_some_and(|id| !id.is_empty()), "{put}");
    let reason = put["Reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("/aws/lambda/function-under-test"), "where the log is: {reason}");
    Ok(reason)
}

#[tokio::test]
async fn a_deploy_migrates_and_a_removed_stack_leaves_the_schema() -> anyhow::Result<()> {
    let (database, bucket) = (empty_database().await?, Bucket::new().await?);
    let mut process = migrate(&database, &[]).await?;

    let told = answer(&mut process, bucket.event("Create", json!({}))).await?;
    assert_eq!(told["ok"], json!(true), "{told}");
    let created = bucket.answer()?;
    let newest = schema(&database).await?;
    let id = json!("relay-staging-migration");
    assert_eq!((&created["Status"], &created["PhysicalResourceId"]), (&json!("SUCCESS"), &id), "{created}");
    assert_eq!((&created["Data"], created.get("Reason")), (&json!({ "schema": newest }), None));

    // Whatever name it was given, it keeps; a field that AWS adds one day is passed over.
    for change in ["Update", "Delete"] {
        let fields = json!({ "PhysicalResourceId": "as-it-was", "OldResourceProperties": {}, "New": 1 });
        answer(&mut process, bucket.event(change, fields)).await?;
        let answered = bucket.answer()?;
        assert_eq!(answered["Status"], json!("SUCCESS"), "{answered}");
        assert_eq!(answered["PhysicalResourceId"], json!("as-it-was"), "{answered}");
    }

    // A stack whose database is gone, or never came about, can be deleted.
    let nowhere = [("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")];
    let mut bare = migrate(&database, &nowhere).await?;
    answer(&mut bare, bucket.event("Delete", json!({ "PhysicalResourceId": "x" }))).await?;
    assert_eq!(bucket.answer()?["Status"], json!("SUCCESS"));
    assert_eq!(schema(&database).await?, newest);
    Ok(())
}

#[tokio::test]
async fn every_failure_is_told_with_what_to_do_and_without_a_secret() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::new().await?);
    let (edited, newer) = (migrated_database().await?, migrated_database().await?);
    let update = "update relay.schema_migration set";
    let edit = format!("{update} sha256 = 'other' where name like '0001%'");
    edited.connect().await?.batch_execute(&edit).await?;
    let serve = format!("{update} oldest_program = '99.0.0' where name = ({NEWEST})");
    newer.connect().await?.batch_execute(&serve).await?;
    let nowhere = "postgresql://nobody:hunter2@127.0.0.1:1/nowhere";

    for (database, replaced, told) in [
        (&database, ("DATABASE_URL", ""), "DATABASE_URL is missing: a PostgreSQL URL"),
        (&database, ("DATABASE_URL", "hunter2"), "DATABASE_URL must be a PostgreSQL URL"),
        (&database, ("DATABASE_URL", nowhere), "the database cannot be reached"),
        (&database, ("DATABASE_CA_FILE", "/nowhere"), "DATABASE_CA_FILE cannot be read"),
        (&database, ("APP_ENV", "staging"), "the database belongs to development: nothing was touched"),
        (&database, ("RUN_RETENTION_DAYS", "hunter2"), ""),
        (&edited, ("RUST_LOG", "info"), "0001_conversions.sql: was applied with other content"),
        (&newer, ("RUST_LOG", "info"), "deploy a newer one"),
    ] {
        let mut process = migrate(database, &[replaced]).await?;
        if told.is_empty() {
            // Settings of other functions stop no migration.
            answer(&mut process, bucket.event("Create", json!({}))).await?;
            assert_eq!(bucket.answer()?["Status"], json!("SUCCESS"));
            continue;
        }
        let reason = failure(&mut process, &bucket, bucket.event("Create", json!({}))).await?;
        assert!(reason.contains(told) && !reason.contains("hunter2"), "{told}: {reason}");
    }
    let mut process = migrate(&database, &[]).await?;
    let reason = failure(&mut process, &bucket, bucket.event("Import", json!({}))).await?;
    assert!(reason.contains("RequestType must be Create, Update or Delete"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_panic_and_a_long_word_of_the_database_are_answers_too() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::new().await?);
    let sql = database.connect().await?;
    let mut process = migrate(&database, &[]).await?;
    let replace = |returns: &str, body: &str| {
        format!(
            "drop function if exists relay.keep_partitions(integer, timestamptz); \
             drop function if exists relay.keep_partitions(integer); \
             create function relay.keep_partitions(integer) returns {returns} language plpgsql as $$ begin {body} end $$"
        )
    };

    // An answer of a type that this program never asked for.
    sql.batch_execute(&replace("text", "return 'many';")).await?;
    let reason = failure(&mut process, &bucket, bucket.event("Update", json!({}))).await?;
    assert!(reason.contains("the program panicked"), "{reason}");

    sql.batch_execute(&replace(
        "integer",
        "raise exception '%', repeat(E'\\x01\"ä', 3000) using detail = 'Key (email)=(somebody)';",
    ))
    .await?;
    let names = json!({ "PhysicalResourceId": "\"".repeat(1000) });
    let reason = failure(&mut process, &bucket, bucket.event("Update", names)).await?;
    assert!(reason.starts_with("partitions: ") && reason.contains("ä"), "{reason}");
    assert!(!process.stdout().join("").contains("somebody"), "{:?}", process.stdout());

    // The process lives on.
    sql.batch_execute(&replace("integer", "return 0;")).await?;
    answer(&mut process, bucket.event("Update", json!({}))).await?;
    assert_eq!(bucket.answer()?["Status"], json!("SUCCESS"));
    Ok(())
}

#[tokio::test]
async fn too_little_time_is_told_before_it_is_over() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::new().await?);
    let mut process = migrate(&database, &[]).await?;
    let sql = database.connect().await?;
    sql.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('relay.migrate', 0))").await?;

    let told = process.invoke(bucket.event("Update", json!({})), Duration::from_secs(10)).await?;

    assert!(matches!(&told, Invocation::Answered(told) if told["ok"] == json!(false)), "{told:?}");
    let put = bucket.answer()?;
    assert_eq!(put["Status"], json!("FAILED"));
    assert!(put["Reason"].as_str().is_some_and(|reason| reason.contains("deploy again")), "{put}");
    sql.batch_execute("commit").await?;
    answer(&mut process, bucket.event("Update", json!({}))).await?;
    assert_eq!(bucket.answer()?["Status"], json!("SUCCESS"));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_sent_again_and_its_address_is_told_to_nobody() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::busy(3).await?);
    // Who names a part of a library is told no more than who names the whole.
    let named = "trace,lambda_runtime=trace,lambda_runtime::layers=trace,lambda_runtime::layers::trace=trace,h2::codec=trace";
    let mut process = migrate(&database, &[("RUST_LOG", named)]).await?;

    answer(&mut process, bucket.event("Update", json!({}))).await?;
    assert_eq!(bucket.answer()?["Status"], json!("SUCCESS"));

    // Where nobody takes it, the invocation fails, and Lambda makes it again if it was told to.
    let elsewhere = bucket.address().replace(&format!(":{}/", bucket.port), ":1/");
    for (url, told) in
        [(elsewhere.as_str(), "let this function reach S3"), ("capability", "ResponseURL must be a URL")]
    {
        assert_lost(&mut process, &bucket, url, told).await?;
    }
    for line in process.stdout().iter().chain(&process.stderr()) {
        assert!(!line.contains(SIGNATURE), "{line}");
    }
    Ok(())
}

/// The answer cannot be delivered there, and the address is not quoted.
async fn assert_lost(
    process: &mut LambdaProcess,
    bucket: &Bucket,
    url: &str,
    told: &str,
) -> anyhow::Result<()> {
    let event = bucket.event("Delete", json!({ "ResponseURL": url }));
    let lost = process.invoke(event, Duration::from_secs(6)).await?;
    let Invocation::Failed(error) = lost else { panic!("{url}: {lost:?}") };
    assert!(error.to_string().contains(told) && !error.to_string().contains("capability"), "{url}: {error}");
    Ok(())
}

#[tokio::test]
async fn answers_go_to_s3_alone_and_to_this_machine_outside_of_production() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::new().await?);
    let mut process = migrate(&database, &[]).await?;
    let mut production = migrate(&database, &[("APP_ENV", "production")]).await?;
    let not_there = "ResponseURL must be an https URL of amazonaws.com";
    // A name that no resolver takes: nothing leaves this machine.
    let s3 = |host: &str| format!("https://{}.s3.{host}/capability", "x".repeat(64));

    for url in [
        &bucket.address().replace("127.0.0.1", "bucket.example"),
        "https://bucket.example/capability",
        "https://127.0.0.1/capability",
        "https://bucket-amazonaws.com/capability",
        "https://bucket.amazonaws.com.example/capability",
        "https://bucket.amazonaws.com@bucket.example/capability",
        "http://bucket.s3.amazonaws.com/capability",
    ] {
        assert_lost(&mut process, &bucket, url, not_there).await?;
    }
    assert_lost(&mut production, &bucket, &bucket.address(), not_there).await?;
    for host in ["eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"] {
        assert_lost(&mut production, &bucket, &s3(host), "let this function reach S3").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_event_of_neither_kind_is_refused_by_name_and_one_without_fields_migrates() -> anyhow::Result<()> {
    let (database, bucket) = (empty_database().await?, Bucket::new().await?);
    let mut process = migrate(&database, &[]).await?;
    let whole = bucket.event("Create", json!({}));
    let without = |name: &str| {
        let mut event = whole.clone();
        event.as_object_mut().map(|event| event.remove(name));
        event
    };

    for (event, told) in [
        (json!({ "provider_key": "google_ads" }), "provider_key is no field of this call"),
        (without("ResponseURL"), "ResponseURL is missing"),
        (without("StackId"), "StackId is missing"),
        (without("RequestId"), "RequestId is missing"),
        (without("LogicalResourceId"), "LogicalResourceId is missing"),
        (json!({ "RequestType": 1 }), "RequestType must be a text"),
    ] {
        let refused = invoke(&mut process, event).await?;
        let Invocation::Failed(error) = refused else { panic!("{told}: {refused:?}") };
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    let done = answer(&mut process, json!({})).await?;
    assert_eq!((&done["ok"], &done["schema"]), (&json!(true), &json!(schema(&database).await?)));
    Ok(())
}

/// The version before, on its way back: CloudFormation updates the resource with its code.
#[tokio::test]
async fn a_roll_back_leaves_a_newer_schema_as_it_is() -> anyhow::Result<()> {
    let (database, bucket) = (migrated_database().await?, Bucket::new().await?);
    let sql = database.connect().await?;
    sql.batch_execute(
        "insert into relay.schema_migration (name, sha256) values ('9999_later.sql', 'later'); \
         update relay.schema_migration set sha256 = 'later' where name like '%/new_id.sql'",
    )
    .await?;
    let mut process = migrate(&database, &[]).await?;

    answer(&mut process, bucket.event("Update", json!({ "PhysicalResourceId": "x" }))).await?;

    let answered = bucket.answer()?;
    assert_eq!(answered["Status"], json!("SUCCESS"), "{answered}");
    assert_eq!(answered["Data"]["schema"], json!("9999_later.sql"));
    let kept = "select sha256 from relay.schema_migration where name like '%/new_id.sql'";
    assert_eq!(sql.query_one(kept, &[]).await?.get::<_, &str>(0), "later");
    Ok(())
}

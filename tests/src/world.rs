//! A whole small world for one test: its own migrated database, its own stand-in for the platforms, real settings.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{Timestamp, ToSpan};
use relay_cli::sandbox::{self, Sandbox};
use serde_json::{Value, json};
use shared::boot::{Config, migrate, open_context};
use shared::delivery::ItemAnswer;
use shared::domain::{ConversionInput, ProviderKey, RunId, Secret, SiteId};
use shared::engine::tasks::audit::prove;
use shared::engine::tasks::{confirm, probe_credentials, recover, upload};
use shared::engine::{Bounds, Context, Fields, Reply};
use shared::providers::http::build_client;
use shared::store::{Begun, NewRun, Store};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::database::{Database, SERVICE, Template, apply_mutation, pooler};

/// 32 bytes in base64: a key for tests, and for nothing else.
pub const VAULT_KEY: &str = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=";

/// The secrets that open the doors in tests.
pub const CRON_SECRET: &str = "cron-secret-for-tests";
/// See [`CRON_SECRET`].
pub const INTERNAL_SECRET: &str = "internal-secret-for-tests";

/// How long a request to the stand-in may take. It answers at once; a machine that stalls for some seconds turns no
/// delivery into silence.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest run of a test.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The answer of a run that must not be skipped.
fn ran<A>(reply: Reply<A>) -> anyhow::Result<A> {
    match reply {
        Reply::Answer(answer) => Ok(answer),
        Reply::Skipped { reason, .. } => anyhow::bail!("the run was skipped: {reason:?}"),
    }
}

/// Opens a run of the history, without a lock and without work.
pub async fn begin_run(store: &Store, task_key: &str) -> anyhow::Result<RunId> {
    let new = NewRun {
        task_key,
        owner: "a test",
        provider: None,
        scheduled_time: None,
        request: &json!({}),
        lock: None,
    };
    match store.begin_task_run(&new).await? {
        Begun::Go { run, .. } => Ok(run),
        begun @ (Begun::Locked | Begun::Paused | Begun::Done) => anyhow::bail!("{begun:?}"),
    }
}

static MIGRATED: Template = Template::new("migrated");

/// A migrated database of its own.
pub async fn migrated_database() -> anyhow::Result<Database> {
    MIGRATED
        .fresh_database(|url| async move {
            let config = config([("DATABASE_URL", url.clone()), ("APP_ENV", "development".to_owned())]);
            migrate(&config).await?;
            apply_mutation(&url).await
        })
        .await
}

static EMPTY: Template = Template::new("empty");

/// An empty database of its own.
pub async fn empty_database() -> anyhow::Result<Database> {
    EMPTY.fresh_database(|_| async { Ok(()) }).await
}

/// Settings from pairs alone: nothing comes from the process's environment.
pub fn config(settings: impl IntoIterator<Item = (&'static str, String)>) -> Config {
    let settings: HashMap<_, _> = settings.into_iter().collect();
    Config::new(move |name| settings.get(name).cloned())
}

/// A test's world.
pub struct World {
    /// Its database.
    pub database: Database,
    /// The superuser's connection, to look behind the curtain and to turn the clock.
    pub sql: Client,
    /// The stand-in.
    pub sandbox: Sandbox,
    /// What tasks work with, as the service's login.
    pub context: Context,
}

impl World {
    /// A world whose stand-in answers: see [`HTTP_TIMEOUT`].
    pub async fn new() -> anyhow::Result<Self> {
        Self::with(HTTP_TIMEOUT).await
    }

    /// A world with this timeout for one request to a platform.
    pub async fn with(http_timeout: Duration) -> anyhow::Result<Self> {
        Self::beside(http_timeout, Duration::ZERO).await
    }

    /// A world with this timeout, beside a stand-in that makes up its mind about what it took only after `processing`.
    pub async fn beside(http_timeout: Duration, processing: Duration) -> anyhow::Result<Self> {
        let options = sandbox::Options { processing, ..sandbox::Options::default() };
        Self::with_options(http_timeout, options).await
    }

    /// A world with this timeout, beside a stand-in of this kind.
    pub async fn with_options(http_timeout: Duration, options: sandbox::Options) -> anyhow::Result<Self> {
        let database = migrated_database().await?;
        let sandbox = sandbox::start(([127, 0, 0, 1], 0).into(), options).await?;
        let settings = settings(&database.service_url(), &sandbox, http_timeout);
        let context = open_context(&config(settings)).await?;
        let sql = database.connect().await?;
        // As if it had been migrated now, and not copied from one that was minutes ago: no task is late yet.
        sql.batch_execute("update relay.task_state set registered_at = clock_timestamp()").await?;
        Ok(Self { database, sql, sandbox, context })
    }

    /// The settings of this world, for a process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        settings(&self.database.service_url(), &self.sandbox, self.context.http_timeout)
    }

    /// A new site whose credentials differ from the usual ones in these fields.
    pub async fn site(&self, fields: Value) -> anyhow::Result<SiteId> {
        let site = SiteId(Uuid::new_v4());
        self.put_credentials(site, fields).await?;
        Ok(site)
    }

    /// Stores credentials that differ from the usual ones in these fields.
    pub async fn put_credentials(&self, site: SiteId, fields: Value) -> anyhow::Result<()> {
        let secret = Secret::new(credentials(fields).to_string());
        self.context.access.put_credentials(site, ProviderKey::GoogleAds, &secret).await?;
        Ok(())
    }

    /// Takes conversions in: each differs from the usual one in these fields.
    pub async fn enqueue(&self, site: SiteId, conversions: &[Value]) -> anyhow::Result<Vec<ItemAnswer>> {
        let inputs =
            conversions.iter().map(|fields| ConversionInput::parse(&conversion(site, fields))).collect();
        Ok(self.context.producer().enqueue(inputs, Timestamp::now()).await?)
    }

    /// Takes in `count` conversions whose click ids carry this directive of the stand-in; their external ids are
    /// `{name}-0`, `{name}-1` and so on.
    pub async fn enqueue_many(
        &self,
        site: SiteId,
        name: &str,
        directive: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        let rows: Vec<Value> = (0..count).map(|number| row(name, directive, number)).collect();
        let answers = self.enqueue(site, &rows).await?;
        for answer in answers {
            anyhow::ensure!(matches!(answer, ItemAnswer::Taken { .. }), "not taken in: {answer:?}");
        }
        Ok(())
    }

    /// Runs the uploads until nothing is due.
    pub async fn run_worker(&self) -> anyhow::Result<upload::Answer> {
        self.run(json!({ "mode": "worker", "provider_key": "google_ads" })).await
    }

    /// Asks for every receipt that is due.
    pub async fn confirm(&self) -> anyhow::Result<confirm::Answer> {
        self.confirm_as(&confirm::Request::default()).await
    }

    /// Asks for receipts as this request wants it.
    pub async fn confirm_as(&self, request: &confirm::Request) -> anyhow::Result<confirm::Answer> {
        ran(confirm::run(&self.context, request, Bounds::after(RUN_MAX)).await?)
    }

    /// Runs uploads as this event asks.
    pub async fn run(&self, event: Value) -> anyhow::Result<upload::Answer> {
        ran(self.call_runner(event).await?)
    }

    /// The same, for a run that may be skipped.
    pub async fn call_runner(&self, event: Value) -> anyhow::Result<Reply<upload::Answer>> {
        let request = upload::Request::parse(fields(event))?;
        upload::run(&self.context, &request, Bounds::after(RUN_MAX)).await
    }

    /// Recovers as this event asks.
    pub async fn recover(&self, event: Value) -> anyhow::Result<recover::Answer> {
        let request = recover::Request::parse(fields(event))?;
        ran(recover::run(&self.context, &request, Bounds::after(RUN_MAX)).await?)
    }

    /// Looks at credentials as this event asks.
    pub async fn probe(&self, event: Value) -> anyhow::Result<probe_credentials::Answer> {
        let request = probe_credentials::Request::parse(fields(event))?;
        ran(probe_credentials::run(&self.context, &request, Bounds::after(RUN_MAX)).await?)
    }

    /// Puts an account or a conversion action of the stand-in in order.
    pub async fn mend(&self, id: &str) -> anyhow::Result<()> {
        let url = format!("{}/sandbox/mend?id={id}", self.sandbox.base_url());
        let answer = build_client(HTTP_TIMEOUT)?.post(url).send().await?;
        anyhow::ensure!(answer.status() == 200, "{id} was not mended");
        Ok(())
    }

    /// Turns the clock forward, by moving every time that is waited for back.
    pub async fn let_pass(&self, interval: &str) -> anyhow::Result<()> {
        self.sql.batch_execute(&format!(include_str!("let_pass.sql"), interval = interval)).await?;
        Ok(())
    }

    /// Lets weeks pass, the ids included, so that what is there lies in the history of those weeks.
    pub async fn let_weeks_pass(&self, weeks: u32) -> anyhow::Result<()> {
        self.let_pass(&format!("{weeks} weeks")).await?;
        self.sql.batch_execute(&format!(include_str!("let_weeks_pass.sql"), weeks = weeks)).await?;
        Ok(())
    }

    /// Over connections that are opened from now on, the programs' login waits a minute for a lock and not five seconds:
    /// where many wait for each other, and a machine that stalls is no fault.
    pub async fn let_locks_take_long(&self) -> anyhow::Result<()> {
        let name = self.database.name();
        let longer = format!(r#"alter role {SERVICE} in database "{name}" set lock_timeout = '60s'"#);
        Ok(self.sql.batch_execute(&longer).await?)
    }

    /// The server's processes that serve the programs' login in this database: their pids.
    pub async fn service_backends(&self) -> anyhow::Result<Vec<i32>> {
        let sql = "select pid from pg_stat_activity where datname = current_database() and usename = $1";
        Ok(self.sql.query(sql, &[&SERVICE]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Waits until the server has done with what a killed program asked for last: it ends a statement that it has begun,
    /// and commits it, whoever is gone. `before` are the backends of others. Behind a pooler no backend belongs to a
    /// program: there all have to be idle.
    pub async fn let_backends_end(&self, before: &[i32]) -> anyhow::Result<()> {
        let sql = "select count(*) from pg_stat_activity \
                   where datname = current_database() and usename = $1 \
                     and case when $3 then state <> 'idle' else pid <> all ($2) end";
        let stays = pooler().is_some();
        let ended = async {
            while self.sql.query_one(sql, &[&SERVICE, &before, &stays]).await?.get::<_, i64>(0) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(30), ended).await.context("a killed program's backends do not end")?
    }

    /// Where a conversion stands: status, outcome, code of the last error, retries.
    pub async fn standing(&self, external_id: &str) -> anyhow::Result<Standing> {
        let row = self
            .sql
            .query_one(
                "select status, outcome, last_error, retry_count, next_retry_at \
                 from relay.offline_conversion_queue where sale_id = $1",
                &[&external_id],
            )
            .await
            .with_context(|| external_id.to_owned())?;
        Ok(Standing {
            status: row.get(0),
            outcome: row.get::<_, Option<String>>(1).unwrap_or_default(),
            last_error: row.get::<_, Option<String>>(2).unwrap_or_default(),
            retry_count: row.get(3),
            next_retry_at: row.get(4),
        })
    }

    /// One number of the database.
    pub async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(self.sql.query_one(sql, &[]).await?.get(0))
    }

    /// How many conversions have each status, as text: `COMPLETED 3, RETRY 1`.
    pub async fn statuses(&self) -> anyhow::Result<String> {
        let sql = "select coalesce(string_agg(status || ' ' || conversions, ', ' order by status), '') from (\
                   select status, count(*) as conversions from relay.offline_conversion_queue group by status) as s";
        Ok(self.sql.query_one(sql, &[]).await?.get(0))
    }

    /// The proof of accounting; every test that moves conversions ends with it.
    pub async fn assert_accounted_for(&self) -> anyhow::Result<()> {
        let store = &self.context.store;
        let faults = store.audit_conversions().await?;
        anyhow::ensure!(faults.is_empty(), "{faults:?}");
        // Slice by slice it must come to the same, of the same moment: what commits between the two is seen by one alone.
        let mut whole = store.audit_accounts(1).await?;
        loop {
            let slices = prove(store, 1).await?;
            anyhow::ensure!(slices.faults.is_empty(), "{slices:?}");
            if json!(whole) == json!(slices) {
                break;
            }
            let now = store.audit_accounts(1).await?;
            anyhow::ensure!(json!(whole) != json!(now), "{whole:?} in one, {slices:?} in slices");
            whole = now;
        }
        let deadlocks = self.database.deadlocks()?;
        anyhow::ensure!(deadlocks.is_empty(), "{deadlocks:?}");
        Ok(())
    }
}

/// Where a conversion stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: String,
    /// What became of it last.
    pub outcome: String,
    /// Why.
    pub last_error: String,
    /// Retries that it burnt.
    pub retry_count: i32,
    /// When it goes again.
    pub next_retry_at: Option<Timestamp>,
}

/// The fields of an event.
pub fn fields(event: Value) -> Fields {
    if let Value::Object(fields) = event { Fields::new(fields) } else { Fields::default() }
}

/// Credentials that differ from the usual ones in these fields.
pub fn credentials(fields: Value) -> Value {
    let usual = json!({
        "customer_id": "1234567890",
        "client_id": "client-for-tests",
        "client_secret": "client-secret-for-tests",
        "refresh_token": "refresh-token-for-tests",
        "conversion_action_resource_name": "customers/1234567890/conversionActions/987",
        "transport": "ads_api",
    });
    merge(usual, fields)
}

/// A conversion of a site that differs from the usual one in these fields.
pub fn conversion(site: SiteId, fields: &Value) -> Value {
    let usual = json!({
        "site_id": site.to_string(),
        "provider_key": "google_ads",
        "external_id": Uuid::new_v4().to_string(),
        "kind": "conversion",
        "occurred_at": (Timestamp::now() - 48.hours()).to_string(),
        "value": "12.50",
        "currency": "EUR",
    });
    merge(usual, fields.clone())
}

/// The `number`th of many conversions alike but for their ids and seconds.
pub fn row(name: &str, directive: &str, number: usize) -> Value {
    let second = i64::try_from(number).unwrap_or(0);
    json!({
        "external_id": format!("{name}-{number}"),
        "click_ids": { "gclid": format!("sandbox-{directive}-{name}-{number}") },
        "occurred_at": (Timestamp::now() - 48.hours() + second.seconds()).to_string(),
    })
}

fn merge(mut usual: Value, fields: Value) -> Value {
    if let (Value::Object(usual), Value::Object(fields)) = (&mut usual, fields) {
        usual.extend(fields);
    }
    usual
}

fn settings(database_url: &str, sandbox: &Sandbox, http_timeout: Duration) -> Vec<(&'static str, String)> {
    let base_url = sandbox.base_url();
    vec![
        ("DATABASE_URL", database_url.to_owned()),
        ("APP_ENV", "development".to_owned()),
        ("VAULT_KEY", VAULT_KEY.to_owned()),
        ("CRON_SECRET", CRON_SECRET.to_owned()),
        ("INTERNAL_SECRET", INTERNAL_SECRET.to_owned()),
        ("GOOGLE_ADS_BASE_URL", base_url.clone()),
        ("GOOGLE_DATA_MANAGER_BASE_URL", base_url.clone()),
        ("GOOGLE_OAUTH_TOKEN_URL", format!("{base_url}/token")),
        ("PROVIDER_HTTP_TIMEOUT_MS", http_timeout.as_millis().to_string()),
    ]
}

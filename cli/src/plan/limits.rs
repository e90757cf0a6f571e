//! The limits that rule a deployment, taken from where they stand: the runner's code, the adapter, the template.

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use shared::boot::{self, Config};
use shared::delivery::limits::{BATCH_SIZE_WORKER, RECEIPTS_IN_FLIGHT, SETTLE_RESERVE, UPLOADS_IN_FLIGHT};
use shared::domain::{ProviderKey, Secret};
use shared::providers::{AccountOptions, Budget};

use super::measured::{
    CALLS_PER_POLL, CALLS_PER_UPLOAD, DATABASE_CALL, MB_PER_VCPU, RUNNER_ROW_CPU, RUNNER_UPLOAD_CPU,
};
use super::template::Template;
use super::{DAY, Input};

/// The way to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Google's Data Manager API: takes now, answers later, has a budget of requests.
    DataManager,
    /// The Google Ads API: answers at once, names no budget.
    AdsApi,
}

impl Transport {
    /// The word in credentials.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::DataManager => "data_manager",
            Transport::AdsApi => "ads_api",
        }
    }
}

/// Uploads in flight of one quota key over all runners: the default of `relay.quota.slots`, which a test compares.
pub const SLOTS: u32 = 10;

/// The parts of a minute's and a day's budget that may go at once, as `relay.read_budget` has them, which a test compares. The
/// pace of the others leaves room for it.
pub const BURST_OF_MINUTE: u32 = 10;
/// See [`BURST_OF_MINUTE`].
pub const BURST_OF_DAY: u32 = 5;

/// Seconds before a receipt is asked for first: `relay.settle_claimed_conversions` has it, which a test compares.
pub const RECEIPT_AFTER: f64 = 1_800.0;

/// What the code and the template allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Rows of one request.
    pub rows_max: f64,
    /// Uploads of one runner at once.
    pub uploads_in_flight: f64,
    /// Receipts that are asked for at once.
    pub receipts_in_flight: f64,
    /// Seconds of a worker in which it starts something.
    pub worker_seconds: f64,
    /// Seconds of a confirming run in which it asks.
    pub confirm_seconds: f64,
    /// The request budget of one client.
    pub budget: Budget,
    /// The template's numbers.
    pub template: Template,
}

impl Limits {
    /// Those of Google's adapter over this transport, of the runner, and of the template.
    ///
    /// # Errors
    /// Where the adapter cannot be asked: a fault of this program.
    pub fn read(transport: Transport) -> anyhow::Result<Self> {
        let settings = Config::new(|_| None).providers().context("read the default settings")?;
        let registry = boot::registry(&settings)?;
        let adapter = registry.get(ProviderKey::GoogleAds).context("find the adapter")?;
        let credentials = serde_json::json!({
            "customer_id": "1234567890", "client_id": "plan", "client_secret": "plan", "refresh_token": "plan",
            "conversion_action_resource_name": "customers/1234567890/conversionActions/1",
            "transport": transport.as_str(),
        });
        let secret = Secret::new(credentials.to_string());
        let account = adapter
            .open_account(&secret, &AccountOptions::default())
            .map_err(|faults| anyhow!("open an account to plan with: {faults:?}"))?;
        let template = Template::read();
        let reserve = SETTLE_RESERVE.as_secs_f64();
        let spare = |timeout: f64| timeout - reserve - settings.http_timeout.as_secs_f64().min(timeout / 3.0);
        #[allow(clippy::cast_precision_loss)] // A few thousand.
        Ok(Self {
            rows_max: adapter.capabilities().max_batch.min(BATCH_SIZE_WORKER) as f64,
            uploads_in_flight: UPLOADS_IN_FLIGHT as f64,
            receipts_in_flight: f64::from(RECEIPTS_IN_FLIGHT),
            worker_seconds: spare(template.runner.timeout_seconds),
            confirm_seconds: spare(template.confirm.timeout_seconds),
            budget: account.budget(),
            template,
        })
    }

    /// Clients that have something to send: a site has one.
    pub fn clients(input: &Input) -> f64 {
        f64::from(input.clients.min(input.sites))
    }

    /// Workers that can be at work at once: each minute's, until the first is over; one place is left for cron.
    pub fn workers(&self, input: &Input) -> f64 {
        let by_time = (self.worker_seconds / self.template.tick_seconds).ceil().max(1.0);
        by_time.min(f64::from(input.runner_concurrency) - 1.0).max(0.0)
    }

    /// Uploads that can be in flight at once.
    pub fn places(&self, input: &Input) -> f64 {
        let slots = f64::from(SLOTS) * Self::clients(input);
        (self.workers(input) * self.uploads_in_flight).min(slots)
    }

    /// Seconds of one upload of so many rows: the platform, the database, and the runner's share of a core.
    pub fn upload_seconds(&self, input: &Input, rows: f64) -> f64 {
        let share = (self.template.runner.memory_mb / MB_PER_VCPU).min(1.0);
        let own = (RUNNER_UPLOAD_CPU + rows * RUNNER_ROW_CPU) / share;
        input.provider_latency_seconds + CALLS_PER_UPLOAD * DATABASE_CALL + own
    }

    /// Questions for each upload.
    pub fn polls_per_upload(&self, input: &Input) -> f64 {
        match input.transport {
            Transport::DataManager => input.polls_per_receipt,
            Transport::AdsApi => 0.0,
        }
    }

    /// Receipts that confirming runs can ask for on a day.
    pub fn polls_per_day(&self, input: &Input) -> f64 {
        let round = input.provider_latency_seconds + CALLS_PER_POLL * DATABASE_CALL;
        let rounds = (self.confirm_seconds / round).floor();
        rounds * self.receipts_in_flight * self.template.confirm.scheduled_per_day
    }

    /// Requests each second that the minute's budget of all clients lets through in the long run.
    pub fn minute_per_second(&self, input: &Input) -> Option<f64> {
        let per_minute = self.budget.per_minute?;
        Some(pace(per_minute, BURST_OF_MINUTE, 60.0) * Self::clients(input))
    }

    /// The same for the day's.
    pub fn day_per_second(&self, input: &Input) -> Option<f64> {
        let per_day = self.budget.per_day?;
        Some(pace(per_day, BURST_OF_DAY, DAY) * Self::clients(input))
    }

    /// The narrower of both.
    pub fn budget_per_second(&self, input: &Input) -> Option<f64> {
        let both = [self.minute_per_second(input), self.day_per_second(input)];
        both.into_iter().flatten().reduce(f64::min)
    }
}

/// Requests each second beside a burst, so that no window holds more than its limit.
fn pace(limit: u32, burst_of: u32, window_seconds: f64) -> f64 {
    let burst = (limit / burst_of).max(1);
    f64::from(limit - burst + 1) / window_seconds
}

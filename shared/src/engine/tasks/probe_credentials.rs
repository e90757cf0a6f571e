//! Probing credentials: finds a grant that was revoked before a conversion does, and lets go what somebody has mended.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, json};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::delivery::{AccessError, Deadline, Examination, RunError, RunReport, Subject};
use crate::domain::{HoldScope, SiteId};
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::providers::{Check, Depth, proves_mended, trace::carry};
use crate::store::{GroupToProbe, OpenHold, SealedCredentials};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("probe-credentials"),
    turns: Turns::Exclusive(482_178),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 4] = ["site_id", "limit", "scheduled_time", "lockId"];

/// Groups that one run looks at where nobody says otherwise: some minutes of token requests.
pub const DEFAULT_LIMIT: u32 = 2_000;

/// The most that may be asked for: 10,000 sites, each with two providers.
const MAX_LIMIT: u32 = 20_000;

/// A quiet group is looked at once a day, wherever in the night its turn comes.
const QUIET: Duration = Duration::from_secs(20 * 3_600);

/// A held one is looked at once an hour: somebody may have mended it, and its conversions wait.
const HELD: Duration = Duration::from_secs(3_600);

/// Groups that are looked at at once: the token endpoint names no limit, and this leaves it in peace.
const AT_ONCE: usize = 10;

/// What probing is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// One site only, and at once.
    pub site: Option<SiteId>,
    /// How many groups at most.
    pub limit: u32,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"site_id"?,"limit":2000}`, which may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let site = fields.parsed("site_id")?;
        let limit = fields.number("limit", 1, MAX_LIMIT)?;
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self { site, limit: limit.unwrap_or(DEFAULT_LIMIT), trigger })
    }
}

/// What probing found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// True also where groups had faults: they are in `errors`.
    pub ok: bool,
    /// Groups whose turn it was.
    pub total: u64,
    /// Groups that were looked at.
    pub processed: u64,
    /// Groups that only new credentials can mend, or that the deadline came before.
    pub skipped: u64,
    /// The first faults, at most 20.
    pub errors: Vec<RunError>,
    /// All of them.
    pub errors_total: u64,
    /// Holds that were opened.
    pub held: u64,
    /// Holds that were lifted.
    pub lifted: u64,
}

/// What came of one group, or of several.
#[derive(Default)]
struct Found {
    report: RunReport,
    processed: u64,
    skipped: u64,
    held: u64,
    lifted: u64,
    requests: u64,
    http_429: u64,
}

impl Found {
    fn add(&mut self, other: Found) {
        self.report.add(other.report);
        self.processed += other.processed;
        self.skipped += other.skipped;
        self.held += other.held;
        self.lifted += other.lifted;
        self.requests += other.requests;
        self.http_429 += other.http_429;
    }
}

/// Probing as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Looks at the groups whose turn it is until none is left, the limit is reached or the deadline is near.
///
/// # Errors
/// The database's, and the vault's where its key does not open.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "site_id": request.site, "limit": request.limit });
    let mut work = Probing { request, total: 0, found: Found::default(), cut_short: false };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer()),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Probing<'a> {
    request: &'a Request,
    total: u64,
    found: Found,
    /// Whether the time was up while groups were left.
    cut_short: bool,
}

impl Work for Probing<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let (context, request) = (&running.context, self.request);
        // A wrong key must not hold every site.
        context.access.check_key().await.context("the vault's key does not open")?;
        let since = Instant::now();
        let waits = if request.site.is_some() { (Duration::ZERO, Duration::ZERO) } else { (QUIET, HELD) };
        while self.total < u64::from(request.limit) && !running.is_over() {
            let left = usize::try_from(u64::from(request.limit) - self.total)?.min(AT_ONCE);
            let (site, limit) = (request.site, i32::try_from(left)?);
            let groups = context.store.claim_groups_to_probe(site, waits.0, waits.1, limit).await?;
            if groups.is_empty() {
                return Ok(());
            }
            self.total += groups.len() as u64;
            let ids: Vec<_> = groups.iter().map(|group| group.group).collect();
            let sealed = context.store.read_provider_credentials(&ids).await?;
            let mut looks = JoinSet::new();
            for group in groups {
                let sealed = sealed.iter().find(|sealed| sealed.group == group.group).cloned();
                let look = look(context.clone(), group, sealed, since, running.deadline);
                looks.spawn(carry(look));
            }
            while let Some(looked) = looks.join_next().await {
                self.found.add(looked.context("a look broke off")??);
            }
            // One site has its groups in one claim, and would have them again in the next.
            if request.site.is_some() {
                return Ok(());
            }
        }
        self.cut_short = self.total < u64::from(request.limit);
        Ok(())
    }

    fn tally(&self) -> Tally {
        let found = &self.found;
        Tally {
            requests: found.requests,
            http_429: found.http_429,
            cut_short: self.cut_short,
            errors: found.report.errors_total,
            notes: String::new(),
            counters: json!({
                "total": self.total, "processed": found.processed, "skipped": found.skipped, "held": found.held,
                "lifted": found.lifted,
            }),
        }
    }
}

impl Probing<'_> {
    fn answer(self) -> Answer {
        let found = self.found;
        Answer {
            ok: true,
            total: self.total,
            processed: found.processed,
            skipped: found.skipped,
            errors: found.report.errors,
            errors_total: found.report.errors_total,
            held: found.held,
            lifted: found.lifted,
        }
    }
}

/// Looks at one group: quiet ones by their token, held ones for what may be mended.
async fn look(
    context: Context,
    group: GroupToProbe,
    sealed: Option<SealedCredentials>,
    since: Instant,
    deadline: Deadline,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let adapter = context.registry.get(group.provider);
    let can_probe = |hold: &OpenHold| adapter.is_some_and(|adapter| adapter.can_probe(&hold.code));
    let is_stopped = |hold: &OpenHold| hold.action.is_none() && !can_probe(hold);
    let (Some(sealed), false) = (sealed, deadline.is_near() || group.holds.iter().any(is_stopped)) else {
        found.skipped = 1;
        return Ok(found);
    };
    found.processed = 1;
    let subject = Subject {
        site: group.site,
        provider: group.provider,
        quota_key: group.quota_key.as_deref(),
        transport: group.transport.as_deref(),
        sealed: &sealed,
    };
    if !group.holds.iter().any(|hold| hold.action.is_none()) {
        let Some(examined) = examine(&context, &subject, Depth::Cheap, None, since, &mut found).await? else {
            return Ok(found);
        };
        if let Some(red) = examined.checks.iter().find(|check| check.is_red()) {
            hold(&context, &group, red, &mut found).await?;
            return Ok(found);
        }
    }
    for hold in group.holds.iter().filter(|hold| can_probe(hold)) {
        let action = hold.action.as_deref();
        let Some(examined) = examine(&context, &subject, Depth::Probe, action, since, &mut found).await?
        else {
            return Ok(found);
        };
        if proves_mended(&examined.checks, &hold.code) {
            lift(&context, &group, hold, &mut found).await?;
        } else if let Some(red) = examined.checks.iter().find(|check| check.is_red()) {
            tell(&group, red, &mut found);
        }
    }
    Ok(found)
}

/// One look; nothing where the vault does not open for this group, which stops no other.
async fn examine(
    context: &Context,
    subject: &Subject<'_>,
    depth: Depth,
    action: Option<&str>,
    since: Instant,
    found: &mut Found,
) -> anyhow::Result<Option<Examination>> {
    match context.access.examine(subject, depth, action, since).await {
        Ok(examined) => {
            found.requests += examined.requests;
            found.http_429 += examined.http_429;
            Ok(Some(examined))
        }
        Err(AccessError::Store(error)) => Err(error.into()),
        Err(
            error @ (AccessError::Vault(_) | AccessError::Credentials(_) | AccessError::UnknownProvider(_)),
        ) => {
            let told = format!("{:#}", anyhow::Error::from(error));
            found.report.error(subject.site, subject.provider, told);
            Ok(None)
        }
    }
}

fn tell(group: &GroupToProbe, red: &Check, found: &mut Found) {
    let code = red.code.as_ref().map_or("NO_CODE", |code| code.as_str());
    found.report.error(group.site, group.provider, format!("{code}: {}", red.says));
}

/// What a quiet group would meet with its next conversion it meets now; only what is its own alone.
async fn hold(context: &Context, group: &GroupToProbe, red: &Check, found: &mut Found) -> anyhow::Result<()> {
    tell(group, red, found);
    let (Some(HoldScope::Site), Some(code)) = (red.scope, &red.code) else {
        return Ok(());
    };
    if context.store.hold_group(group.group, code, group.probed_at).await? {
        found.held += 1;
        warn!(
            site.id = %group.site, provider = %group.provider, event = "hold_opened", code = code.as_str(),
            "conversions wait for a mend"
        );
    }
    Ok(())
}

async fn lift(
    context: &Context,
    group: &GroupToProbe,
    hold: &OpenHold,
    found: &mut Found,
) -> anyhow::Result<()> {
    if context.store.lift_probed_hold(hold.hold_id).await? {
        found.lifted += 1;
        info!(
            site.id = %group.site, provider = %group.provider, event = "hold_lifted", code = hold.code.as_str(),
            "what was wrong is mended: conversions go on"
        );
    }
    Ok(())
}

//! Cold starts of the release binaries, as Lambda starts them: to the first request for an event, to the first answer, the
//! memory of an invocation that is worth one, and how large the zip is; beside a Node function that asks one question.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use relay_cli::sandbox;
use serde_json::{Value, json};
use shared::domain::{ProviderKey, Secret, SiteId};
use tokio::process::Command;
use uuid::Uuid;

use crate::function::Function;
use crate::peers::Peers;
use crate::report::{Report, number, quantile, times};
use crate::server::Server;
use crate::stage::{Stage, input};

/// Process start to the first request for an event, in milliseconds.
const GOAL_MS: f64 = 15.0;

/// The zip that is deployed, in millions of bytes.
const GOAL_ZIP_MB: f64 = 4.0;

/// The smallest memory that Lambda sells.
const GOAL_MIB: f64 = 128.0;

/// The largest request of the Data Manager API: conversions that one run of the runner sends at once.
const ROWS: usize = 2_000;

/// The most that the door takes in one call.
const BATCH: usize = 1_000;

/// Receipts are asked for at once.
const EARLY_MINUTES: u32 = 60;

/// What a function is given.
struct Job {
    name: &'static str,
    /// An event that is as much work as one invocation gets, and what it is.
    event: Value,
    work: String,
    /// Where its answer says that the work was done, and what it says there.
    proof: (&'static str, Value),
    /// An event that a cold start is measured with: little work.
    light: Value,
}

/// Milliseconds of many starts.
#[derive(Default)]
struct Starts {
    asked: Vec<f64>,
    answered: Vec<f64>,
}

/// Runs it; `starts` of each.
pub(crate) async fn run(server: &Server, peers: Option<&Peers>, starts: usize) -> anyhow::Result<Report> {
    let folder = build().await?;
    let options = sandbox::Options { processing: Duration::ZERO, ..sandbox::Options::default() };
    let sandbox = sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await?;
    let stage = Stage::set(server, "relay", &sandbox.base_url()).await?;
    let site = put_site(&stage).await?;
    stage.enqueue(&[site], 0, ROWS).await?;

    let node = match peers {
        Some(peers) => Some(measure(|| peers.function(), &stage, None, starts, &json!({})).await?),
        None => None,
    };
    let mut report = Report::new(
        format!("Cold start of the release binaries, {starts} starts each"),
        &[
            "function",
            "zip MB",
            "to /next ms",
            "p90 ms",
            "goal",
            "Node/ours",
            "to answer ms",
            "Node/ours",
            "peak MiB",
            "of",
        ],
    );
    let owner = server.url("postgres", "relay")?;
    for job in jobs(site) {
        let url = (job.name == "migrate").then_some(owner.as_str());
        let program = folder.join(job.name);
        let peak = work(&program, &stage, url, &job).await.context(job.name)?;
        let ours = measure(|| Command::new(&program), &stage, url, starts, &job.light).await;
        let ours = ours.context(job.name)?;
        report.row(cells(
            &job,
            zip_bytes(&shipped(&folder, job.name).unwrap_or(program)).await?,
            &ours,
            node.as_ref(),
            peak,
        ));
    }
    if let Some(node) = &node {
        let [asked, late, answered] = node.figures();
        let name = "Node with pg: one query".to_owned();
        let figures = [number(asked), number(late), String::new(), String::new(), number(answered)];
        report.row(
            [name, String::new()]
                .into_iter()
                .chain(figures)
                .chain(std::array::from_fn::<_, 3, _>(|_| String::new())),
        );
    }
    report.note(format!(
        "goals: ≤ {GOAL_MS} ms to the request for an event, ≤ {GOAL_ZIP_MB} MB as `sam deploy` packs it, ≤ {GOAL_MIB} MiB"
    ));
    report.note(format!(
        "zip: of what `cargo lambda build --release --arm64` left beside the build, else of this machine's ({}) program",
        env::consts::ARCH
    ));
    report.note("to the answer: a real PostgreSQL on loopback, an event with little to do; Node asks one question, ours do the task");
    stage.check_accounts().await?;
    sandbox.stop().await;
    drop(stage);
    server.drop_database("relay").await?;
    Ok(report)
}

/// What each function is measured with, in an order in which each finds work.
fn jobs(site: SiteId) -> Vec<Job> {
    let worker = json!({ "mode": "worker", "provider_key": "google_ads" });
    let now = Timestamp::now();
    let take = |from: usize, count: usize| {
        let conversions: Vec<Value> = (from..from + count).map(|number| input(site, number, now)).collect();
        json!({ "site_id": site.to_string(), "conversions": conversions })
    };
    let nightly = json!(["keep-partitions", "reseal-credentials", "recompute-scores", "prune", "audit"]);
    let job = |name, event: Value, work: &str, proof, light| Job {
        name,
        event,
        work: work.to_owned(),
        proof,
        light,
    };
    let done = || ("/ok", json!(true));
    let seed = json!({
        "site_id": site.to_string(), "provider_key": "google_ads", "credentials": credentials(),
    });
    vec![
        job(
            "runner",
            worker.clone(),
            "2,000 conversions in one request",
            ("/submitted", json!(ROWS)),
            worker,
        ),
        job(
            "confirm",
            json!({ "early_minutes": EARLY_MINUTES }),
            "their receipt",
            ("/completed", json!(ROWS)),
            json!({}),
        ),
        job("recover", json!({}), "nothing lapsed", done(), json!({})),
        job(
            "maintain",
            json!({ "tasks": nightly }),
            "the nightly tasks",
            done(),
            json!({ "tasks": ["keep-partitions"] }),
        ),
        job("seed", seed.clone(), "one site", done(), seed),
        job("ingest", take(ROWS, BATCH), "1,000 conversions", ("/counts/queued", json!(BATCH)), take(0, 1)),
        job(
            "health",
            json!({ "check": "ready" }),
            "ready",
            ("/status", json!("ok")),
            json!({ "check": "ready" }),
        ),
        job("migrate", json!({}), "nothing new", done(), json!({})),
    ]
}

fn credentials() -> Value {
    json!({
        "customer_id": "1000000000",
        "client_id": "bench-client",
        "client_secret": "bench-secret",
        "refresh_token": "bench-refresh-token",
        "conversion_action_resource_name": "customers/1000000000/conversionActions/987",
        "transport": "data_manager",
    })
}

async fn put_site(stage: &Stage) -> anyhow::Result<SiteId> {
    let site = SiteId(Uuid::new_v4());
    let credentials = Secret::new(credentials().to_string());
    stage.context.access.put_credentials(site, ProviderKey::GoogleAds, &credentials).await?;
    Ok(site)
}

/// One invocation that is worth its memory: the peak, in MiB.
async fn work(program: &Path, stage: &Stage, url: Option<&str>, job: &Job) -> anyhow::Result<f64> {
    let mut function = start(Command::new(program), stage, url).await?;
    function.asked().await?;
    let (answer, _) = function.invoke(&job.event).await?;
    let (place, wanted) = &job.proof;
    ensure!(answer.pointer(place) == Some(wanted), "{place} is not {wanted}: {answer}");
    let peak = function.peak_mib()?;
    function.stop().await?;
    Ok(peak)
}

/// Many cold starts, one after the other; the first, which finds nothing in the page cache, is not counted.
async fn measure(
    program: impl Fn() -> Command,
    stage: &Stage,
    url: Option<&str>,
    starts: usize,
    event: &Value,
) -> anyhow::Result<Starts> {
    let mut measured = Starts::default();
    for start_number in 0..=starts {
        let mut function = start(program(), stage, url).await?;
        let asked = function.asked().await?;
        let (_, answered) = function.invoke(event).await?;
        function.stop().await?;
        if start_number > 0 {
            measured.asked.push(asked);
            measured.answered.push(answered);
        }
    }
    Ok(measured)
}

async fn start(command: Command, stage: &Stage, url: Option<&str>) -> anyhow::Result<Function> {
    let settings = stage.settings().iter().map(|(name, value)| (*name, value.as_str()));
    Function::start(command, settings.chain(url.map(|url| ("DATABASE_URL", url)))).await
}

impl Starts {
    /// To the request for an event: median and the ninetieth of a hundred; to the answer: median.
    fn figures(&self) -> [f64; 3] {
        [quantile(&self.asked, 0.5), quantile(&self.asked, 0.9), quantile(&self.answered, 0.5)]
    }
}

fn cells(job: &Job, zip_bytes: u64, ours: &Starts, node: Option<&Starts>, peak: f64) -> [String; 10] {
    let [asked, late, answered] = ours.figures();
    let ratios = node.map(|node| [node.figures()[0] / asked, node.figures()[2] / answered]);
    let [by_request, by_answer] = ratios.map_or_else(Default::default, |ratios| ratios.map(times));
    let zip = zip_bytes as f64 / 1e6;
    let reached = asked <= GOAL_MS && zip <= GOAL_ZIP_MB && peak <= GOAL_MIB;
    [
        job.name.to_owned(),
        number(zip),
        number(asked),
        number(late),
        if reached { "yes" } else { "NO" }.to_owned(),
        by_request,
        number(answered),
        by_answer,
        number(peak),
        job.work.clone(),
    ]
}

/// The functions as they are released: the folder of their programs.
async fn build() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("find this program")?;
    let target = own.ancestors().nth(2).context("this program stands in a build folder")?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["build", "--release", "--locked"]).arg("--target-dir").arg(target);
    for function in shared::boot::functions::ALL {
        command.args(["--package", function.name]);
    }
    // What cargo says of this package would make build scripts run again.
    for (name, _) in
        env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    let status = command.stdin(Stdio::null()).status().await.context("run cargo")?;
    ensure!(status.success(), "the functions do not build");
    Ok(target.join("release"))
}

/// What is shipped: the program for arm64, where it was built.
fn shipped(release: &Path, name: &str) -> Option<PathBuf> {
    Some(release.parent()?.join("lambda").join(name).join("bootstrap")).filter(|program| program.is_file())
}

/// What a zip of one program takes: gzip's stream is the same but for 110 bytes of names. Level 6 is what SAM packs with.
async fn zip_bytes(program: &Path) -> anyhow::Result<u64> {
    let file = fs::File::open(program).with_context(|| format!("open {}", program.display()))?;
    let output = Command::new("gzip").args(["-6", "-c"]).stdin(file).output().await.context("run gzip")?;
    ensure!(output.status.success(), "gzip failed");
    Ok(output.stdout.len() as u64)
}

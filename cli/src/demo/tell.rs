//! What the demo says at each step.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use shared::boot::Migrated;
use shared::engine::tasks::{confirm, recover};

use super::circuit::CircuitSeen;
use super::door::Door;
use super::killed::Killed;
use super::proof::{events, number};
use super::reasons::meaning;
use super::sites::Site;
use super::stage::{LATENCY, Stage};
use super::story::{INDENT, Ink, Story, WIDTH, thousands};
use super::{Demo, Run};

/// Faults of one run that are told.
const ERRORS_SHOWN: usize = 6;

/// Columns within a step.
const ROOM: usize = WIDTH - INDENT.len();

pub(super) fn opening(story: &mut Story) {
    story.step("A PostgreSQL of its own, durable, in a folder that goes with it");
}

pub(super) fn database(story: &mut Story, migrated: &Migrated) {
    story.say(&format!(
        "migrated: {} migrations, {} functions, {} partitions; from here on as the login relay_service, \
         which may call functions and nothing else",
        migrated.migrations.len(),
        migrated.functions,
        migrated.partitions
    ));
}

pub(super) fn stage(story: &mut Story, stage: &Stage) {
    story.step("The stand-in for Google");
    story.say(&format!(
        "{} – token endpoint, Data Manager API and Google Ads API, {} ms per answer",
        stage.sandbox.base_url(),
        LATENCY.as_millis()
    ));
}

pub(super) fn sites(story: &mut Story) {
    story.step("Eight sites, their credentials sealed");
    for site in Site::ALL {
        let transport = site.transport().map_or("–", |transport| transport.name());
        story.line(&format!("{:<10}{transport:<18}{}", site.name(), site.story()));
    }
}

pub(super) fn killed(story: &Story, killed: &Killed, claimed: usize, lease: Duration) {
    story.say(&format!(
        "{claimed} conversions in; `relay run --mode worker` (process {}) claims them and sends; SIGKILL with {} \
         requests in flight. The platform has counted {} conversions, and nobody has its answers. Nobody may touch \
         them until the dead runner's lease lapses, {} s after it sent them.",
        killed.pid,
        killed.requests_in_flight,
        killed.conversions_counted,
        lease.as_secs()
    ));
}

pub(super) fn door(story: &mut Story, door: &Door, lines: u64, seconds: f64) {
    story.step("The door: lines of JSON in, refused ones named");
    story.say(&format!(
        "{} lines in {seconds:.1} s, and then some with mistakes. All that came so far:",
        thousands(lines)
    ));
    story.line(&format!(
        "{:>6} queued   {} held for credentials   {} duplicate   {} conflict   {} too old   {} refused",
        thousands(door.queued),
        door.held,
        door.duplicate,
        door.conflict,
        door.expired,
        door.invalid
    ));
    for (field, reason) in &door.reasons {
        story.line(&story.ink(Ink::Dim, &cut(&format!("       {field} {reason}"), ROOM)));
    }
    story.say(&format!(
        "{} identifiers were no address and no number: left out, never guessed; the conversions went in",
        thousands(door.identifiers_dropped)
    ));
}

/// One run; faults of a kind that stands in `told` already are not told again.
pub(super) fn run(story: &Story, title: &str, run: &Run, told: &mut BTreeSet<String>) {
    let answer = &run.answer;
    let counts = [
        (answer.completed, "completed"),
        (answer.submitted, "submitted"),
        (answer.failed, "failed"),
        (answer.held, "held"),
        (answer.retry, "to go again"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", thousands(*count)))
        .collect();
    story.say(&format!("{title}{}, in {:.2} s", counts.join(", "), run.seconds));
    for error in answer.errors.iter().take(ERRORS_SHOWN) {
        let site = Site::ALL.into_iter().find(|site| site.id() == error.site_id).map_or("", Site::name);
        let kind = format!("{site:<10}{}", error.error.split(':').next().unwrap_or_default());
        if told.insert(kind) {
            let line = format!("       {site:<10}{}", error.error);
            story.line(&story.ink(Ink::Dim, &cut(&line, ROOM)));
        }
    }
}

pub(super) fn outage(story: &mut Story, conversions: usize, open_seconds: i32) {
    story.step("An outage: the circuit");
    story.say(&format!(
        "{conversions} conversions for fjord, whose platform answers 503. Five requests that fail in a row open its \
         circuit: for 5 to 6 minutes in life, for {open_seconds} s and a little here"
    ));
}

/// Tells the changes after the first `told` of them; how many were told in all.
pub(super) fn circuit(story: &Story, seen: &[CircuitSeen], told: usize) -> usize {
    for (place, one) in seen.iter().enumerate().skip(told) {
        let before = place.checked_sub(1).map(|before| seen[before].state.as_str());
        let (ink, what) = match (before, one.state.as_str()) {
            (Some("HALF_OPEN"), "OPEN") => (Ink::Red, "the probe failed too"),
            (_, "OPEN") => (Ink::Red, "five requests failed in a row; from now on the claim passes it over"),
            (_, "HALF_OPEN") => (Ink::Yellow, "a probe, one request with at most five conversions"),
            (Some(_), _) => (Ink::Green, "the platform lives"),
            (None, _) => (Ink::Green, ""),
        };
        let state = story.ink(ink, &format!("{:<11}", one.state));
        story.line(&format!("{:>6.2} s  {state}{what}", one.seconds));
    }
    seen.len()
}

pub(super) fn recovered(story: &Story, answer: &recover::Answer) {
    story.say(&format!(
        "{} conversions put back, {} open attempts closed as ambiguous, {} slots freed",
        answer.requeued, answer.attempts_settled, answer.leases_freed
    ));
}

pub(super) fn receipts(story: &mut Story) {
    story.step("Receipts: what the Data Manager API took comes to its end");
    story.say(
        "It tells later, in life after half an hour, and only counts. What was sent and how many it counts tell some; the \
         rest goes again in parts, under the same transaction ids",
    );
}

pub(super) fn confirmed(story: &Story, answer: &confirm::Answer) {
    let ends = [(answer.failed, "failed"), (answer.retry, "go again to find out which were meant")];
    let ends: String = ends
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {} {what}", thousands(*count)))
        .collect();
    story.line(&format!(
        "{:>3} receipts settled: {:>5} completed{ends}",
        answer.processed,
        thousands(answer.completed)
    ));
}

/// Everything that is told once it is over.
pub(super) fn ending(story: &mut Story, demo: &Demo) {
    outcomes(story, demo);
    timeline(story, demo);
    rates(story, demo);
    proof(story, demo);
}

fn outcomes(story: &mut Story, demo: &Demo) {
    story.step("What became of each conversion");
    let mut status = "";
    for count in &demo.conversions {
        let shown = if count.status == status { "" } else { count.status.as_str() };
        let outcome = count.outcome.as_deref().unwrap_or("–");
        let code = count.code.as_deref().unwrap_or("–");
        let code = code.rsplit('.').next().unwrap_or(code);
        let code = code.trim_start_matches("PROCESSING_ERROR_REASON_");
        let why = meaning(&count.status, count.outcome.as_deref(), Some(code));
        story.line(&format!(
            "{}{:>6}  {:<11} {:<34} {}",
            story.ink(Ink::Bold, &format!("{shown:<10}")),
            thousands(number(count)),
            outcome,
            cut(code, 34),
            story.ink(Ink::Dim, &cut(why, 30)),
        ));
        status = &count.status;
    }
}

fn timeline(story: &mut Story, demo: &Demo) {
    story.step("One conversion's timeline (relay explain)");
    let Some(document) = &demo.timeline else {
        story.say("none of them was lost with the killed runner and recognised afterwards");
        return;
    };
    story.line(&format!(
        "conversion {}, external id {}, order {}",
        document["conversion_id"],
        text(&document["external_id"]),
        text(&document["order_id"])
    ));
    let began = time(&document["created_at"]);
    for event in events(document) {
        let since = time(&event["at"]).zip(began).map(|(at, began)| at.duration_since(began).as_secs_f64());
        let mut what = format!("{:>6.2} s  {:<12}", since.unwrap_or_default(), text(&event["event"]));
        for name in ["class", "code"] {
            what.push_str(&format!("{} ", text(&event[name])));
        }
        story.line(&what);
        if !event["transport"].is_null() {
            story.line(&story.ink(
                Ink::Dim,
                &format!(
                    "                       one of {} in one request over {}: HTTP {}, after {} ms",
                    event["request_conversions"],
                    text(&event["transport"]),
                    event["http_status"],
                    event["duration_ms"]
                ),
            ));
        }
    }
    story.say(
        "Google had it; the killed runner never heard. Sent again under the same order id, it was known there: \
         one delivery, counted once.",
    );
}

fn rates(story: &mut Story, demo: &Demo) {
    story.step("How fast");
    // What goes again for a receipt is a few requests that wait for their answers.
    let told = |run: &&Run| run.conversions_per_second > 0.0 && run.title != super::play::AGAIN;
    for run in demo.runs.iter().filter(told) {
        story.line(&format!(
            "{:<38}{:>7} conversions/s   ({:.2} s)",
            run.title,
            thousands(whole(run.conversions_per_second)),
            run.seconds
        ));
    }
    let build = if cfg!(debug_assertions) { "an unoptimised build" } else { "an optimised build" };
    story.say(&format!(
        "Each run from its start to its answer: claim, requests to the stand-in in this process ({} ms per answer, a \
         timeout of 2 s among them), outcomes, ledger, circuit and metrics committed to disk. Conversions that came \
         to an end, a receipt or a hold, counted once however often they were sent; {build}.",
        LATENCY.as_millis()
    ));
}

fn proof(story: &mut Story, demo: &Demo) {
    story.step("The proof");
    let (sums, witness) = (demo.sums, &demo.witness);
    story.line(&format!(
        "{} enqueued = {} completed + {} submitted + {} failed + {} waiting",
        story.ink(Ink::Bold, &thousands(demo.enqueued)),
        thousands(sums.completed),
        thousands(sums.submitted),
        thousands(sums.failed),
        thousands(sums.waiting)
    ));
    story.line(&format!(
        "the stand-in's ledger: {} requests, {} conversions received, {} counted, {} counted twice",
        thousands(witness.requests),
        thousands(witness.received),
        thousands(witness.counted),
        witness.counted_twice
    ));
    for check in &demo.checks {
        let mark = if check.ok { story.ink(Ink::Green, "ok    ") } else { story.ink(Ink::Red, "FAILED") };
        story.line(&format!("{mark}  {}", check.fact));
        if !check.ok {
            story.line(&format!("        {}", cut(&check.figures, ROOM - 8)));
        }
    }
    let end = if demo.ok {
        story.ink(Ink::Green, "It all adds up.")
    } else {
        story.ink(Ink::Red, "It does not add up.")
    };
    story.line(&format!("{end} {:.1} s; the database, its folder and every process are gone.", demo.seconds));
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is neither negative nor huge"
    )]
    let whole = number.round() as u64;
    whole
}

/// At most so many characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

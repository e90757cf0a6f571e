//! `relay plan`: the model's own arithmetic, and what it refuses.

use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use relay_cli::plan::measured::{
    CALLS_PER_UPLOAD, DATABASE_CALL, MB_PER_VCPU, RUNNER_ROW_CPU, RUNNER_UPLOAD_CPU,
};
use relay_cli::plan::{Egress, Input, Limits, Plan, Prices, Region, Standby, Template, Transport, Way};
use relay_cli::plan::{plan, requests_of};
use rust_decimal::Decimal;
use serde_json::Value;
use tests::binaries::binary;
use tests::cases::cases;

/// A hundred sites at a million a day, over ten clients, whose platform answers at once.
pub(super) fn input() -> Input {
    let template = Template::read();
    Input {
        sites: 100,
        conversions_per_day: 1_000_000,
        provider_latency_seconds: 0.8,
        transport: Transport::AdsApi,
        clients: 10,
        peak: 3.0,
        batch: 10,
        polls_per_receipt: 1.2,
        retry_share: 0.0,
        retention_days: 400,
        runner_concurrency: template.runner_concurrency,
        ingest_concurrency: template.ingest_concurrency,
        ingest_requests_per_second: template.ingest_requests_per_second,
        region: Region::UsEast1,
        egress: Egress::Nat,
        standby: Standby::MultiAz,
    }
}

pub(super) fn planned(input: &Input) -> Plan {
    plan(input, &limits(input.transport), &Prices::of(input.region).unwrap())
}

/// Read once: it opens an account.
fn limits(transport: Transport) -> Limits {
    static READ: LazyLock<[Limits; 2]> =
        LazyLock::new(|| [Transport::DataManager, Transport::AdsApi].map(|way| Limits::read(way).unwrap()));
    match transport {
        Transport::DataManager => READ[0],
        Transport::AdsApi => READ[1],
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    let size = (1_u32..20_000, 0.0..8.5_f64, 0.01..5.0_f64, any::<bool>(), 1_u32..200);
    let shape = (1.0..10.0_f64, 1_u32..1_000, 1.0..5.0_f64, 0.0..0.5_f64, 180_u32..1_000, 2_u32..200);
    (size, shape, any::<[bool; 3]>()).prop_map(|(size, shape, [region, egress, standby])| {
        let (sites, magnitude, provider_latency_seconds, has_receipts, clients) = size;
        let (peak, batch, polls_per_receipt, retry_share, retention_days, runner_concurrency) = shape;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let conversions_per_day = 10_f64.powf(magnitude) as u64;
        Input {
            sites,
            conversions_per_day,
            provider_latency_seconds,
            transport: if has_receipts { Transport::DataManager } else { Transport::AdsApi },
            clients,
            peak,
            batch,
            polls_per_receipt,
            retry_share,
            retention_days,
            runner_concurrency,
            region: if region { Region::UsEast1 } else { Region::EuCentral1 },
            egress: if egress { Egress::Nat } else { Egress::DualStack },
            standby: if standby { Standby::MultiAz } else { Standby::SingleAz },
            ..input()
        }
    })
}

#[test]
fn more_conversions_never_cost_less_nor_load_less() {
    let more = (any_input(), 1.0..20.0_f64);
    TestRunner::new(cases(200))
        .run(&more, |(input, times)| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let more = (input.conversions_per_day as f64 * times) as u64;
            let (less, more) = (planned(&input), planned(&Input { conversions_per_day: more, ..input }));

            let grows = |plan: &Plan| {
                [
                    // Larger batches take longer, so where every place is taken there are fewer of them; they carry more.
                    plan.traffic.uploads_per_day * plan.traffic.mean.rows_per_request,
                    plan.runners.uploads_in_flight_at_peak,
                    plan.database.cores_at_peak,
                    plan.database.storage_gib,
                    plan.database.gb_per_day,
                ]
            };
            for (place, (less, more)) in grows(&less).into_iter().zip(grows(&more)).enumerate() {
                prop_assert!(more >= less * (1.0 - 1e-6), "{place}: {less} {more}");
            }
            prop_assert!(
                more.cost.usd_per_month >= less.cost.usd_per_month,
                "{:?} {:?}",
                less.cost,
                more.cost
            );
            prop_assert!(less.keeps_up || !more.keeps_up);
            Ok(())
        })
        .unwrap();
}

#[test]
fn sums_add_up_and_nothing_leaves_its_bounds() {
    TestRunner::new(cases(200))
        .run(&any_input(), |input| {
            let plan = planned(&input);

            let sum: Decimal = plan.cost.lines.iter().map(|line| line.usd).sum();
            prop_assert_eq!(sum, plan.cost.usd_per_month);
            prop_assert!(plan.cost.lines.iter().all(|line| line.usd >= Decimal::ZERO));
            let limits = limits(input.transport);
            let traffic = &plan.traffic;
            for rhythm in [traffic.mean, traffic.at_peak] {
                prop_assert!((0.0..=1.0).contains(&rhythm.busy), "{:?}", rhythm);
                prop_assert!(rhythm.rows_per_request <= limits.rows_max * 1.001, "{:?}", rhythm);
                prop_assert!(rhythm.rows_per_request >= 0.999, "{:?}", rhythm);
            }
            // What is sent is what its requests carry, while as much goes out as comes in.
            if plan.keeps_up {
                let carried = traffic.mean.requests_per_second * traffic.mean.rows_per_request;
                prop_assert!((carried / traffic.sent_per_second - 1.0).abs() < 0.01, "{:?}", traffic);
            }
            prop_assert!(plan.strain.windows(2).all(|two| two[0].share >= two[1].share));
            if let (Some(median), Some(p99)) = (plan.delay.median_seconds, plan.delay.p99_seconds) {
                prop_assert!(input.provider_latency_seconds <= median && median <= p99, "{:?}", plan.delay);
            }
            prop_assert!(serde_json::to_value(&plan).is_ok());
            Ok(())
        })
        .unwrap();
}

#[test]
fn uploads_in_flight_follow_littles_law() {
    // By hand: 1,000 sites with one conversion an hour each, so nearly every one goes alone: one in 3.6 s.
    let alone = Input { sites: 1_000, conversions_per_day: 24_000, peak: 1.0, ..input() };

    let plan = planned(&alone);

    let share = Template::read().runner.memory_mb / MB_PER_VCPU;
    let together = (24.0 / 1_440.0) / requests_of(24.0 / 1_440.0, 2_000.0);
    let seconds =
        0.8 + CALLS_PER_UPLOAD * DATABASE_CALL + (RUNNER_UPLOAD_CPU + together * RUNNER_ROW_CPU) / share;
    let per_second = plan.traffic.at_peak.requests_per_second;
    assert!((0.272..=24_000.0 / 86_400.0).contains(&per_second), "{per_second}");
    assert!(
        (plan.runners.uploads_in_flight_at_peak - per_second * seconds).abs() < 1e-9,
        "{:?}",
        plan.runners
    );
    assert!((plan.runners.needed_at_peak - 1.0).abs() < 1e-9, "{:?}", plan.runners);
}

#[test]
fn rows_that_come_together_go_together() {
    for (rows, requests) in
        [(0.0, 0.0), (0.01, 0.00995), (1.0, 0.632), (100.0, 1.0), (2_000.0, 1.5), (20_000.0, 10.5)]
    {
        let found = requests_of(rows, 2_000.0);
        assert!((found - requests).abs() < 0.001, "{rows}: {found}");
    }
}

#[test]
fn a_small_budget_makes_batches_grow_and_a_full_one_makes_the_backlog_grow() {
    let one = Input { transport: Transport::DataManager, clients: 1, ..input() };

    let waits = planned(&one);
    let drowns = planned(&Input { conversions_per_day: 1_000_000_000, ..one });
    let enough = planned(&Input { clients: waits.clients_wanted, ..one });

    // 100,000 a day, a fifth of which is kept for a burst; each upload is asked for 1.2 times.
    assert!((waits.traffic.uploads_per_day - 80_001.0 / 2.2).abs() < 1.0, "{:?}", waits.traffic);
    assert!(waits.keeps_up && waits.traffic.mean.cycle_seconds.is_some_and(|cycle| cycle > 200.0));
    assert_eq!((waits.strain[0].what, waits.strain[0].way), ("request budget of a day", Way::Bends));
    assert!(!drowns.keeps_up && drowns.delay.median_seconds.is_none(), "{:?}", drowns.delay);
    // A minute's batches go at once.
    assert!(
        enough.traffic.mean.cycle_seconds.is_none_or(|cycle| cycle <= 60.0),
        "{} {:?}",
        waits.clients_wanted,
        enough.traffic
    );
}

#[test]
fn what_bends_and_breaks_first_does_so_there_and_not_before() {
    for input in [input(), Input { transport: Transport::DataManager, clients: 50, ..input() }] {
        let whole = planned(&input);
        for (first, way) in [(&whole.bends_first, Way::Bends), (&whole.breaks_first, Way::Breaks)] {
            let fullest = |times: f64| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let conversions_per_day = (first.at_conversions_per_day * times) as u64;
                let plan = planned(&Input { conversions_per_day, ..input });
                plan.strain.into_iter().find(|strain| strain.way == way).unwrap()
            };

            let (before, after) = (fullest(0.99), fullest(1.01));

            assert!(before.share <= 1.0 && after.share > 1.0, "{first:?} {before:?} {after:?}");
            assert_eq!(after.what, first.what);
        }
    }
}

#[test]
fn the_template_is_read_and_every_price_is_there() {
    let template = Template::read();

    let (runner, maintain) = (template.runner, template.maintain);
    assert!(runner.timeout_seconds >= 60.0 && runner.memory_mb >= 128.0, "{runner:?}");
    // A worker and the gauges each minute, and what comes less often besides; all of it is read.
    let schedules = [runner, template.confirm, template.recover, maintain];
    assert!(runner.scheduled_per_day > 1_440.0 && maintain.scheduled_per_day > 1_440.0, "{schedules:?}");
    assert!(schedules.iter().all(|shape| shape.scheduled_per_day >= 1.0), "{schedules:?}");
    assert!(template.ingest.scheduled_per_day.abs() < 1e-9, "nobody schedules the door");
    assert!((template.tick_seconds - 60.0).abs() < 1e-9 && template.alarms > 20, "{template:?}");
    for region in Region::ALL {
        let plan = planned(&Input { region, conversions_per_day: 300_000_000, ..input() });
        assert!(plan.cost.usd_per_month > Decimal::ONE_HUNDRED);
    }
}

fn relay(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("relay").unwrap());
    command.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap()
}

const GOOD: [&str; 7] =
    ["plan", "--sites", "100", "--conversions-per-day", "1_000_000", "--provider-latency", "800ms"];

#[test]
fn a_wrong_flag_is_named_with_what_would_be_right() {
    for (flag, text) in [
        ("--sites", "0"),
        ("--sites", "many"),
        ("--conversions-per-day", "-1"),
        ("--conversions-per-day", "1e6"),
        ("--provider-latency", "800"),
        ("--provider-latency", "0s"),
        ("--provider-latency", "NaNs"),
        ("--transport", "carrier_pigeon"),
        ("--clients", "0"),
        ("--peak", "0.5"),
        ("--peak", "inf"),
        ("--batch", "1001"),
        ("--receipts", "0"),
        ("--retry-share", "1"),
        ("--retention-days", "179"),
        ("--runner-concurrency", "1"),
        ("--ingest-concurrency", "0"),
        ("--ingest-requests-per-second", "x"),
        ("--region", "mars-north-1"),
        ("--egress", "magic"),
        ("--database", "none"),
    ] {
        let mut arguments: Vec<String> = GOOD.map(str::to_owned).to_vec();
        match arguments.iter().position(|word| word == flag) {
            Some(place) => text.clone_into(&mut arguments[place + 1]),
            None => arguments.extend([flag.to_owned(), text.to_owned()]),
        }
        let arguments: Vec<String> = match arguments.iter().position(|word| word == text) {
            // So that a minus is no flag of its own.
            Some(place) => {
                let value = arguments.remove(place);
                arguments[place - 1] += &format!("={value}");
                arguments
            }
            None => arguments,
        };

        let ran = relay(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

        let told = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(flag), "{arguments:?}: {told}");
    }
}

#[test]
fn it_is_told_to_a_person_within_a_terminal_and_to_a_program_in_one_document() {
    let person = relay(&GOOD);
    let program = relay(&[&GOOD[..], &["--json"]].concat());

    let person = String::from_utf8(person.stdout).unwrap();
    assert!(person.lines().all(|line| line.chars().count() <= 100), "{person}");
    for word in
        ["requests", "runners", "database", "storage", "delay", "bends first", "breaks first", "together"]
    {
        assert!(person.contains(word), "{word}: {person}");
    }
    let document: Value = serde_json::from_slice(&program.stdout).unwrap();
    assert_eq!(document["input"]["sites"], 100);
    assert!(person.contains(document["cost"]["usd_per_month"].as_str().unwrap()), "{person}");
}

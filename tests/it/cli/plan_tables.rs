//! The tables of `docs/scale.md` are what `relay plan` says today.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use relay_cli::plan::{Input, Plan, Transport};

use super::plan::{input, planned};

const BEGIN: &str =
    "<!-- begin: written by RELAY_WRITE_DOCS=1 cargo test -p tests --test it -- plan_tables -->\n";
const END: &str = "<!-- end -->\n";

const SITES: [u32; 4] = [1, 100, 1_000, 10_000];
const CONVERSIONS: [u64; 4] = [10_000, 1_000_000, 10_000_000, 100_000_000];

/// How many OAuth clients there are.
#[derive(Clone, Copy)]
enum Clients {
    One,
    /// As many as the first look says.
    Wanted,
}

#[test]
fn the_document_says_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/scale.md has a place for the tables");
    let (found, after) = rest.split_once(END).expect("the place for the tables ends");

    let tables = tables();

    if env::var_os("RELAY_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert!(
        found == tables,
        "docs/scale.md is out of date: RELAY_WRITE_DOCS=1 cargo test -p tests --test it -- plan_tables"
    );
}

fn tables() -> String {
    let usual = Input { batch: 10, retry_share: 0.02, ..input() };
    let mut text = String::new();
    for (heading, transport, clients) in [
        ("Data Manager API, one OAuth client", Transport::DataManager, Clients::One),
        ("Data Manager API, OAuth clients as wanted", Transport::DataManager, Clients::Wanted),
        ("Google Ads API, OAuth clients as wanted", Transport::AdsApi, Clients::Wanted),
    ] {
        writeln!(text, "\n### {heading}\n").unwrap();
        text += "| sites | conversions/day | clients | uploads/day | rows each | median | p99 in the busiest hour | workers | cores \
                 | instance | GiB | USD/month | breaks first at |\n";
        text +=
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | --- |\n";
        for conversions_per_day in CONVERSIONS {
            for sites in SITES {
                let one = Input { sites, conversions_per_day, transport, clients: 1, ..usual };
                let input = match clients {
                    Clients::One => one,
                    Clients::Wanted => Input { clients: planned(&one).clients_wanted, ..one },
                };
                row(&mut text, &input, &planned(&input));
            }
        }
    }
    text + "\n"
}

fn row(text: &mut String, input: &Input, plan: &Plan) {
    let beyond = if plan.database.too_small.names().is_empty() { "" } else { " (too small)" };
    #[allow(clippy::cast_precision_loss)]
    let cells = [
        number(f64::from(input.sites)),
        number(input.conversions_per_day as f64),
        number(f64::from(input.clients)),
        number(plan.traffic.uploads_per_day),
        number(plan.traffic.mean.rows_per_request),
        wait(plan.delay.median_seconds),
        wait(plan.delay.p99_at_peak_seconds),
        number(plan.runners.needed_at_peak.min(plan.runners.available)),
        format!("{:.2}", plan.database.cores_at_peak),
        format!("{}{beyond}", plan.database.class.name),
        number(plan.database.storage_gib),
        plan.cost.usd_per_month.round().to_string(),
        format!("{}: {}", plan.breaks_first.what, number(plan.breaks_first.at_conversions_per_day)),
    ];
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

/// Three digits: nobody knows more.
fn number(number: f64) -> String {
    let (scaled, unit) = match number {
        number if number >= 999.5e6 => (number / 1e9, "bn"),
        number if number >= 999.5e3 => (number / 1e6, "M"),
        number if number >= 9_995.0 => (number / 1e3, "k"),
        number => (number, ""),
    };
    let decimals = match scaled {
        scaled if scaled >= 99.95 || (scaled - scaled.round()).abs() < 1e-9 => 0,
        scaled if scaled >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{unit}")
}

fn wait(seconds: Option<f64>) -> String {
    match seconds {
        None => "for ever".to_owned(),
        Some(seconds) if seconds < 99.5 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 5_970.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) if seconds < 172_000.0 => format!("{:.1} h", seconds / 3_600.0),
        Some(seconds) => format!("{:.0} days", seconds / 86_400.0),
    }
}

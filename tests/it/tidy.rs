//! Stands on the stairs: which room may use which, where SQL may stand, what no file may hold.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room of `shared` and the rooms that it may use. A new room gets a row here, and a place on the stairs.
const ROOMS: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("vault", &["domain"]),
    ("providers", &["domain"]),
    ("delivery", &["domain", "store", "vault", "providers"]),
    ("engine", &["domain", "store", "vault", "providers", "delivery"]),
    ("boot", &["domain", "store", "vault", "providers", "delivery", "engine"]),
];

/// Past this, look for the second thing in a file.
const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join(folder), ending, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("it was found there").display().to_string();
        (name, fs::read_to_string(&path).expect("source files are text"))
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// Code without its comments, which may speak of anything.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_room_uses_only_the_rooms_below_it() {
    let mut faults = Vec::new();
    for (name, text) in files("shared/src", "rs") {
        let Some(room) =
            name.strip_prefix("shared/src/").and_then(|rest| rest.split_once('/')).map(|(room, _)| room)
        else {
            continue;
        };
        let Some((_, below)) = ROOMS.iter().find(|(known, _)| *known == room) else {
            faults.push(format!("{name}: the room {room} has no row in the table"));
            continue;
        };
        for (used, _) in ROOMS {
            if used != room && !below.contains(&used) && code(&text).contains(&format!("crate::{used}::")) {
                faults.push(format!("{name}: {room} uses {used}, which is not below it"));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn every_room_is_used_in_one_line_of_its_own() {
    let mut faults = Vec::new();
    for (name, text) in files("shared/src", "rs") {
        if text.contains("use crate::{") {
            faults.push(format!("{name}: `use crate::{{…}}` hides which rooms it uses"));
        }
    }
    assert_none(faults);
}

#[test]
fn the_clock_the_environment_and_chance_stay_out_of_the_domain() {
    let mut faults = Vec::new();
    for (name, text) in files("shared/src/domain", "rs") {
        for word in
            ["Timestamp::now", "SystemTime", "Instant", "std::env", "rand::", "async fn", "std::fs", "tokio"]
        {
            if code(&text).contains(word) {
                faults.push(format!("{name}: {word}"));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn sql_stands_in_migrations_and_calls_stand_in_store() {
    let mut faults = Vec::new();
    let rust =
        files("shared", "rs").into_iter().chain(files("functions", "rs")).chain(files("cli/src", "rs"));
    for (name, text) in rust {
        let own = name.starts_with("shared/src/store/");
        // The migration runner is the one other that speaks to the database; it calls functions only, too.
        let migrates = name == "shared/src/boot/migrate.rs";
        // The throwaway server makes and drops whole databases, and a platform's query language is no SQL.
        if name.starts_with("cli/src/postgres/")
            || name == "shared/src/providers/google_ads/request/search.rs"
        {
            continue;
        }
        for line in code(&text).lines().map(str::to_lowercase) {
            let writes =
                ["\"insert into", "\"update relay", "\"delete from", "\"create ", "\"alter ", "\"drop "];
            if writes.iter().any(|word| line.contains(word)) {
                faults.push(format!("{name}: {}", line.trim()));
            }
            if line.contains("\"select ") && !(own || migrates) {
                faults.push(format!("{name}: {}", line.trim()));
            }
        }
        if own && text.contains("from relay.") && text.matches("from relay.").count() != calls(&text) {
            faults.push(format!("{name}: selects from something that is no function of ours"));
        }
        if own && text.contains("p_now") {
            faults.push(format!("{name}: the clock is the database's"));
        }
    }
    assert_none(faults);
}

/// `from relay.name(`: calls of functions.
fn calls(text: &str) -> usize {
    text.split("from relay.")
        .skip(1)
        .filter(|rest| {
            rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').starts_with('(')
        })
        .count()
}

#[test]
fn a_method_of_store_has_the_name_of_its_function() {
    let mut faults = Vec::new();
    let rust: String = files("shared/src/store", "rs").into_iter().map(|(_, text)| text).collect();
    for called in rust.split("from relay.").skip(1) {
        let name: String = called.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if !rust.contains(&format!("async fn {name}(")) {
            faults.push(format!("{name} has no method of its name"));
        }
    }
    assert_none(faults);
}

#[test]
fn one_function_stands_in_each_file_of_its_name() {
    let mut faults = Vec::new();
    for (name, text) in files("migrations/functions", "sql") {
        let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let made: Vec<_> = text.match_indices("create or replace function relay.").collect();
        let opening = format!("create or replace function relay.{stem}(");
        if made.len() != 1 || !text.starts_with(&opening) {
            faults.push(format!("{name}: must begin with `{opening}` and hold nothing else"));
        }
        if !text.contains(&format!("comment on function relay.{stem} is")) {
            faults.push(format!("{name}: has no comment"));
        }
        if !text.contains("set search_path = pg_catalog, pg_temp") {
            faults.push(format!("{name}: does not pin its search path"));
        }
        if text.contains("p_now timestamptz default null")
            && !text.contains("default null  -- last; only tests")
        {
            faults.push(format!("{name}: p_now stands last and says what it is for"));
        }
        if text.contains("prepare ")
            || text.contains("pg_advisory_lock")
            || text.contains("pg_try_advisory_lock")
        {
            faults.push(format!("{name}: keeps session state"));
        }
    }
    assert_none(faults);
}

#[test]
fn no_provider_is_named_outside_its_own_folder() {
    // Where a platform has to be known by name: the list of keys, the registry's making, its settings, its doors.
    let allowed = [
        "shared/src/domain/provider_key.rs",
        "shared/src/boot/context.rs",
        "shared/src/boot/config.rs",
        "shared/src/boot/functions/runner.rs",
    ];
    let mut faults = Vec::new();
    for (name, text) in files("shared/src", "rs").into_iter().chain(files("functions", "rs")) {
        if name.starts_with("shared/src/providers/google_ads") || allowed.contains(&name.as_str()) {
            continue;
        }
        let code = code(&text).replace("pub mod google_ads;", "");
        for word in ["google_ads", "GoogleAds", "data_manager", "gads"] {
            if code.contains(word) {
                faults.push(format!("{name}: {word}"));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn no_module_is_a_drawer() {
    let drawers = ["utils", "util", "common", "helpers", "helper", "types", "models", "manager", "misc"];
    let mut faults = Vec::new();
    for (name, _) in files(".", "rs") {
        let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if drawers.contains(&stem) || drawers.iter().any(|drawer| name.contains(&format!("/{drawer}/"))) {
            faults.push(name);
        }
    }
    assert_none(faults);
}

#[test]
fn files_stay_readable_and_open_with_a_sentence() {
    let mut faults = Vec::new();
    for (name, text) in
        files("shared", "rs").into_iter().chain(files("cli", "rs")).chain(files("functions", "rs"))
    {
        if text.lines().count() > LINES_MAX {
            faults.push(format!("{name}: {} lines", text.lines().count()));
        }
        if !text.starts_with("//! ") {
            faults.push(format!("{name}: does not say what it is for"));
        }
    }
    assert_none(faults);
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    let mut faults = Vec::new();
    for (name, text) in
        files("shared", "rs").into_iter().chain(files("cli", "rs")).chain(files("functions", "rs"))
    {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX", ".unwrap()"] {
            for line in code(&text).lines().filter(|line| line.contains(word)) {
                faults.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert_none(faults);
}

#[test]
fn no_transaction_spans_a_request() {
    // The runner's rooms never open a transaction: each call of the store is one of its own.
    let mut faults = Vec::new();
    for room in ["store", "delivery", "engine", "providers"] {
        for (name, text) in files(&format!("shared/src/{room}"), "rs") {
            if code(&text).contains(".transaction(") || code(&text).contains("\"begin\"") {
                faults.push(name);
            }
        }
    }
    assert_none(faults);
}

#[test]
fn a_secret_is_exposed_only_where_it_is_sealed_sent_or_compared() {
    let allowed = [
        "shared/src/vault/",
        "shared/src/domain/secret.rs",
        "shared/src/domain/personal.rs",
        // Parsed, normalised and hashed, or sent.
        "shared/src/providers/",
        // The database's address, with its password.
        "shared/src/store/connect.rs",
        // Secrets Manager's values, read as JSON.
        "shared/src/boot/database.rs",
        "shared/src/boot/secrets.rs",
        // The address at which CloudFormation waits for an answer: whoever has it can give one.
        "shared/src/boot/custom_resource.rs",
        // A token is compared with the one that was refused.
        "shared/src/delivery/access.rs",
        // A site's key makes the digest that a signature is compared with.
        "shared/src/delivery/ingest/signature.rs",
        // A new key of a site is printed once, for the person who asked for it.
        "cli/src/commands/site/keys.rs",
        // A new key is printed for the person who asked for it.
        "cli/src/commands/vault_key.rs",
        // The demo's own, for the child that it kills.
        "cli/src/demo/stage.rs",
    ];
    let mut faults = Vec::new();
    let rust =
        files("shared/src", "rs").into_iter().chain(files("functions", "rs")).chain(files("cli/src", "rs"));
    for (name, text) in rust {
        if code(&text).contains(".expose()") && !allowed.iter().any(|place| name.starts_with(place)) {
            faults.push(name);
        }
    }
    assert_none(faults);
}

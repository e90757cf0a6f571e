//! `relay demo`, as a stranger runs it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;
use tests::binaries::binary;

/// A demo in a temporary folder of its own, in which nothing may be left.
struct Theatre {
    folder: PathBuf,
}

impl Theatre {
    /// The folder's path is short, because the server's socket lies in it, and open to the account that it runs as.
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = PathBuf::from(format!("/tmp/relay-demo-{:08x}", rand::random::<u32>()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut demo = Command::new(binary("relay").unwrap());
        demo.arg("demo").args(arguments).env("TMPDIR", &self.folder).env_remove("RUST_LOG");
        demo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        demo
    }

    /// Whatever is left in the folder, and every process that was told of it.
    fn left_behind(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap().flatten();
        let mut left: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
        let name = self.folder.display().to_string();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let tells = |file: &str| {
                let text = fs::read(process.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&name)
            };
            if tells("cmdline") || tells("environ") {
                left.push(process.path().display().to_string());
            }
        }
        left
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_demo_accounts_for_every_conversion_and_leaves_nothing_behind() {
    let theatre = Theatre::new();

    let output = theatre.demo(&["--json"]).output().unwrap();

    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(theatre.left_behind(), Vec::<String>::new());
    assert!(output.stderr.is_empty(), "{}", told(&output));
    let demo: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let sums = &demo["sums"];
    let ends = ["completed", "submitted", "failed", "waiting"].map(|end| number(&sums[end]));
    let rows = demo["conversions"].as_array().unwrap();
    let by_row: u64 = rows.iter().map(|row| number(&row["conversions"])).sum();
    assert!(number(&demo["enqueued"]) > 3_000, "{demo}");
    assert_eq!(ends.iter().sum::<u64>(), number(&demo["enqueued"]));
    assert_eq!(by_row, number(&demo["enqueued"]));
    assert_eq!(number(&demo["witness"]["counted_twice"]), 0);
    assert!(number(&demo["killed"]["requests_in_flight"]) > 0, "{demo}");
    assert!(demo["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{demo}");
}

#[test]
fn the_demo_of_aws_answers_every_event_as_it_should_and_leaves_nothing_behind() {
    let theatre = Theatre::new();

    let output = theatre.demo(&["--aws", "--json"]).output().unwrap();

    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(theatre.left_behind(), Vec::<String>::new());
    let demo: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../events")).unwrap().count();
    assert_eq!(demo["events"].as_array().unwrap().len(), files);
    assert!(demo["events"].as_array().unwrap().iter().all(|event| event["ok"] == true), "{demo}");
    assert!(demo["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{demo}");
}

#[test]
fn a_demo_that_is_stopped_by_a_signal_leaves_nothing_behind() {
    let theatre = Theatre::new();
    let demo = theatre.demo(&[]).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while theatre.left_behind().len() < 3 && Instant::now() < limit {
        thread::sleep(Duration::from_millis(10));
    }

    // SAFETY: kill touches no memory of ours.
    unsafe { libc::kill(demo.id().cast_signed(), libc::SIGTERM) };

    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", told(&output));
    assert_eq!(theatre.left_behind(), Vec::<String>::new());
}

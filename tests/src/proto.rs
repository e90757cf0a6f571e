//! Holds our requests and the platforms' recorded answers against the message types that Google publishes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use relay_cli::python::{environment, told};
use serde_json::{Value, json};

use crate::binaries::target_folder;

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/check.py");

/// What the message type says about one JSON document.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The caller's name for the document.
    pub name: String,
    /// The document as the platform understands it, in its own spelling, or why it is refused.
    pub understood: Result<Value, String>,
}

/// Reads each (name, message type, document) strictly: an unknown field, enum value or a wrong type is refused.
///
/// The answers are in the order of the documents. The type is a full name, such as
/// `google.ads.datamanager.v1.IngestEventsRequest`.
pub fn check(documents: &[(&str, &str, Value)]) -> anyhow::Result<Vec<Checked>> {
    let line =
        |(name, message, json): &(&str, &str, Value)| json!({"name": name, "message": message, "json": json});
    let input: String = documents.iter().map(|document| format!("{}\n", line(document))).collect();
    let output = run_check(&[], input)?;
    let checked: Vec<Checked> = output.lines().map(read_answer).collect::<Result<_, _>>()?;
    ensure!(checked.len() == documents.len(), "{} documents got {} answers", documents.len(), checked.len());
    Ok(checked)
}

/// The numbers of each published enum's values, by the enum's name and the value's.
pub fn enums() -> anyhow::Result<BTreeMap<String, BTreeMap<String, i32>>> {
    let output = run_check(&["--enums"], String::new())?;
    serde_json::from_str(&output).context("read the published enums")
}

/// The error families that Google's documentation lists for each method that is called.
pub fn families() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let output = run_check(&["--families"], String::new())?;
    serde_json::from_str(&output).context("read the published families")
}

fn read_answer(line: &str) -> anyhow::Result<Checked> {
    let mut answer: Value = serde_json::from_str(line).with_context(|| format!("read the answer {line}"))?;
    let name = answer["name"].as_str().context("an answer carries its name")?.to_string();
    let understood = match answer["ok"].as_bool().context("an answer says whether it is ok")? {
        true => Ok(answer["canonical"].take()),
        false => Err(answer["error"].as_str().unwrap_or_default().to_string()),
    };
    Ok(Checked { name, understood })
}

fn run_check(arguments: &[&str], input: String) -> anyhow::Result<String> {
    let mut command = Command::new(python()?);
    // Isolated: the caller's PYTHONPATH and own packages are not what was pinned.
    command.arg("-I").arg(CHECK).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start python")?;
    let mut stdin = child.stdin.take().context("write to python")?;
    // From a thread, because python answers while it reads. A broken pipe shows in its exit status.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().context("wait for python")?;
    writer.join().map_err(|_| anyhow!("writing to python panicked"))?;
    ensure!(output.status.success(), "tests/proto/check.py failed: {}", told(&output));
    String::from_utf8(output.stdout).context("read python's answer")
}

/// The environment's python, made by the first caller.
fn python() -> anyhow::Result<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let programs = target_folder()
            .and_then(|target| environment(&target, "proto", include_str!("../proto/requirements.txt")));
        programs.map(|programs| programs.join("python")).map_err(|error| format!("{error:#}"))
    });
    python.as_deref().map_err(|error| anyhow!(error.clone()))
}

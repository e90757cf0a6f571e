//! The `relay` command line: the real binary against a real database, as an operator and a script see it.

mod answers;
mod bad_input;
mod codes;
mod credentials;
mod csv;
mod doctor;
mod doors;
mod hands;
mod operate;
mod plan;
mod plan_measured;
mod plan_tables;
mod rejects;
mod site_keys;
mod tasks;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::binaries::binary;
use tests::world::{World, conversion};
use uuid::Uuid;

/// The binary, the environment that it runs in, and a folder for its files.
struct Relay {
    environment: Vec<(&'static str, String)>,
    folder: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Relay {
    fn new(world: &World) -> Self {
        Self::with(world.environment())
    }

    fn with(environment: Vec<(&'static str, String)>) -> Self {
        let folder = std::env::temp_dir().join(format!("relay-cli-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        Self { environment, folder }
    }

    /// The same with another value of one setting.
    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes a file and answers its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.folder.join(name), content).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        self.pipe(arguments, b"").await
    }

    async fn pipe(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let input = input.to_vec();
        let ran = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let writer = std::thread::spawn(move || stdin.write_all(&input));
            let output = child.wait_with_output().unwrap();
            // A command that failed early has not read to the end.
            writer.join().unwrap().ok();
            output
        });
        let output = ran.await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("relay").unwrap());
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Takes a file in, and answers the summary and the exit code.
    async fn enqueue(&self, file: &str) -> (Value, Option<i32>) {
        let ran = self.run(&["enqueue", "--file", file, "--json"]).await;
        (ran.json(), ran.code)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Ran {
    /// The one document on standard output.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A good conversion of a site, with these fields besides.
fn good(site: SiteId, external_id: &str, fields: Value) -> Value {
    let mut all =
        json!({ "external_id": external_id, "click_ids": { "gclid": format!("gclid-{external_id}") } });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    conversion(site, &all)
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// How many conversions there are.
async fn taken_in(world: &World) -> i64 {
    world.number("select count(*) from relay.offline_conversion_queue").await.unwrap()
}

//! Lambda as a developer has it: `cargo lambda watch`, and each function's own process behind it.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use shared::providers::http::build_client;

use super::checkout::Checkout;
use crate::postgres::free_port;
use crate::python::environment;

/// Ready within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The longest that an invocation may take.
const INVOKE_LIMIT: Duration = Duration::from_secs(120);

/// Settings of a function.
pub(super) type Settings = HashMap<&'static str, String>;

/// The stand-in for Lambda, with the functions that were started.
pub(super) struct Lambda {
    // Functions first: they end on their own, with an error, where the stand-in goes before them.
    functions: Vec<Attached>,
    _watch: Attached,
    port: u16,
    logs: PathBuf,
}

/// A process that is killed when this is dropped, and when this process ends, however that comes about.
struct Attached {
    supervisor: Child,
    open: Option<ChildStdin>,
}

impl Attached {
    fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log).context("open a log")?;
        let name = format!("{:?}", command.get_args().next());
        // In a process group of its own, so that Ctrl-C reaches us and we end it in order.
        command.process_group(0).stdin(Stdio::piped());
        command.stdout(log.try_clone().context("share a log")?).stderr(log);
        let mut supervisor = command.spawn().with_context(|| format!("start {name}"))?;
        let open = supervisor.stdin.take();
        Ok(Self { supervisor, open })
    }

    /// A program under its supervisor.
    fn command(program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(include_str!("attached.sh")).arg("attached").arg(program);
        command
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        drop(self.open.take());
        self.supervisor.wait().ok();
    }
}

impl Lambda {
    /// Starts `cargo lambda watch`, from a Python environment beside the build. Logs go to the folder.
    pub(super) fn start(checkout: &Checkout, logs: &Path) -> anyhow::Result<Self> {
        let programs = environment(&checkout.target, "cargo-lambda", include_str!("requirements.txt"))?;
        let port = free_port()?;
        let mut command = Attached::command(&programs.join("cargo-lambda"));
        // The functions are started by us, so that each has settings of its own.
        command.args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1"]);
        command.args(["--invoke-port", &port.to_string()]).current_dir(checkout.folder());
        let watch = Attached::start(command, &logs.join(format!("aws-{port}-watch.log")))?;
        let lambda = Self { functions: Vec::new(), _watch: watch, port, logs: logs.to_path_buf() };
        let limit = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < limit, "cargo lambda watch did not start: {}", lambda.log("watch"));
            thread::sleep(POLL);
        }
        Ok(lambda)
    }

    /// Starts a function's program under its name.
    pub(super) fn add(&mut self, name: &str, program: &Path, settings: &Settings) -> anyhow::Result<()> {
        let mut command = Attached::command(program);
        let kept = |name: &String| ["PATH", "HOME", "RUST_LOG"].contains(&name.as_str());
        command.env_clear().envs(std::env::vars().filter(|(name, _)| kept(name))).envs(settings);
        command.env("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{}/.rt/{name}", self.port));
        command.env("AWS_LAMBDA_FUNCTION_NAME", name).env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128");
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", name).env("AWS_LAMBDA_LOG_STREAM_NAME", name);
        let function = Attached::start(command, &self.log_file(name))?;
        self.functions.push(function);
        Ok(())
    }

    /// Invokes a function as `cargo lambda invoke` does: the status, and what it answered.
    pub(super) async fn invoke(&self, name: &str, event: &str) -> anyhow::Result<(u16, Value)> {
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/{name}/invocations", self.port);
        let request = build_client(INVOKE_LIMIT)?.post(url).body(event.to_owned());
        let answer = request.send().await.with_context(|| format!("invoke {name}: {}", self.log(name)))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.with_context(|| format!("read what {name} answered"))?;
        let document = serde_json::from_slice(&body).with_context(|| format!("{name} answered no JSON"))?;
        Ok((status, document))
    }

    /// The last that a process said.
    fn log(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.log_file(name)).unwrap_or_default();
        log.lines().next_back().unwrap_or("it said nothing").to_owned()
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.logs.join(format!("aws-{}-{name}.log", self.port))
    }
}

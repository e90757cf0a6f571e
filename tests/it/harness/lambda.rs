//! The stand-in for the Lambda Runtime API.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::binaries::target_folder;
use tests::lambda::{Invocation, LambdaProcess};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(30);

/// A program that runs the Python function; it lies in cargo's own folder for such files.
struct Function {
    program: PathBuf,
}

impl Function {
    fn new() -> Self {
        let program = target_folder().unwrap().join("tmp").join(format!("function-{}", Uuid::new_v4()));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/harness/function.py");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        // Another process writes it: what we hold open ourselves, a child of another test may hold a moment longer, and what is
        // open for writing cannot be run.
        let mut write = Command::new("sh");
        write.args(["-c", "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\""]).arg(&program);
        write.arg(format!("#!/bin/sh\nexec python3 '{script}'\n"));
        assert!(write.status().unwrap().success());
        Self { program }
    }

    async fn start(&self, environment: &[(&str, &str)]) -> LambdaProcess {
        LambdaProcess::start(&self.program, environment).await.unwrap()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        fs::remove_file(&self.program).ok();
    }
}

async fn invoke(process: &mut LambdaProcess, what: &str) -> Invocation {
    process.invoke(json!({"do": what}), DEADLINE).await.unwrap()
}

#[track_caller]
fn answer(invocation: Invocation) -> Value {
    match invocation {
        Invocation::Answered(answer) => answer,
        other @ (Invocation::Failed(_) | Invocation::Died(_) | Invocation::InitFailed(_)) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test]
async fn one_process_takes_one_event_after_another() {
    let function = Function::new();
    let mut process = function.start(&[("FROM_THE_TEST", "yes")]).await;

    let first = answer(invoke(&mut process, "answer").await);
    let failed = invoke(&mut process, "fail").await;
    let last = answer(invoke(&mut process, "answer").await);

    assert_eq!(first["environment"], last["environment"]);
    assert_eq!(first["environment"]["FROM_THE_TEST"], "yes");
    assert_eq!(first["environment"]["AWS_LAMBDA_FUNCTION_NAME"], "function-under-test");
    assert_eq!(first["environment"].get("CARGO_MANIFEST_DIR"), None);
    let left_ms = first["left_ms"].as_f64().unwrap();
    assert!(0.0 < left_ms && left_ms <= 30_000.0, "{left_ms}");
    assert!(matches!(&failed, Invocation::Failed(error) if error["errorMessage"] == "as told"), "{failed:?}");
}

#[tokio::test]
async fn a_process_that_ends_without_an_answer_has_died_and_stays_dead() {
    let function = Function::new();
    let mut process = function.start(&[]).await;

    for _ in 0..2 {
        let died = invoke(&mut process, "die").await;

        assert!(matches!(died, Invocation::Died(status) if status.code() == Some(7)), "{died:?}");
        assert_eq!(process.stdout(), ["last words"]);
        assert_eq!(process.stderr(), ["asked to die"]);
    }
}

#[tokio::test]
async fn a_function_past_its_deadline_is_killed() {
    let function = Function::new();
    let mut process = function.start(&[]).await;
    answer(invoke(&mut process, "answer").await);

    let died = process.invoke(json!({"do": "hang"}), Duration::from_millis(300)).await.unwrap();

    assert!(matches!(died, Invocation::Died(status) if status.signal() == Some(libc::SIGKILL)), "{died:?}");
}

#[tokio::test]
async fn a_killed_process_answers_nothing_more() {
    let function = Function::new();
    let mut process = function.start(&[]).await;
    answer(invoke(&mut process, "answer").await);

    process.kill();

    let died = invoke(&mut process, "answer").await;
    assert!(matches!(died, Invocation::Died(status) if status.signal() == Some(libc::SIGKILL)), "{died:?}");
}

#[tokio::test]
async fn a_function_that_cannot_start_says_why() {
    let function = Function::new();
    let mut process = function.start(&[("START", "broken")]).await;

    let failed = invoke(&mut process, "answer").await;

    assert!(matches!(&failed, Invocation::InitFailed(error) if error["errorMessage"] == "no configuration"));
}

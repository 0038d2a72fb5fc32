//! Tasks of the real agent in the real sandbox, with a model that says what it was told to.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use opendevagent::agent::task::{Report, Target, Task};
use opendevagent::agent::{self, Ports, dependencies};
use opendevagent::config::Loaded;
use opendevagent::event::Action;
use opendevagent::model::price::Price;
use opendevagent::model::{Call, Finish, Heard, Model, ModelError, Reply, Usage};
use opendevagent::sandbox::Sandbox;
use opendevagent::wiring;
use opendevagent::workspace::Documents;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The answers in their order; the last one to every later question.
struct Script {
    answers: Vec<String>,
    /// How long each takes.
    pause: Duration,
    asked: AtomicUsize,
}

impl Model for Script {
    fn complete<'a>(
        &'a self,
        call: &'a Call,
        heard: &'a mut (dyn FnMut(Heard<'_>) + Send),
    ) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let next = self.asked.fetch_add(1, Ordering::Relaxed).min(self.answers.len() - 1);
        let text = self.answers[next].clone();
        heard(Heard::Text(&text));
        let reply = Reply { text, finish: Finish::Stop, model: call.model.clone(), usage: Usage::default() };
        async move {
            tokio::time::sleep(self.pause).await;
            Ok(reply)
        }
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, ModelError>> {
        async { Ok(self.describe()) }.boxed()
    }

    fn price(&self, _model: &str) -> Option<Price> {
        None
    }

    fn describe(&self) -> String {
        "a script".into()
    }
}

/// The sandbox with the settings users get, and so many containers kept ready. A program in it may take so long.
pub fn sandbox(warm: u32, limit: Duration) -> Arc<dyn Sandbox> {
    let mut settings = Loaded::default().settings;
    settings.sandbox.warm = warm;
    settings.sandbox.timeout_seconds = limit.as_secs_f64();
    wiring::sandbox(&settings)
}

/// Fixes `target` in a workspace of these files, by `check`, with these answers, each after a pause.
pub async fn fix(
    sandbox: &Arc<dyn Sandbox>,
    files: &[(&str, &str)],
    target: &str,
    check: &str,
    answers: Vec<String>,
    pause: Duration,
) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        std::fs::write(folder.path().join(path), text).expect("the folder is ours");
    }
    let model = Arc::new(Script { answers, pause, asked: AtomicUsize::new(0) });
    let mut ports = wiring::ports(&Loaded::default(), model, dependencies::nobody());
    ports.sandbox = sandbox.clone();
    run(Arc::new(ports), folder.path(), target, check).await
}

async fn run(ports: Arc<Ports>, root: &Path, target: &str, check: &str) -> Report {
    let mut task = Task::new(Action::Fix, root.to_owned());
    task.target = Some(Target { path: target.into(), lines: None });
    task.check = Some(check.into());
    agent::run(ports, task, Documents::default().into(), CancellationToken::new(), Arc::new(|_| ())).await
}

/// An answer with one whole file.
pub fn whole(path: &str, text: &str) -> String {
    format!("{path}\n```\n{text}```\n")
}

/// The rows of a file of `HumanEvalPack`, named by `OPENDEVAGENT_DATA` or found beside the project.
pub fn rows(file: &str) -> Vec<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("OPENDEVAGENT_DATA").map_or_else(beside, PathBuf::from);
    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("each line is a JSON object")).collect()
}

/// Does `work` with each of `items`, so many at once.
pub async fn each<T, F: Future<Output = ()>>(items: &[T], at_once: usize, work: impl Fn(usize) -> F) {
    let next = Mutex::new(0..items.len());
    let workers = (0..at_once).map(|_| async {
        loop {
            let index = next.lock().expect("nobody panics with the lock").next();
            match index {
                Some(index) => work(index).await,
                None => break,
            }
        }
    });
    futures_util::future::join_all(workers).await;
}

//! OpenDevAgent: a language server that plans, writes and repairs code, and proves it in a sandbox first.
//!
//! # Code map
//! Left knows nothing of right: `text < syntax < workspace < link < {verdict, event, model, sandbox} < config < crash < agent < journal < wiring < doctor < dashboard < {lsp, acp} < cli`.
//!
//! | module | what it is |
//! |---|---|
//! | [`text`] | spans, edits, minimal diffs, position encodings; pure |
//! | [`syntax`] | a source file as its grammar reads it: syntax errors, definitions, references; pure |
//! | [`workspace`] | open buffers over files; the frozen snapshot of a task; what may never leave |
//! | [`config`] | every setting, declared once |
//! | [`crash`] | what is left of a panic: a file on this machine |
//! | [`link`] | the way to a team's Redis; the requests a minute that its members share |
//! | [`model`] | what a model is asked and answers; any OpenAI-compatible server, recorded answers |
//! | [`sandbox`] | what a program run is asked and answers; Docker, the image, the runner that is PID 1 in it |
//! | [`verdict`], [`event`] | what is said about a task, as data |
//! | [`agent`] | the loop: `pipeline` decides (pure), `role` speaks with models, `patch` reads edits, `check` judges |
//! | [`journal`] | tasks that outlive their server, shared by all servers of a machine or a team |
//! | [`wiring`] | builds the adapters that the settings ask for |
//! | [`acp`] | the same tasks for clients of the Agent Client Protocol |
//! | [`dashboard`] | one page for every editor, on loopback while somebody looks |
//! | [`lsp`] | the language server; the only home of LSP types |
//! | [`doctor`], [`cli`] | the command line |
//!
//! One fix, end to end: `lsp` or `cli` makes a `Task` and calls [`agent::run`]; that takes a `Snapshot`, lets
//! `pipeline::Run::step` say what comes next, and performs it: `Model::complete`, `patch::apply`, `Sandbox::run`,
//! `check::judge`. What comes back is a `Report`; `lsp::deliver` or `cli::apply` brings its edits to the text.
//!
//! # Invariants
//! - No edit is made from an answer that did not end properly, or that fits two places.
//! - No verdict is made from what a model says; only `agent::check` makes verdicts, from exit status and counted tests.
//! - No command of a model or a workspace runs on the host; programs run through `Sandbox` alone.
//! - No workspace file is written while an editor is attached; the editor writes.
//! - No secret or excluded file reaches a model or a container; no ignored or linked file reaches a model.
//! - No key is ever in a type that can be printed.
//! - No LSP type is named left of `lsp`, no HTTP type outside `model::openai`, `journal::telemetry` and `dashboard`, no Docker type outside `sandbox`.

pub mod acp;
pub mod agent;
pub mod cli;
pub mod config;
pub mod crash;
pub mod dashboard;
pub mod doctor;
pub mod event;
pub mod journal;
pub mod link;
pub mod lsp;
pub mod model;
pub mod sandbox;
pub mod syntax;
pub mod text;
pub mod verdict;
pub mod wiring;
pub mod workspace;

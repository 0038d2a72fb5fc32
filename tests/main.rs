//! Every integration test, in one binary: one link, and shared support without dead code.
//!
//! Tests that need the Docker engine say "skipped" unless `OPENDEVAGENT_DOCKER_TESTS=1`, which `tests/run` sets.
#![cfg(test)]
#![expect(unreachable_pub, reason = "a test binary exports nothing")]

mod acp;
mod check;
mod dashboard;
mod e2e;
mod editor;
mod editors;
mod fuzz;
mod hostile;
mod journal;
mod languages;
mod lsp;
mod model;
mod model_server;
mod observed;
mod properties;
mod real_model;
mod redis;
mod sandbox;
mod secrets;
mod setup;
mod shared;
mod stalled;
mod support;
mod team;
mod telemetry;
mod tidy;
mod views;

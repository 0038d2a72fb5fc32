//! A task as OpenTelemetry sees it: a trace with spans for its phases, calls and runs, and what they took. Pure.
//!
//! Numbers, our own words and names of models alone: nothing that a user, a file, a program or a model has written.
//! The encoding is OTLP 1 in JSON (opentelemetry.io/docs/specs/otlp); names are those of the semantic conventions for
//! generative AI where these have one.

use super::{Record, Round};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bounds of the conventions, in seconds; ours last from a call to a whole task.
const SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
const TOKENS: &[f64] = &[16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0];
const BYTES: &[f64] = &[16e6, 32e6, 64e6, 128e6, 256e6, 512e6, 1e9, 2e9, 4e9];

const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;

/// Bodies for `v1/traces` and `v1/metrics`; `None` while the task runs.
pub(super) fn encode(record: &Record) -> Option<(Value, Value)> {
    let ended = record.row.ended?;
    let resource = json!({"attributes": attributes(&[
        ("service.name", json!("opendevagent")),
        ("service.version", json!(env!("CARGO_PKG_VERSION"))),
        ("os.type", json!(std::env::consts::OS)),
    ])});
    let scope = json!({"name": "opendevagent", "version": env!("CARGO_PKG_VERSION")});
    let traces = json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{"scope": scope, "spans": Trace::of(record, ended).spans}],
    }]});
    let metrics = json!({"resourceMetrics": [{
        "resource": resource,
        "scopeMetrics": [{"scope": scope, "metrics": metrics(record, ended)}],
    }]});
    Some((traces, metrics))
}

/// Milliseconds since the Unix epoch.
type Moment = u64;

struct Trace {
    /// 32 hex digits: the task's own id, so that either leads to the other.
    id: String,
    spans: Vec<Value>,
    /// When each phase began, and the number of its span.
    phases: Vec<(Moment, usize)>,
}

impl Trace {
    fn of(record: &Record, ended: Moment) -> Self {
        let row = &record.row;
        let id: String = row.id.chars().filter(char::is_ascii_hexdigit).collect();
        let mut trace = Self { id: format!("{id:0>32}"), spans: Vec::new(), phases: Vec::new() };
        let whole = [
            ("opendevagent.action", json!(row.action)),
            ("opendevagent.phase", json!(row.phase)),
            ("opendevagent.verdict", json!(row.level)),
            ("opendevagent.rounds", json!(row.rounds)),
            ("opendevagent.files", json!(row.edits)),
            ("opendevagent.cost.usd", json!(row.usage.cost_usd)),
        ];
        trace.span(&format!("task {}", row.action), None, INTERNAL, (row.begun, ended), &whole);
        if row.phase == "failed" {
            trace.spans[0]["status"] = json!({"code": 2});
        }
        let phases: Vec<&Value> = record.events.iter().filter(|event| event["kind"] == "phase").collect();
        for (at, phase) in phases.iter().enumerate() {
            let begun = phase["at"].as_u64().unwrap_or(row.begun);
            let next = phases.get(at + 1).and_then(|next| next["at"].as_u64()).unwrap_or(ended);
            let name = format!("phase {}", phase["phase"].as_str().unwrap_or_default());
            let attempt = [("opendevagent.attempt", phase["attempt"].clone())];
            let number = trace.span(&name, Some(0), INTERNAL, (begun, next), &attempt);
            trace.phases.push((begun, number));
        }
        record.before.iter().for_each(|run| trace.run(run));
        for round in &record.rounds {
            trace.call(round, ended);
            round.checks.iter().for_each(|run| trace.run(run));
        }
        trace
    }

    /// The number of the new span.
    fn span(
        &mut self,
        name: &str,
        parent: Option<usize>,
        kind: u8,
        (begun, ended): (Moment, Moment),
        about: &[(&str, Value)],
    ) -> usize {
        let number = self.spans.len();
        let mut span = json!({
            "traceId": self.id,
            "spanId": span_id(number),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": nanoseconds(begun),
            "endTimeUnixNano": nanoseconds(ended.max(begun)),
            "attributes": attributes(about),
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = json!(span_id(parent));
        }
        self.spans.push(span);
        number
    }

    /// The phase that was at a moment, else the whole task.
    fn phase_at(&self, moment: Moment) -> Option<usize> {
        self.phases.iter().rev().find(|(begun, _)| *begun <= moment).map(|(_, number)| *number).or(Some(0))
    }

    fn call(&mut self, round: &Round, ended: Moment) {
        let mut about = call_attributes(round);
        about.extend([
            ("gen_ai.response.finish_reasons", json!([round.answered.and(finish(round))])),
            ("gen_ai.usage.input_tokens", json!(round.usage.prompt_tokens)),
            ("gen_ai.usage.output_tokens", json!(round.usage.completion_tokens)),
            ("opendevagent.cost.usd", json!(round.usage.cost_usd)),
        ]);
        let name = format!("chat {}", round.model);
        let parent = self.phase_at(round.asked);
        let span = self.span(&name, parent, CLIENT, (round.asked, round.answered.unwrap_or(ended)), &about);
        if round.reply.is_none() {
            self.spans[span]["status"] = json!({"code": 2});
        }
    }

    fn run(&mut self, run: &Value) {
        let ended = run["at"].as_u64().unwrap_or_default();
        let measured = &run["measured"];
        let begun = ended.saturating_sub(measured["duration_ms"].as_u64().unwrap_or_default());
        let mut about = run_attributes(run);
        about.extend([
            ("process.exit.code", run["exit_code"].clone()),
            ("opendevagent.tests.run", run["tests"]["run"].clone()),
            ("opendevagent.tests.failed", run["tests"]["failed"].clone()),
            ("opendevagent.sandbox.cpu_ms", measured["cpu_ms"].clone()),
            ("opendevagent.sandbox.peak_memory_bytes", measured["peak_memory_bytes"].clone()),
        ]);
        let name = format!("run {}", run["stage"].as_str().unwrap_or_default());
        let parent = self.phase_at(ended);
        self.span(&name, parent, INTERNAL, (begun, ended), &about);
    }
}

/// How a call ended, in one word of the protocol's; an error's text may hold anything.
fn finish(round: &Round) -> Option<&str> {
    if round.reply.is_some() { round.finish.as_deref() } else { Some("error") }
}

fn call_attributes(round: &Round) -> Vec<(&'static str, Value)> {
    vec![
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.agent.name", json!(round.agent)),
        ("gen_ai.request.model", json!(round.model)),
    ]
}

fn run_attributes(run: &Value) -> Vec<(&'static str, Value)> {
    vec![("opendevagent.stage", run["stage"].clone()), ("opendevagent.status", run["status"].clone())]
}

fn metrics(record: &Record, ended: Moment) -> Vec<Value> {
    let row = &record.row;
    let mut all = Metrics { by_name: BTreeMap::new(), since: row.begun, until: ended };
    let task = [
        ("opendevagent.action", json!(row.action)),
        ("opendevagent.phase", json!(row.phase)),
        ("opendevagent.verdict", json!(row.level)),
    ];
    all.count("opendevagent.tasks", "{task}", 1.0, &task);
    all.observe("opendevagent.task.duration", "s", SECONDS, seconds(row.begun, ended), &task);
    let events = || record.events.iter();
    let left_queue = events().find(|event| event["kind"] == "phase" && event["phase"] != "queued");
    if let Some(at) = left_queue.and_then(|event| event["at"].as_u64()) {
        all.observe("opendevagent.task.queued", "s", SECONDS, seconds(row.begun, at), &task[..1]);
    }
    for round in &record.rounds {
        let about = call_attributes(round);
        let (usage, answered) = (&round.usage, round.answered.unwrap_or(ended));
        all.observe("gen_ai.client.operation.duration", "s", SECONDS, seconds(round.asked, answered), &about);
        all.count("opendevagent.cost", "USD", usage.cost_usd, &about);
        for (kind, tokens) in [("input", usage.prompt_tokens), ("output", usage.completion_tokens)] {
            let mut about = about.clone();
            about.push(("gen_ai.token.type", json!(kind)));
            all.observe("gen_ai.client.token.usage", "{token}", TOKENS, tokens as f64, &about);
        }
    }
    for run in record.before.iter().chain(record.rounds.iter().flat_map(|round| &round.checks)) {
        let about = run_attributes(run);
        let took = |name: &str| run["measured"][name].as_f64().unwrap_or_default();
        all.observe("opendevagent.sandbox.duration", "s", SECONDS, took("duration_ms") / 1e3, &about);
        all.observe("opendevagent.sandbox.memory", "By", BYTES, took("peak_memory_bytes"), &about);
        all.count("opendevagent.sandbox.cpu", "s", took("cpu_ms") / 1e3, &about);
    }
    all.by_name.into_values().collect()
}

/// The metrics of one task: each point says what was added since it began.
struct Metrics {
    by_name: BTreeMap<&'static str, Value>,
    since: Moment,
    until: Moment,
}

impl Metrics {
    fn count(&mut self, name: &'static str, unit: &str, value: f64, about: &[(&str, Value)]) {
        let mut point = self.point(about);
        point["asDouble"] = json!(value);
        let empty = json!({"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": []});
        self.add(name, unit, "sum", &empty, point);
    }

    fn observe(
        &mut self,
        name: &'static str,
        unit: &str,
        bounds: &[f64],
        value: f64,
        about: &[(&str, Value)],
    ) {
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        let buckets: Vec<&str> = (0..=bounds.len()).map(|at| if at == bucket { "1" } else { "0" }).collect();
        let mut point = self.point(about);
        let fields = json!({"count": "1", "sum": value, "min": value, "max": value, "bucketCounts": buckets, "explicitBounds": bounds});
        if let (Value::Object(point), Value::Object(fields)) = (&mut point, fields) {
            point.extend(fields);
        }
        self.add(name, unit, "histogram", &json!({"aggregationTemporality": 1, "dataPoints": []}), point);
    }

    fn point(&self, about: &[(&str, Value)]) -> Value {
        json!({
            "attributes": attributes(about),
            "startTimeUnixNano": nanoseconds(self.since),
            "timeUnixNano": nanoseconds(self.until),
        })
    }

    fn add(&mut self, name: &'static str, unit: &str, kind: &str, empty: &Value, point: Value) {
        let metric =
            self.by_name.entry(name).or_insert_with(|| json!({"name": name, "unit": unit, kind: empty}));
        if let Some(points) = metric[kind]["dataPoints"].as_array_mut() {
            points.push(point);
        }
    }
}

fn seconds(begun: Moment, ended: Moment) -> f64 {
    ended.saturating_sub(begun) as f64 / 1e3
}

/// 64-bit numbers are texts in OTLP's JSON.
fn nanoseconds(moment: Moment) -> String {
    (u128::from(moment) * 1_000_000).to_string()
}

/// 16 hex digits, never all zero.
fn span_id(number: usize) -> String {
    format!("{:016x}", number + 1)
}

/// What is known; unknown ones are left out.
fn attributes(about: &[(&str, Value)]) -> Vec<Value> {
    let known = about.iter().filter_map(|(key, value)| Some(json!({"key": key, "value": any(value)?})));
    known.collect()
}

fn any(value: &Value) -> Option<Value> {
    Some(match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(yes) => json!({"boolValue": yes}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.iter().filter_map(any).collect::<Vec<_>>()}})
        }
        Value::Null | Value::Object(_) => return None,
    })
}

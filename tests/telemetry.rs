//! What a collector of OpenTelemetry is told, over real HTTP: whole, nothing that anybody wrote, and never in the way.

use crate::e2e::PYTHON;
use crate::model_server::{Answer, ModelServer};
use crate::support::{KEY, Workspace, docker, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// What came: path, headers in lower case, body.
type Posted = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A collector that refuses the first messages with these statuses.
struct Collector {
    address: SocketAddr,
    posted: Posted,
}

impl Collector {
    fn start(refusals: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let posted = Posted::default();
        let (kept, mut refusals) = (posted.clone(), refusals.iter().copied());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up was not heard.
                let _ = hear(&stream, refusals.next().unwrap_or(200), &kept);
            }
        });
        Self { address, posted }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies that were posted to a path.
    fn at(&self, path: &str) -> Vec<Value> {
        let posted = self.posted.lock().expect("no test panics while it holds it");
        posted.iter().filter(|(to, ..)| to == path).map(|(.., body)| body.clone()).collect()
    }
}

fn hear(mut stream: &TcpStream, status: u16, posted: &Posted) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = String::new();
    while reader.read_line(&mut headers)? > 2 {}
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    if status == 200 {
        let body = serde_json::from_slice(&body).unwrap_or_default();
        posted.lock().expect("no test panics while it holds it").push((path, headers, body));
    }
    write!(stream, "HTTP/1.1 {status} Told\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}")
}

/// The attributes of a span or a point, by name.
fn about(thing: &Value) -> BTreeMap<String, Value> {
    let attributes = thing["attributes"].as_array().into_iter().flatten();
    let value =
        |attribute: &Value| attribute["value"].as_object().and_then(|value| value.values().next().cloned());
    attributes
        .map(|one| (one["key"].as_str().unwrap_or_default().to_owned(), value(one).unwrap_or_default()))
        .collect()
}

fn nanoseconds(span: &Value, name: &str) -> u64 {
    span[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name}: {span:#}"))
}

#[test]
fn a_task_is_a_trace_without_a_word_of_the_users() {
    if !docker() {
        return;
    }
    let collector = Collector::start(&[]);
    let model = ModelServer::saying([PYTHON.answer(PYTHON.wrong), PYTHON.answer(PYTHON.repair)]);
    let machine = PYTHON
        .workspace()
        .model(&model)
        .set("OPENDEVAGENT_TELEMETRY_OTLP_ENDPOINT", collector.url())
        .set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collectors-own,x-team=a");
    let report = machine.run(&["fix", "-m", "the-users-words", "--json"]).exits(0).json();
    assert_eq!(report["verdict"]["level"], "proven", "{report:#}");

    let [traces] = collector.at("/v1/traces").try_into().expect("one task is one message");
    let [metrics] = collector.at("/v1/metrics").try_into().expect("one task is one message");
    let said = format!("{traces}{metrics}");
    for foreign in ["the-users-words", "gcd", "workspace", "pytest", "return", KEY, "collectors-own"] {
        assert!(!said.contains(foreign), "{foreign}: {said}");
    }
    for (_, headers, _) in collector.posted.lock().unwrap().iter() {
        assert!(headers.contains("authorization: bearer collectors-own") && headers.contains("x-team: a"));
    }

    let spans = traces["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("it has spans");
    let names: Vec<&str> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
    for (name, at_least) in [("task fix", 1), ("phase debugging", 1), ("run before", 1), ("run after", 2)] {
        assert!(names.iter().filter(|other| **other == name).count() >= at_least, "{name}: {names:?}");
    }
    let calls: Vec<&Value> = spans.iter().filter(|span| span["kind"] == 3).collect();
    assert_eq!(calls.len(), 2, "{names:?}");
    assert_eq!(about(spans.first().expect("the task's own"))["opendevagent.verdict"], "proven");
    let trace = report["task"].as_str().expect("an id").replace('-', "");
    let by_id: BTreeMap<&str, &Value> =
        spans.iter().map(|span| (span["spanId"].as_str().unwrap(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids are unique");
    for span in spans {
        assert_eq!(span["traceId"], trace.as_str());
        let (begun, ended) = (nanoseconds(span, "startTimeUnixNano"), nanoseconds(span, "endTimeUnixNano"));
        assert!(begun <= ended, "{span:#}");
        let Some(parent) = span["parentSpanId"].as_str() else { continue };
        let parent = by_id[parent];
        assert!(nanoseconds(parent, "startTimeUnixNano") <= ended, "{span:#} in {parent:#}");
        assert!(ended <= nanoseconds(parent, "endTimeUnixNano"), "{span:#} in {parent:#}");
    }

    let metrics =
        metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().expect("it has some");
    let points = |name: &str, kind: &str| -> Vec<Value> {
        let metric = metrics.iter().find(|metric| metric["name"] == name);
        let points = metric.and_then(|metric| metric[kind]["dataPoints"].as_array());
        points.unwrap_or_else(|| panic!("{name} as {kind}: {metrics:#?}")).clone()
    };
    let tokens = |kind: &str| -> f64 {
        let points = points("gen_ai.client.token.usage", "histogram");
        let of_kind = points.iter().filter(|point| about(point)["gen_ai.token.type"] == kind);
        of_kind.filter_map(|point| point["sum"].as_f64()).sum()
    };
    assert_eq!(Some(tokens("input")), report["usage"]["prompt_tokens"].as_f64());
    assert_eq!(Some(tokens("output")), report["usage"]["completion_tokens"].as_f64());
    let runs = names.iter().filter(|name| name.starts_with("run ")).count();
    assert_eq!(points("opendevagent.sandbox.duration", "histogram").len(), runs);
    assert_eq!(points("opendevagent.tasks", "sum").len(), 1);
    for point in points("opendevagent.sandbox.memory", "histogram") {
        let buckets = point["bucketCounts"].as_array().expect("a histogram has buckets");
        assert_eq!(buckets.len(), point["explicitBounds"].as_array().expect("and bounds").len() + 1);
        assert_eq!(buckets.iter().filter(|count| **count == "1").count(), 1);
    }
}

/// A task that asks a model and needs no container.
fn explain(endpoint: String) -> (Workspace, ModelServer) {
    let model = ModelServer::always(Answer::Text("It counts.".into()));
    let machine = PYTHON.workspace().model(&model).no_sandbox();
    (machine.set("OPENDEVAGENT_TELEMETRY_OTLP_ENDPOINT", endpoint), model)
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    let collector = Collector::start(&[503]);
    let (machine, _model) = explain(collector.url());
    machine.run(&["explain", "gcd.py:1", "--json"]).exits(0);
    let paths: BTreeSet<String> =
        collector.posted.lock().unwrap().iter().map(|(path, ..)| path.clone()).collect();
    assert_eq!(paths, BTreeSet::from(["/v1/metrics".to_owned(), "/v1/traces".to_owned()]));
}

#[test]
fn a_collector_that_is_gone_or_refuses_changes_nothing_but_a_warning() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, why) in
        [(format!("http://{gone}"), None), (Collector::start(&[401; 9]).url(), Some("401"))]
    {
        let (machine, _model) = explain(endpoint);
        let ended = machine.run(&["explain", "gcd.py:1", "--json"]).exits(0);
        assert_eq!(ended.json()["text"], "It counts.");
        if let Some(why) = why {
            assert_eq!(ended.stderr.matches("no telemetry is sent").count(), 1, "{}", ended.stderr);
            assert!(ended.stderr.contains(why), "{}", ended.stderr);
        }
    }
}

#[test]
fn doctor_tells_of_the_collector() {
    let traces = |endpoint: String| {
        let (machine, _model) = explain(endpoint);
        let checks = machine.run(&["doctor", "--json"]).json();
        let checks = checks["checks"].as_array().or(checks.as_array()).expect("a list of checks").clone();
        checks.into_iter().find(|check| check["name"] == "traces").expect("one is of the collector")
    };
    let collector = Collector::start(&[]);
    assert_eq!(traces(collector.url())["ok"], true);
    assert_eq!(collector.at("/v1/traces"), [json!({"resourceSpans": []})]);
    let refused = traces(Collector::start(&[403; 9]).url());
    assert!(refused["ok"] == false && refused["remedy"].is_string(), "{refused}");
}

#[test]
fn a_collector_that_never_answers_is_not_waited_for() {
    // It takes connections and never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let (machine, _model) = explain(format!("http://{}", deaf.local_addr().unwrap()));
    let running = machine.start(&["explain", "gcd.py:1", "--json"]);
    eventually("the program to end", SOON, || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", running.id())).unwrap_or_default();
        state.is_empty().then_some(()).or_else(|| state.contains(") Z ").then_some(()))
    });
    assert_eq!(running.wait().exits(0).json()["text"], "It counts.");
}

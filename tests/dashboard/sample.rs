//! Tasks as a journal holds them: one of every kind, told at length, and as many ordinary ones as are wanted.

use opendevagent::journal::{Row, Store};
use serde_json::{Value, json};

/// Text that would be markup, script or an attribute if it were not escaped.
pub const HOSTILE: &str =
    "<img src=x onerror=\"document.title='owned'\"> \"'><script>document.title='owned'</script> &amp;";

const DIFF: &str = "--- a/src/gcd.py
+++ b/src/gcd.py
@@ -1,9 +1,14 @@
 import math
 
 
 def gcd(a: int, b: int) -> int:
-    # Euclid, by subtraction
-    while b:
-        a, b = b, a - b
+    \"\"\"The greatest common divisor, never negative.\"\"\"
+    while b != 0:
+        a, b = b, a % b
     return abs(a)
+
+
+def lcm(a: int, b: int) -> int:
+    return a // gcd(a, b) * b
 
 
 print(gcd(12, 18), \"done\")
--- /dev/null
+++ b/tests/test_lcm.py
@@ -0,0 +1,5 @@
+from src.gcd import lcm
+
+
+def test_lcm():
+    assert lcm(4, 6) == 12
";

const OUTPUT: &str = "============================= test session starts ==============================
collected 12 items

tests/test_gcd.py ..F.........                                           [100%]

=================================== FAILURES ===================================
___________________________ test_gcd_of_negatives ______________________________

    def test_gcd_of_negatives():
>       assert gcd(-12, 18) == 6
E       assert -6 == 6

tests/test_gcd.py:14: AssertionError
=========================== short test summary info ============================
FAILED tests/test_gcd.py::test_gcd_of_negatives - assert -6 == 6
========================= 1 failed, 11 passed in 0.04s =========================";

/// Ids in the order of their numbers.
pub fn id(number: usize) -> String {
    format!("0193-{number:06}")
}

fn line(at: u64, kind: &str, fields: Value) -> Value {
    let mut line = json!({"at": at, "kind": kind});
    let Value::Object(fields) = fields else { panic!("{fields}") };
    line.as_object_mut().expect("it was made an object").extend(fields);
    line
}

pub fn row(number: usize, action: &str, title: &str, begun: u64) -> Row {
    Row {
        id: id(number),
        action: action.into(),
        title: title.into(),
        workspace: "/home/ada/projects/arithmetic".into(),
        file: Some("src/gcd.py".into()),
        phase: "queued".into(),
        begun,
        ..Row::default()
    }
}

fn phase(at: u64, phase: &str, attempt: u32) -> Value {
    line(at, "phase", json!({"phase": phase, "percent": 40, "attempt": attempt}))
}

fn noted(at: u64, level: &str, text: &str) -> Value {
    line(at, "noted", json!({"level": level, "text": text}))
}

fn ran(at: u64, stage: &str, failed: u32, cost: (u64, u64, u64)) -> Value {
    let status = if failed > 0 { "exit_nonzero" } else { "ok" };
    let output = if failed > 0 { OUTPUT } else { "12 passed in 0.03s" };
    let (duration_ms, cpu_ms, mib) = cost;
    let fields = json!({
        "stage": stage, "status": status, "exit_code": i32::from(failed > 0),
        "tests": {"run": 12, "passed": 12 - failed, "failed": failed, "skipped": 0},
        "measured": {"command": "python -m pytest -q", "duration_ms": duration_ms, "cpu_ms": cpu_ms,
            "peak_memory_bytes": mib << 20, "output": output},
    });
    line(at, "ran", fields)
}

fn usage(calls: u32, cost: f64) -> Value {
    json!({"calls": calls, "prompt_tokens": 4200 * calls, "completion_tokens": 610 * calls, "cached_tokens": 1024 * calls, "cost_usd": cost})
}

fn verdict(level: &str, reason: &str) -> Value {
    json!({
        "level": level, "reason": reason, "check": "python -m pytest -q", "check_source": "detected",
        "before": {"status": "exit_nonzero", "tests": {"run": 12, "passed": 11, "failed": 1, "skipped": 0}},
        "after": {"status": "ok", "tests": {"run": 13, "passed": 13, "failed": 0, "skipped": 0}},
        "fail_to_pass": ["tests/test_gcd.py::test_gcd_of_negatives", "tests/test_lcm.py::test_lcm"], "pass_to_fail": [],
        "changed_lines_executed": true, "rounds": 2, "stable_runs": 2,
        "sandbox": {"cpus": 1.0, "memory_mib": 512, "network": "none"},
    })
}

/// A task that was planned, failed once, was repaired and proven, in the words of the journal.
pub fn proven(number: usize, begun: u64) -> Vec<Value> {
    let at = |ms: u64| begun + ms;
    let title = "fix src/gcd.py:12";
    let reason = "test_gcd_of_negatives failed before and passes now; 11 others unchanged";
    let plan = json!({
        "summary": "Replace the subtraction by the **remainder**, and give the result a sign that callers expect of `math.gcd`.",
        "components": [{"name": "gcd", "responsibility": "greatest common divisor, never negative"},
            {"name": "lcm", "responsibility": "least common multiple, built on gcd"}],
        "data_flow": ["gcd is called by lcm"], "technology": ["Python 3, standard library"],
        "steps": [{"title": "Use the remainder", "detail": "a, b = b, a % b ends for every sign", "files": ["src/gcd.py"]},
            {"title": "Add lcm with a test", "detail": "", "files": ["src/gcd.py", "tests/test_lcm.py"]}],
        "tests": ["negative numbers", "zero"], "edge_cases": ["both are zero"], "risks": ["callers that rely on the sign"],
    });
    let edits: Vec<Value> = DIFF
        .split_inclusive("done\")\n")
        .zip(["src/gcd.py", "tests/test_lcm.py"])
        .map(|(diff, path)| json!({"path": path, "diff": diff, "confirm": false, "before_sha256": null, "after_sha256": null}))
        .collect();
    let mut spent = usage(4, 0.0183);
    spent["by_agent"] =
        json!({"architect": usage(1, 0.0101), "coder": usage(2, 0.0042), "debugger": usage(1, 0.004)});
    let rounds = json!([
        {"attempt": 1, "level": "failing", "reason": "1 of 12 tests fails: test_gcd_of_negatives, assert -6 == 6", "files": ["src/gcd.py"], "diff": DIFF.replace("abs(a)", "a")},
        {"attempt": 2, "level": "proven", "reason": reason, "files": ["src/gcd.py", "tests/test_lcm.py"], "diff": DIFF},
    ]);
    let report = json!({
        "task": id(number), "action": "fix", "phase": "complete", "verdict": verdict("proven", reason), "plan": plan,
        "edits": edits, "text": null, "rounds": 2, "usage": spent, "duration_ms": 21_400, "overhead_ms": 300, "error": null,
        "history": rounds,
        "findings": [{"path": "src/gcd.py", "line": 12, "column": 1, "severity": "warning", "category": "practice",
            "message": "print at import time: callers see output they did not ask for"}],
    });
    vec![
        line(begun, "begun", json!({"row": row(number, "fix", title, begun), "asked": {}})),
        line(begun, "started", json!({"action": "fix", "title": title})),
        phase(at(10), "testing", 0),
        ran(at(1900), "before", 1, (1240, 880, 41)),
        phase(at(1910), "planning", 0),
        noted(at(7200), "info", "✓ Plan created: 2 components identified"),
        phase(at(7210), "coding", 1),
        noted(at(12_900), "info", "✓ Code generated: 1 files created"),
        phase(at(12_910), "testing", 1),
        ran(at(14_300), "after", 1, (1190, 860, 44)),
        phase(at(14_310), "debugging", 2),
        noted(at(17_000), "warning", "the coder's answer was cut off; asked again"),
        phase(at(18_000), "testing", 2),
        ran(at(19_600), "after", 0, (1310, 910, 301)),
        ran(at(21_000), "after", 0, (1275, 905, 43)),
        line(at(21_400), "report", json!({"report": report})),
        line(
            at(21_400),
            "ended",
            json!({"phase": "complete", "verdict": verdict("proven", reason), "message": format!("2 files proven: {reason}")}),
        ),
    ]
}

/// A task that is in the middle of its work.
pub fn running(number: usize, begun: u64) -> Vec<Value> {
    let title = "generate src/parser.rs:40";
    vec![
        line(begun, "begun", json!({"row": row(number, "generate", title, begun), "asked": {}})),
        line(begun, "started", json!({"action": "generate", "title": title})),
        phase(begun + 10, "planning", 0),
        noted(begun + 4000, "info", "✓ Plan created: 3 components identified"),
        phase(begun + 4010, "coding", 1),
    ]
}

/// What ends a task that runs.
pub fn end(at: u64) -> Vec<Value> {
    let verdict = verdict("passing", "13 tests pass");
    vec![
        phase(at, "testing", 1),
        ran(at + 900, "after", 0, (900, 700, 60)),
        line(
            at + 950,
            "ended",
            json!({"phase": "complete", "verdict": verdict, "message": "src/parser.rs passing: 13 tests pass"}),
        ),
    ]
}

/// A task whose every text is [`HOSTILE`].
pub fn hostile(number: usize, begun: u64) -> Vec<Value> {
    let mut row = row(number, "review", HOSTILE, begun);
    row.workspace = format!("/tmp/{HOSTILE}");
    row.instruction = Some(HOSTILE.into());
    let mut verdict = verdict("failing", HOSTILE);
    verdict["check"] = json!(HOSTILE);
    verdict["pass_to_fail"] = json!([HOSTILE]);
    let diff = format!("--- a/{HOSTILE}\n+++ b/{HOSTILE}\n@@ -1 +1 @@\n-{HOSTILE}\n+# {HOSTILE}\n");
    let report = json!({
        "verdict": verdict, "plan": null, "text": format!("# {HOSTILE}\n\n- {HOSTILE}\n\n{HOSTILE}\n```{HOSTILE}\n{HOSTILE}\n```\n"),
        "edits": [{"path": HOSTILE, "diff": diff}], "error": HOSTILE, "usage": usage(1, 0.001),
        "findings": [{"path": HOSTILE, "line": 1, "severity": HOSTILE, "category": HOSTILE, "message": HOSTILE}],
        "history": [{"attempt": 1, "level": HOSTILE, "reason": HOSTILE, "diff": diff}],
    });
    let mut ran = ran(begun + 2, "after", 1, (10, 10, 10));
    ran["measured"]["output"] = json!(HOSTILE);
    ran["measured"]["command"] = json!(HOSTILE);
    vec![
        line(begun, "begun", json!({"row": row, "asked": {}})),
        phase(begun + 1, HOSTILE, 1),
        ran,
        noted(begun + 3, HOSTILE, HOSTILE),
        line(begun + 4, "report", json!({"report": report})),
        line(begun + 4, "ended", json!({"phase": "failed", "verdict": verdict, "message": HOSTILE})),
    ]
}

/// An ordinary task, in few lines.
pub fn ordinary(number: usize, begun: u64) -> Vec<Value> {
    const KINDS: [(&str, &str, &str, &str); 6] = [
        ("fix", "fix src/server.ts:88", "complete", "proven"),
        ("generate", "generate lib/cache.go:12", "complete", "passing"),
        ("tests", "tests app/models/user.rb", "complete", "proven"),
        ("fix", "fix Main.java:210", "failed", "failing"),
        ("run", "run scripts/report.py", "complete", "runs"),
        ("review", "review src/lib.rs:1", "complete", "unverified"),
    ];
    let (action, title, phase, level) = KINDS[number % KINDS.len()];
    let took = 3000 + (number as u64 * 7919) % 90_000;
    let report = json!({"usage": usage(2, 0.0021 + (number % 9) as f64 * 0.0017), "rounds": 1 + number % 3, "edits": []});
    let mut verdict = verdict(level, "as the check showed");
    verdict["rounds"] = json!(1 + number % 3);
    vec![
        line(begun, "begun", json!({"row": row(number, action, title, begun), "asked": {}})),
        line(begun + took, "report", json!({"report": report})),
        line(
            begun + took,
            "ended",
            json!({"phase": phase, "verdict": verdict, "message": "as the check showed"}),
        ),
    ]
}

/// Puts `count` ordinary tasks, a proven, a hostile and a running one into a store; the ids of the last three.
pub async fn fill(store: &dyn Store, count: usize, now: u64) -> [String; 3] {
    let begun = |number: usize| now - (count + 3 - number) as u64 * 3_000_000;
    for number in 0..count {
        store
            .append(&id(number), ordinary(number, begun(number)), false)
            .await
            .expect("the store can be written");
    }
    let special = [count, count + 1, count + 2].map(id);
    store.append(&special[0], proven(count, now - 3_600_000), false).await.expect("the store can be written");
    store
        .append(&special[1], hostile(count + 1, now - 600_000), false)
        .await
        .expect("the store can be written");
    store.append(&special[2], running(count + 2, now - 9000), false).await.expect("the store can be written");
    special
}

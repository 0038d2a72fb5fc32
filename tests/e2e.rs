//! The real program from end to end: real files, a real Docker engine, a scripted model over real HTTP.

mod answers;
mod bad_input;
mod cheats;
mod commands;
mod context;
mod editors;
mod fix;
mod generate;
mod humaneval;
mod interrupt;
mod models;
mod moved;
mod nvim;
mod privacy;
mod refusals;
mod replay;
mod run;
mod vscode;

use crate::support::{Ended, Workspace};
use serde_json::Value;

/// A project with one bug, what repairs it and what does not.
pub struct Sample {
    pub language: &'static str,
    pub fixture: &'static str,
    pub path: &'static str,
    /// One whole line of the file, and the line that must stand there.
    pub bug: &'static str,
    pub repair: &'static str,
    /// What does not help there.
    pub wrong: &'static str,
    /// The end of the name of the test that must go from fail to pass.
    pub test: &'static str,
}

pub const PYTHON: Sample = Sample {
    language: "python",
    fixture: r"
//- /gcd.py
def gcd(a, b):
    while b:
        a, b = b, a % b
    return b
//- /test_gcd.py
from gcd import gcd


def test_gcd():
    assert gcd(12, 18) == 6


def test_zero():
    assert gcd(0, 0) == 0
",
    path: "gcd.py",
    bug: "    return b",
    repair: "    return a",
    wrong: "    return 1",
    test: "test_gcd",
};

pub const JAVASCRIPT: Sample = Sample {
    language: "javascript",
    fixture: r#"
//- /package.json
{ "name": "total", "scripts": { "test": "node --test" } }
//- /total.js
exports.total = function total(prices) {
  let sum = 0;
  for (const price of prices) sum -= price;
  return sum;
};
//- /total.test.js
const assert = require("node:assert");
const { test } = require("node:test");
const { total } = require("./total.js");

test("adds prices", () => assert.strictEqual(total([1, 2, 3]), 6));
test("nothing costs nothing", () => assert.strictEqual(total([]), 0));
"#,
    path: "total.js",
    bug: "  for (const price of prices) sum -= price;",
    repair: "  for (const price of prices) sum += price;",
    wrong: "  for (const price of prices) sum = price;",
    test: "adds prices",
};

pub const GO: Sample = Sample {
    language: "go",
    fixture: r#"
//- /go.mod
module example.org/clamp

go 1.19
//- /clamp.go
package clamp

// Clamp moves value into low..high.
func Clamp(value, low, high int) int {
	if value < low {
		return high
	}
	if value > high {
		return high
	}
	return value
}
//- /clamp_test.go
package clamp

import "testing"

func TestBelow(t *testing.T) {
	if got := Clamp(-5, 0, 10); got != 0 {
		t.Fatalf("got %d, want 0", got)
	}
}

func TestInside(t *testing.T) {
	if got := Clamp(5, 0, 10); got != 5 {
		t.Fatalf("got %d, want 5", got)
	}
}
"#,
    path: "clamp.go",
    bug: "	if value < low {\n		return high",
    repair: "	if value < low {\n		return low",
    wrong: "	if value < low {\n		return value",
    test: "TestBelow",
};

pub const SAMPLES: [&Sample; 3] = [&PYTHON, &JAVASCRIPT, &GO];

impl Sample {
    pub fn workspace(&self) -> Workspace {
        Workspace::new(self.fixture)
    }

    /// The text of the file before.
    pub fn before(&self) -> String {
        self.workspace().read(self.path)
    }

    /// The text of the file after the intended edit, and no other.
    pub fn after(&self) -> String {
        let before = self.before();
        assert_eq!(before.matches(self.bug).count(), 1, "the bug stands once");
        before.replace(self.bug, self.repair)
    }

    /// An answer that puts `line` where the bug stands.
    pub fn answer(&self, line: &str) -> String {
        edit(self.path, self.bug, line)
    }
}

/// An answer with one edit block.
pub fn edit(path: &str, search: &str, replace: &str) -> String {
    format!("I see it.\n\n{path}\n```\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n```\n")
}

/// An answer with one whole file.
pub fn whole(path: &str, text: &str) -> String {
    format!("{path}\n```\n{text}```\n")
}

/// The level of a report's verdict.
pub fn level(report: &Value) -> &str {
    report["verdict"]["level"].as_str().unwrap_or("none")
}

/// A finished task that must not pass for a success: exit code 1, and nothing better than `failing`.
#[track_caller]
pub fn not_accepted(ended: Ended) -> Value {
    let ended = ended.exits(1);
    let report = ended.json();
    assert!(matches!(level(&report), "failing" | "unverified"), "{} was accepted\n{ended}", level(&report));
    report
}

//! Dependencies of a workspace, with a real engine and real package registries: missed, agreed to, installed, used.

use crate::e2e::{edit, level};
use crate::model_server::ModelServer;
use crate::support::{Workspace, docker};
use std::process::Command;

const PYTHON: &str = "
//- /requirements.txt
# RUN: small, without dependencies of its own.
inflection==0.5.1
-e .
//- /place.py
from inflection import ordinalize


def place(number):
    return ordinalize(number + 1)
//- /test_place.py
from place import place


def test_place():
    assert place(2) == '2nd'
";

const NODE: &str = r#"
//- /package.json
{ "name": "RUN", "type": "module", "scripts": { "test": "node --test", "postinstall": "exit 1" }, "dependencies": { "left-pad": "1.3.0" } }
//- /package-lock.json
{
  "name": "RUN", "lockfileVersion": 3, "requires": true,
  "packages": {
    "": { "name": "RUN", "dependencies": { "left-pad": "1.3.0" } },
    "node_modules/left-pad": {
      "version": "1.3.0",
      "integrity": "sha512-XI5MPzVNApjAyhQzphX8BkmKsKUxD4LdyK24iZeQGinBN9yTQT3bFlCBy/aVx2HrNcqQGsdot8ghrjyrvMCoEA=="
    }
  }
}
//- /pad.js
import leftPad from "left-pad";
export const pad = (text) => leftPad(text, 4, "-");
//- /pad.test.js
import assert from "node:assert";
import { test } from "node:test";
import { pad } from "./pad.js";
test("pads", () => assert.strictEqual(pad("a"), "----a"));
test("pads to five", () => assert.strictEqual(pad("a").length, 5));
"#;

/// A workspace whose setup uses the machine's own network: a bridge does not reach out on every test machine.
fn reaching_out(fixture: &str) -> Workspace {
    // Of its own for each run, so that nothing is installed yet.
    let run = format!("run-{}", uuid::Uuid::new_v4().simple());
    Workspace::new(&fixture.replace("RUN", &run)).set("OPENDEVAGENT_SANDBOX_SETUP_NETWORK", "host")
}

/// Unverified and named, then installed, then proven; without a network, from an image of its own.
#[track_caller]
fn check(workspace: &Workspace, package: &str, source: &str) {
    let report = workspace.run(&["fix", "--json"]).exits(1).json();
    assert_eq!(level(&report), "unverified", "{report:#}");
    let reason = report["verdict"]["reason"].as_str().unwrap_or_default();
    let remedy = format!("run `opendevagent sandbox setup` to install what {source} names");
    assert!(reason.contains(&format!("the package {package} is not installed")), "{reason}");
    assert!(reason.ends_with(&remedy), "{reason}");

    workspace.run(&["sandbox", "setup"]).exits(1).says("run again with --yes");
    workspace.run(&["doctor"]).says("opendevagent sandbox setup");
    let image = workspace.run(&["sandbox", "setup", "--yes"]).exits(0).stdout;
    let image = image.lines().next().unwrap_or_default().to_owned();
    assert!(image.starts_with("opendevagent/setup:"), "{image}");

    let report = workspace.run(&["fix", "--json"]).exits(0).json();
    assert_eq!(level(&report), "proven", "{report:#}");
    assert_eq!(report["verdict"]["sandbox"]["network"], "none");
    workspace.run(&["sandbox", "list"]).exits(0).says(&image);
    let removed = Command::new("docker").args(["rmi", &image]).output().expect("docker is installed");
    assert!(removed.status.success(), "{removed:?}");
}

#[test]
fn a_python_project_is_proven_once_its_requirements_are_installed() {
    if !docker() {
        return;
    }
    let (old, new) = ("    return ordinalize(number + 1)", "    return ordinalize(number)");
    let server = ModelServer::always(edit("place.py", old, new));
    check(&reaching_out(PYTHON).model(&server), "inflection", "requirements.txt");
}

#[test]
fn a_node_project_is_proven_once_its_lock_file_is_installed() {
    if !docker() {
        return;
    }
    let old = "export const pad = (text) => leftPad(text, 4, \"-\");";
    let server = ModelServer::always(edit("pad.js", old, &old.replace('4', "5")));
    check(&reaching_out(NODE).model(&server), "left-pad", "package.json");
}

#[test]
fn a_setup_sees_no_file_but_those_it_reads_and_no_secret() {
    if !docker() {
        return;
    }
    let command =
        "ls -A /work | tr '\\n' ' '; env | cut -d= -f1 | sort | tr '\\n' ' '; id -u; touch /etc/x || exit 3";
    let workspace = reaching_out("//- /requirements.txt\nsix\n//- /app.py\nkey = 1\n")
        .set("OPENDEVAGENT_SANDBOX_SETUP", command)
        .set("PIP_INDEX_URL", "https://me:hunter2@pypi.example/simple")
        .set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let ended = workspace.run(&["sandbox", "setup", "--yes"]).exits(4).says("ended with exit 3");
    let ended = ended.says("requirements.txt ").says("10001").says("Permission denied").says("sandbox.setup");
    assert!(!ended.stderr.contains("app.py") && !ended.stderr.contains("AWS_SECRET"), "{ended}");
    assert!(!ended.stderr.contains("PIP_INDEX_URL") && !ended.stderr.contains("hunter2"), "{ended}");
}

#[test]
fn an_image_without_the_runner_gets_it() {
    if !docker() {
        return;
    }
    // Any image that has Python and not our runner: ours, with another entry point.
    let plain = format!("opendevagent-test/plain:{}", std::process::id());
    let source = opendevagent::sandbox::image::tag(Some("python"));
    let dockerfile =
        format!("FROM {source}\nUSER root\nRUN rm /usr/local/bin/opendevagent-runner\nENTRYPOINT []\n");
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file can be written");
    let mut build = Command::new("docker");
    build
        .args(["build", "-q", "--network", "none", "-t", &plain])
        .arg(folder.path())
        .env("DOCKER_BUILDKIT", "0");
    assert!(build.output().is_ok_and(|output| output.status.success()), "the image cannot be built");
    let images = format!("{{\"python\": \"{plain}\"}}");
    let workspace = Workspace::new("//- /a.py\nprint('plain')\n").set("OPENDEVAGENT_SANDBOX_IMAGES", images);
    let ended = workspace.run(&["run", "a.py"]);
    let _ = Command::new("docker").args(["rmi", "-f", &plain]).output();
    assert_eq!(ended.exits(0).stdout, "plain\n");
}

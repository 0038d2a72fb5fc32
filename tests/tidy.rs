//! The rules that no compiler checks: what a file looks like, who may name whom, and that what is generated is fresh.

use crate::support::project;
use opendevagent::config::{Row, rows};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// The modules of the library, from the one that knows nothing to the one that knows all.
const ORDER: &[&str] = &[
    "text",
    "syntax",
    "workspace",
    "link",
    "sandbox",
    "model",
    "verdict",
    "event",
    "config",
    "crash",
    "agent",
    "journal",
    "wiring",
    "doctor",
    "dashboard",
    "lsp",
    "acp",
    "cli",
];
/// Who may name a crate: paths begin with one of these.
const HOMES: &[(&str, &[&str])] = &[
    ("reqwest", &["server/model/openai", "server/journal/telemetry"]),
    ("tree_sitter", &["server/syntax"]),
    ("agent_client_protocol", &["server/acp"]),
    ("bollard", &["server/sandbox/docker", "server/sandbox/image"]),
    ("redis", &["server/config/settings", "server/journal/team", "server/link", "server/sandbox/team"]),
    ("tower_lsp", &["server/lsp"]),
    ("lsp_types", &["server/lsp"]),
    ("hyper", &["server/dashboard"]),
    ("hyper_util", &["server/dashboard"]),
    ("http_body_util", &["server/dashboard"]),
    ("maud", &["server/dashboard"]),
];
/// Names that say nothing.
const HOLLOW: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];
const FILE_LINES: usize = 600;
const USUAL_FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 80;
const USUAL_FUNCTION_LINES: usize = 40;
/// How many of all must keep to the usual limit, in percent.
const USUALLY: usize = 95;

/// A text file of the project.
struct Source {
    /// Relative to the project, with `/` between the parts.
    path: String,
    text: String,
}

/// Every text file that is not ignored.
fn sources() -> Vec<Source> {
    let walk = ignore::WalkBuilder::new(project()).hidden(false).require_git(false).build();
    let files = walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    let sources = files.filter_map(|entry| {
        let path = entry.path().strip_prefix(project()).ok()?.to_str()?.replace('\\', "/");
        let text = std::fs::read_to_string(entry.path()).ok()?;
        (!path.starts_with(".git/")).then_some(Source { path, text })
    });
    sources.collect()
}

fn rust() -> Vec<Source> {
    sources().into_iter().filter(|source| source.extension() == "rs").collect()
}

impl Source {
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Without the tests at the end.
    fn product(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// Without comments, and without the tests at the end.
    fn code(&self) -> String {
        let code: Vec<_> =
            self.product().lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        code.join("\n")
    }

    fn is_product(&self) -> bool {
        self.path.starts_with("server/") && !self.path.contains("/tests")
    }
}

/// Fails with all complaints at once.
#[track_caller]
fn nothing_wrong(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let mut complaints = Vec::new();
    let sources = rust();
    assert!(sources.len() > 20, "the files were found");
    for source in &sources {
        if !source.text.starts_with("//!") {
            complaints.push(format!("{}: begins without `//!`", source.path));
        }
        let stem = Path::new(&source.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem.split('_').any(|word| HOLLOW.contains(&word)) {
            complaints.push(format!("{}: the name says nothing", source.path));
        }
    }
    let length = |text: &str, source: &Source| (text.lines().count(), source.path.clone());
    let all = sources.iter().map(|source| length(&source.text, source));
    complaints.extend(too_long(all.collect(), FILE_LINES, FILE_LINES));
    let product = sources.iter().filter(|source| source.is_product());
    let product = product.map(|source| length(source.product(), source));
    complaints.extend(too_long(product.collect(), FILE_LINES, USUAL_FILE_LINES));
    nothing_wrong(&complaints);
}

#[test]
fn functions_are_short() {
    // The tables of tests may be as long as they need.
    let sources = rust();
    let product = sources.iter().filter(|source| source.is_product());
    let found: Vec<_> = product.flat_map(|source| functions(&source.path, source.product())).collect();
    assert!(found.len() > 200, "the functions were found");
    nothing_wrong(&too_long(found, FUNCTION_LINES, USUAL_FUNCTION_LINES));
}

/// What is longer than `most`; and what is longer than usual, when that is more than a few.
fn too_long(lengths: Vec<(usize, String)>, most: usize, usual: usize) -> Vec<String> {
    let unusual = lengths.iter().filter(|(length, _)| *length > usual).count();
    let limit = if unusual * 100 > lengths.len() * (100 - USUALLY) { usual } else { most };
    let long = lengths.into_iter().filter(|(length, _)| *length > limit);
    long.map(|(length, what)| format!("{what}: {length} lines, at most {limit}")).collect()
}

/// The functions of a formatted file, with their lengths: one ends at the brace below its first letter.
fn functions(path: &str, text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let rest = lines[start..]
            .iter()
            .enumerate()
            .filter(|(_, other)| indent(other) == indent(line) && !other.is_empty());
        let mut inside = false;
        for (offset, other) in rest {
            if inside && other.trim_start().starts_with('}') || !inside && other.ends_with([';', '}']) {
                found.push((offset + 1, format!("{path}:{} {name}", start + 1)));
                break;
            }
            inside |= other.ends_with('{');
        }
    }
    found
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    loop {
        match words.next()? {
            "fn" => return words.next()?.split(['(', '<']).next(),
            "async" | "const" | "unsafe" | "extern" | "\"C\"" => {}
            word if word.starts_with("pub") => {}
            _ => return None,
        }
    }
}

#[test]
fn left_never_names_right() {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| source.is_product()) {
        let Some(own) = top_module(&source.path) else { continue };
        let Some(rank) = ORDER.iter().position(|module| *module == own) else {
            complaints.push(format!("{}: `{own}` has no place in ORDER", source.path));
            continue;
        };
        for named in named_modules(&source.code()) {
            if ORDER.iter().position(|module| *module == named).is_some_and(|other| other > rank) {
                complaints.push(format!("{}: names `{named}`, which stands right of `{own}`", source.path));
            }
        }
    }
    nothing_wrong(&complaints);
}

/// The module of the library that a file belongs to; none for the roots and for the runner, a program of its own.
fn top_module(path: &str) -> Option<&str> {
    let first = path.strip_prefix("server/")?.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then_some(name)
}

/// What follows `crate::`, alone or in braces.
fn named_modules(code: &str) -> BTreeSet<&str> {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut named = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            named.insert(&rest[..word(rest)]);
            continue;
        };
        let mut depth = 0;
        let mut expected = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => expected |= depth == 0,
                c if expected && depth == 0 && c.is_alphabetic() => {
                    named.insert(&group[at..at + word(&group[at..])]);
                    expected = false;
                }
                _ => {}
            }
        }
    }
    named
}

#[test]
fn each_protocol_has_one_home() {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| source.is_product()) {
        let code = source.code();
        let words: BTreeSet<_> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for (name, homes) in HOMES {
            if words.contains(name) && !homes.iter().any(|home| source.path.starts_with(home)) {
                complaints.push(format!("{}: names {name}, whose home is {}", source.path, homes.join(", ")));
            }
        }
    }
    nothing_wrong(&complaints);
}

#[test]
fn the_runner_needs_nothing_but_std() {
    let sources = rust();
    let runner =
        |path: &str| path == "server/sandbox/runner.rs" || path.starts_with("server/sandbox/runner/");
    let parts: Vec<_> = sources.iter().filter(|source| runner(&source.path) && source.is_product()).collect();
    let lists =
        std::fs::read_to_string(project().join("server/sandbox/image.rs")).expect("it is in the tree");
    let mut foreign = Vec::new();
    for source in parts {
        let path = source.path.trim_start_matches("server/sandbox/");
        if !lists.contains(&format!("include_str!(\"{path}\")")) {
            foreign.push(format!("{path}: is not put into the image"));
        }
        for line in source.code().lines().map(str::trim_start).filter(|line| line.starts_with("use ")) {
            let local = ["use std::", "use super::"].iter().any(|start| line.starts_with(start));
            if !local && path != "runner.rs" {
                foreign.push(format!("{path}: {line}"));
            }
        }
    }
    nothing_wrong(&foreign);
}

#[test]
fn panics_have_reasons() {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| source.is_product()) {
        for line in source.code().lines() {
            let reason =
                line.split_once(".expect(\"").map(|(_, rest)| rest.split('"').next().unwrap_or_default());
            let vague = reason.is_some_and(|reason| reason.split_whitespace().count() < 3);
            if line.contains(".unwrap()") || vague || line.contains("#[allow(") {
                complaints.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    nothing_wrong(&complaints);
}

#[test]
fn nothing_names_this_machine() {
    let here = project().to_string_lossy().into_owned();
    let home = std::env::var("HOME").unwrap_or_default();
    let mut complaints = Vec::new();
    for source in sources() {
        for place in [&here, &home].into_iter().filter(|place| place.len() > 1) {
            if source.text.contains(&format!("{place}/")) {
                complaints.push(format!("{}: names {place}", source.path));
            }
        }
        let resolved = source.text.lines().filter(|line| line.trim_start().starts_with("\"resolved\":"));
        for line in resolved.filter(|line| !line.contains("\"https://registry.npmjs.org/")) {
            complaints.push(format!("{}: {}", source.path, line.trim()));
        }
        let registries =
            source.text.lines().filter(|line| line.starts_with("source = \"") && source.path == "Cargo.lock");
        for line in registries.filter(|line| !line.contains("github.com/rust-lang/crates.io-index")) {
            complaints.push(format!("{}: {line}", source.path));
        }
    }
    nothing_wrong(&complaints);
}

#[test]
fn the_code_map_names_every_module() {
    let text = std::fs::read_to_string(project().join("server/lib.rs")).expect("it is in the tree");
    let map: String = text.lines().filter(|line| line.starts_with("//!")).collect();
    let modules = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let missing: Vec<_> =
        modules.filter(|module| !map.contains(&format!("`{module}`"))).map(str::to_owned).collect();
    nothing_wrong(&missing);
}

#[test]
fn the_readme_lists_every_setting() {
    let mut table = String::from("| setting | default | meaning |\n|---|---|---|\n");
    for row in rows() {
        let default = match row.default() {
            Value::Null => "none".into(),
            value => format!("`{value}`"),
        };
        let meaning = row.description().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(table, "| `{}` | {default} | {meaning} |", row.key);
    }
    generated("README.md", "<!-- settings -->\n", "<!-- /settings -->", &table);
}

#[test]
fn the_vscode_manifest_offers_every_setting() {
    let entries: String = rows().iter().map(manifest_entry).collect();
    let begin = "      \"title\": \"OpenDevAgent\",\n      \"properties\": {\n";
    generated("editors/vscode/package.json", begin, "        \"opendevagent.path\": {", &entries);
}

/// One setting in VS Code's words. A workspace can set none of them: its own file may say what is harmless.
fn manifest_entry(row: &Row) -> String {
    let mut schema = row.schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        let description = schema.remove("description").unwrap_or_default();
        schema.insert("markdownDescription".into(), description);
        schema.insert("scope".into(), json!("machine"));
    }
    let text = serde_json::to_string_pretty(&schema).expect("JSON can be printed");
    format!("        \"opendevagent.{}\": {},\n", row.key, text.replace('\n', "\n        "))
}

#[test]
fn neovim_knows_every_setting() {
    let mut text = [
        "---@meta",
        "-- Generated from the server's settings by its tests.",
        "-- luacheck: no max comment line length",
        "",
        "---@class opendevagent.Settings\n",
    ]
    .join("\n");
    for row in rows() {
        let meaning = row.description().replace('\n', " ");
        let _ = writeln!(text, "---@field ['{}']? {} {meaning}", row.key, lua_type(&row.schema));
    }
    fresh("editors/nvim/lua/opendevagent/settings.lua", &text);
}

/// The `LuaCATS` type of a setting.
fn lua_type(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<_> =
            choices.iter().filter_map(Value::as_str).map(|choice| format!("'{choice}'")).collect();
        return choices.join("|");
    }
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    match kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null") {
        Some("array") => lua_type(&schema["items"]) + "[]",
        Some("object") => format!("table<string, {}>", lua_type(&schema["additionalProperties"])),
        Some(kind) => kind.into(),
        None => "any".into(),
    }
}

/// Keeps what stands between two marks of a file equal to `text`.
#[track_caller]
fn generated(path: &str, begin: &str, end: &str, text: &str) {
    let old = std::fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (head, rest) = old.split_once(begin).unwrap_or_else(|| panic!("{path} has no {begin:?}"));
    let at = if rest.starts_with(end) { 0 } else { rest.find(&format!("\n{end}")).map_or(0, |at| at + 1) };
    let tail = &rest[at..];
    assert!(tail.starts_with(end), "{path} has no {end:?} after {begin:?}");
    fresh(path, &format!("{head}{begin}{text}{tail}"));
}

/// Writes a file anew where it is not `text`, and fails then: the next run finds it fresh.
#[track_caller]
fn fresh(path: &str, text: &str) {
    let file = project().join(path);
    if std::fs::read_to_string(&file).unwrap_or_default() != text {
        std::fs::write(&file, text).expect("a file of the project can be written");
        panic!("{path} was out of date and has been written anew; run the tests again and commit it");
    }
}

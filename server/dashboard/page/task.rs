//! One task: where it stands, what it planned, tried, proved and cost.

use super::chart::{self, Bar};
use super::diff::diff;
use super::prose::prose;
use super::{badge, is_over, part, when};
use crate::dashboard::story::{Line, Ran, Story, number, text, title};
use crate::dashboard::words;
use crate::dashboard::{Said, Wish};
use crate::journal::Record;
use maud::{Markup, html};
use serde_json::Value;

/// Lines of the log that are shown.
const LOG: usize = 500;

pub(in crate::dashboard) fn task(record: &Record, wishes: &[Wish], said: Option<&Said>) -> Markup {
    let story = Story::of(&record.events);
    let report = record.report.as_ref().unwrap_or(&Value::Null);
    let over = is_over(&record.row.phase);
    html! {
        p.crumb { a href="../" { "← All tasks" } }
        (part("head", &head(record, &story, report, over)))
        (part("wishes", &asks(&record.row.id, wishes)))
        (part("timeline", &section("Timeline", (!story.phases.is_empty()).then(|| {
            chart::timeline(&story.phases, (!over).then(words::now))
        }))))
        div.sides {
            div {
                (part("now", &section("Being written", said.filter(|_| !over).map(writing))))
                (part("verdict", &section("Verdict", object(report, "verdict").map(verdict))))
                (part("text", &section("Answer", prose_of(report))))
                (part("plan", &section("Plan", object(report, "plan").map(plan))))
                (part("changes", &section("Proposed changes", changes(report))))
                (part("rounds", &section("Rounds", rounds(report, &story))))
            }
            div {
                (part("findings", &section("Findings", findings(report))))
                (part("sandbox", &section("Sandbox", sandbox(&story, report))))
                (part("cost", &section("Cost", cost(report.get("usage").unwrap_or(&story.usage)))))
                (part("log", &section("Log", (!story.log.is_empty()).then(|| log(&story.log)))))
            }
        }
        span data-news=(format!("{}: {}", record.row.title, record.row.phase)) {}
    }
}

fn object<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.get(name).filter(|value| value.is_object())
}

fn section(heading: &str, content: Option<Markup>) -> Markup {
    html! { @if let Some(content) = content { section.card { h2 { (heading) } (content) } } }
}

fn head(record: &Record, story: &Story, report: &Value, over: bool) -> Markup {
    let row = &record.row;
    let now = words::now();
    let took = row.ended.unwrap_or(if over { story.latest } else { now }).saturating_sub(row.begun);
    let error =
        report["error"].as_str().or((row.phase == "failed" && report.is_null()).then_some(&*story.message));
    html! {
        h1.title { (row.title) }
        p.badges {
            (badge(&row.phase))
            @if let Some(level) = &row.level { " " (badge(level)) }
        }
        dl.facts {
            div { dt { "Begun" } dd { (when(row.begun, now)) } }
            div { dt { @if over { "Took" } @else { "Runs for" } } dd { (words::duration(took)) } }
            div { dt { "Cost" } dd { (words::dollars(row.usage.cost_usd)) } }
            div { dt { "Rounds" } dd { (row.rounds) } }
            div { dt { "Workspace" } dd.path { (row.workspace) } }
            div { dt { "Task" } dd.path { (row.id) } }
            @if let Some(asked) = record.asked["instruction"].as_str() {
                div.wide { dt { "Asked" } dd.asked { (asked) } }
            }
        }
        @if let Some(error) = error.filter(|error| !error.is_empty()) { p.problem role="note" { (error) } }
        @if let Some(loss) = record.loss() { p.problem role="note" { (loss) } }
    }
}

fn asks(id: &str, wishes: &[Wish]) -> Markup {
    html! {
        @if !wishes.is_empty() {
            form.wishes method="post" {
                @for wish in wishes {
                    button class=(wish.name()) type="submit" formaction=(format!("{id}/{}", wish.name())) { (title(wish.name())) }
                }
            }
        }
    }
}

fn writing(said: &Said) -> Markup {
    html! {
        p.hint { "The " (said.agent) " writes:" }
        div.code.said tabindex="0" role="region" aria-label="What is being written" { pre { (said.text) } }
    }
}

fn verdict(verdict: &Value) -> Markup {
    let list = |name: &str| verdict[name].as_array().cloned().unwrap_or_default();
    let limits = &verdict["sandbox"];
    html! {
        p.reason { (badge(verdict["level"].as_str().unwrap_or("unverified"))) " " (text(verdict, "reason")) }
        dl.facts {
            @if let Some(check) = verdict["check"].as_str() {
                div.wide { dt { "Check, " (text(verdict, "check_source")) } dd { code { (check) } } }
            }
            @for (name, when) in [("before", "Before the edit"), ("after", "After the edit")] {
                @if verdict[name].is_object() { div { dt { (when) } dd { (observed(&verdict[name])) } } }
            }
            div { dt { "Changed lines ran" } dd { (known(&verdict["changed_lines_executed"])) } }
            div { dt { "Runs that agree" } dd { (number(verdict, "stable_runs")) } }
            div { dt { "Held to" } dd {
                (limits["cpus"].as_f64().unwrap_or_default()) " CPU, " (number(limits, "memory_mib")) " MiB, network "
                (text(limits, "network"))
            } }
        }
        @for (name, heading) in [("fail_to_pass", "Failed before, pass now"), ("pass_to_fail", "Passed before, fail now")] {
            @if !list(name).is_empty() {
                details id=(name) open[list(name).len() <= 8] {
                    summary { (heading) " (" (list(name).len()) ")" }
                    ul.tests class=(name) { @for test in list(name) { li { (test.as_str().unwrap_or_default()) } } }
                }
            }
        }
    }
}

fn observed(observed: &Value) -> Markup {
    let (tests, status) = (&observed["tests"], text(observed, "status"));
    let [run, passed, failed] = ["run", "passed", "failed"].map(|name| number(tests, name));
    html! {
        @if tests.is_object() && run > 0 {
            (passed) " of " (run) " tests passed" @if failed > 0 { ", " (failed) " failed" }
        } @else { (title(&status)) }
    }
}

fn known(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    }
}

/// A plan has its own section; its Markdown is not shown twice.
fn prose_of(report: &Value) -> Option<Markup> {
    let text = report["text"].as_str().filter(|text| !text.trim().is_empty())?;
    (!report["plan"].is_object()).then(|| html! { div.prose { (prose(text)) } })
}

fn plan(plan: &Value) -> Markup {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let lines = [
        ("data_flow", "Data flow"),
        ("technology", "Technology"),
        ("tests", "Tests"),
        ("edge_cases", "Edge cases"),
        ("risks", "Risks"),
    ];
    html! {
        div.prose { (prose(&text(plan, "summary"))) }
        @let steps = list(&plan["steps"]);
        @if !steps.is_empty() {
            h3 { "Steps" }
            ol.steps {
                @for step in &steps {
                    li {
                        strong { (text(step, "title")) }
                        @if !text(step, "detail").is_empty() { p { (text(step, "detail")) } }
                        p.files { @for file in list(&step["files"]) { code { (file.as_str().unwrap_or_default()) } " " } }
                    }
                }
            }
        }
        @let components = list(&plan["components"]);
        @if !components.is_empty() {
            h3 { "Components" }
            dl.parts { @for component in &components { dt { (text(component, "name")) } dd { (text(component, "responsibility")) } } }
        }
        div.columns {
            @for (name, heading) in lines {
                @let entries = list(&plan[name]);
                @if !entries.is_empty() {
                    div { h3 { (heading) } ul { @for entry in &entries { li { (entry.as_str().unwrap_or_default()) } } } }
                }
            }
        }
    }
}

fn changes(report: &Value) -> Option<Markup> {
    let edits = report["edits"].as_array().filter(|edits| !edits.is_empty())?;
    Some(html! {
        @for edit in edits {
            @if edit["confirm"] == true { p.hint { (text(edit, "path")) " always needs your confirmation." } }
            (diff(&text(edit, "diff")))
        }
    })
}

/// Every proposal that was checked, with what its checks printed; the check of the text as it was comes first.
fn rounds(report: &Value, story: &Story) -> Option<Markup> {
    let history = report["history"].as_array().cloned().unwrap_or_default();
    let runs = |attempt: u64| -> Vec<&Ran> {
        story.runs.iter().filter(|run| run.stage == "after" && run.attempt == attempt).collect()
    };
    let before: Vec<&Ran> = story.runs.iter().filter(|run| run.stage == "before").collect();
    let told = history.len() as u64;
    let most = story.runs.iter().map(|run| run.attempt).max().unwrap_or_default().max(told);
    (most > 0 || !before.is_empty()).then(|| html! {
        ol.rounds {
            @if !before.is_empty() { li { h3 { "Before any edit" } (printed("before", &before, most == 0)) } }
            @for attempt in 1..=most {
                @let round = history.iter().find(|round| number(round, "attempt") == attempt).unwrap_or(&Value::Null);
                li {
                    h3 {
                        "Round " (attempt) " "
                        @if let Some(level) = round["level"].as_str() { (badge(level)) }
                    }
                    @if let Some(reason) = round["reason"].as_str() { p { (reason) } }
                    (printed(&format!("round-{attempt}"), &runs(attempt), attempt == most))
                    @let changed = text(round, "diff");
                    @if !changed.is_empty() {
                        details id=(format!("diff-{attempt}")) open[attempt == most && report["edits"] == serde_json::json!([])] {
                            summary { "What it changed" }
                            (diff(&changed))
                        }
                    }
                }
            }
        }
    })
}

/// Where it is the last thing that happened, what failed stands open.
fn printed(name: &str, runs: &[&Ran], last: bool) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            details.run id=(format!("{name}-{index}")) open[last && !run.passed() && index + 1 == runs.len()] {
                summary {
                    span class=(if run.passed() { "mark good" } else { "mark bad" }) aria-hidden="true" { (if run.passed() { "✓" } else { "✗" }) }
                    " " (run.summary()) " " span.hint { (words::duration(run.duration_ms)) }
                }
                p.command { code { (run.command) } }
                div.code tabindex="0" role="region" aria-label=(format!("Output of {name}, run {}", index + 1)) {
                    pre { @if run.output.is_empty() { "It printed nothing." } @else { (run.output) } }
                }
            }
        }
    }
}

fn findings(report: &Value) -> Option<Markup> {
    let findings = report["findings"].as_array().filter(|findings| !findings.is_empty())?;
    Some(html! {
        ul.findings {
            @for finding in findings {
                li {
                    p {
                        span class=(format!("tag is-{}", text(finding, "severity"))) { (text(finding, "category")) } " "
                        code { (text(finding, "path")) ":" (number(finding, "line")) }
                    }
                    p { (text(finding, "message")) }
                }
            }
        }
    })
}

fn sandbox(story: &Story, report: &Value) -> Option<Markup> {
    let runs = &story.runs;
    let measured = runs.iter().any(|run| run.duration_ms > 0);
    let limits = &report["verdict"]["sandbox"];
    let memory = number(limits, "memory_mib") << 20;
    let bars = |value: fn(&Ran) -> u64, shown: fn(u64) -> String| -> Vec<Bar> {
        let bar = |(index, run): (usize, &Ran)| Bar {
            name: format!("run {} ({})", index + 1, if run.stage == "before" { "before" } else { "after" }),
            value: value(run) as f64,
            shown: shown(value(run)),
            good: run.passed(),
        };
        runs.iter().enumerate().map(bar).collect()
    };
    measured.then(|| html! {
        div.charts {
            (chart::bars("Wall clock", &bars(|run| run.duration_ms, words::duration), None))
            (chart::bars("CPU", &bars(|run| run.cpu_ms, words::duration), None))
            (chart::bars("Peak memory", &bars(|run| run.peak_memory_bytes, words::bytes), Some((memory as f64, words::bytes(memory)))))
        }
        p.hint { "One bar for each run of the check: green passed, red failed." }
    })
}

fn cost(usage: &Value) -> Option<Markup> {
    let calls = number(usage, "calls");
    let usd = |usage: &Value| usage["cost_usd"].as_f64().unwrap_or_default();
    let agents: Vec<(&String, &Value)> = usage["by_agent"].as_object().into_iter().flatten().collect();
    let whole: f64 = agents.iter().map(|(_, usage)| usd(usage)).sum();
    let tokens = |usage: &Value| {
        ["prompt_tokens", "cached_tokens", "completion_tokens"].map(|name| number(usage, name))
    };
    (calls > 0).then(|| html! {
        div.scroll tabindex="0" role="region" aria-label="Cost by agent" {
            table {
                thead { tr {
                    th scope="col" { "Agent" } th scope="col" { "Calls" } th scope="col" { "Prompt" } th scope="col" { "Cached" }
                    th scope="col" { "Answer" } th scope="col" { "Cost" }
                } }
                tbody {
                    @for (agent, usage) in agents.iter().filter(|(_, usage)| number(usage, "calls") > 0) {
                        tr {
                            th scope="row" { (title(agent)) (chart::share(usd(usage), whole)) }
                            td { (number(usage, "calls")) }
                            @for tokens in tokens(usage) { td { (words::count(tokens)) } }
                            td { (words::dollars(usd(usage))) }
                        }
                    }
                }
                tfoot { tr {
                    th scope="row" { "All" }
                    td { (calls) }
                    @for tokens in tokens(usage) { td { (words::count(tokens)) } }
                    td { (words::dollars(usd(usage))) }
                } }
            }
        }
        p.hint {
            "Prompt, cached and answer are tokens."
            @if usage["estimated"] == true { " The server did not tell all of it; some is our estimate." }
        }
    })
}

fn log(lines: &[Line]) -> Markup {
    let shown = &lines[lines.len().saturating_sub(LOG)..];
    html! {
        ol.log {
            @for line in shown {
                li class=(format!("is-{}", line.level)) {
                    time data-clock datetime=(words::instant(line.at)) { (&words::instant(line.at)[11..19]) }
                    span { (line.text) }
                }
            }
        }
    }
}

//! The first page: what runs now, and all that was, to be searched.

use super::{badge, is_over, part, when};
use crate::dashboard::story::title;
use crate::dashboard::words;
use crate::event::Action;
use crate::journal::{Query, Row};
use maud::{Markup, html};

/// Tasks of one page.
pub(in crate::dashboard) const ROWS: usize = 50;
const PHASES: [&str; 4] = ["running", "complete", "failed", "cancelled"];

/// `rows` have ended; `older`: there are more of them.
pub(in crate::dashboard) fn list(query: &Query, running: &[Row], rows: &[Row], older: bool) -> Markup {
    let now = words::now();
    html! {
        h1 { "Tasks" }
        (search(query))
        (part("running", &html! {
            @if !running.is_empty() {
                h2 { "Running" }
                ul.tasks { @for row in running { (entry(row, now)) } }
            }
        }))
        (part("history", &html! {
            h2 { @if is_filtered(query) { "Found" } @else { "History" } }
            @if rows.is_empty() { (nothing(query)) } @else {
                p.hint { (summary(rows, older)) }
                ul.tasks { @for row in rows { (entry(row, now)) } }
            }
            nav.pages aria-label="Further tasks" {
                @if query.before.is_some() { a href=(address(query, None)) { "← Newest" } }
                @if let Some(last) = rows.last().filter(|_| older) {
                    a rel="next" href=(address(query, Some(&last.id))) { "Older →" }
                }
            }
        }))
        span data-news=(news(running)) {}
    }
}

fn search(query: &Query) -> Markup {
    html! {
        form.search role="search" action="./" {
            label for="search" { "Search" }
            input #search type="search" name="q" value=(query.text) placeholder="Title, file or workspace" autocomplete="off"
                aria-keyshortcuts="/" maxlength="200";
            label for="action" { "Action" }
            select #action name="action" {
                option value="" { "Every action" }
                @for action in Action::ALL.map(Action::name) {
                    option value=(action) selected[query.action.as_deref() == Some(action)] { (title(action)) }
                }
            }
            label for="phase" { "State" }
            select #phase name="phase" {
                option value="" { "Every state" }
                @for phase in PHASES {
                    option value=(phase) selected[query.phase.as_deref() == Some(phase)] { (title(phase)) }
                }
            }
            button type="submit" { "Search" }
            @if is_filtered(query) { a.quiet href="./" { "Clear" } }
        }
    }
}

fn is_filtered(query: &Query) -> bool {
    !query.text.trim().is_empty() || query.action.is_some() || query.phase.is_some()
}

fn nothing(query: &Query) -> Markup {
    html! {
        div.empty {
            @if is_filtered(query) || query.before.is_some() { p { "No task fits." } } @else {
                p { "No task yet." }
                p.hint { "Begin one in your editor, or with " code { "opendevagent fix FILE" } "." }
            }
        }
    }
}

fn entry(row: &Row, now: u64) -> Markup {
    html! {
        li.task {
            div.name {
                a href=(format!("task/{}", row.id)) { (row.title) }
                p.hint { (folder(&row.workspace)) @if let Some(words) = &row.instruction { " · " (words) } }
            }
            div.state { (badge(standing(row))) }
            div.facts {
                (when(row.begun, now))
                @if let Some(ended) = row.ended { span.took { (words::duration(ended.saturating_sub(row.begun))) } }
                @if row.rounds > 0 { span.rounds { (row.rounds) @if row.rounds == 1 { " round" } @else { " rounds" } } }
                @if row.usage.cost_usd > 0.0 { span.cost { (words::dollars(row.usage.cost_usd)) } }
            }
        }
    }
}

/// The one word that says most: what became of it, else what was shown, else where it stands.
pub(super) fn standing(row: &Row) -> &str {
    let level = row.level.as_deref().filter(|_| is_over(&row.phase));
    match (&row.decision, level) {
        _ if row.interrupted => "interrupted",
        (Some(decision), _) if decision == "applied" => "applied",
        (_, Some(level)) => level,
        _ => &row.phase,
    }
}

/// The end of a path: the rest is the same for all.
fn folder(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

fn summary(rows: &[Row], more: bool) -> String {
    let good = rows.iter().filter(|row| matches!(row.level.as_deref(), Some("proven" | "passing"))).count();
    let failed = rows.iter().filter(|row| row.phase == "failed").count();
    let cost: f64 = rows.iter().map(|row| row.usage.cost_usd).sum();
    let these = if more { "The latest" } else { "In all" };
    let number = rows.len();
    format!("{these} {number}: {good} proven or passing, {failed} failed, {}", words::dollars(cost))
}

fn news(running: &[Row]) -> String {
    let told = running.iter().map(|row| format!("{}: {}", row.title, row.phase));
    told.collect::<Vec<_>>().join("; ")
}

fn address(query: &Query, before: Option<&str>) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    let text = Some(&query.text).filter(|text| !text.trim().is_empty());
    for (name, value) in [("q", text), ("action", query.action.as_ref()), ("phase", query.phase.as_ref())] {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    if let Some(before) = before {
        pairs.append_pair("before", before);
    }
    format!("./?{}", pairs.finish())
}

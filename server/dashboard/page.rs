//! The pages: what they share. All of a task is foreign text, and every piece of it is escaped where it is written.

mod chart;
mod diff;
pub(super) mod list;
mod prose;
pub(super) mod system;
pub(super) mod task;

use super::words;
use maud::{DOCTYPE, Markup, html};

pub(super) const STYLE: &str = include_str!("page/style.css");
pub(super) const SCRIPT: &str = include_str!("page/live.js");
pub(super) const ICON: &str = include_str!("page/icon.svg");

/// The pages of the menu: address from the root, name.
const MENU: [(&str, &str); 2] = [("", "Tasks"), ("system", "System")];

/// A whole page. `root` leads from its address to that of the first page; `here` is its entry in the menu.
pub(super) fn frame(root: &str, here: &str, title: &str, content: &Markup) -> Markup {
    let root = if root.is_empty() { "./" } else { root };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · OpenDevAgent" }
                link rel="icon" type="image/svg+xml" href=(format!("{root}icon.svg"));
                link rel="stylesheet" href=(format!("{root}style.css"));
                script defer src=(format!("{root}live.js")) {}
            }
            body data-live=(format!("{root}live")) {
                a.skip href="#content" { "Skip to content" }
                header {
                    a.brand href=(root) { img src=(format!("{root}icon.svg")) width="26" height="26" alt=""; "OpenDevAgent" }
                    nav aria-label="Pages" {
                        @for (address, name) in MENU {
                            a href=(format!("{root}{address}")) aria-current=[(address == here).then_some("page")] { (name) }
                        }
                    }
                    p #connection role="status" {}
                }
                main #content tabindex="-1" { (content) }
                p #said.unseen aria-live="polite" {}
            }
        }
    }
}

/// A page for one who may not see any other.
pub(super) fn closed(title: &str, text: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · OpenDevAgent" }
                link rel="stylesheet" href="/style.css";
            }
            body { main { h1 { (title) } p { (text) } } }
        }
    }
}

/// What is shown anew when something changes: replaced as a whole where it differs.
fn part(name: &str, content: &Markup) -> Markup {
    html! { div id=(name) data-part { (content) } }
}

/// A point in time: how long ago, with the time itself for who asks.
fn when(at: u64, now: u64) -> Markup {
    html! { time datetime=(words::instant(at)) { (words::ago(at, now)) } }
}

/// How much was shown, or how it ended, as a coloured word.
fn badge(word: &str) -> Markup {
    let mark = match word {
        "proven" => "✓✓",
        "passing" | "runs" | "complete" => "✓",
        "failing" | "failed" => "✗",
        "unverified" => "?",
        "cancelled" => "–",
        _ => "•",
    };
    html! { span class=(format!("badge is-{word}")) { span aria-hidden="true" { (mark) } " " (word) } }
}

fn is_over(phase: &str) -> bool {
    matches!(phase, "complete" | "failed" | "cancelled" | "interrupted")
}

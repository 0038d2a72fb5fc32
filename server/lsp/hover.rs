//! What stands behind a diagnostic of ours: the verdict, the frames, and what finding it out has cost.

use super::session::{Entry, Session, document_key};
use super::{from_proto, to_proto};
use crate::event::Finding;
use crate::model::Usage;
use std::fmt::Write;
use tower_lsp::lsp_types::{Hover, HoverContents, MarkupContent, MarkupKind, Position, Range};

/// Characters of a reason or of a frame's text.
const WIDTH: usize = 400;

/// The hover at a position, over all findings there.
pub(super) fn hover(session: &Session, uri: &str, position: Position) -> Option<Hover> {
    let key = from_proto::key(uri);
    let published = session.findings.get(&key)?;
    let diagnostics = to_proto::diagnostics(published, &key, &session.documents, &session.editor);
    let here = |range: &Range| range.start <= position && position <= range.end;
    let found: Vec<_> = published
        .findings
        .iter()
        .zip(&diagnostics)
        .filter(|(_, diagnostic)| here(&diagnostic.range))
        .collect();
    let range = found.first()?.1.range;
    let page = Page { markdown: session.editor.hover_markdown };
    let mut text = String::new();
    if let Some(entry) = session.tasks.get(&published.task) {
        text += &page.task(entry);
    }
    for (finding, _) in found {
        text += &page.frames(session, published.root.as_path(), finding);
    }
    let kind = if page.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText };
    let value = text.trim_end().to_owned();
    let contents = HoverContents::Markup(MarkupContent { kind, value });
    (!text.is_empty()).then_some(Hover { contents, range: Some(range) })
}

/// How a client wants it written.
struct Page {
    markdown: bool,
}

impl Page {
    fn task(&self, entry: &Entry) -> String {
        let mut text = format!("OpenDevAgent: {}\n\n", self.plain(&entry.task.title()));
        let verdict = entry.report.as_ref().and_then(|report| report.verdict.as_ref());
        // Writing to a String cannot fail.
        if let Some(verdict) = verdict {
            let (level, reason) = (verdict.level.name(), self.plain(&verdict.reason));
            let strong = if self.markdown { "**" } else { "" };
            let _ = write!(text, "{strong}{level}{strong}: {reason}\n\n");
        }
        let cost = entry
            .report
            .as_ref()
            .map_or_else(|| format!("so far ${:.4}", entry.cost_usd), |report| cost(&report.usage.total));
        let _ = write!(text, "{cost}\n\n");
        text
    }

    fn frames(&self, session: &Session, root: &std::path::Path, finding: &Finding) -> String {
        let mut text = String::new();
        for frame in &finding.related {
            let place = format!("{}:{}", frame.path, frame.line);
            let uri = to_proto::uri(&session.documents, &document_key(root, &frame.path));
            let place = match uri.filter(|_| self.markdown) {
                Some(uri) => format!("[{}]({}#L{})", self.plain(&place), uri.as_str(), frame.line),
                None => self.plain(&place),
            };
            let _ = writeln!(text, "- {place} {}", self.plain(&frame.message));
        }
        text
    }

    /// Foreign text on one line, never markup.
    fn plain(&self, text: &str) -> String {
        let line: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WIDTH).collect();
        if !self.markdown {
            return line;
        }
        let mut escaped = String::with_capacity(line.len());
        for character in line.chars() {
            if character.is_ascii_punctuation() && !":,.;'\"/%=?".contains(character) {
                escaped.push('\\');
            }
            escaped.push(character);
        }
        escaped
    }
}

fn cost(usage: &Usage) -> String {
    let calls = if usage.calls == 1 { "1 call".into() } else { format!("{} calls", usage.calls) };
    let about = if usage.estimated { "about " } else { "" };
    format!(
        "{calls}, {about}{} tokens, {about}${:.4}",
        usage.prompt_tokens + usage.completion_tokens,
        usage.cost_usd
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup() {
        let page = Page { markdown: true };
        assert_eq!(page.plain("a <b> [x](command:y)\n`z`"), r"a \<b\> \[x\]\(command:y\) \`z\`");
        assert_eq!(Page { markdown: false }.plain("a\n*b*"), "a *b*");
        assert!(page.plain(&"x".repeat(10_000)).len() == WIDTH);
    }

    #[test]
    fn costs_are_said_as_they_are_known() {
        let usage = Usage {
            calls: 1,
            prompt_tokens: 900,
            completion_tokens: 100,
            cost_usd: 0.01234,
            ..Usage::default()
        };
        assert_eq!(cost(&usage), "1 call, 1000 tokens, $0.0123");
        assert_eq!(
            cost(&Usage { calls: 2, estimated: true, ..usage }),
            "2 calls, about 1000 tokens, about $0.0123"
        );
    }
}

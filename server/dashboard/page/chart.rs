//! Small charts, drawn on the server. Their shapes are attributes: the page's policy allows no inline style.

use crate::dashboard::story::{Stretch, title};
use maud::{Markup, html};

/// One bar.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// As people read it.
    pub(super) shown: String,
    pub(super) good: bool,
}

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 96.0;
/// Room for the numbers above the bars.
const TOP: f64 = 18.0;
/// A bar is no wider; one alone would be a wall.
const WIDEST: f64 = 44.0;

/// Upright bars with their values above. `limit` is drawn as a line where the bars come near it.
pub(super) fn bars(heading: &str, bars: &[Bar], limit: Option<(f64, String)>) -> Markup {
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let limit = limit.filter(|(at, _)| *at > 0.0 && most > at / 2.0);
    let scale = limit.as_ref().map_or(most, |(at, _)| most.max(*at)).max(f64::MIN_POSITIVE);
    let slot = WIDTH / bars.len().max(1) as f64;
    let width = (slot * 0.7).min(WIDEST);
    let told = bars.iter().map(|bar| format!("{}: {}", bar.name, bar.shown)).collect::<Vec<_>>().join("; ");
    let y = |value: f64| HEIGHT - (HEIGHT - TOP) * value / scale;
    html! {
        figure.chart {
            figcaption { (heading) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{heading}. {told}")) {
                @for (index, bar) in bars.iter().enumerate() {
                    @let x = slot * index as f64 + (slot - width) / 2.0;
                    @let top = y(bar.value).min(HEIGHT - 2.0);
                    rect.good[bar.good].bad[!bar.good] x=(round(x)) y=(round(top)) width=(round(width))
                        height=(round(HEIGHT - top)) rx="3" { title { (bar.name) ": " (bar.shown) } }
                    @if bars.len() <= 8 {
                        text x=(round(x + width / 2.0)) y=(round(top - 5.0)) text-anchor="middle" { (bar.shown) }
                    }
                }
                @if let Some((at, shown)) = &limit {
                    line.limit x1="0" x2=(WIDTH) y1=(round(y(*at))) y2=(round(y(*at))) { title { "Limit: " (shown) } }
                }
            }
            @if let Some((_, shown)) = &limit { p.hint { "The line is the limit, " (shown) "." } }
        }
    }
}

/// The phases of a task, each as wide as it took.
pub(super) fn timeline(phases: &[Stretch], now: Option<u64>) -> Markup {
    let end = now.or_else(|| phases.last().map(|last| last.to)).unwrap_or_default();
    let Some(begin) = phases.first().map(|first| first.from) else { return html! {} };
    let whole = end.saturating_sub(begin).max(1) as f64;
    let last = phases.len() - 1;
    let spans = phases.iter().enumerate().map(|(index, phase)| {
        let to = if index == last { end.max(phase.to) } else { phase.to };
        (phase, to.saturating_sub(phase.from))
    });
    let spans: Vec<(&Stretch, u64)> = spans.collect();
    html! {
        svg.timeline viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true" {
            @for (phase, took) in &spans {
                rect class=(format!("phase-{}", phase.phase)) y="0" height="14"
                    x=(round(phase.from.saturating_sub(begin) as f64 / whole * 1000.0))
                    width=(round((*took as f64 / whole * 1000.0).max(2.0))) {}
            }
        }
        ol.phases {
            @for (index, (phase, took)) in spans.iter().enumerate() {
                li.now[now.is_some() && index == last] {
                    span class=(format!("key phase-{}", phase.phase)) {}
                    (title(&phase.phase))
                    @if phase.attempt > 1 { " " span.hint { "attempt " (phase.attempt) } }
                    " " b { (crate::dashboard::words::duration(*took)) }
                }
            }
        }
    }
}

/// A share of a whole as a level bar.
pub(super) fn share(part: f64, whole: f64) -> Markup {
    let width = if whole > 0.0 { (part / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        svg.share viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="6" {}
            rect.part width=(round(width)) height="6" {}
        }
    }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

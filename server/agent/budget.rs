//! What a task may still spend, and what a call under way has spent so far. Nothing here waits.

use crate::model::price::{self, Price};
use crate::model::{Call, Heard, Usage};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Tokens an answer may have at most, and those below which it is of no use.
const MOST_ANSWER: u64 = 8_192;
const LEAST_ANSWER: u64 = 256;
/// No tokeniser makes fewer tokens of a text than one of so many bytes, but for long runs of blanks.
const BYTES_PER_TOKEN: usize = 8;

/// The tokens that the answer to `prompt` tokens may have, so that the task keeps to `tokens` and to a
/// `cost` in US dollars. `prices` are of those that may answer: the dearest counts.
///
/// # Errors
/// When the budget does not cover a useful answer; says what to raise.
pub(super) fn answer_tokens(
    tokens: u64,
    cost: f64,
    spent: &Usage,
    prompt: u64,
    prices: &[Price],
) -> Result<u32, String> {
    let used = spent.prompt_tokens + spent.completion_tokens;
    let left = tokens.saturating_sub(used + prompt);
    if left < LEAST_ANSWER {
        return Err(format!(
            "the next call needs about {} tokens, {used} of {tokens} are used; raise `budget.tokensPerTask` to go on",
            prompt + LEAST_ANSWER,
        ));
    }
    if spent.cost_usd >= cost {
        return Err(format!(
            "the task has cost ${:.4}, its budget is ${cost:.2}; raise `budget.usdPerTask` to go on",
            spent.cost_usd
        ));
    }
    let dollars = cost - spent.cost_usd;
    let (per_prompt, per_answer) = prices.iter().fold((0.0, 0.0), |(prompt, answer): (f64, f64), price| {
        (prompt.max(price.prompt), answer.max(price.answer))
    });
    let affordable = (dollars - prompt as f64 * per_prompt) / per_answer;
    if affordable < LEAST_ANSWER as f64 {
        return Err(format!(
            "the next call may cost ${:.4}, ${dollars:.4} of ${cost:.2} are left; raise `budget.usdPerTask` to go on",
            prompt as f64 * per_prompt + LEAST_ANSWER as f64 * per_answer,
        ));
    }
    let affordable = if affordable.is_finite() { affordable as u64 } else { u64::MAX };
    Ok(MOST_ANSWER.min(left).min(affordable) as u32)
}

/// A call under way. Kept beside the call, so that what it cost is known when it is dropped.
pub(super) struct Tally {
    pub(super) call: Call,
    /// Of the model that is asked.
    price: Option<Price>,
    /// Bytes of the answer so far.
    bytes: AtomicUsize,
    /// What requests cost that came to nothing.
    lost: Mutex<Usage>,
    heard_at: Mutex<Instant>,
    /// Told when the answer is longer than was granted.
    pub(super) over: Notify,
}

impl Tally {
    pub(super) fn of(call: Call, price: Option<Price>) -> Self {
        Self {
            call,
            price,
            bytes: AtomicUsize::new(0),
            lost: Mutex::default(),
            heard_at: Mutex::new(Instant::now()),
            over: Notify::new(),
        }
    }

    pub(super) fn hear(&self, heard: &Heard<'_>) {
        match heard {
            Heard::Text(text) => {
                *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                let bytes = self.bytes.fetch_add(text.len(), Relaxed) + text.len();
                if bytes > self.call.max_tokens as usize * BYTES_PER_TOKEN {
                    self.over.notify_one();
                }
            }
            Heard::Lost(usage) => {
                self.bytes.store(0, Relaxed);
                *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += *usage;
            }
            Heard::Retry { .. } | Heard::Fallback { .. } | Heard::StoodIn { .. } | Heard::Unlisted { .. } => {
            }
        }
    }

    /// For how long nothing was heard.
    pub(super) fn silence(&self) -> Duration {
        self.heard_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// What the call cost: `told` if it ended well, else an estimate of what had arrived.
    pub(super) fn spent(&self, told: Option<Usage>) -> Usage {
        let mut spent = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes.load(Relaxed);
        if let Some(last) =
            told.or_else(|| (bytes > 0).then(|| price::estimate(&self.call, self.price, bytes)))
        {
            spent += last;
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(tokens: u64, usd: f64, spent: (u64, f64), model: &str) -> Result<u32, String> {
        let spent = Usage { prompt_tokens: spent.0, cost_usd: spent.1, ..Usage::default() };
        let prices: Vec<_> = ["local", model].into_iter().filter_map(price::per_token).collect();
        answer_tokens(tokens, usd, &spent, 1_000, &prices)
    }

    #[test]
    fn the_answer_shrinks_with_the_budget_until_it_is_of_no_use() {
        assert_eq!(granted(200_000, 0.5, (0, 0.0), "local"), Ok(8_192));
        assert_eq!(granted(3_000, 0.5, (0, 0.0), "local"), Ok(2_000));
        assert!(granted(3_000, 0.5, (1_800, 0.0), "local").unwrap_err().contains("`budget.tokensPerTask`"));
        assert!(granted(200_000, 0.5, (0, 0.5), "local").unwrap_err().contains("has cost $0.5000"));
        assert_eq!(granted(200_000, 0.5, (0, 0.4), "openai/gpt-4o"), Ok(8_192));
        assert_eq!(granted(200_000, 0.5, (0, 0.4875), "openai/gpt-4o"), Ok(1_000));
        let error = granted(200_000, 0.5, (0, 0.4975), "openai/gpt-4o").unwrap_err();
        assert!(error.contains("may cost $0.0051, $0.0025 of $0.50 are left"), "{error}");
    }
}

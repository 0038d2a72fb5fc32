//! What calls may cost before the server tells, estimated from lengths and a list of prices. Pure.

use super::{Call, Usage, catalog};
use serde::{Deserialize, Serialize};

/// Characters of a token, roughly and rather too few: code has many short tokens.
pub const CHARACTERS_PER_TOKEN: usize = 3;

/// US dollars per million tokens, prompt and answer, of ids that begin so; the first that fits. August 2026.
const PRICES: &[(&str, f64, f64)] = &[
    ("openai/gpt-4o-mini", 0.15, 0.60),
    ("openai/gpt-4o", 2.50, 10.0),
    ("mistralai/codestral", 0.30, 0.90),
    ("anthropic/claude-haiku", 1.0, 5.0),
    ("anthropic/claude-sonnet", 3.0, 15.0),
    ("anthropic/claude-opus", 15.0, 75.0),
    ("meta-llama/llama-3", 0.40, 0.40),
    ("qwen/qwen3-coder", 0.22, 1.80),
];

/// US dollars per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    pub prompt: f64,
    pub answer: f64,
}

/// What a token of `model` costs, as far as is known without asking; `None` also for a free one.
pub fn per_token(model: &str) -> Option<Price> {
    let model = catalog::canonical(model);
    let model = model.trim_start_matches('~');
    let row = PRICES.iter().find(|(start, ..)| model.starts_with(start) && !model.ends_with(":free"))?;
    Some(Price { prompt: row.1 / 1e6, answer: row.2 / 1e6 })
}

/// Roughly how many tokens a text has.
pub fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARACTERS_PER_TOKEN) as u64
}

/// Roughly how many tokens the prompt of `call` has.
pub fn prompt_tokens(call: &Call) -> u64 {
    call.messages.iter().map(|message| tokens(&message.content)).sum()
}

/// What `call` cost at this price if it was answered with `bytes` of text.
pub fn estimate(call: &Call, price: Option<Price>, bytes: usize) -> Usage {
    let (prompt, answer) = (prompt_tokens(call), bytes.div_ceil(CHARACTERS_PER_TOKEN) as u64);
    let price = price.unwrap_or_default();
    Usage {
        calls: 1,
        prompt_tokens: prompt,
        completion_tokens: answer,
        cost_usd: prompt as f64 * price.prompt + answer as f64 * price.answer,
        estimated: true,
        ..Usage::default()
    }
}

/// What a request cost that failed after `bytes` of text: as told, else estimated, else nothing.
pub fn of_lost(call: &Call, price: Option<Price>, bytes: usize, told: Option<Usage>) -> Usage {
    match told {
        Some(told) => Usage { calls: 1, ..told },
        None if bytes > 0 => estimate(call, price, bytes),
        None => Usage { calls: 1, ..Usage::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_fit_by_the_start_of_the_id() {
        let million = |model| {
            per_token(model).map(|price| ((price.prompt * 1e8).round(), (price.answer * 1e8).round()))
        };
        assert_eq!(million("openai/gpt-4o-2024-11-20"), Some((250.0, 1000.0)));
        assert_eq!(million("openai/gpt-4o-mini"), Some((15.0, 60.0)));
        assert_eq!(million("~anthropic/claude-sonnet-latest"), Some((300.0, 1500.0)));
        assert_eq!(million("mistral/codestral-22b"), Some((30.0, 90.0)), "an old spelling");
        assert_eq!(million("meta-llama/llama-3.1-70b-instruct:free"), None);
        assert_eq!(million("qwen2.5-coder"), None);
    }
}

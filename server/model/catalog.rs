//! Model ids, which are data: old spellings and what they are called today, and those that editors complete.

/// Ids of today that are worth trying, for the completion of settings; any other may be set. August 2026.
pub const WELL_KNOWN: [&str; 12] = [
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4.5",
    "anthropic/claude-sonnet-4.6",
    "anthropic/claude-haiku-4.5",
    "~anthropic/claude-sonnet-latest",
    "mistralai/codestral-2508",
    "qwen/qwen3-coder",
    "meta-llama/llama-3.1-70b-instruct",
    "meta-llama/llama-3.3-70b-instruct",
    "openrouter/auto",
    "openrouter/free",
];

/// Spellings that were once common, and the ids that are served today.
const ALIASES: &[(&str, &str)] = &[
    ("mistral/codestral-22b", "mistralai/codestral-2508"),
    ("anthropic/claude-3-5-sonnet", "anthropic/claude-sonnet-4.5"),
    ("meta-llama/llama-3.1-70b", "meta-llama/llama-3.1-70b-instruct"),
];

/// What OpenRouter takes behind an id without listing it so: a wish for how it is served.
const VARIANTS: &[&str] = &["free", "nitro", "floor", "online", "exacto", "thinking", "extended"];

/// The id without a variant of OpenRouter's; another colon is part of the name, as in `qwen2.5-coder:7b`.
pub fn without_variant(model: &str) -> &str {
    let base = model.rsplit_once(':').filter(|(_, variant)| VARIANTS.contains(variant));
    base.map_or(model, |(base, _)| base)
}

/// The id to send for `model`: aliases resolved, a variant such as `:free` kept.
pub fn canonical(model: &str) -> String {
    let (base, variant) = model.split_at(model.find(':').unwrap_or(model.len()));
    let base = ALIASES.iter().find(|(old, _)| *old == base).map_or(base, |(_, new)| new);
    format!("{base}{variant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_spellings_are_known_and_variants_stay() {
        for (old, new) in [
            ("mistral/codestral-22b", "mistralai/codestral-2508"),
            ("meta-llama/llama-3.1-70b:free", "meta-llama/llama-3.1-70b-instruct:free"),
            ("openai/gpt-4o", "openai/gpt-4o"),
        ] {
            assert_eq!(canonical(old), new);
        }
    }
}

//! Model ids, which are data: old spellings and what they are called today.

/// Spellings that were once common, and the ids that are served today.
const ALIASES: &[(&str, &str)] = &[
    ("mistral/codestral-22b", "mistralai/codestral-2508"),
    ("anthropic/claude-3-5-sonnet", "anthropic/claude-sonnet-4.5"),
    ("meta-llama/llama-3.1-70b", "meta-llama/llama-3.1-70b-instruct"),
];

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

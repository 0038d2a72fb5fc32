//! What a server says it serves: ids, how much fits, what it costs. Pure; who asks and keeps it is in `openai::listing`.

use super::catalog;
use super::price::Price;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From then on it is asked for anew.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// From then on it says nothing any more.
const OF_USE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Servers list some hundreds; more than this is no honest list.
const MOST_MODELS: usize = 10_000;
const LONGEST_ID: usize = 200;
/// How alike an id must be to be meant, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The models of one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Its address.
    pub server: String,
    /// When it was asked, in seconds since the Unix epoch.
    pub fetched: u64,
    pub models: Vec<Listed>,
}

/// One model, with what its server tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    pub id: String,
    /// Prompt and answer together, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl List {
    /// Reads the answer to `GET /models`. An id that could not be shown or sent is passed over; `None` without a model.
    pub fn read(server: &str, answer: &Value, now: SystemTime) -> Option<Self> {
        let entries = answer["data"].as_array()?.iter().take(MOST_MODELS);
        let models: Vec<_> = entries.filter_map(Listed::read).collect();
        let fetched = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        (!models.is_empty()).then(|| Self { server: server.to_owned(), fetched, models })
    }

    /// Asked for within a day. The future is a clock that was set back.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.age(now).is_some_and(|age| age < FRESH)
    }

    pub fn is_of_use(&self, now: SystemTime) -> bool {
        self.age(now).is_some_and(|age| age < OF_USE)
    }

    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(UNIX_EPOCH + Duration::from_secs(self.fetched)).ok()
    }

    /// The model that `id` asks for: itself, else without its variant or with Ollama's own tag.
    pub fn find(&self, id: &str) -> Option<&Listed> {
        let exact = |id: &str| self.models.iter().find(|model| model.id == id);
        exact(id)
            .or_else(|| exact(catalog::without_variant(id)))
            .or_else(|| exact(id.strip_suffix(":latest").unwrap_or(id)))
            .or_else(|| exact(&format!("{id}:latest")))
    }

    /// Whether a server with this list could know `id`. Routers and presets stand in no list.
    pub fn knows(&self, id: &str) -> bool {
        id.starts_with(['~', '@']) || self.find(id).is_some()
    }

    /// The id most like `id`, if any is: names count, whoever they are said to be by.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        let (id, bare) = (catalog::without_variant(id).to_lowercase(), |id: &str| {
            id.rsplit('/').next().unwrap_or(id).to_lowercase()
        });
        let likeness = |model: &Listed| {
            let whole = strsim::normalized_damerau_levenshtein(&id, &model.id.to_lowercase());
            // The same author is worth a little more than none.
            whole.max(strsim::normalized_damerau_levenshtein(&bare(&id), &bare(&model.id)) - 0.01)
        };
        let scored = self.models.iter().map(|model| (likeness(model), model));
        let (_, best) =
            scored.filter(|(likeness, _)| *likeness >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(&best.id)
    }
}

impl Listed {
    fn read(entry: &Value) -> Option<Self> {
        let id = entry["id"].as_str()?;
        let is_plain = id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || !is_plain {
            return None;
        }
        // OpenRouter's, vLLM's, Mistral's and LM Studio's names for it.
        let context = ["context_length", "max_model_len", "max_context_length"];
        let context = context.iter().find_map(|name| u32::try_from(entry[*name].as_u64()?).ok());
        Some(Self { id: id.to_owned(), context: context.filter(|tokens| *tokens > 0), price: price(entry) })
    }
}

/// OpenRouter writes dollars per token as texts; below zero it depends on what its router chooses.
fn price(entry: &Value) -> Option<Price> {
    let dollars = |name: &str| {
        let value = &entry["pricing"][name];
        let dollars = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        (dollars.is_finite() && dollars >= 0.0).then_some(dollars)
    };
    Some(Price { prompt: dollars("prompt")?, answer: dollars("completion")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(ids: &[&str]) -> List {
        let data: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        List::read("s", &json!({ "data": data }), UNIX_EPOCH).unwrap()
    }

    #[test]
    fn each_server_lists_in_its_own_way() {
        let answer = json!({"data": [
            {"id": "openai/gpt-4o", "context_length": 128_000, "pricing": {"prompt": "0.0000025", "completion": 0.00001}},
            {"id": "openrouter/auto", "context_length": 0, "pricing": {"prompt": "-1", "completion": "-1"}},
            {"id": "vllm", "max_model_len": 32768, "pricing": null},
            {"id": "ministral", "max_context_length": 131_072},
            {"id": "\u{1b}[31mred"}, {"id": "a".repeat(201)}, {"id": ""}, {"id": 7}, null,
        ]});
        let price = Some(Price { prompt: 0.000_002_5, answer: 0.000_01 });
        let model = |id: &str, context, price| Listed { id: id.into(), context, price };
        let now = UNIX_EPOCH + Duration::from_secs(7);
        let list = List::read("s", &answer, now).unwrap();
        assert_eq!(
            list.models,
            [
                model("openai/gpt-4o", Some(128_000), price),
                model("openrouter/auto", None, None),
                model("vllm", Some(32_768), None),
                model("ministral", Some(131_072), None),
            ]
        );
        assert_eq!(serde_json::from_value::<List>(serde_json::to_value(&list).unwrap()).unwrap(), list);
        for nothing in [json!({"data": []}), json!([]), json!({"data": [{"id": "\n"}]}), Value::Null] {
            assert_eq!(List::read("s", &nothing, now), None);
        }
    }

    #[test]
    fn a_list_ages() {
        let list = list(&["a"]);
        let after = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(list.is_fresh(after(86_399)) && !list.is_fresh(after(86_400)));
        assert!(list.is_of_use(after(29 * 86_400)) && !list.is_of_use(after(30 * 86_400)));
        let tomorrow = List { fetched: 86_400, ..list };
        assert!(!tomorrow.is_fresh(after(0)) && !tomorrow.is_of_use(after(0)));
    }

    #[test]
    fn variants_routers_and_tags_are_known() {
        let list = list(&["openai/gpt-4o", "meta-llama/llama-3:free", "qwen2.5-coder:7b", "llama3:latest"]);
        for id in [
            "openai/gpt-4o",
            "openai/gpt-4o:nitro",
            "meta-llama/llama-3:free",
            "~anthropic/claude-sonnet-latest",
            "@preset/mine",
            "qwen2.5-coder:7b",
            "llama3",
        ] {
            assert!(list.knows(id), "{id}");
        }
        for id in ["openai/gpt-4", "meta-llama/llama-3", "qwen2.5-coder", "gpt-4o"] {
            assert!(!list.knows(id), "{id}");
        }
    }

    #[test]
    fn a_slip_is_told_from_another_model() {
        let list = list(&[
            "anthropic/claude-sonnet-4.5",
            "anthropic/claude-haiku-4.5",
            "openai/gpt-4o",
            "mistralai/codestral-2508",
            "qwen2.5-coder:7b",
        ]);
        for (id, meant) in [
            ("anthropic/claude-sonet-4.5", Some("anthropic/claude-sonnet-4.5")),
            ("claude-sonnet-4.5", Some("anthropic/claude-sonnet-4.5")),
            ("anthropic/claude-sonnet-4-5:nitro", Some("anthropic/claude-sonnet-4.5")),
            ("OpenAI/GPT-4o", Some("openai/gpt-4o")),
            ("mistral/codestral-2508", Some("mistralai/codestral-2508")),
            ("qwen2.5-coder", Some("qwen2.5-coder:7b")),
            ("x-ai/grok-4", None),
            ("", None),
        ] {
            assert_eq!(list.nearest(id), meant, "{id}");
        }
    }
}

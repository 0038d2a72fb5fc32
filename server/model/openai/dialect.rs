//! What servers understand beyond OpenAI's chat completions, and short of them, as a table. Pure.

use url::Url;

/// One server's ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The header with the key: `authorization` holds it as a bearer's, another holds it bare.
    pub(super) key_header: &'static str,
    /// `models`, `provider`, `session_id`, `cache_control`; headers that attribute; `GET /key`.
    pub(super) openrouter: bool,
    /// `GET /models` needs no key.
    pub(super) lists_openly: bool,
    /// Fields that the server is known to refuse.
    pub(super) refuses: Fields,
    /// Fields that are not left out when the server refuses them: what the user does not want known is not sent
    /// without them.
    pub(super) keeps: Fields,
    /// Added to an address without an `api-version`.
    pub(super) api_version: Option<&'static str>,
}

/// A part of the body that an answer can do without. The last one stands for the name `max_tokens`, which some
/// want to be `max_completion_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ResponseFormat,
    StreamOptions,
    Temperature,
    Provider,
    SessionId,
    MaxTokens,
}

impl Field {
    const ALL: [Self; 6] = [
        Self::ResponseFormat,
        Self::StreamOptions,
        Self::Temperature,
        Self::Provider,
        Self::SessionId,
        Self::MaxTokens,
    ];

    /// What an error says that means this field. `provider` is an ordinary word unless it is quoted.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::ResponseFormat => {
                &["response_format", "json_schema", "structured output", "handle the requested parameters"]
            }
            Self::StreamOptions => &["stream_options", "include_usage"],
            Self::Temperature => &["temperature"],
            Self::Provider => &["'provider'", "\"provider\"", "`provider`", "(provider)"],
            Self::SessionId => &["session_id"],
            Self::MaxTokens => &["max_completion_tokens"],
        }
    }

    /// The field that `said` refuses, among those that are sent.
    pub(super) fn refused(said: &str, dropped: Fields) -> Option<Self> {
        let says = |field: &Self| field.words().iter().any(|word| said.contains(word));
        Self::ALL.into_iter().find(|field| !dropped.has(*field) && says(field))
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(u8);

impl Fields {
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn of(field: Field) -> Self {
        Self(1 << field as u8)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }
}

const PLAIN: Dialect = Dialect {
    key_header: "authorization",
    openrouter: false,
    lists_openly: false,
    refuses: Fields::NONE,
    keeps: Fields::NONE,
    api_version: None,
};
const OPENROUTER: Dialect =
    Dialect { openrouter: true, lists_openly: true, keeps: Fields::of(Field::Provider), ..PLAIN };
/// Its path on another host: whether that understands `provider` is not known.
const LIKE_OPENROUTER: Dialect = Dialect { keeps: Fields::NONE, lists_openly: false, ..OPENROUTER };
const OPENAI: Dialect = Dialect { refuses: Fields::of(Field::MaxTokens), ..PLAIN };
const AZURE: Dialect = Dialect { key_header: "api-key", ..OPENAI };
/// Tells the usage in the last chunk by itself and refuses every field it does not know.
const MISTRAL: Dialect = Dialect { refuses: Fields::of(Field::StreamOptions), ..PLAIN };
const AZURE_DEPLOYMENT: Dialect = Dialect { api_version: Some("2024-10-21"), ..AZURE };

/// The end of a host and a part of a path, which both must fit, and what they mean. The first row that fits.
const DIALECTS: [(&str, &str, Dialect); 7] = [
    ("openrouter.ai", "", OPENROUTER),
    ("", "/api/v1", LIKE_OPENROUTER),
    ("api.openai.com", "", OPENAI),
    ("", "/openai/deployments/", AZURE_DEPLOYMENT),
    ("azure.com", "", AZURE),
    ("mistral.ai", "", MISTRAL),
    ("", "", PLAIN),
];

impl Dialect {
    pub(super) fn of(base: &Url) -> Self {
        let host = base.host_str().unwrap_or_default();
        let fits = |end: &str| {
            host.strip_suffix(end)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || end.is_empty())
        };
        let row = DIALECTS.iter().find(|(end, part, _)| fits(end) && base.path().contains(part));
        row.map_or(PLAIN, |(.., dialect)| *dialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_the_dialect() {
        let cases = [
            ("https://openrouter.ai/api/v1", OPENROUTER),
            ("http://127.0.0.1:9/api/v1/", LIKE_OPENROUTER),
            ("https://evilopenrouter.ai/v1", PLAIN),
            ("https://api.openai.com/v1", OPENAI),
            ("https://me.openai.azure.com/openai/v1", AZURE),
            ("https://me.openai.azure.com/openai/deployments/gpt", AZURE_DEPLOYMENT),
            ("https://codestral.mistral.ai/v1", MISTRAL),
            ("http://localhost:11434/v1", PLAIN),
            ("http://localhost:8080/v1", PLAIN),
        ];
        for (base, dialect) in cases {
            assert_eq!(Dialect::of(&Url::parse(base).unwrap()), dialect, "{base}");
        }
    }

    #[test]
    fn errors_name_the_field_they_refuse() {
        let cases = [
            ("response_format is not supported", Some(Field::ResponseFormat)),
            ("No endpoints found that can handle the requested parameters.", Some(Field::ResponseFormat)),
            ("Extra inputs are not permitted (stream_options)", Some(Field::StreamOptions)),
            ("Unsupported value: 'temperature' does not support 0.2", Some(Field::Temperature)),
            ("Use 'max_completion_tokens' instead.", Some(Field::MaxTokens)),
            ("unknown field `provider`", Some(Field::Provider)),
            ("Provider returned error", None),
        ];
        for (said, field) in cases {
            assert_eq!(Field::refused(said, Fields::NONE), field, "{said}");
        }
        assert_eq!(Field::refused("temperature", Fields::of(Field::Temperature)), None);
    }
}

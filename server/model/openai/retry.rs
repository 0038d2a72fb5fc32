//! What went wrong with one request, whether another may cure it, and how it is told. Pure.

use super::dialect::{Field, Fields};
use crate::model::{Call, ModelError, Reply, Usage, redact};
use std::fmt::Write as _;
use std::time::Duration;

/// Most characters of what a server said that are shown.
const MOST_SAID: usize = 300;
/// The same for a body that is not in the protocol.
const MOST_STRANGE: usize = 200;
/// First and longest wait of the backoff.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// With fewer tokens than this an answer is of no use.
const LEAST_TOKENS: u32 = 256;

/// A request that gave no whole answer. What was said is foreign: it leaves only through [`Fault::why`].
pub(super) struct Fault {
    pub(super) cause: Cause,
    /// The HTTP status, or the one that an error in the stream names.
    pub(super) code: Option<u16>,
    /// How long the server asks to wait.
    pub(super) hint: Option<Duration>,
    /// The server's own word on whether repeating helps.
    pub(super) retryable: Option<bool>,
    /// What had arrived when the stream ended too early.
    pub(super) partial: Option<Box<Reply>>,
    /// Bytes of text that had arrived, and the usage that was told for them.
    pub(super) heard: usize,
    pub(super) usage: Option<Box<Usage>>,
    said: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection.
    Connect,
    /// A time limit passed: what was not done, the limit, and its setting.
    Time(&'static str, Duration, &'static str),
    /// The connection broke or the stream ended before the answer did.
    Cut,
    /// The answer ended before it began.
    Empty,
    /// Not the protocol: a web page, broken JSON, a flood.
    Garbage,
    /// The server answered with an error that the code tells.
    Answered,
    UnknownModel,
    TooLong,
    /// The model declined, in its own words.
    Declined,
    /// The account's credit is used up, though the code is that of a passing limit.
    Quota,
    /// The free requests of the day are used up.
    DailyCap,
}

/// How often and how long a call may try.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub(super) tries: u32,
    pub(super) max_hint: Duration,
    /// Fields that are never left out, whatever the server says.
    pub(super) keeps: Fields,
}

/// What a call has tried so far, and so how it asks now.
#[derive(Clone, Copy)]
pub(super) struct Tried {
    /// Requests, the next one included, without those that only cure an earlier one.
    pub(super) tries: u32,
    /// Which model is asked: 0 is the call's own, then its fallbacks.
    pub(super) model: usize,
    pub(super) fallbacks: usize,
    pub(super) max_tokens: u32,
    /// Fields that the server does not take.
    pub(super) dropped: Fields,
    /// Those of them that were found out by this call.
    pub(super) learned: Fields,
    pub(super) key_renewed: bool,
    pub(super) tokens_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same again after this time.
    Retry(Duration),
    /// The next model after this time.
    Fallback(Duration),
    RenewKey,
    Without(Field),
    FewerTokens(u32),
    GiveUp,
}

impl Tried {
    pub(super) fn nothing(call: &Call, dropped: Fields) -> Self {
        Self {
            tries: 1,
            model: 0,
            fallbacks: call.fallbacks.len(),
            max_tokens: call.max_tokens,
            learned: Fields::NONE,
            dropped: if call.schema.is_some() {
                dropped
            } else {
                dropped.and(Fields::of(Field::ResponseFormat))
            },
            key_renewed: false,
            tokens_cut: false,
        }
    }

    fn fallback_left(&self) -> bool {
        self.model < self.fallbacks
    }

    /// Asks differently from now on. Gives the time to wait before.
    pub(super) fn follow(&mut self, next: Next) -> Duration {
        match next {
            Next::Retry(wait) | Next::Fallback(wait) => {
                self.tries += 1;
                self.model += usize::from(matches!(next, Next::Fallback(_)));
                return wait;
            }
            Next::RenewKey => self.key_renewed = true,
            Next::Without(field) => {
                self.learned = self.learned.and(Fields::of(field));
                self.dropped = self.dropped.and(self.learned);
            }
            Next::FewerTokens(tokens) => (self.max_tokens, self.tokens_cut) = (tokens, true),
            Next::GiveUp => {}
        }
        Duration::ZERO
    }
}

/// What to do after `fault`; `roll` in 0..1 spreads the backoff.
pub(super) fn decide(fault: &Fault, tried: &Tried, policy: &Policy, roll: f64) -> Next {
    if let Some(cure) = cure(fault, tried, policy.keeps) {
        return cure;
    }
    if tried.tries >= policy.tries {
        return Next::GiveUp;
    }
    if fault.cause == Cause::UnknownModel {
        return if tried.fallback_left() { Next::Fallback(Duration::ZERO) } else { Next::GiveUp };
    }
    if !fault.may_pass() {
        return Next::GiveUp;
    }
    let wait = fault.hint.unwrap_or_else(|| backoff(tried.tries, roll));
    if wait > policy.max_hint {
        return if tried.fallback_left() { Next::Fallback(Duration::ZERO) } else { Next::GiveUp };
    }
    // The last try goes to another model: this one has failed often enough. A dead connection is no model's fault.
    let last = tried.tries + 1 == policy.tries;
    if last && tried.fallback_left() && fault.cause != Cause::Connect {
        Next::Fallback(wait)
    } else {
        Next::Retry(wait)
    }
}

/// A change of the request that the server asked for; each is made once.
fn cure(fault: &Fault, tried: &Tried, keeps: Fields) -> Option<Next> {
    match fault.code? {
        401 if !tried.key_renewed => Some(Next::RenewKey),
        402 if !tried.tokens_cut => {
            let tokens = affordable(&fault.said)?;
            (LEAST_TOKENS..tried.max_tokens).contains(&tokens).then_some(Next::FewerTokens(tokens))
        }
        400 | 404 | 422 => Field::refused(&fault.said, tried.dropped.and(keeps)).map(Next::Without),
        _ => None,
    }
}

/// N of "can only afford N".
fn affordable(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("can only afford ")?;
    let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Full jitter: between nothing and 0.5 s × 2ⁿ, at most 8 s.
fn backoff(tries: u32, roll: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(2u32.saturating_pow(tries.saturating_sub(1)));
    doubled.min(LONGEST_WAIT).mul_f64(roll.clamp(0.0, 1.0))
}

impl Fault {
    pub(super) fn new(cause: Cause, said: impl Into<String>) -> Self {
        Self {
            cause,
            code: None,
            hint: None,
            retryable: None,
            partial: None,
            heard: 0,
            usage: None,
            said: said.into(),
        }
    }

    pub(super) fn coded(code: u16, said: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::new(Cause::Answered, said) }
    }

    /// Repeating the same request may help.
    fn may_pass(&self) -> bool {
        match (self.cause, self.code) {
            (Cause::Connect | Cause::Time(..) | Cause::Cut | Cause::Empty, _) => true,
            (Cause::Answered | Cause::Garbage, Some(code)) if !matches!(code, 401..=403) => {
                self.retryable.unwrap_or(matches!(code, 408 | 429 | 500..))
            }
            (Cause::Answered, None) => self.retryable.unwrap_or(false),
            _ => false,
        }
    }

    /// For people: what happened, without `key` and anything like a key.
    pub(super) fn why(&self, key: Option<&str>) -> String {
        let most = if self.cause == Cause::Garbage { MOST_STRANGE } else { MOST_SAID };
        let said = redact::excerpt(&self.said, key, most);
        let mut why = match (self.cause, self.code) {
            (Cause::Connect, _) => "could not be reached".to_owned(),
            (Cause::Time(what, limit, _), _) => format!("{what} for {} s", limit.as_secs_f64()),
            (Cause::Cut, _) => "ended its answer too early".to_owned(),
            (Cause::Empty, _) => "answered nothing".to_owned(),
            (Cause::Declined, _) => "declined".to_owned(),
            (_, Some(code)) => format!("answered {code}"),
            (Cause::Garbage, None) => "answered with something else than an answer".to_owned(),
            (_, None) => "reported an error".to_owned(),
        };
        if !said.is_empty() {
            let _ = write!(why, ": {said}");
        }
        why
    }

    /// The error for `model` at `host`, with what to do about it.
    pub(super) fn into_error(self, model: &str, host: &str, key: Option<&str>) -> ModelError {
        let model = redact::excerpt(model, key, MOST_SAID);
        let told = format!("{model} at {host} {}", self.why(key).trim_end_matches(['.', ' ']));
        let (kind, remedy) = self.kind();
        let told = match self.cause {
            Cause::Time(.., setting) => format!("{told}; try again, or raise {setting}"),
            _ => format!("{told}; {remedy}"),
        };
        kind(told)
    }

    fn kind(&self) -> (fn(String) -> ModelError, &'static str) {
        match (self.cause, self.code) {
            (Cause::Connect, _) => (
                ModelError::Unreachable,
                "check that the server runs, model.baseUrl, the network and proxy settings",
            ),
            (Cause::Time(..) | Cause::Cut, _) => {
                (ModelError::Unreachable, "try again, or choose another model")
            }
            (Cause::TooLong, _) => {
                (ModelError::TooLong, "lower context.maxTokens or choose a model with a larger context")
            }
            (Cause::UnknownModel, _) => (
                ModelError::Refused,
                "set agents.architect.model, agents.coder.model or agents.debugger.model to one it serves",
            ),
            (Cause::Quota, _) => {
                (ModelError::Payment, "add credit or raise the account's limit, or choose another server")
            }
            (Cause::DailyCap, _) => (
                ModelError::RateLimited,
                "the free requests of today are used up: wait until tomorrow, buy credit or choose a paid model",
            ),
            (_, Some(401)) => (
                ModelError::Auth,
                "check the key in OPENROUTER_API_KEY or model.keyCommand, or make a new one",
            ),
            (_, Some(402)) => (ModelError::Payment, "add credit, or choose a cheaper model or fewer tokens"),
            (_, Some(408 | 500..)) => (ModelError::Unreachable, "try again later, or choose another model"),
            (_, Some(429)) => (ModelError::RateLimited, "wait and try again, or choose another model"),
            (_, Some(404)) => (
                ModelError::Refused,
                "check model.baseUrl, the model and the privacy settings model.dataCollection and model.zdr",
            ),
            (_, Some(300..=399)) => (
                ModelError::Refused,
                "set model.baseUrl to the server's final address: redirects are not followed",
            ),
            (Cause::Empty | Cause::Garbage, None) => (
                ModelError::Malformed,
                "check that model.baseUrl is an OpenAI-compatible server, and any proxy before it",
            ),
            _ => (ModelError::Refused, "change what is asked, or choose another model"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn tried() -> Tried {
        Tried {
            tries: 1,
            model: 0,
            fallbacks: 0,
            max_tokens: 2048,
            dropped: Fields::NONE,
            learned: Fields::NONE,
            key_renewed: false,
            tokens_cut: false,
        }
    }

    fn next(fault: &Fault, tried: &Tried) -> Next {
        decide(fault, tried, &Policy { tries: 3, max_hint: S(30), keeps: Fields::NONE }, 1.0)
    }

    #[test]
    fn a_field_that_is_kept_is_not_left_out() {
        let refusal = Fault::coded(400, "unknown field `provider`");
        let keeping = Policy { tries: 3, max_hint: S(30), keeps: Fields::of(Field::Provider) };
        assert_eq!(next(&refusal, &tried()), Next::Without(Field::Provider));
        assert_eq!(decide(&refusal, &tried(), &keeping, 1.0), Next::GiveUp);
    }

    /// What follows the first failure, with and without another model to ask.
    #[test]
    fn codes_decide() {
        let first = Next::Retry(Duration::from_millis(500));
        let cases = [
            (Fault::coded(400, "no"), Next::GiveUp),
            (Fault::coded(403, "no"), Next::GiveUp),
            (Fault::coded(404, "no"), Next::GiveUp),
            (Fault::coded(413, "no"), Next::GiveUp),
            (Fault::coded(422, "no"), Next::GiveUp),
            (Fault::coded(402, "no"), Next::GiveUp),
            (Fault::coded(401, "no"), Next::RenewKey),
            (Fault::coded(402, "but can only afford 300."), Next::FewerTokens(300)),
            (Fault::coded(402, "but can only afford 200."), Next::GiveUp),
            (Fault::coded(402, "but can only afford 9999."), Next::GiveUp),
            (Fault::coded(400, "response_format is not supported"), Next::Without(Field::ResponseFormat)),
            (Fault::coded(400, "unknown field stream_options"), Next::Without(Field::StreamOptions)),
            (Fault::coded(408, ""), first),
            (Fault::coded(429, ""), first),
            (Fault::coded(500, ""), first),
            (Fault::coded(524, ""), first),
            (Fault::coded(529, ""), first),
            (Fault { retryable: Some(false), ..Fault::coded(503, "") }, Next::GiveUp),
            (Fault { retryable: Some(true), ..Fault::coded(404, "") }, first),
            (Fault { retryable: Some(true), ..Fault::coded(403, "") }, Next::GiveUp),
            (Fault { hint: Some(S(3)), ..Fault::coded(429, "") }, Next::Retry(S(3))),
            (Fault { hint: Some(S(31)), ..Fault::coded(429, "") }, Next::GiveUp),
            (
                Fault::coded(422, "Extra inputs are not permitted (stream_options)"),
                Next::Without(Field::StreamOptions),
            ),
            (Fault { cause: Cause::Quota, ..Fault::coded(429, "") }, Next::GiveUp),
            (Fault { cause: Cause::Declined, ..Fault::coded(429, "") }, Next::GiveUp),
            (Fault { cause: Cause::DailyCap, ..Fault::coded(429, "") }, Next::GiveUp),
            (Fault { cause: Cause::TooLong, ..Fault::coded(400, "") }, Next::GiveUp),
            (Fault::new(Cause::Connect, ""), first),
            (Fault::new(Cause::Time("first byte", S(1), ""), ""), first),
            (Fault::new(Cause::Cut, ""), first),
            (Fault::new(Cause::Garbage, ""), Next::GiveUp),
            (Fault::new(Cause::Answered, "who knows"), Next::GiveUp),
        ];
        for (fault, expect) in cases {
            assert_eq!(next(&fault, &tried()), expect, "{:?} {:?}", fault.cause, fault.code);
        }
    }

    #[test]
    fn other_models_stand_in() {
        let other = Tried { fallbacks: 1, ..tried() };
        let last = Tried { tries: 2, ..other };
        let done = Tried { tries: 3, ..other };
        let unknown = Fault { cause: Cause::UnknownModel, ..Fault::coded(404, "") };
        let patient = Fault { hint: Some(S(60)), ..Fault::coded(429, "") };
        let down = Fault::coded(503, "");
        assert_eq!(next(&unknown, &other), Next::Fallback(S(0)));
        assert_eq!(next(&unknown, &tried()), Next::GiveUp);
        assert_eq!(next(&patient, &other), Next::Fallback(S(0)));
        assert_eq!(next(&down, &last), Next::Fallback(S(1)));
        assert_eq!(next(&Fault::new(Cause::Connect, ""), &last), Next::Retry(S(1)));
        for fault in [unknown, patient, down] {
            assert_eq!(next(&fault, &done), Next::GiveUp);
        }
    }

    #[test]
    fn cures_are_tried_once() {
        let dropped = Fields::of(Field::ResponseFormat).and(Fields::of(Field::StreamOptions));
        let cured = Tried { dropped, key_renewed: true, tokens_cut: true, ..tried() };
        let said = "response_format stream_options can only afford 300";
        for code in [400, 401, 402] {
            assert_eq!(next(&Fault::coded(code, said), &cured), Next::GiveUp);
        }
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<_> = [1, 2, 3, 5, 6, 99].map(|tries| backoff(tries, 1.0).as_millis()).to_vec();
        assert_eq!(waits, [500, 1000, 2000, 8000, 8000, 8000]);
        assert_eq!(backoff(5, 0.0), S(0));
    }

    #[test]
    fn messages_name_model_host_cause_and_remedy() {
        let fault = Fault::coded(401, "User not found. key=sk-or-v1-0123456789 or hunter22\u{1b}[1m");
        let error = fault.into_error("openai/gpt-4o", "openrouter.ai", Some("hunter22"));
        assert_eq!(
            error.to_string(),
            "openai/gpt-4o at openrouter.ai answered 401: User not found. key=sk-or-v1-*** or ***; \
             check the key in OPENROUTER_API_KEY or model.keyCommand, or make a new one"
        );
    }
}

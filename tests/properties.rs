//! What holds for every text, edit and answer, on generated ones. A failure is shrunk and printed.
//!
//! The cases are the same in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others and more.

mod answers;
mod texts;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Characters and line endings that take different room in different encodings, or only look like line endings.
const PIECES: [&str; 18] = [
    "a",
    "b",
    "ab ",
    "    ",
    "\t",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\u{2028}",
    "\u{85}",
    "\u{b}\u{c}",
    "é",
    "e\u{301}",
    "😀",
    "👩\u{200d}🚀",
    "\u{feff}",
];

/// Holds `property` against `cases` values of `strategy`.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value)) {
    let mut config = Config { cases, failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        config.cases = Config::default().cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(7);
    }
    let ended = TestRunner::new(config).run(strategy, |value| {
        property(value);
        Ok(())
    });
    match ended {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => panic!("{why}\nfor {value:#?}"),
        Err(TestError::Abort(why)) => panic!("no verdict: {why}"),
    }
}

/// A text of up to so many pieces.
fn text(pieces: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..=pieces).prop_map(|pieces| pieces.concat())
}

/// The character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

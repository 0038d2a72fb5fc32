//! One target under libFuzzer; `FUZZ_TARGET` names it. Started by `run`.
#![no_main]

mod targets;

use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} names no target"));
    *target
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));

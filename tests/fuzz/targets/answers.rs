//! A model's answer, then a NUL, then the file it is about.

use opendevagent::agent::patch::{self, Original};
use std::path::{Component, Path};

pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (answer, file) = text.split_once('\0').unwrap_or((&text, "one\ntwo\r\n\tthree"));
    let Ok(blocks) = patch::parse(answer) else { return };
    let named: Vec<_> = blocks.iter().flat_map(patch::Block::paths).collect();
    for path in &named {
        assert!(Path::new(path).components().all(|part| matches!(part, Component::Normal(_))), "{path}");
    }
    let original = |path: &str| (!path.starts_with("new")).then(|| Original { text: file.to_owned() });
    let Ok(changes) = patch::apply(&blocks, &original) else { return };
    for change in changes {
        assert!(named.contains(&change.path.as_str()), "{} is not in the answer", change.path);
        assert_ne!(change.before, change.after, "a change changes something");
        let before = change.before.unwrap_or_default();
        if let Some(after) = change.after.filter(|_| !before.is_empty()) {
            assert_eq!(
                after.starts_with('\u{feff}'),
                before.starts_with('\u{feff}'),
                "the byte order mark stays"
            );
        }
    }
}

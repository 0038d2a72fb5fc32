//! What is fuzzed: everything that reads bytes of models, workspaces, programs and clients. Each target takes any
//! bytes and panics when something does not hold.

mod answers;
mod documents;
mod events;
mod messages;
mod reports;

pub use documents::{document, place};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// By the names of their folders in `corpus`.
pub const TARGETS: [(&str, Target); 5] = [
    ("answers", answers::run),
    ("documents", documents::run),
    ("events", events::run),
    ("messages", messages::run),
    ("reports", reports::run),
];

//! What a file on disk says of an edit, beside what the client's buffer says.

use crate::workspace::read_file;
use std::path::Path;
use std::time::SystemTime;

/// Whether a file on disk has exactly this text, or does not exist where there is none.
pub(super) fn is_on_disk(path: &Path, text: Option<&str>) -> bool {
    read_file(path).is_ok_and(|bytes| bytes.as_deref() == text.map(str::as_bytes))
}

/// Whether somebody has written another text into a file that is open: what differs by how a text is stored is the same
/// text. One that was not written since the task began is older than the buffer.
pub(super) fn is_overwritten(path: &Path, before: Option<&str>, began: Option<SystemTime>) -> bool {
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let newer = written.zip(began).is_some_and(|(written, began)| written > began);
    let bare = |text: &str| text.trim_start_matches('\u{feff}').trim_end().replace('\r', "");
    let text = || String::from_utf8(read_file(path).ok()??).ok();
    newer && text().is_some_and(|text| before.is_none_or(|before| bare(&text) != bare(before)))
}

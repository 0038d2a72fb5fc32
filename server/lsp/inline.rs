//! `textDocument/inlineCompletion` (LSP 3.18): a completion in grey, for users who have switched it on.
//!
//! One is under way at once. It begins when the user pauses, and ends with the next key: the client cancels it, or the
//! change itself does; either closes the connection to the model.

use super::from_proto::{self, wrong};
use super::{DOUBTED, Server};
use crate::agent::complete::Completion;
use crate::journal::Journal;
use crate::model::{Heard, Model, ModelError, Usage};
use crate::text::rope_offset;
use crate::wiring::Connected;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{Position, TextDocumentIdentifier};

/// How long the user must have paused.
const PAUSE: Duration = Duration::from_millis(300);
/// `InlineCompletionTriggerKind.Invoked`: the user has asked, and does not pause first.
const INVOKED: u32 = 1;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params {
    text_document: TextDocumentIdentifier,
    position: Position,
    context: Option<Context>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    trigger_kind: u32,
}

/// What completions may still use, and the one under way.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// Calls since the minute began.
    minute: Option<(Instant, u32)>,
    /// What they cost since the hour began; the budget of a task is that of an hour.
    hour: Option<(Instant, Usage)>,
    /// The server refuses us: nothing is asked until key or settings change.
    refused: bool,
    under_way: CancellationToken,
}

impl Allowance {
    /// What the hour has cost so far.
    fn spent(&mut self) -> Usage {
        *within(&mut self.hour, HOUR)
    }

    /// Takes a call, where no more than so many may be made in a minute.
    fn take(&mut self, per_minute: u32) -> bool {
        let calls = within(&mut self.minute, MINUTE);
        let granted = !self.refused && *calls < per_minute;
        *calls += u32::from(granted);
        granted
    }

    fn spend(&mut self, usage: Usage) {
        *within(&mut self.hour, HOUR) += usage;
    }

    /// Key or settings are others now.
    pub(super) fn renew(&mut self) {
        self.refused = false;
    }
}

/// What is counted since a time; anew when that is over.
fn within<T: Copy + Default>(counted: &mut Option<(Instant, T)>, time: Duration) -> &mut T {
    let _ = counted.take_if(|(since, _)| since.elapsed() >= time);
    &mut counted.get_or_insert((Instant::now(), T::default())).1
}

/// A place in a text that is open.
struct Cursor {
    key: String,
    version: i32,
    file: PathBuf,
    position: Position,
    ended: CancellationToken,
}

/// A call that is paid for however it ends.
struct Bill {
    server: Server,
    completion: Completion,
    told: Option<Usage>,
}

impl Drop for Bill {
    fn drop(&mut self) {
        let spent = self.completion.spent(self.told);
        self.server.session().allowance.spend(spent);
    }
}

impl Server {
    pub(super) async fn inline_completion(&self, params: Params) -> Result<Value> {
        let Some(cursor) = self.cursor(&params)? else { return Ok(Value::Null) };
        let invoked = params.context.is_some_and(|context| context.trigger_kind == INVOKED);
        let answer = async {
            tokio::time::sleep(if invoked { Duration::ZERO } else { PAUSE }).await;
            self.completed(&cursor).await
        };
        let text = tokio::select! {
            text = answer => text,
            () = cursor.ended.cancelled() => None,
            () = self.until_moved(&cursor) => None,
        };
        let at = cursor.position;
        Ok(text.map_or(
            Value::Null,
            |text| json!({"items": [{"insertText": text, "range": {"start": at, "end": at}}]}),
        ))
    }

    /// Where to complete; `None` when nothing is wished for there. The one under way ends.
    fn cursor(&self, params: &Params) -> Result<Option<Cursor>> {
        let uri = params.text_document.uri.as_str();
        let wished = || self.inline(from_proto::path(uri).as_deref()).completion;
        if !self.session().editor.completions || !wished() {
            return Ok(None);
        }
        let key = from_proto::key(uri);
        let mut session = self.session();
        if session.doubted.contains(&key) {
            return Err(wrong("inlineCompletion", DOUBTED));
        }
        let (Some(file), Some(document)) = (from_proto::path(uri), session.documents.get(&key)) else {
            return Ok(None);
        };
        let version = document.version;
        let ended = self.root.child_token();
        std::mem::replace(&mut session.allowance.under_way, ended.clone()).cancel();
        Ok(Some(Cursor { key, version, file, position: params.position, ended }))
    }

    async fn until_moved(&self, cursor: &Cursor) {
        self.until_changed(|session| {
            session.documents.get(&cursor.key).is_none_or(|document| document.version != cursor.version)
        })
        .await;
    }

    async fn completed(&self, cursor: &Cursor) -> Option<String> {
        self.settled().await;
        let server = self.clone();
        let (key, file, position) = (cursor.key.clone(), cursor.file.clone(), cursor.position);
        let asked = tokio::task::spawn_blocking(move || server.question(&key, &file, position));
        let (completion, journal, model) = asked.await.ok()??;
        let mut bill = Bill { server: self.clone(), completion, told: None };
        let Bill { completion, .. } = &bill;
        if let Err(why) = journal.model_called(&*model, completion.call(), &completion.nonce).await {
            self.warn(format!("OpenDevAgent: {why}"));
        }
        let mut ear = |heard: Heard<'_>| completion.hear(&heard);
        let reply = model.complete(completion.call(), &mut ear).await;
        let text = reply.as_ref().ok().and_then(|reply| completion.read(reply));
        bill.told = reply.as_ref().ok().map(|reply| reply.usage);
        if let Err(error @ (ModelError::NoKey(_) | ModelError::Auth(_) | ModelError::Payment(_))) = reply {
            self.session().allowance.refused = true;
            self.warn(format!("OpenDevAgent completes nothing until this is mended: {error}"));
        }
        text
    }

    /// What to ask, within what may be asked. Blocks on the disk.
    fn question(
        &self,
        key: &str,
        file: &Path,
        position: Position,
    ) -> Option<(Completion, Arc<Journal>, Arc<dyn Model>)> {
        let root = from_proto::root(&self.session().folders, file)?;
        let workshop = self.workshop(&root).ok()?;
        let Connected { ports, journal, .. } = &workshop.connected;
        let (documents, at, spent) = {
            let mut session = self.session();
            let document = session.documents.get(key)?;
            let at = rope_offset(&document.text, from_proto::position(position), session.editor.encoding);
            let at = document.text.char_to_byte(at);
            (session.documents.clone(), at, session.allowance.spent())
        };
        let path = file.strip_prefix(&root).ok()?.to_str()?.replace(std::path::MAIN_SEPARATOR, "/");
        let to = (&ports.options, &*ports.model);
        let completion = Completion::new((&root, &path, at), &documents, to, &spent)?;
        // Tasks keep half of what the server lets through.
        let granted = self.session().allowance.take(workshop.calls_per_minute() / 2);
        granted.then(|| (completion, journal.clone(), ports.model.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_the_minute_and_cost_by_the_hour() {
        let mut allowance = Allowance::default();
        assert!(allowance.take(2) && allowance.take(2) && !allowance.take(2));
        allowance.spend(Usage { calls: 1, ..Usage::default() });
        let past = |by| Instant::now().checked_sub(by).expect("the clock has run for so long");
        allowance.minute = Some((past(MINUTE), 2));
        assert!(allowance.take(2));
        assert_eq!(allowance.spent().calls, 1);
        if let Some(begun) = Instant::now().checked_sub(HOUR) {
            allowance.hour = Some((begun, allowance.spent()));
            assert_eq!(allowance.spent().calls, 0);
        }
        allowance.refused = true;
        assert!(!allowance.take(9));
        allowance.renew();
        assert!(allowance.take(9));
    }
}

//! How much of a prompt fits into a model on this machine, and whether all of it was read.

use super::Work;
use crate::event::Note;
use crate::model::{Message, Reply, Window};

/// Tokens an answer may have.
const ANSWER_TOKENS: u32 = 8_192;
/// What a prompt holds beside the files: rules, task, what the check showed.
const BESIDE_FILES: u32 = 1_500;
/// No tokenizer gives fewer tokens than one for so many bytes of a usual text.
const MOST_BYTES_PER_TOKEN: usize = 8;

/// Tokens for the files of the workspace, and for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) files: u32,
    pub(super) answer: u32,
}

impl Room {
    fn of(window: Option<&Window>, wished: u32) -> Self {
        let Some(Window { tokens, .. }) = window else {
            return Self { files: wished, answer: ANSWER_TOKENS };
        };
        let answer = ANSWER_TOKENS.min(tokens / 4);
        Self { files: wished.min(tokens.saturating_sub(answer + BESIDE_FILES)), answer }
    }
}

impl Work<'_> {
    /// How much fits; says once what a server on this machine runs, and when a list leaves less than is wished for.
    pub(super) async fn room(&mut self, model: &str) -> Room {
        let window = self.ports.model.window(model).await;
        let room = Room::of(window.as_ref(), self.ports.options.context_tokens);
        let is_news = |new: &&Window| {
            let small = room.files < self.ports.options.context_tokens;
            self.window.as_ref() != Some(*new) && (small || !new.listed)
        };
        if let Some(Window { server, tokens, truncates, .. }) = window.as_ref().filter(is_news) {
            let raise = if *truncates { "; for more start it with OLLAMA_CONTEXT_LENGTH set" } else { "" };
            self.note(Note::Info, format!("using {model} on {server}, which holds {tokens} tokens{raise}"));
        }
        self.window = window;
        room
    }

    /// Says when a server has left out a part of the prompt.
    pub(super) fn notice_cut(&self, messages: &[Message], reply: &Reply) {
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        if let Some(told) =
            self.window.as_ref().and_then(|window| cut(window, bytes, reply.usage.prompt_tokens))
        {
            self.note(Note::Warning, told);
        }
    }
}

/// What to say when a prompt of so many bytes cannot have been read whole; 0 tokens are none told.
fn cut(window: &Window, bytes: usize, read: u64) -> Option<String> {
    let least = (bytes / MOST_BYTES_PER_TOKEN) as u64;
    (window.truncates && read > 0 && read < least).then(|| {
        format!(
            "{} has read {read} tokens of a prompt of at least {least}: it leaves out what does not fit into its {} \
             without a word; start it with OLLAMA_CONTEXT_LENGTH set higher, or lower context.maxTokens",
            window.server, window.tokens
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_kept_to() {
        let window = |tokens| Window { server: "Ollama".into(), tokens, truncates: true, listed: false };
        for (tokens, files, answer) in [(4096, 1572, 1024), (1024, 0, 256), (131_072, 24_000, 8_192)] {
            assert_eq!(Room::of(Some(&window(tokens)), 24_000), Room { files, answer });
        }
        assert_eq!(Room::of(None, 24_000), Room { files: 24_000, answer: 8_192 });
    }

    #[test]
    fn a_prompt_that_was_cut_is_told() {
        let window = Window { server: "Ollama".into(), tokens: 4096, truncates: true, listed: false };
        assert!(
            cut(&window, 80_000, 4_090)
                .is_some_and(|told| told.contains("4090 tokens of a prompt of at least 10000"))
        );
        for (bytes, read) in [(80_000, 0), (80_000, 20_000), (8_000, 2_500)] {
            assert_eq!(cut(&window, bytes, read), None);
        }
    }
}

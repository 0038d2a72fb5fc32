//! What a prompt asks for. Pure.

use crate::agent::task::Target;
use crate::event::Action;
use agent_client_protocol::v1::schema::{ContentBlock, EmbeddedResourceResource};
use std::collections::BTreeMap;
use std::path::Path;

/// What may be asked for by name, in the order in which it is listed.
pub(super) const ACTIONS: [Action; 6] =
    [Action::Plan, Action::Generate, Action::Fix, Action::Tests, Action::Review, Action::Explain];

pub(super) fn describe(action: Action) -> &'static str {
    match action {
        Action::Plan => "Plan a change; nothing is edited",
        Action::Generate => "Write code, and prove it in the sandbox (also without a command)",
        Action::Fix => "Find out why the check fails, and repair it with proof",
        Action::Tests => "Write tests",
        Action::Review => "Look for bugs; nothing is edited",
        Action::Explain => "Explain code; nothing is edited",
        Action::Run => "Run a file in the sandbox",
    }
}

/// One prompt, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) action: Action,
    pub(super) instruction: Option<String>,
    /// The first linked file.
    pub(super) target: Option<Target>,
    /// All linked files, relative to the workspace.
    pub(super) files: Vec<String>,
    /// Of those, the texts that the client sent along.
    pub(super) texts: BTreeMap<String, String>,
}

impl Prompt {
    /// Reads the blocks of a prompt. What cannot be used is said in words for the user.
    pub(super) fn read(blocks: &[ContentBlock], root: &Path) -> Result<Self, String> {
        let mut prompt = Self {
            action: Action::Generate,
            instruction: None,
            target: None,
            files: Vec::new(),
            texts: BTreeMap::new(),
        };
        let (mut words, mut said) = (String::new(), false);
        for block in blocks {
            match block {
                ContentBlock::Text(text) => {
                    // The first words count, also behind linked files.
                    let rest = if said { &text.text } else { prompt.command(&text.text)? };
                    said |= !text.text.trim().is_empty();
                    words.push_str(rest);
                }
                ContentBlock::ResourceLink(link) => prompt.link(&link.uri, None, root, &mut words)?,
                ContentBlock::Resource(resource) => match &resource.resource {
                    EmbeddedResourceResource::TextResourceContents(text) => {
                        prompt.link(&text.uri, Some(&text.text), root, &mut words)?;
                    }
                    _ => return Err("only text can be attached".into()),
                },
                _ => return Err("only text and files can be attached".into()),
            }
        }
        let words = words.trim();
        prompt.instruction = (!words.is_empty()).then(|| words.to_owned());
        if prompt.instruction.is_none() && prompt.target.is_none() && prompt.action != Action::Fix {
            return Err(format!("say what to {}, or link a file", prompt.action.name()));
        }
        Ok(prompt)
    }

    /// Takes the action that a text begins with; the rest of it.
    fn command<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let Some(words) = text.trim_start().strip_prefix('/') else { return Ok(text) };
        let end = words.find(char::is_whitespace).unwrap_or(words.len());
        let (name, rest) = words.split_at(end);
        // A path begins so, too.
        if name.contains(['/', '.']) {
            return Ok(text);
        }
        let named = ACTIONS.iter().find(|action| action.name() == name);
        self.action = *named.ok_or_else(|| format!("there is no /{name}; {}", known()))?;
        Ok(rest)
    }

    /// Takes a linked file; its name stays in the words, where it was.
    fn link(&mut self, uri: &str, text: Option<&str>, root: &Path, words: &mut String) -> Result<(), String> {
        let url = url::Url::parse(uri).map_err(|_| format!("{uri} names no file"))?;
        let path = url.to_file_path().map_err(|()| format!("{uri} names no file"))?;
        let outside = || format!("{} is not in {}", path.display(), root.display());
        let path = path.strip_prefix(root).map_err(|_| outside())?.to_str().ok_or_else(outside)?;
        let path = path.replace(std::path::MAIN_SEPARATOR, "/");
        if words.ends_with(|last: char| !last.is_whitespace()) {
            words.push(' ');
        }
        words.push_str(&path);
        let lines = url.fragment().and_then(lines);
        if self.target.is_none() {
            self.target = Some(Target { path: path.clone(), lines });
        }
        // A part of a file is no text of the file.
        if let Some(text) = text.filter(|_| lines.is_none()) {
            self.texts.insert(path.clone(), text.to_owned());
        }
        self.files.push(path);
        Ok(())
    }
}

fn known() -> String {
    let names: Vec<String> = ACTIONS.iter().map(|action| format!("/{}", action.name())).collect();
    format!("there are {}", names.join(", "))
}

/// `L3`, `L3-5`, `L3:5` or `L3-L5`, from 1, as editors write it behind a file's name.
fn lines(fragment: &str) -> Option<(u32, u32)> {
    let (first, last) = fragment.split_once(['-', ':']).unwrap_or((fragment, fragment));
    let number = |text: &str| text.strip_prefix('L').unwrap_or(text).parse().ok().filter(|line| *line > 0);
    let first = number(fragment.starts_with('L').then_some(first)?)?;
    Some((first, number(last)?.max(first)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(blocks: Value) -> Result<Prompt, String> {
        let blocks: Vec<ContentBlock> = serde_json::from_value(blocks).expect("content blocks");
        Prompt::read(&blocks, Path::new("/w"))
    }

    #[test]
    fn words_alone_generate() {
        let prompt = read(json!([{"type": "text", "text": " a gcd "}])).expect("a prompt");
        assert_eq!((prompt.action, prompt.instruction.as_deref()), (Action::Generate, Some("a gcd")));
    }

    #[test]
    fn a_command_and_a_place() {
        let prompt = read(json!([
            {"type": "text", "text": "/fix the sign in "},
            {"type": "resource_link", "name": "a", "uri": "file:///w/src/a.py#L3:5"},
        ]))
        .expect("a prompt");
        assert_eq!(prompt.action, Action::Fix);
        assert_eq!(prompt.instruction.as_deref(), Some("the sign in src/a.py"));
        assert_eq!(prompt.target, Some(Target { path: "src/a.py".into(), lines: Some((3, 5)) }));
        assert_eq!((prompt.files, prompt.texts.len()), (vec!["src/a.py".to_owned()], 0));
    }

    #[test]
    fn a_name_is_a_word_of_its_own() {
        let link = json!({"type": "resource_link", "name": "a", "uri": "file:///w/a.py"});
        let prompt =
            read(json!([{"type": "text", "text": "/explain"}, link, {"type": "text", "text": ", please"}]));
        let prompt = prompt.expect("a prompt");
        assert_eq!((prompt.action, prompt.instruction.as_deref()), (Action::Explain, Some("a.py, please")));
        for (text, action, words) in [
            ("/explain it", Action::Explain, "a.py it"),
            ("/w/b.py is slow", Action::Generate, "a.py/w/b.py is slow"),
        ] {
            let prompt = read(json!([link, {"type": "text", "text": text}])).expect("a prompt");
            assert_eq!((prompt.action, prompt.instruction.as_deref()), (action, Some(words)));
        }
    }

    #[test]
    fn a_text_comes_along() {
        let resource = json!({"uri": "file:///w/a.py", "text": "x = 1\n"});
        let prompt = read(json!([{"type": "resource", "resource": resource}])).expect("a prompt");
        assert_eq!(prompt.texts["a.py"], "x = 1\n");
    }

    #[test]
    fn what_cannot_be_used() {
        for (blocks, why) in [
            (json!([{"type": "text", "text": "/dance"}]), "there is no /dance; there are /plan"),
            (json!([{"type": "text", "text": "/plan"}]), "say what to plan"),
            (json!([]), "say what to generate"),
            (json!([{"type": "resource_link", "name": "a", "uri": "file:///etc/passwd"}]), "is not in /w"),
            (json!([{"type": "resource_link", "name": "a", "uri": "https://a/b"}]), "names no file"),
            (json!([{"type": "image", "data": "", "mimeType": "image/png"}]), "only text and files"),
        ] {
            let error = read(blocks).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn places() {
        for (fragment, expect) in [
            ("L3", Some((3, 3))),
            ("L3-5", Some((3, 5))),
            ("L3-L5", Some((3, 5))),
            ("L5:3", Some((5, 5))),
            ("L0", None),
            ("heading", None),
            ("L", None),
        ] {
            assert_eq!(lines(fragment), expect, "{fragment}");
        }
    }
}

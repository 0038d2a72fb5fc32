//! The rows of `languages.toml`: how a language is recognised and how one file of it is run.

use super::{Job, JobFile};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// One row. Adding a language is adding a row, and its tools to the image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// The key: lower case, unique.
    pub name: String,
    pub title: String,
    /// The stage of the Dockerfile that has its tools.
    pub image: String,
    /// File name extensions without the dot.
    pub extensions: Vec<String>,
    /// Language ids of LSP `TextDocumentItem.languageId`.
    pub lsp: Vec<String>,
    /// Base names of the interpreter in a `#!` line.
    pub shebangs: Vec<String>,
    /// Command that must succeed before `run`; empty where nothing is compiled.
    #[serde(default)]
    compile: Vec<String>,
    /// Command that runs one file. In one of both stands `{file}` for its path.
    run: Vec<String>,
    /// What only a program has in its text, and the shell line that compiles a file that is none; both empty where
    /// any file can be run.
    #[serde(default)]
    entry: String,
    #[serde(default)]
    build: String,
    /// Name for a program that came without one.
    pub file: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What begins a line comment.
    pub comment: String,
}

impl Language {
    /// The command that runs `file`, a path relative to the working directory, with `args` for the program.
    pub fn run(&self, file: &str, args: &[String]) -> Vec<String> {
        // A name such as `-c.py` would be read as an option.
        let file = if file.starts_with('-') { format!("./{file}") } else { file.to_owned() };
        let words = if self.compile.is_empty() {
            self.run.iter().map(|part| part.replace("{file}", &file)).collect()
        } else {
            let line = format!("{} && exec {} \"$@\"", shell(&self.compile), shell(&self.run));
            vec!["sh".into(), "-c".into(), line, file]
        };
        words.into_iter().chain(args.iter().cloned()).collect()
    }

    /// The command that compiles `file`, when its `text` is that of no program.
    pub fn build(&self, file: &str, text: &str) -> Option<Vec<String>> {
        let is_program = self.build.is_empty() || text.trim().is_empty() || text.contains(&self.entry);
        (!is_program).then(|| vec!["sh".into(), "-c".into(), self.build.clone(), format!("./{file}")])
    }
}

/// The words as a shell reads them, with `$0` for the file.
fn shell(words: &[String]) -> String {
    let quote = |word: &String| match word.as_str() {
        "{file}" => "\"$0\"".to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// All rows, in the order of the file.
pub fn all() -> &'static [Language] {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        language: Vec<Language>,
    }
    static ROWS: LazyLock<Vec<Language>> = LazyLock::new(|| {
        let table: Table =
            toml::from_str(include_str!("languages.toml")).expect("a test reads the same file");
        table.language
    });
    &ROWS
}

pub fn by_name(name: &str) -> Option<&'static Language> {
    all().iter().find(|row| row.name == name)
}

/// By the extension, in any case.
pub fn by_path(path: impl AsRef<Path>) -> Option<&'static Language> {
    let extension = path.as_ref().extension()?.to_str()?.to_ascii_lowercase();
    all().iter().find(|row| row.extensions.contains(&extension))
}

pub fn by_lsp_id(id: &str) -> Option<&'static Language> {
    all().iter().find(|row| row.lsp.iter().any(|known| known == id))
}

/// By the first line of a text: `#!/usr/bin/env python3`.
pub fn by_shebang(text: &str) -> Option<&'static Language> {
    let line = text.strip_prefix("#!")?.lines().next()?;
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut words = line.split_whitespace().map(base);
    let interpreter = match words.next()?.as_str() {
        "env" => words.find(|word| !word.starts_with('-'))?,
        other => other.to_owned(),
    };
    all().iter().find(|row| row.shebangs.contains(&interpreter))
}

/// The job that runs one file. `path` gives the file its name in the sandbox; none: the language's own.
pub fn job_for_file(
    language: &Language,
    path: Option<&Path>,
    text: &[u8],
    args: &[String],
    stdin: Vec<u8>,
) -> Job {
    let name = path.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or(&language.file);
    Job {
        language: Some(language.name.clone()),
        files: vec![JobFile { path: name.to_owned(), bytes: text.into(), executable: false }],
        argv: language.run(name, args),
        env: language.env.clone().into_iter().collect(),
        stdin,
        ..Job::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_complete_and_unique() {
        let mut seen = HashSet::new();
        assert!(all().len() >= 11);
        for row in all() {
            for text in [&row.name, &row.title, &row.comment] {
                assert!(!text.is_empty(), "{row:?}");
            }
            for (kind, values) in
                [("extension", &row.extensions), ("lsp", &row.lsp), ("shebang", &row.shebangs)]
            {
                assert!(!values.is_empty(), "{}: {kind}", row.name);
                for value in values {
                    assert!(seen.insert((kind, value.clone())), "{kind} {value} stands twice");
                }
            }
            assert!(seen.insert(("name", row.name.clone())), "{} stands twice", row.name);
            let parts = row.compile.iter().chain(&row.run);
            assert_eq!(parts.filter(|part| *part == "{file}").count(), 1, "{}", row.name);
            assert_eq!(by_path(&row.file).map(|found| &found.name), Some(&row.name));
        }
    }

    #[test]
    fn languages_are_recognised() {
        let name = |found: Option<&'static Language>| found.map(|row| row.name.as_str());
        assert_eq!(name(by_path("src/A.PY")), Some("python"));
        assert_eq!(name(by_path("Makefile")), None);
        assert_eq!(name(by_lsp_id("typescriptreact")), Some("typescript"));
        assert_eq!(name(by_shebang("#!/usr/bin/env -S python3 -u\n")), Some("python"));
        assert_eq!(name(by_shebang("#!/bin/sh\necho")), Some("bash"));
        assert_eq!(name(by_shebang("#!")), None);
        assert_eq!(name(by_shebang("print(1)")), None);
    }

    #[test]
    fn arguments_follow_the_file_and_a_dash_is_no_option() {
        let python = by_name("python").unwrap();
        assert_eq!(python.run("a b.py", &["-x".into()]), ["python3", "a b.py", "-x"]);
        assert_eq!(python.run("-c.py", &[]), ["python3", "./-c.py"]);
        let line = "'go' 'build' '-o' '/tmp/program' \"$0\" && exec '/tmp/program' \"$@\"";
        assert_eq!(by_name("go").unwrap().run("-a.go", &["-x".into()]), ["sh", "-c", line, "./-a.go", "-x"]);
    }

    #[test]
    fn a_job_holds_the_file_under_its_own_name() {
        let python = by_name("python").unwrap();
        let job = job_for_file(python, Some(Path::new("/home/me/x.py")), b"pass", &[], vec![]);
        assert_eq!((job.files[0].path.as_str(), &*job.files[0].bytes), ("x.py", &b"pass"[..]));
        assert_eq!(job_for_file(python, None, b"", &[], vec![]).argv, ["python3", "main.py"]);
    }
}

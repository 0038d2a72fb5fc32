//! What is chosen of real folders.

use super::*;
use crate::agent::task::Given;
use crate::event::Action;
use crate::workspace::{Document, Documents};

/// A folder of files, and a task in it.
struct Case {
    folder: tempfile::TempDir,
    documents: Documents,
    task: Task,
    clues: Clues,
}

impl Case {
    fn new(files: &[(&str, &str)], target: Option<(&str, Option<u32>)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut task = Task::new(Action::Fix, folder.path().into());
        task.target =
            target.map(|(path, line)| Target { path: path.into(), lines: line.map(|line| (line, line)) });
        let case = Self { folder, documents: Documents::default(), task, clues: Clues::default() };
        for (path, text) in files {
            case.write(path, text);
        }
        case
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn open(&mut self, path: &str, text: &str) {
        let key = self.folder.path().canonicalize().unwrap().join(path).to_string_lossy().into_owned();
        let document = Document {
            uri: key.clone(),
            version: 1,
            language: "python".into(),
            text: ropey::Rope::from_str(text),
        };
        self.documents.insert(key, document);
    }

    fn gather(&self, tokens: u32) -> Context {
        let exclude = ["drafts/".to_owned()];
        let snapshot = Snapshot::take(self.folder.path(), &self.documents, &exclude).unwrap();
        gather(&snapshot, &self.task, &self.clues, &Names::default(), tokens)
    }
}

fn paths(context: &Context) -> Vec<&str> {
    context.excerpts.iter().map(|excerpt| excerpt.path.as_str()).collect()
}

/// What is shown for a reason, with its lines.
fn reasons(context: &Context) -> Vec<String> {
    let shown = context.excerpts.iter().filter_map(|excerpt| {
        let (first, last) = excerpt.range();
        Some(format!("{} {}:{first}-{last}", excerpt.why.as_ref()?, excerpt.path))
    });
    shown.collect()
}

#[test]
fn the_target_comes_first_then_what_is_near() {
    let files =
        [("a/zoo.py", "x"), ("src/gcd.py", "import num\n"), ("src/num.py", "n"), ("tests/test_gcd.py", "t")];
    let found = Case::new(&files, Some(("src/gcd.py", None))).gather(1000);
    assert_eq!(paths(&found), ["src/gcd.py", "tests/test_gcd.py", "src/num.py", "a/zoo.py"]);
    assert!(found.map.is_empty(), "what is shown whole needs no map");
}

/// Files whose names tell that they must not be shown, with a definition that would draw them into the map.
#[test]
fn secret_ignored_and_excluded_files_are_in_no_part() {
    let leak = "def shared_helper(leaked):\n    return leaked\n";
    let case = Case::new(
        &[
            (".gitignore", "out/\n"),
            (".opendevagentignore", "hidden.py\n"),
            ("main.py", "def main():\n    return shared_helper(1)\n"),
            ("out/x.py", leak),
            ("drafts/x.py", leak),
            ("hidden.py", leak),
            (".aws/x.py", leak),
            (".env", "SHARED_HELPER=leaked\n"),
            ("id_rsa", "leaked\n"),
        ],
        Some(("main.py", Some(2))),
    );
    #[cfg(unix)]
    std::os::unix::fs::symlink("hidden.py", case.folder.path().join("link.py")).unwrap();
    let mut opened = case;
    opened.open("out/x.py", leak);
    opened.open("hidden.py", leak);
    opened.task.files = ["drafts/x.py", "link.py", "../outside.py", ".env"].map(Into::into).into();
    opened.clues.places = ["hidden.py", "out/x.py", ".aws/x.py"].map(|path| (path.to_owned(), 1)).into();
    for tokens in [40, 400, 24_000] {
        let found = opened.gather(tokens);
        assert!(!found.render("n0nce").contains("leaked"), "{found:?}");
        let mapped = found.map.iter().map(|outline| outline.path.as_str());
        let listed = found.listing.iter().map(String::as_str);
        for path in paths(&found).into_iter().chain(mapped).chain(listed) {
            assert!(["main.py", ".gitignore", ".opendevagentignore"].contains(&path), "{path} in {found:?}");
        }
    }
}

fn long(name: &str, lines: usize) -> String {
    format!("def {name}(value):\n{}    return value\n\n\n", "    value = value + 1\n".repeat(lines))
}

#[test]
fn definitions_and_callers_stand_for_files_that_are_too_long() {
    let other = "# filler\n".repeat(400);
    let files = [
        ("cart.py", "def total_price(cart):\n    return apply_discount(sum(cart))\n\n\ndef unrelated():\n    return forecast()\n".to_owned()),
        ("discount.py", format!("{other}\n\n{}{other}", long("apply_discount", 3))),
        ("weather.py", format!("{}{other}", long("forecast", 3))),
        ("shop.py", format!("{other}\n\ndef checkout(cart):\n    print(1)\n    return total_price(cart)\n{other}")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let found = Case::new(&files, Some(("cart.py", Some(2)))).gather(1_200);
    assert_eq!(paths(&found)[0], "cart.py");
    assert_eq!(
        reasons(&found),
        ["definition of apply_discount discount.py:403-407", "calls total_price shop.py:403-405"]
    );
    let shown = found.render("n0nce");
    assert!(
        shown.contains("<data-n0nce file=\"shop.py\" lines=\"403-405\" of=\"805\" shown-for=\"calls total_price\">\ndef checkout(cart):\n"),
        "{shown}"
    );
    // Of the whole file everything counts, and where there is room the files themselves are shown.
    let found = Case::new(&files, Some(("cart.py", None))).gather(1_200);
    assert!(reasons(&found).contains(&"definition of forecast weather.py:1-5".to_owned()), "{found:?}");
    let found = Case::new(&files, Some(("cart.py", None))).gather(24_000);
    assert_eq!((reasons(&found).len(), found.excerpts.len()), (0, 4));
}

#[test]
fn the_map_names_what_matters_elsewhere_and_keeps_to_its_room() {
    let filler = format!("# {}\n", "filler ".repeat(500));
    let mut files = vec![("main.py".to_owned(), "def main():\n    return load_settings()\n".to_owned())];
    files.push(("settings.py".into(), format!("def load_settings():\n    return read_table()\n{filler}")));
    files.push((
        "table.py".into(),
        format!("class Table:\n    pass\n\n\ndef read_table():\n    return Table()\n{filler}"),
    ));
    for number in 0..60 {
        files.push((
            format!("far/f{number:02}.py"),
            format!("def far_away_{number:02}():\n    pass\n{filler}"),
        ));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let case = Case::new(&files, Some(("main.py", None)));
    let found = case.gather(1_000);
    assert_eq!(reasons(&found), ["definition of load_settings settings.py:1-2"]);
    let mapped: Vec<_> = found.map.iter().map(|outline| outline.path.as_str()).collect();
    assert_eq!(mapped[0], "table.py", "what the target's own callee uses comes first: {mapped:?}");
    assert_eq!(found.map[0].lines, [(1, "class Table:".to_owned()), (5, "def read_table():".to_owned())]);
    assert!(mapped.len() < 60, "{mapped:?}");
    for tokens in [10, 100, 1_000, 5_000] {
        let size = case.gather(tokens).render("n").len();
        assert!(size <= tokens as usize * 3 * 13 / 10 + 200, "{size} bytes for {tokens} tokens");
    }
}

#[test]
fn many_small_files_keep_to_the_room_with_their_fences() {
    let files: Vec<_> = (0..400).map(|number| (format!("f{number:03}.txt"), "x\n")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let found = Case::new(&files, None).gather(2_000);
    assert!(found.excerpts.len() > 50 && found.unlisted > 0, "{}", found.excerpts.len());
    assert!(found.render("0123456789abcdef").len() <= 6_200, "{}", found.render("0123456789abcdef").len());
}

#[test]
fn words_of_the_task_lead_the_map() {
    let filler = format!("# {}\n", "filler ".repeat(8_000));
    let texts: Vec<_> = ["alpha", "beta", "gamma"]
        .map(|name| (format!("{name}.py"), format!("def {name}_one():\n    pass\n{filler}")))
        .into();
    let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut case = Case::new(&files, None);
    case.task.instruction = Some("make gamma_one faster".into());
    assert_eq!(case.gather(2_000).map[0].path, "gamma.py");
    case.task.instruction = None;
    case.task.diagnostics = vec![Given { line: 1, message: "`beta_one` is wrong".into(), source: None }];
    assert_eq!(case.gather(2_000).map[0].path, "beta.py");
    case.task.diagnostics.clear();
    case.clues.output = "NameError: name 'gamma_one' is not defined".into();
    assert_eq!(case.gather(2_000).map[0].path, "gamma.py");
}

#[test]
fn rules_of_the_folders_above_the_target_and_open_buffers_come_before_other_files() {
    let filler = "# filler\n".repeat(300);
    let mut case = Case::new(
        &[
            ("AGENTS.md", "Use tabs.\n"),
            ("src/AGENTS.md", "Use spaces.\n"),
            ("other/AGENTS.md", "Not here.\n"),
            ("src/a.py", "def a(): pass\n"),
            ("src/near.py", &filler),
            ("zz/open.py", "on disk\n"),
        ],
        Some(("src/a.py", None)),
    );
    case.open("zz/open.py", "in the buffer\n");
    let found = case.gather(900);
    assert_eq!(paths(&found)[..4], ["src/a.py", "src/AGENTS.md", "AGENTS.md", "zz/open.py"], "{found:?}");
    assert_eq!(found.excerpts[3].text, "in the buffer\n");
    assert!(!paths(&found).contains(&"src/near.py"));
}

#[test]
fn secrets_in_excerpts_and_map_are_hidden() {
    let filler = format!("# {}\n", "filler ".repeat(2_000));
    let case = Case::new(
        &[
            ("main.py", "def main():\n    return connect()\n"),
            (
                "db.py",
                &format!("def connect():\n    password = 'hunter22hunter'\n    return dial()\n{filler}"),
            ),
            ("dial.py", &format!("def dial(token='abcd1234efgh'): pass\n{filler}")),
        ],
        Some(("main.py", None)),
    );
    let mut found = case.gather(1_000);
    assert_eq!((reasons(&found).len(), found.map.len()), (1, 1), "{found:?}");
    found.hide(&mut Masks::new("n0nce"));
    let shown = found.render("n0nce");
    assert!(!shown.contains("hunter22") && !shown.contains("abcd1234"), "{shown}");
    assert!(shown.contains("<masked-n0nce-1>") && shown.contains("<masked-n0nce-2>"), "{shown}");
}

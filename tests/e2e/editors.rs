//! Editors in a terminal or driven by their own scripts, as a user sets them up from the README: run the file, fix what
//! it said, apply the proposal, save.

use super::edit;
use crate::model_server::ModelServer;
use crate::support::{Workspace, docker, project, skipped};
use std::path::Path;
use std::process::Command;

const BROKEN: &str = "    return sum(numbers) / len(numbrs)";
const MENDED: &str = "    return sum(numbers) / len(numbers)";
const FIXTURE: &str = r#"
//- /mean.py
def mean(numbers):
    return sum(numbers) / len(numbrs)


if __name__ == "__main__":
    print(mean([1, 2, 3]))
//- /test_mean.py
from mean import mean


def test_mean():
    assert mean([1, 2, 3]) == 2
"#;

/// An editor from the cache, fetched when it is missing; `None` where there is no recipe for this machine.
fn editor(name: &str) -> Option<String> {
    if !docker() {
        return None;
    }
    if name != "python" && !Path::new("/usr/bin/apt-get").exists() {
        skipped("the editor comes out of Debian's packages, which need apt-get");
        return None;
    }
    let setup = Command::new(project().join("tests/editors/setup.sh")).arg(name).output();
    let setup = setup.expect("a shell script can be run");
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    Some(String::from_utf8_lossy(&setup.stdout).trim().to_owned())
}

/// Lets the editor mend `mean.py` with the server found on `PATH`; what the editor's script said.
fn mends(program: &str, prepare: impl FnOnce(&mut Command, &Workspace)) -> String {
    let server = ModelServer::always(edit("mean.py", BROKEN, MENDED));
    let workspace = Workspace::new(FIXTURE).model(&server);
    let before = workspace.read("mean.py");
    let said = runs(program, &workspace, prepare);
    assert_eq!(workspace.read("mean.py"), before.replace(BROKEN, MENDED), "{said}");
    said
}

/// Runs the editor with the server found on `PATH` to its good end; what its script said.
fn runs(program: &str, workspace: &Workspace, prepare: impl FnOnce(&mut Command, &Workspace)) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_opendevagent"));
    let folder = binary.parent().expect("a program is in a folder");
    let path = std::env::var("PATH").expect("programs are found by PATH");
    let mut command = workspace.command(program);
    command.env("PATH", format!("{}:{path}", folder.display())).env("OPENDEVAGENT_BIN", binary);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(pictures) = std::env::var_os("OPENDEVAGENT_PICTURES") {
        command.env("OPENDEVAGENT_PICTURES", pictures);
    }
    prepare(&mut command, workspace);
    let output = command.output().expect("the editor can be started");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn helix_fixes_and_applies() {
    let (Some(python), Some(helix)) = (editor("python"), editor("helix")) else { return };
    mends(&python, |command, _| {
        command.arg(project().join("tests/editors/helix.py")).args([&helix, "mean.py"]);
    });
}

#[test]
fn neovim_fixes_and_applies() {
    let Some(python) = editor("python") else { return };
    let nvim = super::nvim::neovim("0.11");
    mends(&python, |command, _| {
        command.arg(project().join("tests/editors/neovim.py")).arg(nvim);
        command.arg(project().join("editors/nvim")).arg("mean.py");
    });
}

/// Neovim's own inline completion, without our plugin.
#[test]
fn neovim_completes_where_the_user_pauses() {
    let Some(python) = editor("python") else { return };
    let nvim = super::nvim::neovim("0.12");
    let server = ModelServer::always("```python\nanswer = 42\n```\n".to_owned());
    let workspace = Workspace::new(FIXTURE).model(&server);
    let before = workspace.read("mean.py");
    runs(&python, &workspace, |command, _| {
        command.arg(project().join("tests/editors/completion.py")).arg(nvim).arg("mean.py");
    });
    assert_eq!(workspace.read("mean.py"), format!("{before}    xanswer = 42\n"));
    assert!(server.requests()[0].prompt().contains("x<hole-"));
}

#[test]
fn emacs_fixes_and_applies() {
    let Some(emacs) = editor("emacs") else { return };
    let said = mends(&emacs, |command, _| {
        let (files, dump) = beside(&emacs);
        command.envs(files).arg(format!("--dump-file={dump}")).arg("-Q").arg("--batch");
        command.arg("--load").arg(project().join("tests/editors/eglot.el")).arg("mean.py");
    });
    assert!(said.contains(MENDED), "{said}");
}

/// Where an Emacs that is not installed finds its own files, and its memory as it was built.
fn beside(emacs: &str) -> ([(&'static str, String); 4], String) {
    let root = Path::new(emacs).parent().and_then(Path::parent).expect("it is in usr/bin");
    // Folders named by the version and the machine.
    let only = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("it is in the package").flatten();
        let mut paths = entries.map(|entry| entry.path());
        let found = paths.find(|path| path.is_dir() && !path.ends_with("site-lisp"));
        found.expect("there is one folder")
    };
    let share = only(&root.join("share/emacs"));
    let programs = only(&only(&root.join("libexec/emacs")));
    let entries = std::fs::read_dir(&programs).expect("it is in the package").flatten();
    let mut files = entries.map(|entry| entry.path());
    let dump = files.find(|path| path.extension().is_some_and(|end| end == "pdmp"));
    let name = |path: &Path| path.display().to_string();
    let data = name(&share.join("etc"));
    let variables = [
        ("EMACSLOADPATH", name(&share.join("lisp"))),
        ("EMACSDATA", data.clone()),
        ("EMACSDOC", data),
        ("EMACSPATH", name(&programs)),
    ];
    (variables, name(&dump.expect("it is in the package")))
}

#[test]
fn pytest_lsp_fixes_and_applies() {
    let Some(python) = editor("python") else { return };
    let said = mends(&python, |command, workspace| {
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]);
        command.arg(project().join("tests/editors/test_pytest_lsp.py"));
        command.env("OPENDEVAGENT_TEST_FILE", workspace.root().join("mean.py"));
    });
    assert!(said.contains("1 passed"), "{said}");
}

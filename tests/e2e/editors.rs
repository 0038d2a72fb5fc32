//! Editors in a terminal, in a window or driven by their own scripts, set up with the very text of the README: run the
//! file, fix what it said, apply the proposal, save.

use super::edit;
use crate::model_server::ModelServer;
use crate::support::{Workspace, docker, project, skipped};
use std::ffi::OsStr;
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

/// The block of code in a README that begins so: what users copy.
fn block(readme: &str, begins: &str) -> String {
    let text = std::fs::read_to_string(project().join(readme)).expect("it is in the repository");
    let mut blocks: Vec<String> = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        // In a list all of it is indented.
        match (line.trim_start().starts_with("```"), is_code) {
            (true, _) => {
                is_code = !is_code;
                blocks.extend(is_code.then(String::new));
            }
            (false, true) => blocks.last_mut().expect("one has begun").extend([line, "\n"]),
            (false, false) => {}
        }
    }
    blocks.retain(|block| block.trim_start().starts_with(begins));
    assert_eq!(blocks.len(), 1, "blocks of {readme} that begin with {begins}");
    blocks.remove(0)
}

/// Writes a file of settings where its editor looks for it.
fn configure(workspace: &Workspace, path: &str, text: &str) {
    let path = workspace.home().join(path);
    std::fs::create_dir_all(path.parent().expect("it is below the home")).expect("a folder can be made");
    std::fs::write(path, text).expect("a file can be written");
}

const README: &str = "README.md";

#[test]
fn helix_fixes_and_applies() {
    let (Some(python), Some(helix)) = (editor("python"), editor("helix")) else { return };
    mends(&python, |command, workspace| {
        configure(
            workspace,
            ".config/helix/languages.toml",
            &block(README, "[language-server.opendevagent]"),
        );
        command.arg(project().join("tests/editors/helix.py")).args([&helix, "mean.py"]);
    });
}

/// A window that is looked at and pressed as a screen reader does. Only when asked for: what reads it loses Kate for
/// good when it looks while Kate begins to answer, which it does more often than not on a quick machine.
#[test]
fn kate_fixes_and_applies() {
    if std::env::var_os("OPENDEVAGENT_KATE").is_none() {
        skipped("needs OPENDEVAGENT_KATE=1");
        return;
    }
    let Some(python) = editor("kate") else { return };
    mends("xvfb-run", |command, workspace| {
        configure(workspace, ".config/kate/lspclient/settings.json", &block(README, "{\"servers\""));
        // A D-Bus of its own: what reads the window is found by it.
        command.args([
            "--auto-servernum",
            "--server-args=-screen 0 1200x760x24 -wr",
            "dbus-run-session",
            "--",
            &python,
        ]);
        command.arg(project().join("tests/editors/kate.py")).arg("mean.py");
    });
}

#[test]
fn neovim_fixes_and_applies() {
    let Some(python) = editor("python") else { return };
    let nvim = super::nvim::neovim("0.11");
    mends(&python, |command, workspace| {
        let install = block("editors/nvim/README.md", "start=~/.local");
        let installed = workspace.command("sh").args(["-c", &install]).current_dir(project()).status();
        assert!(installed.is_ok_and(|status| status.success()), "{install}");
        command.arg(project().join("tests/editors/neovim.py")).arg(nvim).arg("mean.py");
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

/// In a terminal, as users of Emacs without windows have it.
#[test]
fn eglot_fixes_and_applies() {
    let (Some(python), Some(emacs)) = (editor("python"), editor("emacs")) else { return };
    mends(&python, |command, workspace| {
        configure(workspace, ".emacs.d/init.el", &block(README, "(with-eval-after-load 'eglot"));
        let (files, dump) = beside(&emacs);
        command.envs(files).arg(project().join("tests/editors/eglot.py"));
        command.args(["mean.py", &emacs, &format!("--dump-file={dump}")]);
    });
}

#[test]
fn lsp_mode_fixes_and_applies() {
    let (Some(emacs), Some(packages)) = (editor("emacs"), editor("lsp-mode")) else { return };
    let entries = std::fs::read_dir(packages).expect("it was unpacked").flatten();
    let folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    let said = mends(&emacs, |command, workspace| {
        configure(workspace, ".emacs.d/init.el", &block(README, "(with-eval-after-load 'lsp-mode"));
        let (files, dump) = beside(&emacs);
        command.envs(files).arg(format!("--dump-file={dump}")).arg("-Q").arg("--batch");
        command.args(folders.iter().flat_map(|folder| [OsStr::new("--directory"), folder.as_os_str()]));
        command.arg("--load").arg(project().join("tests/editors/lsp-mode.el")).arg("mean.py");
    });
    assert!(said.contains(MENDED), "{said}");
    if let Some(pictures) = std::env::var_os("OPENDEVAGENT_PICTURES") {
        std::fs::write(Path::new(&pictures).join("lsp-mode.txt"), said).expect("a file can be written");
    }
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

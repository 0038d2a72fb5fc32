//! Plans from the files of a workspace.

use super::*;
use crate::workspace::Documents;

fn planned(
    files: &[(&str, &str)],
    directory: &str,
    language: Option<&str>,
    command: Option<&str>,
) -> Option<Setup> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let snapshot = Snapshot::take(folder.path(), &Documents::default(), &[]).unwrap();
    plan(&snapshot, directory, language, command)
}

fn text(setup: &Setup, path: &str) -> String {
    let file = setup.files.iter().find(|file| file.path == path);
    let file = file.unwrap_or_else(|| panic!("{path} is not laid out: {setup:?}"));
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

#[test]
fn python_takes_requirements_and_not_the_project() {
    let files = [
        ("requirements.txt", "-r requirements/base.txt\n-e .\n./vendored\nattrs==24.2.0\n"),
        ("requirements/base.txt", "six\n"),
        (
            "pyproject.toml",
            "[project]\nname = 'x'\ndependencies = ['idna>=3']\n[dependency-groups]\ntest = ['iniconfig', {include-group = 'x'}]\ndocs = ['sphinx']\n",
        ),
        ("app.py", "import attr\n"),
        ("package.json", r#"{"dependencies": {"left-pad": "1.3.0"}}"#),
    ];
    let setup = planned(&files, "", Some("python"), None).unwrap();
    assert_eq!(setup.sources, ["pyproject.toml", "requirements.txt"]);
    assert!(
        setup.command.ends_with("-r pyproject-requirements.txt -r requirements.txt"),
        "{}",
        setup.command
    );
    assert_eq!(text(&setup, "requirements.txt"), "-r requirements/base.txt\nattrs==24.2.0\n");
    assert_eq!(text(&setup, "requirements/base.txt"), "six\n");
    assert_eq!(text(&setup, "pyproject-requirements.txt"), "idna>=3\niniconfig\n");
    assert_eq!(setup.files.len(), 3, "the program itself is not shown to the setup");
}

#[test]
fn node_is_shown_no_scripts() {
    let files = [
        (
            "web/package.json",
            r#"{"name": "x", "scripts": {"postinstall": "evil"}, "dependencies": {"left-pad": "1.3.0"}}"#,
        ),
        ("web/package-lock.json", "{}"),
        ("web/node_modules/left-pad/package.json", "{}"),
    ];
    let setup = planned(&files, "web", Some("javascript"), None).unwrap();
    assert_eq!(setup.sources, ["web/package.json"]);
    assert_eq!(text(&setup, "package.json"), r#"{"name":"x","dependencies":{"left-pad":"1.3.0"}}"#);
    assert_eq!(text(&setup, "package-lock.json"), "{}");
    assert_eq!(setup.files.len(), 2);
    assert!(setup.command.contains("/work/web${to"), "{}", setup.command);
}

#[test]
fn what_names_no_dependency_needs_no_setup() {
    let check = |path: &str, text: &str| assert_eq!(planned(&[(path, text)], "", None, None), None, "{path}");
    check("requirements.txt", "# nothing\n");
    check("pyproject.toml", "[project]\nname = 'x'\n");
    check("package.json", r#"{"scripts": {"test": "node --test"}}"#);
    check("go.mod", "module x\n\ngo 1.24\n");
    check("Cargo.lock", "[[package]]\nname = \"x\"\n");
    check("sub/requirements.txt", "six\n");
    check(".devcontainer/devcontainer.json", r#"{"features": {}}"#);
    let files = [("requirements.txt", "six\n")];
    assert_eq!(planned(&files, "", Some("go"), None), None, "another language's");
    assert_eq!(planned(&files, "", Some("python"), Some("off")), None);
}

#[test]
fn the_users_command_stands_instead_of_the_detected_ones() {
    let files = [("requirements.txt", "six\n"), ("main.py", "")];
    let setup = planned(&files, "", Some("python"), Some("pip install --user six")).unwrap();
    assert_eq!((setup.command.as_str(), setup.files.len()), ("pip install --user six", 1));
    assert!(planned(&[("a.py", "")], "", None, Some("true")).is_some());
}

#[test]
fn the_key_changes_with_what_is_installed_and_with_nothing_else() {
    let key = |files: &[(&str, &str)]| planned(files, "", Some("javascript"), None).unwrap().key("base:1");
    let package = r#"{"dependencies": {"a": "1"}, "scripts": {"test": "x"}}"#;
    let one = key(&[("package.json", package), ("package-lock.json", "{}"), ("a.js", "1")]);
    let scripts =
        key(&[("package.json", &package.replace('x', "y")), ("package-lock.json", "{}"), ("a.js", "2")]);
    let locked = key(&[("package.json", package), ("package-lock.json", "{ }"), ("a.js", "1")]);
    assert_eq!(one, scripts);
    assert_ne!(one, locked);
}

#[test]
fn a_devcontainer_names_the_base() {
    let image =
        ("// the image\n{\"image\": \"python:3.13-slim\",}", Some(Base::Image("python:3.13-slim".into())));
    for (text, expect) in [image, ("{\"image\": \"--privileged\"}", None), ("{", None)] {
        let setup = planned(&[(".devcontainer/devcontainer.json", text)], "", None, None);
        assert_eq!(setup.and_then(|setup| setup.base), expect, "{text}");
    }
    let files = [
        (
            ".devcontainer/devcontainer.json",
            r#"{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"V": "1"}}}"#,
        ),
        (".devcontainer/Dockerfile", "FROM scratch\n"),
        ("data.txt", "1"),
    ];
    let Some(Base::Built(built)) = planned(&files, "", None, None).and_then(|setup| setup.base) else {
        panic!("no build was found");
    };
    assert_eq!((built.inside.as_str(), built.text.as_str()), (".devcontainer/Dockerfile", "FROM scratch\n"));
    assert_eq!(built.args, [("V".to_owned(), "1".to_owned())]);
    assert!(built.context.iter().any(|(path, _)| path == "data.txt"));
}

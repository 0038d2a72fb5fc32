//! Which paths a model may name, and which of them need a person's word.

use super::Refusal;

/// Longest path in bytes that is accepted; Linux allows 4096 for absolute ones.
const LONGEST: usize = 1024;

/// Names that run code, or change what other tools do, without being asked. Matched without regard to case.
/// `dir/` is a directory anywhere in the path, `.ext` after `*` an ending of the file name, else a file name.
const SENSITIVE: &[&str] = &[
    // Continuous integration.
    ".github/",
    ".gitlab/",
    ".circleci/",
    ".buildkite/",
    ".ci/",
    ".woodpecker/",
    ".forgejo/",
    ".gitea/",
    ".gitlab-ci.yml",
    ".travis.yml",
    ".drone.yml",
    ".cirrus.yml",
    "appveyor.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "jenkinsfile",
    "cloudbuild.yaml",
    // Hooks and version control.
    ".husky/",
    ".githooks/",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".gitattributes",
    ".gitmodules",
    ".gitconfig",
    // Editors, shells and what they run on opening a directory.
    ".vscode/",
    ".idea/",
    ".zed/",
    ".vs/",
    ".helix/",
    ".fleet/",
    ".devcontainer/",
    "*.code-workspace",
    ".nvim.lua",
    ".nvimrc",
    ".exrc",
    ".vimrc",
    ".dir-locals.el",
    ".editorconfig",
    ".envrc",
    ".env",
    ".opendevagent.toml",
    ".mise.toml",
    "mise.toml",
    ".tool-versions",
    // Package managers and build scripts.
    ".cargo/",
    ".mvn/",
    "build.rs",
    "cargo.toml",
    "package.json",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    ".pypirc",
    "pip.conf",
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "sitecustomize.py",
    "usercustomize.py",
    "noxfile.py",
    "tox.ini",
    "makefile",
    "gnumakefile",
    "*.mk",
    "cmakelists.txt",
    "*.cmake",
    "meson.build",
    "configure",
    "configure.ac",
    "justfile",
    "taskfile.yml",
    "rakefile",
    "gemfile",
    "gruntfile.js",
    "gulpfile.js",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle.properties",
    "gradlew",
    "gradlew.bat",
    "gradle/",
    "mvnw",
    "mvnw.cmd",
    "pom.xml",
    "build.xml",
    "build.sbt",
    "build.zig",
    "build.sh",
    "dockerfile",
    "containerfile",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yml",
    "compose.yaml",
    "build",
    "build.bazel",
    "workspace",
    "workspace.bazel",
    "module.bazel",
    // Lock files.
    "*.lock",
    "*.lockb",
    "*.lockfile",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "go.sum",
    "packages.lock.json",
    "package.resolved",
];

/// `path` with `/` between its parts and without empty or `.` parts, when it names something inside the
/// workspace by its spelling. Links and `context.exclude` are the caller's to check.
pub fn check_path(path: &str) -> Result<String, Refusal> {
    let refuse = |why| Err(Refusal::Path { path: path.escape_debug().take(LONGEST).collect(), why });
    let slashed = path.trim().replace('\\', "/");
    let parts: Vec<&str> = slashed.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return refuse("is empty");
    }
    if slashed.len() > LONGEST {
        return refuse("is too long");
    }
    if slashed.starts_with('/') || slashed.as_bytes().get(1) == Some(&b':') || parts[0] == "~" {
        return refuse("is absolute");
    }
    if slashed.contains(is_hidden) {
        return refuse("holds control or invisible characters");
    }
    if parts.contains(&"..") {
        return refuse("leaves the workspace");
    }
    if parts.iter().any(|part| is_git(part)) {
        return refuse("is under .git");
    }
    if slashed.ends_with('/') {
        return refuse("is a directory");
    }
    Ok(parts.join("/"))
}

/// Whether an edit of `path` is marked and always needs confirmation: CI files, hooks, editor settings, build
/// scripts and lock files (CONTRACT §6).
pub fn needs_confirmation(path: &str) -> bool {
    let path = path.replace('\\', "/").to_lowercase();
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", &path));
    SENSITIVE.iter().any(|pattern| match (pattern.strip_suffix('/'), pattern.strip_prefix('*')) {
        (Some(directory), _) => directories.split('/').any(|part| part == directory),
        (_, Some(ending)) => name.ends_with(ending),
        _ => name == *pattern,
    })
}

/// Names that some file system takes for `.git`: any case, NTFS short names and streams, trailing dots.
fn is_git(part: &str) -> bool {
    let name = part.split(':').next().unwrap_or(part).trim_end_matches(['.', ' ']).to_lowercase();
    name == ".git" || name == "git~1"
}

/// Characters that a reader of the path does not see.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

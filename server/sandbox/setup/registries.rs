//! What of this machine a setup gets to see: where packages come from, without anybody's credentials.

use crate::sandbox::JobFile;
use std::path::PathBuf;

/// Variables that name a proxy or a package registry. One whose address holds credentials is left out.
const VARIABLES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
];
/// Settings files of package managers: where, the key, the variable that says the same.
const FILES: &[(&str, &str, &str)] = &[
    ("~/.config/pip/pip.conf", "index-url", "PIP_INDEX_URL"),
    ("~/.pip/pip.conf", "index-url", "PIP_INDEX_URL"),
    ("/etc/pip.conf", "index-url", "PIP_INDEX_URL"),
    ("~/.npmrc", "registry", "npm_config_registry"),
];
/// Where systems keep the authorities they trust; a company's proxy may have one of its own.
const AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
const AUTHORITIES_INSIDE: &str = "/tmp/authorities.pem";
const AUTHORITIES_MAX: u64 = 4 << 20;
/// Who must be told of them.
const AUTHORITIES_FOR: &[&str] = &[
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
];

/// The environment of a setup, and the files that it names. Reads this process's environment and the settings of
/// its user's package managers.
pub fn environment() -> (Vec<(String, String)>, Vec<JobFile>) {
    let mut env = vec![
        // What checks are denied (`Dockerfile`), and what asks nobody.
        ("GOPROXY".to_owned(), "https://proxy.golang.org,direct".to_owned()),
        ("CARGO_NET_OFFLINE".into(), "false".into()),
        ("MAVEN_ARGS".into(), String::new()),
        ("PIP_DISABLE_PIP_VERSION_CHECK".into(), "1".into()),
        ("PIP_NO_INPUT".into(), "1".into()),
        ("npm_config_update_notifier".into(), "false".into()),
        ("npm_config_audit".into(), "false".into()),
        ("npm_config_fund".into(), "false".into()),
    ];
    let mut set = |name: &str, value: String| {
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value));
    };
    for (file, key, variable) in FILES.iter().rev() {
        let text = place(file).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        if let Some(value) = value_of(&text, key).filter(|value| is_public(value)) {
            set(variable, value);
        }
    }
    for name in VARIABLES {
        if let Some(value) = std::env::var(name).ok().filter(|value| is_public(value)) {
            set(name, value);
        }
    }
    let files: Vec<JobFile> = authorities().into_iter().collect();
    if !files.is_empty() {
        for name in AUTHORITIES_FOR {
            set(name, AUTHORITIES_INSIDE.to_owned());
        }
    }
    (env, files)
}

/// A path that may begin with `~`.
fn place(path: &str) -> Option<PathBuf> {
    match path.strip_prefix("~/") {
        Some(rest) => Some(PathBuf::from(std::env::var_os("HOME")?).join(rest)),
        None => Some(path.into()),
    }
}

/// The authorities this machine trusts, which are no secret.
fn authorities() -> Option<JobFile> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut places = named.into_iter().chain(AUTHORITIES.iter().map(PathBuf::from));
    let fits = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= AUTHORITIES_MAX)
    };
    let bytes = std::fs::read(places.find(fits)?).ok()?;
    // A bundle may hold a key where somebody put everything into one file.
    let secret = bytes.windows(11).any(|window| window == b"PRIVATE KEY");
    (!secret).then(|| JobFile { path: AUTHORITIES_INSIDE.into(), bytes: bytes.into(), executable: false })
}

/// `key = value` in the ini format of pip and npm.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_owned())
    })
}

/// Whether no address of a value names a user: `https://user:token@host`.
fn is_public(value: &str) -> bool {
    let addresses = value.split([' ', ',', '|', '\n']);
    addresses.into_iter().all(|address| {
        let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
        !authority.split(['/', '?', '#']).next().unwrap_or_default().contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_credentials_stay_here() {
        for public in
            ["https://pypi.example/simple", "https://a/x@1, direct", "localhost,127.0.0.1", "http://p:3128"]
        {
            assert!(is_public(public), "{public}");
        }
        for secret in
            ["https://me:token@pypi.example/simple", "https://a http://token@b/", "me:pw@proxy:3128"]
        {
            assert!(!is_public(secret), "{secret}");
        }
    }

    #[test]
    fn settings_files_are_read_by_key() {
        let pip = "[global]\ntimeout = 60\nindex-url = https://mirror.example/simple\n";
        assert_eq!(value_of(pip, "index-url").as_deref(), Some("https://mirror.example/simple"));
        let npm = "//registry.example/:_authToken=secret\nregistry=https://registry.example/\n";
        assert_eq!(value_of(npm, "registry").as_deref(), Some("https://registry.example/"));
        assert_eq!(value_of(npm, "_authToken"), None);
    }
}

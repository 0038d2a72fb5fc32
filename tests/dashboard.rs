//! The page from outside: over raw HTTP as an attacker would send it, and in a real browser as people see it.

mod browser;
pub mod sample;

use crate::editor::Editor;
use crate::redis::{self, Redis};
use opendevagent::config::Loaded;
use opendevagent::dashboard::{Dashboard, Desk, Times, Wish};
use opendevagent::journal::{Files, Store, TeamStore};
use opendevagent::link::Link;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that says nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(30);

/// A dashboard over a store of its own.
struct Site {
    dashboard: Dashboard,
    /// Where tasks are written.
    store: Arc<dyn Store>,
    wishes: Arc<Mutex<Vec<(Wish, String)>>>,
    /// The proven, the hostile and the running task.
    tasks: [String; 3],
    _folder: TempDir,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Site {
    async fn open(ordinary: usize, times: Times) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Files::new(folder.path().join("journal")));
        Self::over(folder, store.clone(), store, ordinary, times).await
    }

    /// Shows what one store has of the tasks that are written to another.
    async fn over(
        folder: TempDir,
        store: Arc<dyn Store>,
        seen: Arc<dyn Store>,
        ordinary: usize,
        times: Times,
    ) -> Self {
        let tasks = sample::fill(&*store, ordinary, now()).await;
        let wishes: Arc<Mutex<Vec<(Wish, String)>>> = Arc::default();
        let (granted, [proven, _, running]) = (wishes.clone(), tasks.clone());
        let desk = Desk {
            store: seen,
            loaded: Box::new(Loaded::default),
            offers: Box::new(move |id| match id {
                _ if id == running => vec![Wish::Cancel],
                _ if id == proven => vec![Wish::Apply, Wish::Discard],
                _ => Vec::new(),
            }),
            act: Arc::new(move |wish, id| {
                granted.lock().unwrap().push((wish, id));
                Box::pin(async {})
            }),
        };
        let dashboard = Dashboard::open(desk, times).await.unwrap();
        Self { dashboard, store, wishes, tasks, _folder: folder }
    }

    /// `HOST:PORT`, and the path of a new link.
    fn link(&self) -> (String, String) {
        split(&self.dashboard.link())
    }

    /// `HOST:PORT`, and the secret.
    async fn enter(&self) -> (String, String) {
        let (host, path) = self.link();
        let answer = get(&host, &path).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let secret = answer.header("location").unwrap().trim_end_matches('/').to_owned();
        (host, secret)
    }
}

fn split(link: &str) -> (String, String) {
    let (host, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends these bytes, and reads until the other side ends.
async fn send(host: &str, bytes: &str) -> Answer {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut is an answer, too.
    let _ = tokio::time::timeout(HANGS, stream.read_to_end(&mut answer)).await.expect("it ends");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

async fn request(host: &str, method: &str, path: &str, headers: &str) -> Answer {
    send(host, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"))
        .await
}

async fn get(host: &str, path: &str) -> Answer {
    request(host, "GET", path, "").await
}

#[tokio::test]
async fn a_link_is_good_once() {
    let site = Site::open(0, Times::default()).await;
    let (host, path) = site.link();
    assert_eq!(request(&host, "HEAD", &path, "").await.status, 403, "a preview does not use it up");
    assert_eq!(get(&host, &path).await.status, 303);
    let again = get(&host, &path).await;
    assert_eq!(again.status, 403);
    assert!(again.body.contains("no longer good"), "{again:?}");
    for path in ["/", "/?ticket=", "/?ticket=0", "/0/", "/favicon.ico", "/task/x", "//"] {
        assert_eq!(get(&host, path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_link_is_too_old_at_its_time() {
    let site = Site::open(0, Times { ticket: Duration::ZERO, ..Times::default() }).await;
    let (host, path) = site.link();
    assert_eq!(get(&host, &path).await.status, 403);
}

#[tokio::test]
async fn the_secret_opens_every_page_and_nothing_beside_them() {
    let site = Site::open(6, Times::default()).await;
    let (host, secret) = site.enter().await;
    let [proven, ..] = &site.tasks;
    for (path, expect) in [
        (String::new(), "src/gcd.py:12"),
        (format!("task/{proven}"), "test_gcd_of_negatives"),
        ("system".into(), "codestral"),
        ("style.css".into(), "prefers-color-scheme"),
        ("live.js".into(), "EventSource"),
        ("icon.svg".into(), "<svg"),
        ("?q=parser".into(), "src/parser.rs"),
        ("?phase=failed".into(), "Main.java"),
        ("?q=no+such+words".into(), "No task fits"),
    ] {
        let answer = get(&host, &format!("/{secret}/{path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(expect), "{path}: {}", answer.body);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("set-cookie"), None);
    }
    for path in [
        "../../etc/passwd",
        "task/..%2f..%2f..%2fetc%2fpasswd",
        "task/../../journal/index",
        "task/",
        "task/no-such-task",
        "task/%00",
        "live.js/",
        "%2e%2e/",
    ] {
        assert_eq!(get(&host, &format!("/{secret}/{path}")).await.status, 404, "{path}");
    }
    assert_eq!(get(&host, &format!("/{secret}")).await.status, 404, "relative links would lead nowhere");
    let other: String = secret.chars().rev().collect();
    assert_eq!(get(&host, &format!("/{other}/")).await.status, 403);
}

#[tokio::test]
async fn another_name_for_this_machine_is_refused() {
    let site = Site::open(0, Times::default()).await;
    let (host, secret) = site.enter().await;
    let (_, link) = site.link();
    let port = host.rsplit_once(':').unwrap().1;
    for name in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "", "0.0.0.0"] {
        for path in [&link, &format!("/{secret}/")] {
            let answer =
                send(&host, &format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"))
                    .await;
            assert_eq!(answer.status, 421, "{name} {path}");
        }
    }
    let twice =
        format!("GET {link} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    let none = format!("GET {link} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let whole =
        format!("GET http://evil.example{link} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for request in [twice, none, whole] {
        assert_eq!(send(&host, &request).await.status, 421, "{request}");
    }
    let forwarded =
        send(&host, &format!("GET {link} HTTP/1.1\r\nHost: localhost:9\r\nConnection: close\r\n\r\n")).await;
    assert_eq!(forwarded.status, 303, "none of them has used the link up, and a port may be forwarded");
}

#[tokio::test]
async fn only_our_own_page_acts_and_only_what_is_offered() {
    let site = Site::open(0, Times::default()).await;
    let (host, secret) = site.enter().await;
    let [proven, hostile, running] = &site.tasks;
    let cancel = format!("/{secret}/task/{running}/cancel");
    let own = format!("Origin: http://{host}\r\nContent-Length: 0\r\n");
    for headers in [
        "Content-Length: 0\r\n",
        "Origin: null\r\nContent-Length: 0\r\n",
        "Origin: http://evil.example\r\nContent-Length: 0\r\n",
        &format!("Origin: https://{host}\r\nContent-Length: 0\r\n"),
        &format!("{own}Sec-Fetch-Site: cross-site\r\n"),
        &format!("{own}Sec-Fetch-Site: same-site\r\n"),
    ] {
        assert_eq!(request(&host, "POST", &cancel, headers).await.status, 403, "{headers}");
    }
    let foreign = request(&host, "GET", &format!("/{secret}/live"), "Origin: http://evil.example\r\n").await;
    assert_eq!(foreign.status, 403, "no other page listens");
    for (method, path, status) in [
        ("GET", &cancel, 404),
        ("PUT", &cancel, 405),
        ("OPTIONS", &cancel, 405),
        ("POST", &format!("/{secret}/task/{running}/apply"), 409),
        ("POST", &format!("/{secret}/task/{hostile}/apply"), 409),
        ("POST", &format!("/{secret}/task/{running}/remove"), 404),
        ("POST", &format!("/{}/task/{running}/cancel", secret.replace(['0', '1'], "2")), 403),
    ] {
        assert_eq!(request(&host, method, path, &own).await.status, status, "{method} {path}");
    }
    assert!(site.wishes.lock().unwrap().is_empty());
    for (task, wish) in [(running, "cancel"), (proven, "apply")] {
        let answer = request(&host, "POST", &format!("/{secret}/task/{task}/{wish}"), &own).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("../{task}"))));
    }
    let expect = [(Wish::Cancel, running.clone()), (Wish::Apply, proven.clone())];
    assert_eq!(*site.wishes.lock().unwrap(), expect);
}

/// A task that another program runs can be asked to end, and nothing else.
#[tokio::test]
async fn what_runs_elsewhere_can_be_cancelled() {
    let site = Site::open(0, Times::default()).await;
    let (host, secret) = site.enter().await;
    let (theirs, begun) = ("0192-elsewhere", now());
    let row = json!({"task": theirs, "action": "fix", "title": "fix a.py", "phase": "coding", "begun": begun, "server": "elsewhere"});
    let line = json!({"at": begun, "kind": "begun", "row": row, "asked": {}});
    site.store.append(theirs, vec![line], true).await.unwrap();
    let page = format!("/{secret}/task/{theirs}");
    let shown = get(&host, &page).await.body;
    assert!(shown.contains(&format!("{theirs}/cancel")) && !shown.contains("/apply"), "{shown}");
    let own = format!("Origin: http://{host}\r\nContent-Length: 0\r\n");
    let post = async |wish: &str| request(&host, "POST", &format!("{page}/{wish}"), &own).await.status;
    assert_eq!((post("apply").await, post("cancel").await), (409, 303));
    assert_eq!(*site.wishes.lock().unwrap(), [(Wish::Cancel, theirs.to_owned())]);
    let ended = json!({"at": now(), "kind": "ended", "phase": "cancelled", "message": "cancelled"});
    site.store.append(theirs, vec![ended], true).await.unwrap();
    assert_eq!(post("cancel").await, 409, "it is over");
}

#[tokio::test]
async fn text_of_tasks_stays_text() {
    stays_text(&Site::open(0, Times::default()).await).await;
}

/// The page of one machine, the tasks of another.
#[tokio::test]
async fn tasks_of_a_team_are_shown_live_and_stay_text() {
    if !redis::is_installed() {
        return;
    }
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let machine = |name: &str| {
        let link = Link::new(&redis.url(), None, false);
        TeamStore::new(Files::new(folder.path().join(name)), Arc::new(link))
    };
    let (store, seen) = (machine("one"), machine("other"));
    let site = Site::over(folder, store, seen, 3, Times::default()).await;
    let (host, secret) = site.enter().await;
    let page = get(&host, &format!("/{secret}/task/{}", site.tasks[0])).await.body;
    assert!(page.contains("test_gcd_of_negatives"), "{page}");
    let system = get(&host, &format!("/{secret}/system")).await.body;
    assert!(system.contains("There now") && system.contains(&redis.url()), "{system}");
    stays_text(&site).await;
    streams(site).await;
}

async fn stays_text(site: &Site) {
    let (host, secret) = site.enter().await;
    let search: String = url::form_urlencoded::byte_serialize(sample::HOSTILE.as_bytes()).collect();
    for path in [
        String::new(),
        format!("task/{}", site.tasks[1]),
        format!("?q={search}&action={search}&phase={search}"),
    ] {
        let body = get(&host, &format!("/{secret}/{path}")).await.body;
        assert!(body.contains("&lt;script&gt;") || path.starts_with('?'), "{body}");
        for markup in ["<img src=x", "<script>", "\"'>", "onerror=\"", "javascript:"] {
            assert!(!body.contains(markup), "{path} has {markup}: {body}");
        }
    }
}

#[tokio::test]
async fn a_slow_or_greedy_client_holds_up_nobody() {
    let site = Site::open(0, Times::default()).await;
    let (host, secret) = site.enter().await;
    let mut slow = Vec::new();
    for _ in 0..63 {
        let mut stream = TcpStream::connect(&host).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(get(&host, &format!("/{secret}/")).await.status, 200, "there is room for one more");
    for stream in &mut slow {
        let mut rest = Vec::new();
        // Some get a 408, some are just cut off.
        let _ = tokio::time::timeout(HANGS, stream.read_to_end(&mut rest)).await.expect("it is cut off");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "x".repeat(64 << 10));
    assert!(matches!(send(&host, &long).await.status, 0 | 400 | 414 | 431));
    let many = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "a: b\r\n".repeat(500));
    assert!(matches!(send(&host, &many).await.status, 0 | 400 | 431));
    let huge = "Content-Length: 99999999\r\n";
    assert_eq!(request(&host, "POST", &format!("/{secret}/task/x/cancel"), huge).await.status, 403);
    let huge = format!("Origin: http://{host}\r\n{huge}");
    assert_eq!(request(&host, "POST", &format!("/{secret}/task/x/cancel"), &huge).await.status, 413);
    for junk in ["\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"] {
        assert!(matches!(send(&host, junk).await.status, 0 | 400), "{junk:?}");
    }
    assert_eq!(get(&host, &format!("/{secret}/")).await.status, 200);
}

#[tokio::test]
async fn a_stream_tells_that_something_changed() {
    streams(Site::open(0, Times::default()).await).await;
}

async fn streams(site: Site) {
    let (host, secret) = site.enter().await;
    let mut stream = TcpStream::connect(&host).await.unwrap();
    let ask = format!("GET /{secret}/live HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "retry:").await;
    assert!(!seen.contains("data:"), "{seen}");
    site.store.append(&site.tasks[2], sample::end(now()), true).await.unwrap();
    read_until(&mut stream, &mut seen, "data:").await;
    site.dashboard.close();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(HANGS, stream.read_to_end(&mut rest)).await.expect("the end ends it");
}

async fn read_until(stream: &mut TcpStream, seen: &mut String, mark: &str) {
    while !seen.contains(mark) {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(HANGS, stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("no {mark} in {seen}")).unwrap();
        assert!(read > 0, "it ended without {mark}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn it_ends_when_nobody_looks() {
    let site = Site::open(0, Times { idle: Duration::from_millis(50), ..Times::default() }).await;
    let (host, _) = site.link();
    let held = TcpStream::connect(&host).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(400), site.dashboard.closed()).await.is_err(),
        "somebody is there"
    );
    drop(held);
    tokio::time::timeout(HANGS, site.dashboard.closed()).await.expect("it ends");
    // The listener is let go a moment after.
    while TcpStream::connect(&host).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_editor_opens_it() {
    let capabilities = json!({"window": {"showDocument": {"support": true}}});
    let mut editor = Editor::start(capabilities, json!({})).await;
    assert_eq!(editor.execute("dashboard", json!({})).await, Ok(json!(null)));
    let asked = editor.expect("window/showDocument").await;
    assert_eq!(asked["params"]["external"], true);
    editor.reply(&asked, json!({"success": true})).await;
    let (host, path) = split(asked["params"]["uri"].as_str().unwrap());
    let secret = get(&host, &path).await.header("location").unwrap().to_owned();
    assert!(get(&host, &format!("/{secret}")).await.body.contains("No task yet"));
    editor.execute("dashboard", json!({})).await.unwrap();
    let again = editor.expect("window/showDocument").await;
    editor.reply(&again, json!({"success": false})).await;
    assert!(again["params"]["uri"].as_str().unwrap().contains(&host), "the listener is the same");
    let message = editor.expect("window/showMessage").await;
    assert!(message["params"]["message"].as_str().unwrap().contains("http://127.0.0.1:"), "{message}");
    editor.quit().await;
    assert!(TcpStream::connect(&host).await.is_err(), "it ends with the server");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let mut editor = Editor::start(json!({}), json!({"settings": {"dashboard": {"enabled": false}}})).await;
    let refused = editor.execute("dashboard", json!({})).await.unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("dashboard.enabled"), "{refused}");
    editor.quit().await;
}

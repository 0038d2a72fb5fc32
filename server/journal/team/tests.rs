//! Two machines on one real Redis: two folders, two stores.

use super::super::line::line;
use super::*;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How long a question waits for its answer.
const SHORT: Duration = Duration::from_secs(2);

struct Redis(Child, u16);

impl Redis {
    /// `None` where none is installed, which is said; tests/setup/redis.sh installs one.
    fn start() -> Option<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Self::at(port)
    }

    fn at(port: u16) -> Option<Self> {
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
        let Ok(child) = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("skipped: {:?}: needs redis-server", std::thread::current().name());
            return None;
        };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self(child, port))
    }

    fn stop(mut self) -> u16 {
        let _ = self.0.kill();
        let _ = self.0.wait();
        self.1
    }

    fn machine(&self, folder: &Path) -> Arc<TeamStore> {
        let link = Link::new(&format!("redis://127.0.0.1:{}", self.1), None, false);
        TeamStore::new(Files::new(folder.to_owned()), Arc::new(link))
    }

    fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.1.to_string(), "--raw"]).args(args).output();
        String::from_utf8_lossy(&output.unwrap().stdout).trim_end().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn row(id: &str) -> Row {
    let server = this_server().to_owned();
    Row {
        id: id.into(),
        action: "fix".into(),
        title: format!("fix {id}"),
        begun: now(),
        server,
        ..Row::default()
    }
}

async fn begin(store: &TeamStore, id: &str) {
    store.append(id, vec![line(1, "begun", json!({"row": row(id), "asked": {}}))], true).await.unwrap();
}

fn said(text: &str) -> Vec<Value> {
    vec![line(2, "noted", json!({"level": "info", "text": text}))]
}

fn ended() -> Vec<Value> {
    vec![line(now(), "ended", json!({"phase": "complete", "message": "done"}))]
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

#[tokio::test]
async fn a_task_is_seen_watched_and_cancelled_from_another_machine() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (redis.machine(here.path()), redis.machine(there.path()));
    begin(&one, "0192-a").await;
    assert_eq!(other.list(&Query::default()).await.unwrap()[0].title, "fix 0192-a");
    let (_, cursor) = other.since("0192-a", "").await.unwrap();
    one.append("0192-a", said("hm"), false).await.unwrap();
    let (lines, cursor) = other.since("0192-a", &cursor).await.unwrap();
    assert_eq!(texts(&lines), ["hm"]);
    assert_eq!(other.since("0192-a", &cursor).await.unwrap(), (vec![], cursor));
    let (_, before) = one.since("0192-a", "").await.unwrap();
    other.append("0192-a", vec![line(3, "wish", json!({"wish": "cancel"}))], false).await.unwrap();
    other.append("0192-a", said("not mine to say"), false).await.unwrap();
    let (lines, before) = one.since("0192-a", &before).await.unwrap();
    assert_eq!((lines.len(), lines[0]["wish"].as_str()), (1, Some("cancel")));
    assert_eq!(one.since("0192-a", &before).await.unwrap().0, Vec::<Value>::new());
    one.append("0192-a", ended(), true).await.unwrap();
    let record = other.task("0192").await.unwrap();
    assert_eq!((record.row.phase.as_str(), record.events.len()), ("complete", 2), "{record:?}");
    begin(&other, "0192-b").await;
    let both: Vec<String> =
        one.list(&Query::default()).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(both, ["0192-b", "0192-a"]);
    assert_eq!(one.task("0192-").await.unwrap_err(), StoreError::Ambiguous { id: "0192-".into(), count: 2 });
    let wish = vec![line(3, "wish", json!({"wish": "cancel"}))];
    assert_eq!(other.append("0192-x", wish, false).await, Err(StoreError::Unknown("0192-x".into())));
    assert!(other.probe().await.unwrap().contains("there: "));
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_twice_while_it_is_away() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (redis.machine(here.path()), redis.machine(there.path()));
    begin(&one, "0192-a").await;
    one.append("0192-a", said("0"), false).await.unwrap();
    let port = redis.stop();
    for number in 1..20 {
        one.append("0192-a", said(&number.to_string()), true).await.unwrap();
    }
    begin(&one, "0192-b").await;
    assert!(one.problem().unwrap().to_string().contains("Redis"), "{:?}", one.problem());
    assert!(one.probe().await.unwrap_err().to_string().contains("2 wait to be sent"));
    assert_eq!(one.list(&Query::default()).await.unwrap().len(), 2, "work goes on");
    // This machine's program ends; the next one finds what was left.
    drop(one);
    let Some(redis) = Redis::at(port) else { return };
    let one = redis.machine(here.path());
    one.attend("an editor");
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    loop {
        let (lines, _) = other.since("0192-a", "").await.unwrap_or_default();
        // With the first, which the Redis that is gone had got.
        if texts(&lines).len() >= 20 && other.list(&Query::default()).await.unwrap().len() == 2 {
            assert_eq!(texts(&lines), expected);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(one.problem(), None);
    // Where two processes of a machine send at once, each line arrives once.
    let twin = redis.machine(here.path());
    let many = (20..60).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { twin.clone() };
        async move { store.append("0192-a", said(&number.to_string()), false).await.unwrap() }
    });
    futures_util::future::join_all(many).await;
    let (lines, _) = other.since("0192-a", "").await.unwrap();
    let mut numbers: Vec<u32> = texts(&lines).iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    assert_eq!(one.marked("outbox").await, vec![]);
}

#[tokio::test]
async fn what_others_wrote_is_not_trusted() {
    let Some(redis) = Redis::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = redis.machine(folder.path());
    let hostile =
        json!({"task": "0192-a", "title": "a\u{1b}]0;owned\u{7}\u{202e}b", "server": "x/1/1/x", "begun": 1});
    redis.cli(&["HSET", "{opendevagent}:rows", "0192-a", &hostile.to_string()]);
    redis.cli(&["HSET", "{opendevagent}:rows", "0192-b", &json!({"task": "0192-c"}).to_string()]);
    redis.cli(&["HSET", "{opendevagent}:rows", "../x", &json!({"task": "../x"}).to_string()]);
    redis.cli(&["HSET", "{opendevagent}:rows", "0192-d", &"[".repeat(5000)]);
    redis.cli(&["HSET", "{opendevagent}:rows", "0192-e", &"x".repeat(20 << 10)]);
    for line in [
        "null".to_owned(),
        "{".into(),
        json!({"kind": "begun", "row": {"task": "0192-z", "title": "forged"}}).to_string(),
        json!({"kind": "noted", "text": "\u{1b}[2J"}).to_string(),
    ] {
        redis.cli(&["XADD", "{opendevagent}:task:0192-a", "*", "line", &line]);
    }
    let rows = store.list(&Query::default()).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].title, "a\u{fffd}]0;owned\u{fffd}\u{fffd}b");
    assert!(rows[0].interrupted && rows[0].message.contains("not heard of"), "{rows:?}");
    let record = store.task("0192-a").await.unwrap();
    assert_eq!((record.damaged, record.events[0]["text"].as_str()), (3, Some("\u{fffd}[2J")));
    // Somebody took the place of our keys: said, and nothing else stops.
    redis.cli(&["SET", "{opendevagent}:changes", "1"]);
    begin(&store, "0192-f").await;
    assert_eq!(store.list(&Query::default()).await.unwrap()[0].id, "0192-f");
    assert!(store.problem().is_some());
}

#[tokio::test]
async fn what_is_old_or_too_much_goes() {
    let Some(redis) = Redis::start() else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (redis.machine(here.path()), redis.machine(there.path()));
    for number in 0..4 {
        let id = format!("0192-{number}");
        begin(&one, &id).await;
        if number > 0 {
            one.append(&id, said(&"x".repeat(200 << 10)), false).await.unwrap();
            let at = if number == 1 { 1 } else { now() };
            one.append(&id, vec![line(at, "ended", json!({"phase": "complete"}))], true).await.unwrap();
        }
    }
    assert_eq!(other.list(&Query::default()).await.unwrap().len(), 4);
    one.prune(30, 100).await.unwrap();
    let ids = |rows: Vec<Row>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(other.list(&Query::default()).await.unwrap()), ["0192-3", "0192-2", "0192-0"]);
    assert_eq!(redis.cli(&["EXISTS", "{opendevagent}:task:0192-1"]), "0");
    one.prune(30, 0).await.unwrap();
    assert_eq!(ids(other.list(&Query::default()).await.unwrap()), ["0192-0"], "what runs stays");
}

/// Killed, hung and emptied again and again while two machines write: in the end all lines are there, each once.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_and_goes() {
    const LINES: usize = 200;
    let Some(mut redis) = Redis::start() else { return };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let machines = [redis.machine(folders[0].path()), redis.machine(folders[1].path())];
    let write = |number: usize| {
        let (store, id) = (machines[number % 2].clone(), format!("0192-{number}"));
        tokio::spawn(async move {
            begin(&store, &id).await;
            for line in 0..LINES {
                store.append(&id, said(&line.to_string()), false).await.unwrap();
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            store.append(&id, ended(), true).await.unwrap();
        })
    };
    let writers: Vec<_> = (0..6).map(write).collect();
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if round % 2 == 0 {
            // Longer than anybody waits for an answer: what was asked is done all the same, later.
            let signal = |name: &str| Command::new("kill").args([name, &redis.0.id().to_string()]).status();
            signal("-STOP").unwrap();
            tokio::time::sleep(SHORT * 3 / 2).await;
            signal("-CONT").unwrap();
        } else {
            let port = redis.stop();
            tokio::time::sleep(Duration::from_millis(200)).await;
            redis = Redis::at(port).unwrap();
        }
    }
    futures_util::future::join_all(writers).await;
    let expected: Vec<String> = (0..LINES).map(|line| line.to_string()).collect();
    for number in 0..6 {
        let (reader, id) = (&machines[(number + 1) % 2], format!("0192-{number}"));
        let lines = loop {
            let lines = reader.since(&id, "").await.unwrap_or_default().0;
            if lines.last().is_some_and(|line| line["kind"] == "ended") {
                break lines;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(texts(&lines), expected, "{id}");
        assert_eq!(reader.task(&id).await.unwrap().row.phase, "complete");
    }
}

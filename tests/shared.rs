//! Machines of a team on one real Redis: tasks that all see, requests that all count, and what becomes of both while
//! the Redis is away.

mod cluster;
mod editors;

use crate::e2e::PYTHON;
use crate::editor::Editor;
use crate::model_server::{Answer, ModelServer};
use crate::redis::{self, Redis, signal};
use crate::support::{Workspace, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
const URL: &str = "OPENDEVAGENT_STORE_URL";

/// A machine of its own: other files, another home.
fn machine(model: &ModelServer, url: &str) -> Workspace {
    PYTHON.workspace().no_sandbox().model(model).set(URL, url)
}

fn tasks(machine: &Workspace) -> Vec<Value> {
    let listed = machine.run(&["tasks", "list", "--limit", "0", "--json"]).exits(0).json();
    listed["tasks"].as_array().cloned().unwrap_or_default()
}

fn show(machine: &Workspace, id: &str) -> Value {
    machine.run(&["tasks", "show", id, "--json"]).exits(0).json()
}

fn id(task: &Value) -> String {
    task["task"].as_str().unwrap_or_default().to_owned()
}

fn says() -> ModelServer {
    ModelServer::always("It divides.".to_owned())
}

/// What one machine knows of a task, another does.
#[track_caller]
fn same(one: &Workspace, other: &Workspace, id: &str) {
    let known = show(one, id);
    assert!(known["rounds"][0]["reply"].is_string(), "{known:#}");
    let told = show(other, id);
    for part in ["row", "asked", "rounds", "events", "report", "damaged"] {
        assert_eq!(known[part], told[part], "{part} of {id}");
    }
}

#[test]
fn two_stores_know_nothing_of_each_other_and_one_redis_all() {
    if !redis::is_installed() {
        return;
    }
    let model = ModelServer::always(Answer::Stall("I am".into()));
    let alone =
        [PYTHON.workspace().no_sandbox().model(&model), PYTHON.workspace().no_sandbox().model(&model)];
    let running = alone[0].start(&["explain", "gcd.py"]);
    model.wait_for_requests(1);
    assert_eq!((tasks(&alone[0]).len(), tasks(&alone[1]).len()), (1, 0));
    drop(running);
    let redis = Redis::start();
    let (one, other) = (machine(&model, &redis.url()), machine(&model, &redis.url()));
    let running = one.start(&["explain", "gcd.py", "-m", "what it does"]);
    model.wait_for_requests(2);
    let seen = tasks(&other);
    assert_eq!((seen.len(), &seen[0]["phase"], &seen[0]["ended"]), (1, &json!("planning"), &Value::Null));
    assert_eq!((&seen[0]["instruction"], &seen[0]["interrupted"]), (&json!("what it does"), &json!(false)));
    let record = show(&other, &id(&seen[0])[..30]);
    assert_eq!(record["rounds"][0]["files"][0], "gcd.py", "{record:#}");
    other.run(&["tasks", "cancel", &id(&seen[0])]).exits(0).says("is asked to end");
    running.wait().exits(130);
    assert_eq!(tasks(&other)[0]["phase"], "cancelled");
    other.run(&["tasks", "replay", &id(&seen[0])]).exits(2).says("holds its files here with --workspace");
    other.run(&["doctor"]).says("there: shell on ");
    let kept = redis.command(&["HGETALL", "{opendevagent}:rows"]);
    assert!(!kept.contains(crate::support::KEY), "{kept}");
}

/// A server that is killed is not heard of any more, and its task is not said to run on.
#[test]
fn a_machine_that_is_gone_is_not_waited_for() {
    if !redis::is_installed() {
        return;
    }
    let model = ModelServer::always(Answer::Stall("I am".into()));
    let redis = Redis::start();
    let (one, other) = (machine(&model, &redis.url()), machine(&model, &redis.url()));
    let running = one.start(&["explain", "gcd.py"]);
    model.wait_for_requests(1);
    running.signal("KILL");
    drop(running);
    eventually("its heart to be missed", SOON, || (tasks(&other)[0]["interrupted"] == true).then_some(()));
    // Its next program knows better, and says what it has cost.
    assert_eq!(tasks(&one)[0]["phase"], "failed");
    eventually("the others to hear", SOON, || (tasks(&other)[0]["phase"] == "failed").then_some(()));
}

/// However many machines ask at once, so many calls a minute go out and no more.
#[test]
fn the_requests_of_a_key_are_counted_together() {
    const LIMIT: usize = 5;
    if !redis::is_installed() {
        return;
    }
    let model = says();
    let mut redis = Redis::start();
    let limited =
        |url: &str| machine(&model, url).set("OPENDEVAGENT_LIMITS_REQUESTS_PER_MINUTE", LIMIT.to_string());
    let machines = [limited(&redis.url()), limited(&redis.url())];
    let start = |number: usize| machines[number % 2].start(&["explain", "gcd.py"]);
    let running: Vec<_> = (0..LIMIT + 3).map(start).collect();
    model.wait_for_requests(LIMIT);
    let counts = redis.command(&["KEYS", "{opendevagent}:requests:*"]);
    assert_eq!(counts.lines().count(), 1, "one key, one count: {counts}");
    assert!(!counts.contains(crate::support::KEY));
    // Each that waits asks again within a second, and is refused.
    let asked = || {
        let stats = redis.command(&["INFO", "commandstats"]);
        let line =
            stats.lines().find(|line| line.starts_with("cmdstat_zcard")).unwrap_or_default().to_owned();
        line.split(['=', ',']).nth(1).and_then(|calls| calls.parse::<usize>().ok()).unwrap_or_default()
    };
    let before = asked();
    eventually("those who wait to ask again", SOON, || (asked() > before + 12).then_some(()));
    assert_eq!((model.requests().len(), redis.command(&["ZCARD", &counts])), (LIMIT, LIMIT.to_string()));
    // The minute is over as soon as the Redis says so.
    redis.command(&["DEL", &counts]);
    for one in running {
        one.wait().exits(0);
    }
    assert_eq!(model.requests().len(), LIMIT + 3);
    assert_eq!(redis.command(&["ZCARD", &counts]), "3");
    // Without it each machine counts on alone.
    redis.stop();
    let ended = machines[0].run(&["explain", "gcd.py"]).exits(0);
    assert!(ended.stderr.contains("Redis does not answer"), "{ended}");
}

/// In real time: within any minute no more than the limit, and then the next at once.
#[test]
fn a_minute_holds_no_more_than_the_limit() {
    const LIMIT: usize = 3;
    if !redis::is_installed() {
        return;
    }
    let (told, heard) = std::sync::mpsc::channel();
    let model = ModelServer::start(move |_| {
        let _ = told.send(Instant::now());
        "It divides.".to_owned().into()
    });
    let redis = Redis::start();
    let limited =
        || machine(&model, &redis.url()).set("OPENDEVAGENT_LIMITS_REQUESTS_PER_MINUTE", LIMIT.to_string());
    let machines = [limited(), limited()];
    let running: Vec<_> =
        (0..LIMIT + 2).map(|number| machines[number % 2].start(&["explain", "gcd.py"])).collect();
    for one in running {
        one.wait().exits(0);
    }
    let times: Vec<Instant> = heard.try_iter().collect();
    assert_eq!(times.len(), LIMIT + 2);
    for (early, late) in times.iter().zip(&times[LIMIT..]) {
        let apart = late.duration_since(*early);
        // A call leaves a little after it was counted.
        assert!(apart > Duration::from_secs(58), "{apart:?}");
    }
}

/// It hangs, or is killed and comes back with nothing, in the middle of a task: the task ends as ever, and what
/// happened is there afterwards, once.
#[test]
fn a_redis_that_goes_away_loses_nothing() {
    if !redis::is_installed() {
        return;
    }
    for killed in [false, true] {
        let mut redis = Redis::start();
        let (process, name) = (redis.id(), if killed { "KILL" } else { "STOP" });
        let wrong = PYTHON.answer("    return a").replace(PYTHON.bug, "    return nowhere");
        // The first call explains; the Redis goes with the second; the third mends what does not fit.
        let mut answers = vec![PYTHON.answer(PYTHON.repair), wrong, "It divides.".to_owned()];
        let model = ModelServer::start(move |_| {
            if answers.len() == 2 {
                signal(process, name);
            }
            answers.pop().unwrap_or_default().into()
        });
        let (one, other) = (machine(&model, &redis.url()), machine(&says(), &redis.url()));
        one.run(&["explain", "gcd.py"]).exits(0);
        let before = id(&tasks(&other)[0]);
        let ended = one.run(&["fix", "gcd.py:4", "-m", "repair gcd", "--apply", "--json"]);
        assert_eq!(
            (&ended.json()["edits"][0]["path"], model.requests().len()),
            (&json!("gcd.py"), 3),
            "{ended}"
        );
        assert_eq!(ended.stderr.matches("The task goes on here").count(), 1, "{ended}");
        let report = ended.json();
        let after = report["task"].as_str().unwrap_or_default();
        one.run(&["doctor"]).says("wait to be sent");
        if killed {
            redis.stop();
            redis.resume();
        } else {
            redis.signal("CONT");
        }
        // Any program of that machine will do.
        assert_eq!(tasks(&one).len(), 2);
        assert_eq!(tasks(&other).iter().map(id).collect::<Vec<_>>(), [after, &before]);
        for task in [after, &before] {
            same(&one, &other, task);
        }
        one.run(&["doctor"]).says("0 to be sent");
    }
}

#[test]
fn a_user_of_an_acl_is_enough() {
    if !redis::is_installed() {
        return;
    }
    let redis = Redis::start();
    redis.command(&["ACL", "SETUSER", "ada", "on", ">lovelace", "~{opendevagent}:*", "+@all", "-@dangerous"]);
    redis.command(&["ACL", "SETUSER", "default", "off"]);
    let model = says();
    let url = format!("redis://ada@127.0.0.1:{}", redis.port());
    let machine = |password: &str| machine(&model, &url).set("OPENDEVAGENT_REDIS_PASSWORD", password);
    let (one, other) = (machine("lovelace"), machine("lovelace"));
    one.run(&["explain", "gcd.py"]).exits(0);
    assert_eq!(tasks(&other).len(), 1);
    let refused = machine("byron").run(&["explain", "gcd.py"]).exits(0);
    assert!(refused.stderr.contains("The task goes on here"), "{refused}");
    for ended in [refused, other.run(&["doctor"]), other.run(&["config", "show"])] {
        assert!(!format!("{ended}").contains("lovelace") && !format!("{ended}").contains("byron"), "{ended}");
    }
}

/// With a certificate of an authority that the machine trusts, and without.
#[test]
fn tls_is_checked() {
    if !redis::is_installed() {
        return;
    }
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let openssl = |args: &str| {
        let mut openssl = Command::new("openssl");
        let made =
            openssl.args(args.split(' ')).current_dir(folder.path()).output().expect("openssl is installed");
        assert!(made.status.success(), "{made:?}");
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    openssl("req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN=redis");
    std::fs::write(folder.path().join("names"), "subjectAltName=IP:127.0.0.1\n").expect("it can be written");
    openssl(
        "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.pem",
    );
    let file = |name: &str| folder.path().join(name).display().to_string();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = plain.expect("a free port").port();
    let redis = Redis::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("redis.pem"),
        "--tls-key-file",
        &file("redis.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let model = says();
    let url = format!("rediss://127.0.0.1:{port}");
    let trusting = || machine(&model, &url).set("SSL_CERT_FILE", file("ca.pem"));
    trusting().run(&["explain", "gcd.py"]).exits(0);
    assert_eq!(tasks(&trusting()).len(), 1);
    assert!(redis.command(&["INFO", "stats"]).contains("total_connections_received"));
    let ended = machine(&model, &url).run(&["explain", "gcd.py"]).exits(0);
    assert!(ended.stderr.contains("The task goes on here"), "{ended}");
    let plain = machine(&model, "redis://redis.example:6379").run(&["explain", "gcd.py"]).exits(0);
    assert!(plain.stderr.contains("would get tasks and files in clear"), "{plain}");
}

/// An editor hears that the Redis is away, and that it is back; it lists the tasks of others.
#[tokio::test]
async fn an_editor_is_told() {
    if !redis::is_installed() {
        return;
    }
    let mut redis = Redis::start();
    let model = says();
    let one = machine(&model, &redis.url());
    assert!(Path::new(&one.root()).exists());
    one.run(&["explain", "gcd.py"]).exits(0);
    let options = json!({"client": {"status": true}, "settings": {"store": {"url": redis.url()}}});
    let mut editor = Editor::start(json!({}), options).await;
    let rows = editor.request("opendevagent/tasks", json!({})).await.expect("tasks");
    assert_eq!(
        (&rows[0]["title"], &rows[0]["server"], &rows[0]["uri"]),
        (&json!("explain gcd.py"), &json!("earlier"), &Value::Null)
    );
    let id = rows[0]["task"].clone();
    let record = editor.request("opendevagent/task", json!({"task": id})).await.expect("a task");
    assert_eq!(record["text"], "It divides.", "{record:#}");
    let there = || redis.command(&["HVALS", "{opendevagent}:words"]).contains("an editor").then_some(());
    eventually("the others to hear of it", SOON, there);
    redis.stop();
    let state = |message: &Value| message["params"]["state"].as_str().unwrap_or_default().to_owned();
    assert_eq!(state(&editor.expect("opendevagent/status").await), "ready");
    let told = editor.expect("opendevagent/status").await;
    assert_eq!((state(&told).as_str(), &told["params"]["about"]), ("problem", &json!("store")), "{told}");
    redis.resume();
    assert_eq!(state(&editor.expect("opendevagent/status").await), "ready");
    editor.ignore_all();
    editor.quit().await;
}

/// What was written without the team's key is not shown to those who have it, and what is wished without it not done.
#[test]
fn strangers_are_not_heard() {
    if !redis::is_installed() {
        return;
    }
    let model = ModelServer::always(Answer::Stall("I am".into()));
    let redis = Redis::start();
    let key = |machine: Workspace, key: &str| machine.set("OPENDEVAGENT_TEAM_KEY", key);
    let member = || key(machine(&model, &redis.url()), "the secret of a team");
    let (one, other) = (member(), member());
    let stranger = machine(&model, &redis.url());
    let impostor = key(machine(&model, &redis.url()), "the secret of another");
    let running = one.start(&["explain", "gcd.py"]);
    model.wait_for_requests(1);
    let task = id(&tasks(&other)[0]);
    assert_eq!(show(&one, &task)["rounds"], show(&other, &task)["rounds"]);
    // They find the task, and their wish arrives.
    for nobody in [&stranger, &impostor] {
        nobody.run(&["tasks", "cancel", &task]);
    }
    assert_eq!(redis.command(&["XLEN", &format!("{{opendevagent}}:said:{task}")]), "1");
    // One of the team's, for another task.
    let row = redis.command(&["HGET", "{opendevagent}:rows", &task]);
    let forged = task.replace('0', "1");
    redis.command(&["HSET", "{opendevagent}:rows", &forged, &row.replace(&task, &forged)]);
    let theirs = stranger.start(&["explain", "gcd.py"]);
    model.wait_for_requests(2);
    let seen = |machine: &Workspace| tasks(machine).iter().map(id).collect::<Vec<_>>();
    eventually("theirs to be there", SOON, || (seen(&stranger).len() == 3).then_some(()));
    assert_eq!((seen(&other), seen(&impostor)), (vec![task.clone()], vec![]));
    other.run(&["doctor"]).says("2 tasks are not signed with the team's key and not shown");
    // It would have been heard by now.
    let asked = || {
        redis
            .command(&["INFO", "commandstats"])
            .lines()
            .filter(|line| line.contains("xrange:"))
            .collect::<String>()
    };
    let before = asked();
    eventually("it to listen", SOON, || (asked() != before).then_some(()));
    assert_eq!(tasks(&one)[0]["ended"], Value::Null);
    other.run(&["tasks", "cancel", &task]).exits(0);
    running.wait().exits(130);
    drop(theirs);
    key(machine(&model, &redis.url()), "short").run(&["doctor"]).says("shorter than 16 bytes");
}

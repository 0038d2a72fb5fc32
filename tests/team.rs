//! Checks on a team's workers: a real Redis, real workers with Docker, and a machine that uses none of its own.
//!
//! Needs Docker and redis-server: `OPENDEVAGENT_DOCKER_TESTS=1`.

use crate::e2e::PYTHON;
use crate::model_server::ModelServer;
use crate::redis::{Redis, cluster};
use crate::support::{Running, Workspace, containers_of, docker, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const KEY: &str = "OPENDEVAGENT_TEAM_KEY";
const SECRET: &str = "one secret of the whole team";
const SOON: Duration = Duration::from_secs(60);
const SLOW: &str = "//- /slow.sh\nsleep 4\necho done\n//- /quick.sh\necho quick\n";

/// A machine whose checks the team runs.
fn laptop(fixture: &str, redis: &Redis) -> Workspace {
    Workspace::new(fixture)
        .set("OPENDEVAGENT_SANDBOX_HOST", "team")
        .set("OPENDEVAGENT_STORE_URL", redis.url())
        .set("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .set(KEY, SECRET)
}

/// A machine that works for the team; several workers may run on it.
fn server(redis: &Redis) -> Workspace {
    Workspace::new("").set("OPENDEVAGENT_STORE_URL", redis.url()).set(KEY, SECRET)
}

/// Starts a worker, and waits until it listens.
fn worker(machine: &Workspace, redis: &Redis) -> Running {
    let before = consumers(redis);
    let running = machine.start(&["worker"]);
    eventually("the worker to listen", SOON, || (consumers(redis) > before).then_some(()));
    running
}

fn consumers(redis: &Redis) -> usize {
    redis.command(&["XINFO", "CONSUMERS", "{opendevagent}:orders", "workers"]).matches("name").count()
}

/// Stops a worker as its owner does; what it logged.
fn stopped(running: Running) -> String {
    running.signal("TERM");
    let ended = running.wait().exits(0);
    ended.stderr
}

#[test]
fn a_fix_is_proven_on_a_worker() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    let model = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let machine = server(&redis);
    let working = worker(&machine, &redis);
    let report = laptop(PYTHON.fixture, &redis).model(&model).run(&["fix", "--json"]).exits(0).json();
    assert_eq!(report["verdict"]["level"], "proven", "{report:#}");
    assert_eq!(report["verdict"]["changed_lines_executed"], true);
    assert!(stopped(working).contains(": done"));
    // What did not change has travelled once, for four runs.
    let chunks = redis.command(&["KEYS", "{opendevagent}:chunk:*"]);
    let unchanged = opendevagent::text::sha256(&PYTHON.workspace().files()["test_gcd.py"]);
    assert_eq!(chunks.matches(&unchanged).count(), 1, "{chunks}");
    assert_eq!(redis.command(&["XLEN", "{opendevagent}:orders"]), "0");
}

/// Orders and answers through three nodes that share the keys.
#[test]
fn a_team_may_have_a_cluster() {
    if !docker() {
        return;
    }
    let nodes = cluster();
    let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", "{opendevagent}:orders"]);
    let holder = slot.parse::<usize>().expect("a number") * 3 / 16384;
    let machine = server(&nodes[(holder + 1) % 3]);
    let working = worker(&machine, &nodes[holder]);
    let laptop = laptop(SLOW, &nodes[(holder + 2) % 3]);
    laptop.run(&["run", "quick.sh"]).exits(0).says("quick");
    assert!(stopped(working).contains(": done"));
}

/// The order of a worker that is killed goes to another, and is answered once.
#[test]
fn a_killed_worker_is_replaced() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    let machine = server(&redis);
    let mut workers = vec![worker(&machine, &redis), worker(&machine, &redis)];
    let laptop = laptop(SLOW, &redis);
    let running = laptop.start(&["run", "slow.sh", "--json"]);
    let busy = eventually("a worker to begin", SOON, || {
        workers.iter().position(|worker| !containers_of(worker.id()).is_empty())
    });
    let (killed, pid) = (workers.remove(busy), workers[0].id());
    let dead = killed.id();
    killed.signal("KILL");
    drop(killed.wait());
    let outcome = running.wait().exits(0).json();
    assert_eq!((&outcome["status"], &outcome["stdout"]), (&json!("ok"), &json!("done\n")));
    let log = stopped(workers.remove(0));
    assert_eq!(log.matches(": done").count(), 1, "{log}");
    assert_eq!(redis.command(&["XLEN", "{opendevagent}:orders"]), "0");
    eventually("the containers to be gone", SOON, || {
        (containers_of(dead).is_empty() && containers_of(pid).is_empty()).then_some(())
    });
}

/// Where nobody waits any more, nothing goes on.
#[test]
fn a_cancelled_run_is_withdrawn() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    let machine = server(&redis);
    let working = worker(&machine, &redis);
    let laptop = laptop("//- /long.sh\nsleep 250\n", &redis);
    let running = laptop.start(&["run", "long.sh"]);
    eventually("the worker to begin", SOON, || (!containers_of(working.id()).is_empty()).then_some(()));
    running.signal("INT");
    running.wait().exits(130);
    let orders = || redis.command(&["XLEN", "{opendevagent}:orders"]);
    eventually("the order to be ended", SOON, || (orders() == "0").then_some(()));
    let pid = working.id();
    assert!(stopped(working).contains("withdrawn"));
    assert_eq!(containers_of(pid), Vec::<String>::new());
}

/// A stranger who can write to the Redis is refused, and who has another key is told so at once.
#[test]
fn a_worker_runs_nothing_from_strangers() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    let machine = server(&redis);
    let working = worker(&machine, &redis);
    eventually("the worker", SOON, || {
        (redis.command(&["EXISTS", "{opendevagent}:alive"]) == "1").then_some(())
    });
    let orders = "{opendevagent}:orders";
    redis.command(&["XADD", orders, "*", "id", "7", "order", "{}", "signature", &"0".repeat(64)]);
    eventually("the order to be refused", SOON, || (redis.command(&["XLEN", orders]) == "0").then_some(()));
    let other = "the secret of another team";
    let refused = laptop(SLOW, &redis).set(KEY, other).run(&["run", "quick.sh", "--json"]).exits(125).json();
    let why = "have another key than this machine";
    assert!(refused["error"].as_str().is_some_and(|told| told.contains(why)), "{refused}");
    let stranger = server(&redis).set(KEY, other);
    let ended = stranger.run(&["worker"]);
    assert!(ended.code != Some(0) && ended.stderr.contains(why), "{ended}");
    let log = stopped(working);
    assert!(log.contains("not signed with the team's key"), "{log}");
}

/// Nobody but a worker can say that a check has passed.
#[test]
fn a_forged_answer_is_refused() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    // One that has just died, so that nobody else answers.
    let machine = server(&redis);
    let working = worker(&machine, &redis);
    eventually("the worker", SOON, || {
        (redis.command(&["EXISTS", "{opendevagent}:alive"]) == "1").then_some(())
    });
    working.signal("KILL");
    drop(working);
    let laptop = laptop(SLOW, &redis);
    let running = laptop.start(&["run", "quick.sh", "--json"]);
    let id = eventually("the order", SOON, || {
        let orders = redis.command(&["XRANGE", "{opendevagent}:orders", "-", "+"]);
        orders.lines().skip_while(|line| *line != "id").nth(1).map(str::to_owned)
    });
    let answer = json!({"Ran": {"status": "ok", "exit_code": 0, "stdout": "quick\n"}});
    redis.command(&[
        "RPUSH",
        &format!("{{opendevagent}}:answer:{id}"),
        &format!("{} {answer}", "0".repeat(64)),
    ]);
    let outcome = running.wait().exits(125).json();
    assert_eq!(outcome["status"], "error");
    assert!(outcome["error"].as_str().unwrap_or_default().contains("not signed"), "{outcome}");
}

#[test]
fn what_is_missing_is_said() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    let why = |workspace: &Workspace| {
        let ended = workspace.run(&["run", "quick.sh", "--json"]).exits(125);
        ended.json()["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(why(&laptop(SLOW, &redis)).contains("no worker of the team is listening"));
    assert!(why(&laptop(SLOW, &redis).set(KEY, "short")).contains(KEY));
    let working = server(&redis).set("OPENDEVAGENT_SANDBOX_CPUS", "2");
    let working = worker(&working, &redis);
    assert!(why(&laptop(SLOW, &redis)).contains("the worker gives 2 CPUs"));
    stopped(working);
    let url = redis.url();
    drop(redis);
    let alone = Workspace::new(SLOW)
        .set("OPENDEVAGENT_SANDBOX_HOST", "team")
        .set("OPENDEVAGENT_STORE_URL", url)
        .set(KEY, SECRET);
    assert!(why(&alone).contains("Redis does not answer"));
}

/// A password is in no setting, so that no list of settings shows it.
#[test]
fn a_password_comes_from_the_environment() {
    if !docker() {
        return;
    }
    let redis = Redis::start();
    redis.command(&["CONFIG", "SET", "requirepass", "a password"]);
    let laptop = laptop(SLOW, &redis);
    let ended = laptop.run(&["run", "quick.sh"]).exits(125);
    assert!(ended.stderr.contains("Redis does not answer"), "{ended}");
    let ended = laptop.set("OPENDEVAGENT_REDIS_PASSWORD", "a password").run(&["run", "quick.sh"]).exits(125);
    assert!(ended.stderr.contains("no worker of the team is listening"), "{ended}");
    let shown = Workspace::new("")
        .set("OPENDEVAGENT_STORE_URL", "redis://:sesame@127.0.0.1")
        .run(&["config", "show"]);
    let shown = shown.says("must hold no password");
    assert!(!format!("{shown}").contains("sesame"), "{shown}");
}

/// A worker waits for a Redis that restarts, and works on.
#[test]
fn a_redis_that_comes_back() {
    if !docker() {
        return;
    }
    let mut redis = Redis::start();
    let machine = server(&redis);
    let working = worker(&machine, &redis);
    redis.restart();
    eventually("the worker to come back", SOON, || (consumers(&redis) > 0).then_some(()));
    let laptop = laptop(SLOW, &redis);
    let outcome: Value = eventually("an answer", SOON, || {
        let ended = laptop.run(&["run", "quick.sh", "--json"]);
        (ended.code == Some(0)).then(|| ended.json())
    });
    assert_eq!(outcome["stdout"], "quick\n");
    assert!(stopped(working).contains("Redis is back"));
}

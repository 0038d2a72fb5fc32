//! Tasks outlive their program: killed at any moment, two at once, on a disk that is full or broken.

use crate::e2e::PYTHON;
use crate::model_server::{Answer, ModelServer};
use crate::support::{KEY, Workspace, containers_of, docker};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn tasks(workspace: &Workspace) -> Vec<Value> {
    let listed = workspace.run(&["tasks", "list", "--limit", "0", "--json"]).exits(0).json();
    listed["tasks"].as_array().cloned().unwrap_or_default()
}

fn show(workspace: &Workspace, id: &str) -> Value {
    workspace.run(&["tasks", "show", id, "--json"]).exits(0).json()
}

fn state(workspace: &Workspace) -> PathBuf {
    workspace.home().join(".local/state/opendevagent")
}

fn id(task: &Value) -> &str {
    task["task"].as_str().unwrap_or_default()
}

/// An answer that does not fit, then one that does: two calls.
fn stubborn() -> ModelServer {
    let nowhere = PYTHON.answer("    return a").replace(PYTHON.bug, "    return nowhere");
    ModelServer::saying([nowhere, PYTHON.answer(PYTHON.repair)])
}

#[test]
fn a_task_is_listed_shown_exported_and_replayed() {
    let server = stubborn();
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    let report = workspace.run(&["fix", "gcd.py:4", "-m", "repair gcd", "--apply", "--json"]).exits(1).json();
    let all = tasks(&workspace);
    assert_eq!((all.len(), &all[0]["task"], &all[0]["action"]), (1, &report["task"], &"fix".into()));
    assert_eq!((&all[0]["decision"], &all[0]["phase"]), (&"applied".into(), &report["phase"]));
    let record = show(&workspace, id(&all[0]));
    let rounds = record["rounds"].as_array().cloned().unwrap_or_default();
    assert_eq!(rounds.len(), server.requests().len());
    for round in &rounds {
        assert_eq!(
            (&round["finish"], round["files"][0].as_str()),
            (&"stop".into(), Some("gcd.py")),
            "{round:#}"
        );
        assert_eq!(round["prompt_sha256"].as_str().map(str::len), Some(64));
    }
    assert_eq!(record["row"]["usage"]["cost_usd"], report["usage"]["cost_usd"]);
    assert_eq!(record["report"]["edits"], report["edits"]);
    // By the beginning of its id, on the text as it was.
    workspace.write("gcd.py", PYTHON.before());
    let asked = server.requests().len();
    let again = workspace.run(&["tasks", "replay", &id(&all[0])[..30], "--json"]);
    assert_eq!(again.json()["edits"], report["edits"], "{again}");
    assert_eq!(server.requests().len(), asked, "no model is asked");
    assert_eq!(workspace.read("gcd.py"), PYTHON.before(), "nothing is written");
    assert_eq!(tasks(&workspace).len(), 1, "a replay is no new task");
    let exported = workspace.run(&["tasks", "export", id(&all[0])]).exits(0);
    assert_eq!(exported.json()["row"], record["row"]);
    for file in
        [exported.stdout, std::fs::read_to_string(state(&workspace).join("audit.jsonl")).expect("it is kept")]
    {
        assert!(!file.contains(KEY), "{file}");
    }
    workspace.run(&["tasks", "list", "--phase", "running"]).exits(0).says("no such task");
    workspace.run(&["tasks", "show", "zzz"]).exits(2).says("there is no task");
}

#[test]
fn the_audit_log_shows_that_it_was_changed() {
    let server = ModelServer::always(PYTHON.answer(PYTHON.repair));
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    workspace.run(&["fix", "gcd.py:4", "-m", "repair gcd", "--apply"]).exits(1);
    let audit = workspace.run(&["tasks", "audit", "--json"]).exits(0).json();
    let deeds: Vec<&str> =
        audit.as_array().into_iter().flatten().filter_map(|line| line["deed"].as_str()).collect();
    assert_eq!(deeds, ["container_run", "container_refused", "model_called", "edit_applied"]);
    let sent: usize = server.requests()[0].prompt().len();
    assert_eq!((&audit[2]["bytes"], &audit[2]["files"][0]), (&sent.into(), &"gcd.py".into()));
    assert_eq!(audit[3]["edits"][0]["path"], "gcd.py");
    workspace.run(&["tasks", "audit", "--verify"]).exits(0).says("4 lines");
    let path = state(&workspace).join("audit.jsonl");
    let text = std::fs::read_to_string(&path).expect("it is kept");
    std::fs::write(&path, text.replace("gcd.py", "gcd.pi")).expect("it can be written");
    let verified = workspace.run(&["tasks", "audit", "--verify", "--json"]).exits(1).json();
    assert_eq!(verified["ok"], false);
}

#[test]
fn two_programs_share_one_journal() {
    let server = ModelServer::always("It divides.".to_owned());
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    let start = |_| workspace.start(&["explain", "gcd.py", "--json"]);
    let ended: Vec<Value> =
        (0..6).map(start).collect::<Vec<_>>().into_iter().map(|one| one.wait().exits(0).json()).collect();
    let mut expected: Vec<&str> = ended.iter().map(id).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let all = tasks(&workspace);
    assert_eq!(all.iter().map(id).collect::<Vec<_>>(), expected);
    assert!(all.iter().all(|task| task["phase"] == "complete" && task["interrupted"] == false));
    workspace.run(&["tasks", "audit", "--verify"]).exits(0).says("6 lines");
}

#[test]
fn a_running_task_is_cancelled_from_elsewhere() {
    let server = ModelServer::always(Answer::Stall("I am".into()));
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    let running = workspace.start(&["explain", "gcd.py"]);
    server.wait_for_requests(1);
    let all = tasks(&workspace);
    assert_eq!((&all[0]["ended"], &all[0]["phase"]), (&Value::Null, &"planning".into()));
    workspace.run(&["tasks", "cancel", id(&all[0])]).exits(0).says("is asked to end");
    running.wait().exits(130);
    assert_eq!(tasks(&workspace)[0]["phase"], "cancelled");
    workspace.run(&["tasks", "cancel", id(&all[0])]).exits(2).says("has ended already");
}

#[test]
fn a_disk_that_takes_nothing_is_told_once_and_the_task_goes_on() {
    let server = stubborn();
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    // A file where the folder should be: nobody can write below it, not even root.
    std::fs::create_dir_all(workspace.home()).expect("a folder can be made");
    let blocked = workspace.home().join("blocked");
    std::fs::write(&blocked, "").expect("a file can be written");
    let workspace = workspace.set("OPENDEVAGENT_STORE_URL", blocked.display().to_string());
    let ended = workspace.run(&["fix", "gcd.py:4", "-m", "repair gcd", "--json"]);
    assert_eq!(ended.json()["edits"][0]["path"], "gcd.py", "{ended}");
    assert_eq!(ended.stderr.matches("is not kept").count(), 1, "{ended}");
    workspace.run(&["tasks", "list"]).exits(2).says("make the folder writable");
}

#[test]
fn a_damaged_journal_is_moved_aside_and_work_goes_on() {
    let server = ModelServer::always("It divides.".to_owned());
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    workspace.run(&["explain", "gcd.py"]).exits(0);
    let first = tasks(&workspace);
    let journal = state(&workspace).join("journal");
    std::fs::write(journal.join("index"), [0; 4096]).expect("it can be written");
    std::fs::write(journal.join("tasks/0000-broken.jsonl"), [7; 4096]).expect("it can be written");
    let ended = workspace.run(&["explain", "gcd.py"]).exits(0);
    assert!(ended.stderr.contains("was damaged and is made anew"), "{ended}");
    assert!(ended.stderr.contains("a task could not be read"), "{ended}");
    let all = tasks(&workspace);
    assert_eq!((all.len(), id(&all[1])), (2, id(&first[0])));
    assert_eq!(std::fs::read_dir(journal.join("damaged")).expect("it is there").count(), 2);
}

/// Whatever stands in the place of its files, the journal waits for nothing, loses nothing else, and says what is gone.
#[test]
fn what_stands_in_the_place_of_a_file_is_told() {
    let server = ModelServer::always("It divides.".to_owned());
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    workspace.run(&["explain", "gcd.py", "-m", "why"]).exits(0);
    let first = id(&tasks(&workspace)[0]).to_owned();
    let journal = state(&workspace).join("journal");
    let file = journal.join(format!("tasks/{first}.jsonl"));
    let pipe =
        |path: &Path| assert!(Command::new("mkfifo").arg(path).status().is_ok_and(|made| made.success()));
    let text = std::fs::read(&file).expect("it is kept");
    let flipped = |mut text: Vec<u8>| {
        let middle = text.len() / 2;
        text[middle] ^= 0x80;
        text
    };
    let in_its_place: [(&str, &dyn Fn()); 5] = [
        ("a bit is wrong", &|| std::fs::write(&file, flipped(text.clone())).expect("it can be written")),
        ("empty", &|| std::fs::write(&file, "").expect("it can be written")),
        ("a pipe", &|| {
            std::fs::remove_file(&file).expect("it is there");
            pipe(&file);
        }),
        ("a folder", &|| {
            std::fs::remove_file(&file).expect("it is there");
            std::fs::create_dir(&file).expect("it can be made");
        }),
        ("nothing", &|| std::fs::remove_dir(&file).expect("it is there")),
    ];
    for (what, put) in in_its_place {
        put();
        let shown = workspace.run(&["tasks", "show", &first]).exits(0);
        assert!(shown.stdout.contains("explain gcd.py"), "{what}: {shown}");
        assert!(shown.stdout.contains("could not be read"), "{what}: {shown}");
    }
    // None of them has a row.
    pipe(&journal.join("tasks/0000-pipe.jsonl"));
    std::fs::create_dir(journal.join("tasks/0000-folder.jsonl")).expect("it can be made");
    std::fs::remove_file(journal.join("index")).expect("it is there");
    pipe(&journal.join("index"));
    workspace.run(&["explain", "gcd.py"]).exits(0);
    assert_eq!(tasks(&workspace).len(), 1);
    let audit = state(&workspace).join("audit.jsonl");
    std::fs::remove_file(&audit).expect("it is there");
    pipe(&audit);
    workspace.run(&["tasks", "audit"]).exits(2).says("is no file");
    workspace.run(&["tasks", "audit", "--verify"]).exits(2).says("is no file");
}

#[test]
fn tasks_alone_lists_them_and_what_nobody_can_be_in_is_refused() {
    let server = ModelServer::always("It divides.".to_owned());
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    workspace.run(&["explain", "gcd.py"]).exits(0);
    assert_eq!(workspace.run(&["tasks", "--json"]).exits(0).json()["tasks"][0]["action"], "explain");
    workspace.run(&["tasks"]).exits(0).says("explain gcd.py");
    workspace.run(&["tasks", "list", "--phase", "done"]).exits(2).says("complete");
    workspace.run(&["tasks", "list", "--action", "mend"]).exits(2).says("fix");
}

#[test]
fn what_is_given_away_holds_no_value_of_an_environment_file() {
    let server = ModelServer::always("It divides.".to_owned());
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    workspace.write(".env", "DB_PASSWORD=horse-battery-77\n");
    let record = workspace.root().join("record");
    let asked = ["explain", "gcd.py", "-m", "not horse-battery-77\npassword = 'tr0ub4dor'", "--record"];
    workspace.run(&[&asked[..], &[record.to_str().expect("it is UTF-8")]].concat()).exits(0);
    let exported = workspace.run(&["tasks", "export", id(&tasks(&workspace)[0])]).exits(0).stdout;
    assert!(!exported.contains("tr0ub4dor"), "{exported}");
    for text in [exported, std::fs::read_to_string(record).expect("it is written")] {
        assert!(text.contains("not ***") && !text.contains("horse-battery"), "{text}");
    }
}

/// How many programs are killed.
fn kills() -> u32 {
    std::env::var("OPENDEVAGENT_KILLS").ok().and_then(|number| number.parse().ok()).unwrap_or(12)
}

#[test]
fn what_was_answered_outlives_a_kill_at_any_moment() {
    let with_docker = docker();
    let mut owners = Vec::new();
    let server = stubborn_for_ever();
    let workspace = PYTHON.workspace().model(&server);
    let workspace = if with_docker { workspace } else { workspace.no_sandbox() };
    // At any moment of what one takes that nobody disturbs.
    let began = Instant::now();
    workspace.run(&["fix", "gcd.py:4", "-m", "repair gcd"]);
    let most = began.elapsed().as_millis() as u64;
    for _ in 0..kills() {
        workspace.write("gcd.py", PYTHON.before());
        let running = workspace.start(&["fix", "gcd.py:4", "-m", "repair gcd", "--apply"]);
        owners.push(running.id());
        std::thread::sleep(Duration::from_millis(fastrand::u64(..most)));
        // Killed, so that it has no time to clean up.
        drop(running);
        let text = workspace.read("gcd.py");
        assert!(text == PYTHON.before() || text == PYTHON.after(), "all or nothing:\n{text}");
    }
    // A round is finished when the next call of its task is made.
    let all = tasks(&workspace);
    let interrupted = all.iter().filter(|task| task["interrupted"] == true).count();
    println!("{} of {} tasks were killed before their end", interrupted, all.len());
    assert!(interrupted as u32 >= kills() / 10, "{interrupted} of {}", all.len());
    let mut asked = 0;
    for task in &all {
        assert!(task["ended"].is_number(), "nothing runs any more: {task:#}");
        let record = show(&workspace, id(task));
        assert_eq!(record["damaged"], 0, "{record:#}");
        let rounds = record["rounds"].as_array().cloned().unwrap_or_default();
        asked += rounds.len();
        for round in rounds.iter().take(rounds.len().saturating_sub(1)) {
            assert!(round["reply"].is_string(), "a finished round is there: {record:#}");
        }
        if task["interrupted"] == true {
            assert!(task["message"].as_str().is_some_and(|told| told.contains("spent")), "{task:#}");
        }
    }
    assert!(server.requests().len() <= asked, "{} calls, {asked} written down", server.requests().len());
    let verified = workspace.run(&["tasks", "audit", "--verify", "--json"]).exits(0).json();
    assert!(verified["lines"].as_u64() >= Some(server.requests().len() as u64), "{verified}");
    if with_docker {
        workspace.run(&["sandbox", "prune"]).exits(0);
        let left: Vec<String> = owners.into_iter().flat_map(containers_of).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Killed while its second call is answered, a task goes on with the first answer: what was paid for is not asked again,
/// neither when what goes on is killed itself.
#[test]
fn a_task_that_broke_off_goes_on() {
    let with_docker = docker();
    // With a sandbox the second question holds what the check has printed.
    let first = if with_docker { PYTHON.wrong } else { "    return a" };
    let bug = if with_docker { PYTHON.bug } else { "    return nowhere" };
    let first = PYTHON.answer(first).replace(PYTHON.bug, bug);
    let answers = [
        first.into(),
        Answer::Stall("I se".into()),
        Answer::Stall("I".into()),
        PYTHON.answer(PYTHON.repair).into(),
    ];
    let server = ModelServer::saying(answers);
    let workspace = PYTHON.workspace().model(&server);
    let workspace = if with_docker { workspace } else { workspace.no_sandbox() };
    let running = workspace.start(&["fix", "gcd.py:4", "-m", "repair gcd", "--apply"]);
    server.wait_for_requests(2);
    running.signal("KILL");
    drop(running);
    let broken = tasks(&workspace);
    let told = broken[0]["message"].as_str().unwrap_or_default();
    assert!(told.contains("1 calls were answered") && told.contains("which may be billed"), "{told}");
    assert!(told.contains(&format!("tasks resume {}", id(&broken[0]))), "{told}");
    let running = workspace.start(&["tasks", "resume", &id(&broken[0])[..30], "--apply"]);
    server.wait_for_requests(3);
    running.signal("KILL");
    drop(running);
    let again = tasks(&workspace);
    assert_eq!((again.len(), &again[0]["interrupted"]), (2, &true.into()));
    let ended = workspace.run(&["tasks", "resume", id(&again[0]), "--apply", "--json"]);
    assert!(ended.stderr.contains("may be billed twice"), "{ended}");
    assert!(ended.stderr.contains("costs nothing now"), "{ended}");
    let report = ended.json();
    let requests = server.requests();
    assert_eq!(requests.len(), 4, "the first call is made once: {ended}");
    assert_ne!(requests[3].prompt(), requests[0].prompt());
    assert_eq!(
        report["usage"]["calls"].as_u64().or(report["usage"]["total"]["calls"].as_u64()),
        Some(1),
        "{report:#}"
    );
    assert_eq!(workspace.read("gcd.py"), PYTHON.after());
    let all = tasks(&workspace);
    let record = show(&workspace, id(&all[0]));
    assert_eq!(
        (&record["asked"]["resumes"], &record["rounds"][0]["again"]),
        (&again[0]["task"], &true.into())
    );
    // Only what was sent is in the audit log.
    let audit = workspace.run(&["tasks", "audit", "--json"]).exits(0).json();
    let called = audit.as_array().into_iter().flatten().filter(|line| line["deed"] == "model_called").count();
    assert_eq!(called, 4);
    workspace.run(&["tasks", "resume", id(&all[0])]).exits(2).says("did not break off");
}

/// Where the text has changed since, the old answer is to another question.
#[test]
fn what_would_be_asked_otherwise_is_asked_anew() {
    let server = ModelServer::saying([
        Answer::from("It divides.".to_owned()),
        Answer::Stall("I".into()),
        "It did.".to_owned().into(),
    ]);
    let workspace = PYTHON.workspace().no_sandbox().model(&server);
    let review = workspace.start(&["generate", "gcd.py:4", "-m", "repair gcd"]);
    server.wait_for_requests(2);
    review.signal("KILL");
    drop(review);
    let broken = tasks(&workspace);
    workspace.write("gcd.py", PYTHON.before().replace("a, b", "b, a"));
    workspace.run(&["tasks", "resume", id(&broken[0])]);
    assert!(server.requests().len() > 3, "{}", server.requests().len());
    let latest = tasks(&workspace);
    let record = show(&workspace, id(&latest[0]));
    assert!(
        record["rounds"].as_array().is_some_and(|all| all.iter().all(|round| round["again"] == false)),
        "{record:#}"
    );
}

/// [`stubborn`], again and again.
fn stubborn_for_ever() -> ModelServer {
    let nowhere = PYTHON.answer("    return a").replace(PYTHON.bug, "    return nowhere");
    let mut calls = 0;
    ModelServer::start(move |_| {
        calls += 1;
        if calls % 2 == 0 { PYTHON.answer(PYTHON.repair).into() } else { nowhere.clone().into() }
    })
}

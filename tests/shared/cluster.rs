//! A Redis Cluster of three nodes: any of them will do, whatever becomes of the one that holds the tasks.

use super::{machine, says, tasks};
use crate::editor::Editor;
use crate::redis::{self, Redis, cluster, whole};
use crate::support::{Workspace, eventually};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// The slot of the tasks, and the node that holds it.
fn holder(nodes: &[Redis]) -> (String, usize) {
    let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", "{opendevagent}:rows"]);
    let node = slot.parse::<usize>().expect("a number") * 3 / 16384;
    (slot, node)
}

fn name(node: &Redis) -> String {
    node.command(&["CLUSTER", "MYID"])
}

/// Says that a slot goes from one node to another.
fn begin_move(slot: &str, from: &Redis, to: &Redis) {
    to.command(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &name(from)]);
    from.command(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &name(to)]);
}

fn move_keys(keys: &[&str], from: &Redis, to: &Redis) {
    let port = to.port().to_string();
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys);
    from.command(&migrate);
}

/// Moves what is left of it, and tells all nodes.
fn end_move(slot: &str, nodes: &[Redis], from: usize, to: usize) {
    loop {
        let keys = nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
        if keys.is_empty() {
            break;
        }
        move_keys(&keys.lines().collect::<Vec<_>>(), &nodes[from], &nodes[to]);
    }
    for node in [to, from, 3 - to - from] {
        nodes[node].command(&["CLUSTER", "SETSLOT", slot, "NODE", &name(&nodes[to])]);
    }
}

/// Every node leads to the one that holds the tasks; when that one is gone and back, so are they.
#[test]
fn a_cluster_of_three_nodes() {
    if !redis::is_installed() {
        return;
    }
    let mut nodes = cluster();
    let model = says();
    let machines: Vec<Workspace> = nodes.iter().map(|node| machine(&model, &node.url())).collect();
    for machine in &machines {
        machine.run(&["explain", "gcd.py"]).exits(0);
    }
    for machine in &machines {
        assert_eq!(tasks(machine).len(), 3);
    }
    let (_, holder) = holder(&nodes);
    assert_eq!(nodes[holder].command(&["HLEN", "{opendevagent}:rows"]), "3");
    nodes[holder].stop();
    let ended = machines[(holder + 1) % 3].run(&["explain", "gcd.py"]).exits(0);
    assert!(ended.stderr.contains("The task goes on here"), "{ended}");
    nodes[holder].resume();
    whole(&nodes);
    for machine in &machines {
        assert!(machine.run(&["doctor"]).stdout.contains("there: "));
        tasks(machine);
    }
    for machine in &machines {
        let all = tasks(machine);
        assert_eq!(all.len(), 4, "{all:#?}");
    }
    // A node that sends us out of this machine, where nothing goes in clear.
    let (other, stranger) = ((holder + 1) % 3, "192.0.2.1");
    nodes[holder].command(&["CONFIG", "SET", "cluster-announce-ip", stranger]);
    let sent = || nodes[other].command(&["GET", "{opendevagent}:x"]).contains(stranger).then_some(());
    eventually("the node to name another", SOON, sent);
    let ended = machines[other].run(&["explain", "gcd.py"]).exits(0);
    assert!(ended.stderr.contains("would get tasks and files in clear"), "{ended}");
}

/// A slot that moves to another node takes its tasks along, also under a server that is connected.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    if !redis::is_installed() {
        return;
    }
    let nodes = cluster();
    let model = says();
    let options = json!({"client": {"status": true}, "settings": {"store": {"url": nodes[0].url()}}});
    let mut editor = Editor::start(json!({}), options).await;
    assert_eq!(editor.request("opendevagent/tasks", json!({})).await, Ok(json!([])));
    let (slot, from) = holder(&nodes);
    let to = (from + 1) % 3;
    begin_move(&slot, &nodes[from], &nodes[to]);
    end_move(&slot, &nodes, from, to);
    machine(&model, &nodes[from].url()).run(&["explain", "gcd.py"]).exits(0);
    assert_eq!(nodes[to].command(&["HLEN", "{opendevagent}:rows"]), "1");
    let rows = editor.request("opendevagent/tasks", json!({})).await.expect("tasks");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    editor.ignore_all();
    editor.quit().await;
}

/// While some keys of the slot are here and some there, nothing can be asked; work goes on, and is shared afterwards.
#[test]
fn a_slot_that_is_on_its_way_is_waited_for() {
    if !redis::is_installed() {
        return;
    }
    let nodes = cluster();
    let model = says();
    let machines: Vec<Workspace> = nodes.iter().map(|node| machine(&model, &node.url())).collect();
    machines[0].run(&["explain", "gcd.py"]).exits(0);
    let (slot, from) = holder(&nodes);
    let to = (from + 1) % 3;
    begin_move(&slot, &nodes[from], &nodes[to]);
    let asks = || nodes[from].command(&["GET", "{opendevagent}:none"]);
    assert!(asks().starts_with("ASK "), "{}", asks());
    for moved in ["rows", "reach"] {
        move_keys(&[&format!("{{opendevagent}}:{moved}")], &nodes[from], &nodes[to]);
        for machine in &machines {
            let ended = machine.run(&["explain", "gcd.py"]).exits(0);
            assert!(ended.stderr.contains("moving from one node to another"), "{moved} {ended}");
        }
    }
    end_move(&slot, &nodes, from, to);
    whole(&nodes);
    // Each sends what it has kept back.
    for machine in &machines {
        tasks(machine);
    }
    for machine in &machines {
        assert_eq!(tasks(machine).len(), 7);
    }
}

/// The node that holds the tasks is gone for good, and its replica takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over() {
    if !redis::is_installed() {
        return;
    }
    let mut nodes = cluster();
    let (_, holder) = holder(&nodes);
    let replica = replica(&nodes[holder]);
    let model = says();
    // Named first, so that those who know no other would have nobody to ask.
    let others = (1..3).map(|next| format!("127.0.0.1:{}", nodes[(holder + next) % 3].port()));
    let hosts: Vec<String> =
        [format!("127.0.0.1:{}", nodes[holder].port())].into_iter().chain(others).collect();
    let url = format!("redis://{}", hosts.join(","));
    let (one, other) = (machine(&model, &url), machine(&model, &url));
    let options = json!({"settings": {"store": {"url": url}}});
    let mut editor = Editor::start(json!({}), options).await;
    assert_eq!(editor.request("opendevagent/tasks", json!({})).await, Ok(json!([])));
    one.run(&["explain", "gcd.py"]).exits(0);
    // It has them before its master goes.
    let copied = || (replica.command(&["DBSIZE"]) == nodes[holder].command(&["DBSIZE"])).then_some(());
    eventually("the replica to have all", SOON, copied);
    nodes[holder].stop();
    // Nobody waits for what is to come.
    one.run(&["explain", "gcd.py"]).exits(0);
    let promoted = || replica.command(&["ROLE"]).starts_with("master").then_some(());
    eventually("the replica to take over", SOON, promoted);
    let is_whole = || {
        let nodes = (1..3).map(|next| &nodes[(holder + next) % 3]).chain([&replica]);
        nodes
            .into_iter()
            .all(|node| node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
            .then_some(())
    };
    eventually("the cluster to be whole", SOON, is_whole);
    let ended = one.run(&["explain", "gcd.py"]).exits(0);
    assert!(!ended.stderr.contains("The task goes on here"), "{ended}");
    assert_eq!(replica.command(&["HLEN", "{opendevagent}:rows"]), "3");
    assert_eq!(tasks(&other).len(), 3);
    let listed = async |editor: &mut Editor| {
        let rows = editor.request("opendevagent/tasks", json!({})).await.expect("tasks");
        rows.as_array().map_or(0, Vec::len)
    };
    let began = std::time::Instant::now();
    while listed(&mut editor).await != 3 {
        assert!(began.elapsed() < SOON, "it has not found the replica");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It comes back with nothing, and follows the one that took its place.
    nodes[holder].resume();
    let follows = || nodes[holder].command(&["ROLE"]).starts_with("slave").then_some(());
    eventually("it to follow", SOON, follows);
    assert_eq!(tasks(&machine(&model, &nodes[holder].url())).len(), 3);
    editor.ignore_all();
    editor.quit().await;
}

/// A node that copies another.
fn replica(of: &Redis) -> Redis {
    let replica = Redis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
    let of_port = of.port().to_string();
    replica.command(&["CLUSTER", "MEET", "127.0.0.1", &of_port]);
    let master = name(of);
    let copies = || (replica.command(&["CLUSTER", "REPLICATE", &master]) == "OK").then_some(());
    eventually("the nodes to know each other", SOON, copies);
    let linked = || replica.command(&["INFO", "replication"]).contains("master_link_status:up").then_some(());
    eventually("the replica to copy", SOON, linked);
    let known = || of.command(&["INFO", "replication"]).contains("state=online").then_some(());
    eventually("the replica to be known", SOON, known);
    replica
}

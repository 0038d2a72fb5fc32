//! A Redis of a test's own: the real server on loopback ports, nothing kept on disk but what it was told to keep.

use crate::support::{eventually, skipped};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Redis {
    child: Child,
    port: u16,
    /// What it was started with beyond the usual.
    extra: Vec<String>,
    folder: TempDir,
}

/// Whether there is a Redis to start; says so when not.
pub(crate) fn is_installed() -> bool {
    let found = Command::new("redis-server").arg("--version").output().is_ok();
    if !found {
        skipped("needs redis-server: tests/setup/redis.sh");
    }
    found
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With further arguments; `DIR` in them is its folder.
    pub(crate) fn with(extra: &[&str]) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let at = folder.path().display().to_string();
        let extra: Vec<String> = extra.iter().map(|arg| arg.replace("DIR", &at)).collect();
        Self { child: run(port, &extra, &folder), port, extra, folder }
    }

    /// Stops it, and starts it again at the same address with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn resume(&mut self) {
        self.child = run(self.port, &self.extra, &self.folder);
    }

    /// Sends a signal by name, e.g. `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command of Redis's own client; what it printed.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &self.port.to_string(), "--raw"]).args(args);
        let output = client.output().expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "Redis could not be signalled");
}

fn run(port: u16, extra: &[String], folder: &TempDir) -> Child {
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
    server.arg(port.to_string()).args(extra).arg("--dir").arg(folder.path());
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let child = server.spawn().expect("redis-server is installed by tests/setup/redis.sh");
    eventually("Redis to listen", SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    child
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Three nodes that share the keys.
pub(crate) fn cluster() -> Vec<Redis> {
    let node = |_| Redis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
    let nodes: Vec<Redis> = (0..3).map(node).collect();
    let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]).args(addresses).arg("--cluster-yes");
    let created = create.output().expect("redis-cli comes with redis-server");
    assert!(created.status.success(), "{created:?}");
    whole(&nodes);
    nodes
}

/// Waits until each node says that the cluster works.
pub(crate) fn whole(nodes: &[Redis]) {
    for node in nodes {
        let state = || node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok").then_some(());
        eventually("the cluster to be whole", SOON, state);
    }
}

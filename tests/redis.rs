//! A Redis of a test's own: the real server on a loopback port, nothing kept on disk.

use crate::support::eventually;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        Self::at(free.expect("a free port").port())
    }

    fn at(port: u16) -> Self {
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        server.arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("redis-server is installed by tests/setup/redis.sh");
        eventually("Redis to listen", Duration::from_secs(20), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        Self { child, port }
    }

    /// Stops it, and starts it again at the same address with nothing in it.
    pub(crate) fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        *self = Self::at(self.port);
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

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

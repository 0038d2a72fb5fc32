//! Whose a container or a task is: the label that lets others see what a killed server left behind.

use std::fmt;
use std::str::FromStr;

/// A server process, named so that no other process, earlier or later, has the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The machine and its PID namespace: process ids of others mean nothing here.
    host: String,
    pid: u32,
    /// When the process started, in the system's own words; a reused pid has another.
    started: String,
    id: String,
}

impl Owner {
    /// This process.
    pub fn this() -> Owner {
        let pid = std::process::id();
        let id = uuid::Uuid::new_v4().simple().to_string();
        Owner { host: host(), pid, started: started(pid).unwrap_or_default(), id }
    }

    /// True when the process is known to be gone. One on another machine is not ours to judge.
    pub fn is_dead(&self) -> bool {
        self.host == host() && started(self.pid).as_ref() != Some(&self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.host, self.pid, self.started, self.id)
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Owner, ()> {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().ok_or(());
        Ok(Owner { host: next()?, pid: next()?.parse().map_err(drop)?, started: next()?, id: next()? })
    }
}

/// This machine, as others may know it.
pub fn machine() -> String {
    host()
}

#[cfg(target_os = "linux")]
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}+{}", name.trim(), namespace.display())
}

/// Field 22 of `proc_pid_stat(5)`, in clock ticks after boot. The name in field 2 may hold anything.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(not(target_os = "linux"))]
fn host() -> String {
    say("uname", &["-n"]).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<String> {
    say("ps", &["-o", "lstart=", "-p", &pid.to_string()])
}

#[cfg(not(target_os = "linux"))]
fn say(program: &str, args: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(args).env_clear().output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().replace('/', "-");
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gone_process_of_this_host_is_dead() {
        let this = Owner::this();
        assert_eq!(this.to_string().parse(), Ok(this.clone()));
        assert!(!this.is_dead());
        assert!(Owner { started: "1".into(), ..this.clone() }.is_dead());
        assert!(Owner { pid: u32::MAX, ..this.clone() }.is_dead());
        assert!(!Owner { host: "elsewhere".into(), pid: u32::MAX, ..this }.is_dead());
        assert_eq!("a/b/c".parse::<Owner>(), Err(()));
    }
}

//! What a sandbox container may do, as one value, and the only place that renders it to the engine's flags.

use super::Limits;
use super::seccomp::{SECCOMP, Seccomp};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, ResourcesUlimits,
};
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;

/// The user and group every program runs as; no name in the image is needed.
pub(super) const UID: u32 = 10001;
pub(super) const RUNNER: &str = "/usr/local/bin/opendevagent-runner";
const MIB: u64 = 1 << 20;

/// The boundary. Holds without the runner's help.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// Memory and swap together, tmpfs pages included.
    pub memory_mib: u64,
    /// Nothing of it is swapped out. Left out where control groups of version 2 have no such knob: there the limit
    /// above leaves no swap at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<i64>,
    pub cpus: f64,
    /// Processes and threads, the runner included.
    pub pids: i64,
    pub network: String,
    pub read_only_root: bool,
    /// The two writable places, in memory: path and MiB.
    pub scratch: [(&'static str, u64); 2],
    pub scratch_inodes: u32,
    pub shm_mib: u64,
    pub user: String,
    pub dropped_capabilities: [&'static str; 1],
    pub security: [&'static str; 1],
    pub seccomp: Seccomp,
    pub ipc: &'static str,
    /// Soft and hard limit alike. Files may be a little larger than their file system, so that a full one is an
    /// error to the program and not a signal; sparse files stay small.
    pub ulimits: [(&'static str, u64); 3],
    pub log_driver: &'static str,
    pub hostname: &'static str,
    pub runtime: String,
}

impl Policy {
    pub fn new(limits: &Limits, runtime: &str) -> Policy {
        Policy {
            memory_mib: limits.memory_mib,
            swappiness: Path::new("/sys/fs/cgroup/memory/memory.swappiness").exists().then_some(0),
            cpus: limits.cpus,
            pids: limits.pids,
            network: limits.network.to_owned(),
            read_only_root: true,
            scratch: [("/work", limits.scratch_mib), ("/tmp", limits.scratch_mib)],
            scratch_inodes: 32768,
            shm_mib: 16,
            user: format!("{UID}:{UID}"),
            dropped_capabilities: ["ALL"],
            security: ["no-new-privileges:true"],
            seccomp: SECCOMP,
            ipc: "private",
            ulimits: [("nofile", 1024), ("core", 0), ("fsize", (limits.scratch_mib + 1) * MIB)],
            log_driver: "none",
            hostname: "sandbox",
            runtime: runtime.to_owned(),
        }
    }
    /// What a setup is held to: it may fetch packages and write to the root, which becomes an image. All else stands.
    pub(super) fn for_setup(self, network: &str) -> Policy {
        let (memory_mib, scratch_mib) = (self.memory_mib.max(3072), 2048);
        Policy {
            memory_mib,
            cpus: self.cpus.max(2.0),
            pids: self.pids.max(512),
            network: network.to_owned(),
            read_only_root: false,
            scratch: [("/work", scratch_mib), ("/tmp", scratch_mib)],
            scratch_inodes: 1 << 18,
            ulimits: [("nofile", 4096), ("core", 0), ("fsize", scratch_mib * MIB)],
            ..self
        }
    }

    /// A container with a view of a workspace in place of an empty `/work`: its volume goes with the container.
    pub(super) fn with_view(
        mut body: ContainerCreateBody,
        (uid, gid): (u32, u32),
        options: HashMap<String, String>,
    ) -> ContainerCreateBody {
        let driver = MountVolumeOptionsDriverConfig { name: Some("local".into()), options: Some(options) };
        let volume = MountVolumeOptions {
            no_copy: Some(true),
            labels: body.labels.clone(),
            driver_config: Some(driver),
            ..MountVolumeOptions::default()
        };
        let mount = Mount {
            target: Some("/work".into()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(volume),
            ..Mount::default()
        };
        body.user = Some(format!("{uid}:{gid}"));
        if let Some(host) = &mut body.host_config {
            host.mounts = Some(vec![mount]);
            for (path, options) in host.tmpfs.iter_mut().flatten() {
                if path != "/work" {
                    *options =
                        options.replace(&format!("uid={UID},gid={UID}"), &format!("uid={uid},gid={gid}"));
                }
            }
            host.tmpfs.iter_mut().for_each(|all| drop(all.remove("/work")));
        }
        body
    }

    /// The container that waits for one job on its standard input.
    pub(super) fn container(&self, image: &str, labels: HashMap<String, String>) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec![RUNNER.to_owned()]),
            cmd: Some(Vec::new()),
            env: Some(vec!["HOME=/tmp".into()]),
            user: Some(self.user.clone()),
            working_dir: Some("/work".into()),
            hostname: Some(self.hostname.to_owned()),
            labels: Some(labels),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            host_config: Some(self.host_config()),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self) -> HostConfig {
        let memory = (self.memory_mib * MIB) as i64;
        let security = self.security.into_iter();
        let seccomp = format!("seccomp={}", self.seccomp.profile());
        let strings = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
        HostConfig {
            network_mode: Some(self.network.clone()),
            memory: Some(memory),
            memory_swap: Some(memory),
            memory_swappiness: self.swappiness,
            nano_cpus: Some((self.cpus * 1e9) as i64),
            pids_limit: Some(self.pids),
            readonly_rootfs: Some(self.read_only_root),
            tmpfs: Some(self.scratch.iter().map(|(path, mib)| self.tmpfs(path, *mib)).collect()),
            shm_size: Some((self.shm_mib * MIB) as i64),
            cap_drop: strings(&self.dropped_capabilities),
            security_opt: Some(security.map(str::to_owned).chain([seccomp]).collect()),
            ipc_mode: Some(self.ipc.to_owned()),
            ulimits: Some(self.ulimits.iter().map(|(name, limit)| ulimit(name, *limit)).collect()),
            log_config: Some(HostConfigLogConfig { typ: Some(self.log_driver.to_owned()), config: None }),
            runtime: Some(self.runtime.clone()).filter(|runtime| !runtime.is_empty()),
            ..HostConfig::default()
        }
    }

    /// The owner is always given: runc ignores `mode` where the image has the directory already.
    fn tmpfs(&self, path: &str, mib: u64) -> (String, String) {
        let inodes = self.scratch_inodes;
        let options =
            format!("rw,nosuid,nodev,exec,size={mib}m,nr_inodes={inodes},mode=0700,uid={UID},gid={UID}");
        (path.to_owned(), options)
    }
}

fn ulimit(name: &str, limit: u64) -> ResourcesUlimits {
    let limit = Some(limit as i64);
    ResourcesUlimits { name: Some(name.to_owned()), soft: limit, hard: limit }
}

//! The sandbox against a real engine. Set `OPENDEVAGENT_DOCKER_TESTS=1`; otherwise each test says that it skips.

mod endurance;
mod engine;
mod pool;
mod workspace;

use crate::support::engine_options;
use opendevagent::sandbox::docker::{Docker, DockerOptions};
use opendevagent::sandbox::{Job, JobFile, Limits, Outcome, Sandbox, SandboxError, Status, image, language};
use std::time::Duration;
use tokio::sync::OnceCell;

fn options() -> DockerOptions {
    let limits = Limits {
        cpus: 1.0,
        memory_mib: 128,
        network: "none",
        timeout: Duration::from_secs(60),
        pids: 64,
        output_kib: 64,
        scratch_mib: 32,
    };
    engine_options(limits)
}

/// Built by the first test that needs it, unless it is there.
static IMAGE: OnceCell<()> = OnceCell::const_new();

async fn build(docker: &Docker) {
    if !docker.image_present(&image::tag(None)).await.expect("the engine answers") {
        image::build(docker, &[], |line| eprintln!("{line}"), image::BuildOptions::default())
            .await
            .expect("it builds");
    }
}

/// None, with a word about it, where the tests with Docker are not asked for.
async fn docker() -> Option<Docker> {
    docker_with(|_| {}).await
}

async fn docker_with(change: impl FnOnce(&mut DockerOptions)) -> Option<Docker> {
    if std::env::var_os("OPENDEVAGENT_DOCKER_TESTS").is_none_or(|value| value != "1") {
        eprintln!("skipped: OPENDEVAGENT_DOCKER_TESTS is not 1");
        return None;
    }
    let mut options = options();
    change(&mut options);
    let docker = Docker::connect(options).expect("no address is set, or a good one");
    IMAGE.get_or_init(|| build(&docker)).await;
    Some(docker)
}

fn job(argv: &[&str]) -> Job {
    Job { task: "test".into(), argv: argv.iter().map(|part| (*part).to_owned()).collect(), ..Job::default() }
}

fn python(text: &str) -> Job {
    language::job_for_file(language::by_name("python").expect("a row"), None, text.as_bytes(), &[], vec![])
}

async fn run(docker: &Docker, job: Job) -> Outcome {
    let outcome = docker.run(job).await.expect("the sandbox works");
    docker.shutdown().await;
    outcome
}

/// Runs a job and compares its end.
async fn check(job: Job, status: Status, code: Option<i32>, signal: Option<i32>) -> Option<Outcome> {
    let docker = docker().await?;
    let outcome = run(&docker, job).await;
    assert_eq!((outcome.status, outcome.exit_code, outcome.signal), (status, code, signal), "{outcome:?}");
    Some(outcome)
}

#[tokio::test]
async fn a_go_test_and_a_pytest_run_without_network() {
    let Some(docker) = docker_with(|options| {
        options.limits.memory_mib = 512;
        options.limits.scratch_mib = 128;
    })
    .await
    else {
        return;
    };
    let file = |path: &str, text: &str| JobFile {
        path: path.into(),
        bytes: text.as_bytes().into(),
        executable: false,
    };
    let mut go = job(&["go", "test", "-json", "./..."]);
    go.files = vec![
        file("go.mod", "module m\n\ngo 1.24\n"),
        file("p/a_test.go", "package p\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n"),
    ];
    let outcome = docker.run(go).await.unwrap();
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    assert!(outcome.stdout.contains(r#""Action":"pass","Package":"m/p","Test":"TestA""#), "{outcome:?}");

    let mut pytest = job(&["python3", "-m", "pytest", "-q", "--junitxml=/tmp/junit.xml"]);
    pytest.files = vec![file("test_a.py", "def test_a(): pass\n")];
    pytest.collect = vec!["/tmp/junit.xml".into(), "/tmp/none".into()];
    let outcome = docker.run(pytest).await.unwrap();
    assert_eq!((outcome.status, outcome.artifacts.len()), (Status::Ok, 1), "{outcome:?}");
    assert!(String::from_utf8_lossy(&outcome.artifacts[0].1).contains(r#"tests="1""#));
    docker.shutdown().await;
}

#[tokio::test]
async fn an_exit_code_is_no_signal() {
    check(job(&["sh", "-c", "exit 137"]), Status::ExitNonzero, Some(137), None).await;
    check(job(&["sh", "-c", "kill -9 $$"]), Status::Signal, None, Some(9)).await;
    check(job(&["sh", "-c", "kill -SEGV $$"]), Status::Signal, None, Some(11)).await;
}

#[tokio::test]
async fn memory_is_limited() {
    let outcome = check(python("bytearray(1 << 30)"), Status::Oom, None, Some(9)).await;
    assert!(outcome.is_none_or(|outcome| outcome.oom));
    let child = "python3 -c 'bytearray(1 << 30)'; echo $?; exit 5";
    if let Some(outcome) = check(job(&["sh", "-c", child]), Status::ExitNonzero, Some(5), None).await {
        assert!(outcome.oom);
        assert_eq!(outcome.stdout, "137\n");
    }
    // Files in memory count, and are still there when the program has been killed.
    check(
        python("import os\nos.system('head -c 90000000 /dev/zero > /dev/shm/x')\nbytearray(120 << 20)"),
        Status::Oom,
        None,
        Some(9),
    )
    .await;
}

#[tokio::test]
async fn the_wall_clock_is_limited() {
    let mut endless = job(&["sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done"]);
    endless.timeout = Some(Duration::from_secs(1));
    if let Some(outcome) = check(endless, Status::Timeout, None, None).await {
        assert_eq!(outcome.stdout, "begun\n");
        assert!((1000..1300).contains(&outcome.duration_ms), "{outcome:?}");
    }
}

#[tokio::test]
async fn output_is_limited() {
    for flood in ["yes", "yes >&2", "head -c 65537 /dev/zero"] {
        if let Some(outcome) = check(job(&["sh", "-c", flood]), Status::OutputLimit, None, None).await {
            assert!(outcome.truncated);
            assert_eq!(outcome.stdout.len().max(outcome.stderr.len()), 64 * 1024, "{flood}");
        }
    }
    let outcome = check(job(&["sh", "-c", "head -c 65536 /dev/zero"]), Status::Ok, Some(0), None).await;
    assert!(outcome.is_none_or(|outcome| !outcome.truncated && outcome.stdout.len() == 64 * 1024));
}

#[tokio::test]
async fn processes_are_limited() {
    let bomb = "import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\n\
                except BlockingIOError: print(n)\n";
    if let Some(outcome) = check(python(bomb), Status::Ok, Some(0), None).await {
        assert_eq!(outcome.stdout, "62\n");
    }
    let mut wild = job(&["bash", "-c", ":(){ :|:& };:; sleep 60"]);
    wild.timeout = Some(Duration::from_secs(1));
    check(wild, Status::Timeout, None, None).await;
}

#[tokio::test]
async fn the_disk_is_limited() {
    let fill = "import errno, itertools\nfor path in ['/tmp/x', '/work/x']:\n  try:\n    with open(path, 'wb') as f:\n\
                \x20     for i in itertools.count(): f.write(bytes(1 << 20))\n  except OSError as e: print(i, errno.errorcode[e.errno])\n\
                \x20 __import__('os').remove(path)\n\
                try:\n  for i in itertools.count(): open(f'/tmp/{i}', 'w').close()\nexcept OSError as e: print(errno.errorcode[e.errno])\n";
    if let Some(outcome) = check(python(fill), Status::Ok, Some(0), None).await {
        assert_eq!(outcome.stdout, "32 ENOSPC\n31 ENOSPC\nENOSPC\n", "{outcome:?}");
    }
}

#[tokio::test]
async fn the_program_has_no_privileges() {
    let probe = r"
import os, socket, stat
print(os.getuid(), os.getgid())
status = dict(line.split(':\t') for line in open('/proc/self/status').read().splitlines() if ':\t' in line)
print(status['CapEff'], status['CapBnd'], status['NoNewPrivs'], status['Seccomp'])
print(open('/proc/self/oom_score_adj').read().strip(), sorted(os.listdir('/proc/self/fd')), os.getsid(0) == os.getpid())
print(sorted(os.listdir('/sys/class/net')), socket.gethostname(), 'PATH' in os.environ, 'CARGO' in os.environ)
def refused(name, act):
    try: act()
    except OSError as error: print(name, error.__class__.__name__)
    else: print(name, 'ALLOWED')
refused('root', lambda: open('/usr/x', 'w'))
refused('etc', lambda: open('/etc/passwd', 'a'))
refused('connect', lambda: socket.create_connection(('1.1.1.1', 53), 2))
refused('names', lambda: socket.getaddrinfo('example.com', 80))
refused('runner memory', lambda: open('/proc/1/mem', 'r+b'))
refused('runner output', lambda: open('/proc/1/fd/1', 'wb'))
refused('runner environment', lambda: open('/proc/1/environ', 'rb').read())
os.kill(1, 9)
refused('signal', lambda: None)
setuid = [p for d, _, fs in os.walk('/usr') for f in fs if (s := os.lstat(p := os.path.join(d, f))).st_mode & 0o6000 and stat.S_ISREG(s.st_mode)]
print(setuid)
";
    if let Some(outcome) = check(python(probe), Status::Ok, Some(0), None).await {
        let expect = "10001 10001\n\
                      0000000000000000 0000000000000000 1 2\n\
                      1000 ['0', '1', '2', '3'] True\n\
                      ['lo'] sandbox True False\n\
                      root OSError\netc PermissionError\nconnect OSError\nnames gaierror\n\
                      runner memory PermissionError\nrunner output PermissionError\nrunner environment PermissionError\n\
                      signal ALLOWED\n[]\n";
        assert_eq!(outcome.stdout, expect, "{}", outcome.stderr);
    }
    let trace = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())\n";
    if let Some(outcome) = check(python(trace), Status::Ok, Some(0), None).await {
        assert_eq!(outcome.stdout, "-1 1\n");
    }
}

#[tokio::test]
async fn a_background_child_delays_nothing() {
    let daemon = "sleep 50 & (setsid sh -c 'trap \"\" TERM; sleep 50' &) ; echo done";
    if let Some(outcome) = check(job(&["sh", "-c", daemon]), Status::Ok, Some(0), None).await {
        assert_eq!(outcome.stdout, "done\n");
        assert!(outcome.duration_ms < 10_000);
    }
}

#[tokio::test]
async fn artefacts_are_plain_files() {
    let mut planted = job(&[
        "sh",
        "-c",
        "echo fine > /tmp/fine; : > empty; ln -s /etc/passwd link; mkfifo fifo; mkdir dir; ln -s /etc up; \
         head -c 9000000 /dev/zero > big; ln fine hard 2>/dev/null; \
         mkdir -p /tmp/reports/a; cd /tmp/reports; echo 1 > a/1.xml; echo 2 > 2.xml; ln -s /etc etc; mkfifo 3.xml",
    ]);
    let names =
        ["/tmp/fine", "/work/empty", "/work/link", "/work/fifo", "/work/dir", "/work/up/passwd", "/work/big"];
    planted.collect = names
        .iter()
        .chain(&["/etc/passwd", "/work/../etc/passwd", "/tmp/reports/"])
        .map(|&name| name.into())
        .collect();
    if let Some(outcome) = check(planted, Status::Ok, Some(0), None).await {
        let expect = [
            ("/tmp/fine", "fine\n"),
            ("/work/empty", ""),
            ("/tmp/reports/2.xml", "2\n"),
            ("/tmp/reports/a/1.xml", "1\n"),
        ];
        assert_eq!(outcome.artifacts, expect.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())));
    }
}

#[tokio::test]
async fn input_environment_and_bytes_pass_through() {
    let mut cat =
        job(&["sh", "-c", "wc -c; printf \"$K\"; printf '\\377\\376' >&2; ls -l /work/bin/x | cut -c1-10"]);
    cat.stdin = vec![b'x'; 300_000];
    cat.env = vec![("K".into(), "v=1\n".into())];
    cat.files = vec![JobFile { path: "bin/x".into(), bytes: b""[..].into(), executable: true }];
    if let Some(outcome) = check(cat, Status::Ok, Some(0), None).await {
        assert_eq!((&*outcome.stdout, &*outcome.stderr), ("300000\nv=1\n-rwxr-xr-x\n", "\u{fffd}\u{fffd}"));
    }
    let mut deaf = job(&["true"]);
    deaf.stdin = vec![b'x'; 300_000];
    check(deaf, Status::Ok, Some(0), None).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    if let Some(outcome) = check(job(&["nosuchprogram"]), Status::Error, None, None).await {
        assert_eq!(outcome.error.as_deref(), Some("`nosuchprogram`: command not found in the sandbox image"));
    }
    let mut escape = job(&["true"]);
    escape.files = vec![JobFile { path: "../x".into(), bytes: b""[..].into(), executable: false }];
    if let Some(outcome) = check(escape, Status::Error, None, None).await {
        assert_eq!(outcome.error.as_deref(), Some("cannot write ../x: outside of /work and /tmp"));
    }
    let mut large = job(&["true"]);
    large.files = vec![JobFile { path: "x".into(), bytes: vec![0; 40 << 20].into(), executable: false }];
    if let Some(outcome) = check(large, Status::Error, None, None).await {
        let error = outcome.error.unwrap_or_default();
        assert!(error.contains("cannot write x") && error.contains("scratchMiB"), "{error}");
    }
}

#[tokio::test]
async fn a_faked_record_is_output() {
    let fake = "printf '\\005\\013\\000\\000\\000ended Exit\\n'; exit 4";
    if let Some(outcome) = check(job(&["sh", "-c", fake]), Status::ExitNonzero, Some(4), None).await {
        assert_eq!(outcome.stdout, "\u{5}\u{b}\0\0\0ended Exit\n");
    }
}

#[tokio::test]
async fn engine_failures_are_errors_with_a_remedy() {
    let Some(docker) = docker_with(|options| {
        options.images.insert("python".into(), "opendevagent/none:1".into());
    })
    .await
    else {
        return;
    };
    assert!(matches!(docker.run(python("")).await, Err(SandboxError::NoImage { .. })));
    assert!(docker.ping().await.is_ok_and(|engine| !engine.version.is_empty()));
    docker.shutdown().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let address = format!("unix://{}", socket.display());
    let absent = Docker::connect(DockerOptions { host: Some(address), ..options() }).unwrap();
    let error = absent.run(python("")).await.unwrap_err().to_string();
    assert!(error.contains("no Docker engine listens at") && error.contains("start it"), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = absent.run(python("")).await.unwrap_err().to_string();
    assert!(error.contains("start it"), "{error}");
}

/// The ids of containers with a label, by Docker's own client.
fn listed(label: &str) -> Vec<String> {
    let output = std::process::Command::new("docker")
        .args(["ps", "-aq", "--no-trunc", "--filter", &format!("label={label}")])
        .output()
        .expect("docker is installed");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Polls, because the engine works at its own pace; ends in a panic after half a minute.
async fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(Duration::from_secs(30), what, holds).await;
}

async fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < patience, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn no_container_stays() {
    let Some(docker) = docker().await else { return };
    let task = |name: &str| {
        let task = format!("{name}-{}", std::process::id());
        (format!("opendevagent.task={task}"), task)
    };
    let (label, name) = task("normal");
    docker.run(Job { task: name, ..job(&["true"]) }).await.unwrap();
    eventually("removed after its end", || listed(&label).is_empty()).await;

    let (label, name) = task("dropped");
    let run = docker.run(Job { task: name, ..job(&["sleep", "50"]) });
    let seen = eventually("started", || !listed(&label).is_empty());
    tokio::select! { _ = run => panic!("ended"), () = seen => {} }
    eventually("removed after the drop", || listed(&label).is_empty()).await;

    // Dropped at once: before, while and after the engine creates it.
    let (label, name) = task("hasty");
    for wait in 0..8 {
        let run = docker.run(Job { task: name.clone(), ..job(&["sleep", "50"]) });
        let _ = tokio::time::timeout(Duration::from_millis(wait * 10), run).await;
    }
    docker.run(job(&["true"])).await.unwrap();
    eventually("removed after hasty drops", || listed(&label).is_empty()).await;
    docker.shutdown().await;
}

#[tokio::test]
async fn the_sweep_takes_what_dead_servers_left() {
    let Some(docker) = docker().await else { return };
    let image = docker.image(None);
    let create = |owner: &str, task: &str| {
        let labels =
            [format!("--label=opendevagent.owner={owner}"), format!("--label=opendevagent.task={task}")];
        std::process::Command::new("docker").arg("create").args(labels).arg(&image).output().unwrap();
        format!("opendevagent.task={task}")
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let host = format!("{}+{}", host.trim(), namespace.display());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let started = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let pid = std::process::id();
    let dead = create(&format!("{host}/{pid}/1/x"), &format!("dead-{pid}"));
    let alive = create(&format!("{host}/{pid}/{started}/x"), &format!("alive-{pid}"));
    let remote = create(&format!("elsewhere/{pid}/1/x"), &format!("remote-{pid}"));
    docker.sweep().await;
    // A server that another test starts at this time may be the one that removes it.
    eventually("removed by a sweep", || listed(&dead).is_empty()).await;
    let kept = [listed(&alive), listed(&remote)].concat();
    std::process::Command::new("docker").arg("rm").args(&kept).output().unwrap();
    assert_eq!(kept.len(), 2);
}

//! `run`: one file or standard input in the sandbox, in every language.

use crate::support::{Workspace, docker};
use serde_json::json;

/// Language, file, and a program that prints its argument and what it reads, then ends with 3 if asked for `fail`.
const PROGRAMS: [(&str, &str, &str); 6] = [
    (
        "python",
        "main.py",
        "import sys\nprint('hello', *sys.argv[1:])\nsys.exit(3 if 'fail' in sys.argv else 0)\n",
    ),
    (
        "javascript",
        "main.js",
        "const args = process.argv.slice(2);\nconsole.log(['hello', ...args].join(' '));\nprocess.exit(args.includes('fail') ? 3 : 0);\n",
    ),
    (
        "typescript",
        "main.ts",
        "const args: string[] = process.argv.slice(2);\nconsole.log(['hello', ...args].join(' '));\nprocess.exit(args.includes('fail') ? 3 : 0);\n",
    ),
    (
        "java",
        "Main.java",
        "public class Main {\n  public static void main(String[] args) {\n    System.out.println((\"hello \" + String.join(\" \", args)).trim());\n    \
         System.exit(java.util.List.of(args).contains(\"fail\") ? 3 : 0);\n  }\n}\n",
    ),
    (
        "go",
        "main.go",
        "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"strings\"\n)\n\nfunc main() {\n\t\
         fmt.Println(strings.Join(append([]string{\"hello\"}, os.Args[1:]...), \" \"))\n\t\
         if len(os.Args) > 1 && os.Args[1] == \"fail\" {\n\t\tos.Exit(3)\n\t}\n}\n",
    ),
    ("bash", "main.sh", "echo \"hello${1:+ $1}\"\n[ \"${1:-}\" != fail ] || exit 3\n"),
];

#[test]
fn each_language_from_a_file_and_from_standard_input() {
    if !docker() {
        return;
    }
    for (language, path, text) in PROGRAMS {
        let workspace = Workspace::new("");
        workspace.write(path, text);
        let record = workspace.run(&["run", path, "--json"]).exits(0).json();
        assert_eq!(record["stdout"], "hello\n", "{language}: {record:#}");
        assert_eq!(record["status"], "ok");
        assert_eq!(record["exit_code"], 0);
        assert_eq!(record["language"], language);
        for key in [
            "signal",
            "stderr",
            "truncated",
            "oom",
            "duration_ms",
            "cpu_ms",
            "peak_memory_bytes",
            "runtime",
            "image",
        ] {
            assert!(record.get(key).is_some(), "{language}: no {key} in {record:#}");
        }
        let ended = workspace.run(&["run", path, "--", "fail"]).exits(3);
        assert_eq!(ended.stdout, "hello fail\n", "{language}: {ended}");
        let ended = workspace.run_with_input(&["run", "-", "--language", language], text).exits(0);
        assert_eq!(ended.stdout, "hello\n", "{language}: {ended}");
    }
}

#[test]
fn the_end_is_told_by_status_and_exit_code() {
    if !docker() {
        return;
    }
    let workspace = Workspace::new("");
    let cases = [
        ("import sys; sys.exit(137)", 137, "exit_nonzero"),
        ("import sys; sys.exit(124)", 124, "exit_nonzero"),
        ("while True: pass", 124, "timeout"),
        ("hog = bytearray(2 << 30)", 137, "oom"),
        ("import os; os.kill(os.getpid(), 15)", 143, "signal"),
        ("import os; os.kill(os.getpid(), 9)", 137, "signal"),
    ];
    for (text, code, status) in cases {
        let limit = if status == "timeout" { "2" } else { "100" };
        let args = ["run", "-", "--language", "python", "--timeout", limit, "--json"];
        let record = workspace.run_with_input(&args, text).exits(code).json();
        assert_eq!(record["status"], status, "{text}: {record:#}");
        assert_eq!(record["oom"], json!(status == "oom"), "{text}");
    }
    let args = ["run", "-", "--language", "python", "--json"];
    let record = workspace.run_with_input(&args, "while True: print('x' * 1000)").json();
    assert_eq!((&record["status"], &record["truncated"]), (&json!("output_limit"), &json!(true)));
    let record =
        workspace.run_with_input(&args, "import sys; sys.stdout.buffer.write(b'caf\\xe9')").exits(0).json();
    assert_eq!(record["stdout"], "caf\u{fffd}");
}

#[test]
fn there_is_no_network_and_no_root() {
    if !docker() {
        return;
    }
    let probe = "import os, socket\ntry:\n    socket.create_connection(('1.1.1.1', 53), 1)\n    print('online')\n\
                 except OSError:\n    print('offline')\ntry:\n    open('/etc/owned', 'w')\n    print('writable')\n\
                 except OSError:\n    print('read-only')\nprint(os.getuid() != 0)\n";
    let ended = Workspace::new("").run_with_input(&["run", "-", "--language", "python"], probe).exits(0);
    assert_eq!(ended.stdout, "offline\nread-only\nTrue\n", "{ended}");
}

#[test]
fn without_a_sandbox_nothing_runs() {
    for host in ["off", "unix:///nonexistent.sock"] {
        let workspace =
            Workspace::new("//- /main.py\nprint('hello')\n").set("OPENDEVAGENT_SANDBOX_HOST", host);
        let ended = workspace.run(&["run", "main.py"]).exits(125);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended}");
        let record = workspace.run(&["run", "main.py", "--json"]).exits(125).json();
        assert_eq!(record["status"], "error", "{record:#}");
        assert!(record["error"].as_str().is_some_and(|error| !error.is_empty()), "{record:#}");
    }
}

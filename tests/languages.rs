//! Every language in its real image: one file run, and projects checked by their own test runners.
//!
//! Needs Docker and the built images: `OPENDEVAGENT_DOCKER_TESTS=1`.

use crate::check::{Edit, Project, shown};
use crate::support::{self, engine_options};
use opendevagent::agent::check::{State, TestResult};
use opendevagent::config::Settings;
use opendevagent::sandbox::docker::Docker;
use opendevagent::sandbox::{Sandbox, Status, language};

/// An engine with the limits users get, where the tests with Docker are asked for.
fn docker() -> Option<Docker> {
    let connect = || Docker::connect(engine_options(Settings::default().sandbox_limits()));
    support::docker().then(|| connect().expect("no address is set, or a good one"))
}

/// By language: a program that greets with its arguments and its input, and one that ends with 3.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("python", "import sys\nprint('hello', *sys.argv[1:], sys.stdin.read())\n", "import sys\nsys.exit(3)\n"),
    (
        "javascript",
        "const input = require('fs').readFileSync(0)\nconsole.log('hello', ...process.argv.slice(2), `${input}`)\n",
        "process.exit(3)\n",
    ),
    (
        "typescript",
        "import { readFileSync } from 'fs'\nconst a: string[] = process.argv.slice(2)\n\
         console.log('hello', ...a, `${readFileSync(0)}`)\n",
        "const c: number = require('fs') ? 3 : 0\nprocess.exit(c)\n",
    ),
    (
        "java",
        "class A { public static void main(String[] a) throws Exception {\n\
         System.out.println(\"hello \" + String.join(\" \", a) + \" \" + new String(System.in.readAllBytes())); } }",
        "class A { public static void main(String[] a) { System.exit(3); } }",
    ),
    (
        "go",
        "package main\nimport (\"fmt\"; \"io\"; \"os\"; \"strings\")\n\
         func main() { in, _ := io.ReadAll(os.Stdin); fmt.Println(\"hello\", strings.Join(os.Args[1:], \" \"), string(in)) }\n",
        "package main\nimport \"os\"\nfunc main() { os.Exit(3) }\n",
    ),
    (
        "rust",
        "fn main() {\n    let args: Vec<String> = std::env::args().skip(1).collect();\n\
         \x20   println!(\"hello {} {}\", args.join(\" \"), std::io::read_to_string(std::io::stdin()).unwrap());\n}\n",
        "fn main() { std::process::exit(3) }\n",
    ),
    (
        "c",
        "#include <stdio.h>\nint main(int n, char **a) {\n  char in[9] = \"\";\n  fgets(in, sizeof in, stdin);\n\
         \x20 return printf(\"hello %s %s %s\\n\", a[1], a[2], in) < 0;\n}\n",
        "int main(void) { return 3; }\n",
    ),
    (
        "cpp",
        "#include <iostream>\nint main(int n, char **a) {\n  std::string in;\n  std::cin >> in;\n\
         \x20 std::cout << \"hello \" << a[1] << ' ' << a[2] << ' ' << in << '\\n';\n}\n",
        "int main() { return 3; }\n",
    ),
    ("ruby", "puts \"hello #{ARGV.join(' ')} #{$stdin.read}\"\n", "exit 3\n"),
    (
        "php",
        "<?php\necho 'hello ', implode(' ', array_slice($argv, 1)), ' ', stream_get_contents(STDIN), \"\\n\";\n",
        "<?php\nexit(3);\n",
    ),
    ("bash", "read -r line\necho hello \"$@\" \"$line\"\n", "exit 3\n"),
];

#[tokio::test]
async fn every_language_says_hello_and_keeps_its_exit_code() {
    let Some(docker) = docker() else { return };
    let known: Vec<_> = language::all().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(PROGRAMS.iter().map(|row| row.0).collect::<Vec<_>>(), known);
    for (name, hello, fails) in PROGRAMS {
        let row = language::by_name(name).unwrap();
        let args = ["a".to_owned(), "b c".to_owned()];
        let job = language::job_for_file(row, None, hello.as_bytes(), &args, b"in\n".to_vec());
        let outcome = docker.run(job).await.unwrap();
        assert_eq!(
            (outcome.status, outcome.stdout.trim_end()),
            (Status::Ok, "hello a b c in"),
            "{outcome:?}"
        );
        assert_eq!((outcome.stderr.as_str(), outcome.language.as_deref()), ("", Some(*name)));
        assert!(outcome.duration_ms > 0 && outcome.peak_memory_bytes > 0);
        let job = language::job_for_file(row, None, fails.as_bytes(), &[], vec![]);
        let outcome = docker.run(job).await.unwrap();
        assert_eq!((outcome.status, outcome.exit_code), (Status::ExitNonzero, Some(3)), "{outcome:?}");
    }
    docker.shutdown().await;
}

/// A program that fails, and the line that it must be shown at.
const FAILURES: &[(&[(&str, &str)], u32)] = &[
    (&[("a.py", "x = 1\ndef f():\n    return 1 / 0\nf()\n")], 3),
    (&[("a.js", "const x = 1;\nfunction f() {\n  throw new Error('no');\n}\nf();\n")], 3),
    (&[("a.ts", "const x: number = 1;\nfunction f(): void {\n  throw new Error('no');\n}\nf();\n")], 3),
    (&[("b.ts", "const x: number = 1;\nconst y = ;\n")], 2),
    (
        &[(
            "Main.java",
            "public class Main {\n  public static void main(String[] a) {\n    a[2] = null;\n  }\n}\n",
        )],
        3,
    ),
    (
        &[("Bad.java", "class Bad {\n  public static void main(String[] a) {\n    int x = \"s\";\n  }\n}\n")],
        3,
    ),
    (&[("a.go", "package main\n\nfunc main() {\n\tvar x []int\n\tx[2] = 1\n}\n")], 5),
    (&[("b.go", "package main\n\nfunc main() {\n\tvar x int = \"s\"\n\t_ = x\n}\n")], 4),
    (&[("a.rs", "fn main() {\n    let x: Option<u8> = None;\n    x.unwrap();\n}\n")], 3),
    (&[("b.rs", "fn main() {\n    let x: u8 = \"s\";\n}\n")], 2),
    (&[("b.c", "int main(void) {\n    return x;\n}\n")], 2),
    (&[("b.cpp", "int main() {\n    return x;\n}\n")], 2),
    (&[("a.rb", "def f\n  raise 'no'\nend\nf\n")], 2),
    (&[("a.php", "<?php\nfunction f() {\n  throw new Exception('no');\n}\nf();\n")], 3),
    (&[("b.php", "<?php\n$x = ;\n")], 2),
    (&[("a.sh", "set -e\nno_such_command\n")], 2),
];

#[tokio::test]
async fn every_language_names_the_line_of_an_error() {
    if docker().is_none() {
        return;
    }
    let mut wrong = Vec::new();
    for (files, line) in FAILURES {
        let (path, _) = files[0];
        let project = Project::new(files, None, path);
        let seen = project.run(&[]).await;
        let findings = seen.findings(&project.snapshot);
        let place = findings.first().map(|found| (found.path.as_str(), found.line));
        if seen.passes() || place != Some((path, *line)) {
            wrong.push(format!("{path}: {place:?}\n{}", seen.excerpt(2000)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A project with a bug: its files, the edit that repairs it, and what must be seen.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    repair: Edit<'static>,
    /// Runner, then tests with `+` passed, `-` failed, before the repair.
    before: &'static str,
    /// Where the failure is shown.
    place: (&'static str, u32),
    verdict: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "unittest",
        files: &[
            ("gcd.py", "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a + 1\n"),
            (
                "tests.py",
                "import unittest\nfrom gcd import gcd\n\nclass Gcd(unittest.TestCase):\n    def test_divides(self):\n\
                 \x20       self.assertEqual(gcd(4, 6), 2)\n\n    def test_is(self):\n        self.assertIsInstance(gcd(1, 1), int)\n\n\
                 \x20   @unittest.skip('later')\n    def test_later(self):\n        self.fail()\n",
            ),
        ],
        repair: ("gcd.py", "a + 1", "a"),
        before: "Unittest tests.Gcd.test_divides- tests.Gcd.test_is+ tests.Gcd.test_later~",
        place: ("tests.py", 6),
        verdict: "proven: tests.Gcd.test_divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "jest",
        files: &[
            ("package.json", r#"{"scripts":{"test":"jest"}}"#),
            ("gcd.js", "module.exports = (a, b) => {\n  while (b) [a, b] = [b, a % b]\n  return a + 1\n}\n"),
            (
                "gcd.test.js",
                "const gcd = require('./gcd')\ndescribe('gcd', () => {\n  test('of two', () => {\n    expect(gcd(4, 6)).toBe(2)\n  })\n\
                 \x20 test('is a number', () => expect(typeof gcd(1, 1)).toBe('number'))\n  test.skip('later', () => {})\n})\n",
            ),
        ],
        repair: ("gcd.js", "a + 1", "a"),
        before: "Jest gcd.test.js > gcd > is a number+ gcd.test.js > gcd > later~ gcd.test.js > gcd > of two-",
        place: ("gcd.test.js", 4),
        verdict: "proven: of two failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "mocha",
        files: &[
            ("package.json", r#"{"devDependencies":{"mocha":"10"}}"#),
            ("gcd.js", "module.exports = (a, b) => {\n  while (b) [a, b] = [b, a % b]\n  return a + 1\n}\n"),
            (
                "test/gcd.js",
                "const assert = require('assert')\nconst gcd = require('../gcd')\ndescribe('gcd', () => {\n\
                 \x20 it('divides', () => {\n    assert.equal(gcd(4, 6), 2)\n  })\n  it('is', () => assert(gcd))\n})\n",
            ),
        ],
        repair: ("gcd.js", "a + 1", "a"),
        before: "Mocha test/gcd.js > gcd divides- test/gcd.js > gcd is+",
        place: ("test/gcd.js", 5),
        verdict: "proven: gcd divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "typescript",
        files: &[
            (
                "src/gcd.ts",
                "export function gcd(a: number, b: number): number {\n  while (b) [a, b] = [b, a % b]\n  return a + 1\n}\n",
            ),
            (
                "test/gcd.test.ts",
                "import test from 'node:test'\nimport assert from 'node:assert'\nimport { gcd } from '../src/gcd'\n\n\
                 type Pair = [number, number]\ntest('divides', () => {\n  const pair: Pair = [4, 6]\n  assert.equal(gcd(...pair), 2)\n})\n\
                 test('is', () => assert(gcd))\n",
            ),
        ],
        repair: ("src/gcd.ts", "a + 1", "a"),
        before: "TypeScript test/gcd.test.ts > divides- test/gcd.test.ts > is+",
        place: ("test/gcd.test.ts", 8),
        verdict: "proven: divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "junit",
        files: &[
            ("pom.xml", "<project/>"),
            (
                "src/main/java/m/Gcd.java",
                "package m;\npublic class Gcd {\n  public static int gcd(int a, int b) { return b == 0 ? a + 1 : gcd(b, a % b); }\n}\n",
            ),
            (
                "src/test/java/m/GcdTest.java",
                "package m;\nimport static org.junit.jupiter.api.Assertions.*;\nimport org.junit.jupiter.api.Test;\nclass GcdTest {\n\
                 \x20 @Test void divides() {\n    assertEquals(2, Gcd.gcd(4, 6));\n  }\n  @Test void runs() { Gcd.gcd(1, 1); }\n}\n",
            ),
        ],
        repair: ("src/main/java/m/Gcd.java", "a + 1", "a"),
        before: "JUnit m.GcdTest::divides()- m.GcdTest::runs()+",
        place: ("src/test/java/m/GcdTest.java", 6),
        verdict: "proven: divides() failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "go",
        files: &[
            ("go.mod", "module m\n\ngo 1.24\n"),
            (
                "gcd.go",
                "package m\n\nfunc Gcd(a, b int) int {\n\tif b == 0 {\n\t\treturn a + 1\n\t}\n\treturn Gcd(b, a%b)\n}\n",
            ),
            (
                "gcd_test.go",
                "package m\n\nimport \"testing\"\n\nfunc TestGcd(t *testing.T) {\n\tif Gcd(4, 6) != 2 {\n\t\tt.Error(\"not 2\")\n\t}\n}\n\
                 func TestRuns(t *testing.T) { Gcd(1, 1) }\n",
            ),
        ],
        repair: ("gcd.go", "a + 1", "a"),
        before: "Go m.TestGcd- m.TestRuns+",
        place: ("gcd_test.go", 7),
        verdict: "proven: m.TestGcd failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "cargo",
        files: &[
            ("Cargo.toml", "[package]\nname = \"m\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (
                "src/lib.rs",
                "pub fn gcd(a: u32, b: u32) -> u32 {\n    if b == 0 { a + 1 } else { gcd(b, a % b) }\n}\n\n\
                 #[test]\nfn runs() {\n    gcd(1, 1);\n}\n",
            ),
            (
                "tests/all.rs",
                "#[test]\nfn divides() {\n    assert_eq!(m::gcd(4, 6), 2);\n}\n\n#[test]\n#[ignore]\nfn later() {}\n",
            ),
        ],
        repair: ("src/lib.rs", "a + 1", "a"),
        before: "Cargo all::divides- all::later~ m::runs+",
        place: ("tests/all.rs", 3),
        verdict: "proven: divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "ctest",
        files: &[
            (
                "CMakeLists.txt",
                "cmake_minimum_required(VERSION 3.20)\nproject(m C CXX)\nenable_testing()\nadd_library(gcd gcd.c)\n\
                 add_executable(divides divides.cpp)\ntarget_link_libraries(divides gcd)\nadd_test(NAME divides COMMAND divides)\n\
                 add_test(NAME runs COMMAND true)\n",
            ),
            ("gcd.c", "int gcd(int a, int b) { return b == 0 ? a + 1 : gcd(b, a % b); }\n"),
            (
                "divides.cpp",
                "#include <cassert>\nextern \"C\" int gcd(int, int);\nint main() {\n  assert(gcd(4, 6) == 2);\n}\n",
            ),
        ],
        repair: ("gcd.c", "a + 1", "a"),
        before: "CTest divides- runs+",
        place: ("divides.cpp", 4),
        verdict: "proven: divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "rspec",
        files: &[
            ("lib/gcd.rb", "def gcd(a, b)\n  b.zero? ? a + 1 : gcd(b, a % b)\nend\n"),
            (
                "spec/gcd_spec.rb",
                "require 'gcd'\nRSpec.describe 'gcd' do\n  it 'divides' do\n    expect(gcd(4, 6)).to eq 2\n  end\n\
                 \x20 it('runs') { gcd(1, 1) }\n  xit('later') { raise }\nend\n",
            ),
        ],
        repair: ("lib/gcd.rb", "a + 1", "a"),
        before: "RSpec spec/gcd_spec.rb > gcd divides- spec/gcd_spec.rb > gcd later~ spec/gcd_spec.rb > gcd runs+",
        place: ("spec/gcd_spec.rb", 4),
        verdict: "proven: gcd divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "minitest",
        files: &[
            ("lib/gcd.rb", "def gcd(a, b)\n  b.zero? ? a + 1 : gcd(b, a % b)\nend\n"),
            (
                "test/gcd_test.rb",
                "require 'minitest/autorun'\nrequire 'gcd'\nclass GcdTest < Minitest::Test\n  def test_divides\n\
                 \x20   assert_equal 2, gcd(4, 6)\n  end\n\n  def test_runs\n    gcd(1, 1)\n  end\nend\n",
            ),
        ],
        repair: ("lib/gcd.rb", "a + 1", "a"),
        before: "Minitest test/gcd_test.rb > GcdTest > test_divides- test/gcd_test.rb > GcdTest > test_runs+",
        place: ("test/gcd_test.rb", 5),
        verdict: "proven: test_divides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "phpunit",
        files: &[
            (
                "src/gcd.php",
                "<?php\nfunction gcd($a, $b) {\n    return $b === 0 ? $a + 1 : gcd($b, $a % $b);\n}\n",
            ),
            (
                "tests/GcdTest.php",
                "<?php\nrequire __DIR__ . '/../src/gcd.php';\nuse PHPUnit\\Framework\\TestCase;\nfinal class GcdTest extends TestCase {\n\
                 \x20   public function testDivides(): void {\n        $this->assertSame(2, gcd(4, 6));\n    }\n\
                 \x20   public function testIs(): void { $this->assertIsInt(gcd(1, 1)); }\n}\n",
            ),
        ],
        repair: ("src/gcd.php", "$a + 1", "$a"),
        before: "PhpUnit tests/GcdTest.php::testDivides- tests/GcdTest.php::testIs+",
        place: ("tests/GcdTest.php", 6),
        verdict: "proven: testDivides failed before and passes now; 1 other unchanged",
    },
    Case {
        name: "bats",
        files: &[
            ("gcd.sh", "a=$1 b=$2\nwhile ((b)); do ((t = a % b, a = b, b = t, 1)); done\necho $((a + 1))\n"),
            (
                "test/gcd.bats",
                "@test \"divides\" {\n  run bash gcd.sh 4 6\n  [ \"$output\" = 2 ]\n}\n@test \"runs\" {\n  bash gcd.sh 1 1\n}\n",
            ),
        ],
        repair: ("gcd.sh", "a + 1", "a"),
        before: "Bats test/gcd.bats::divides- test/gcd.bats::runs+",
        place: ("test/gcd.bats", 3),
        verdict: "proven: divides failed before and passes now; 1 other unchanged",
    },
];

#[tokio::test]
async fn every_test_runner_is_read() {
    if docker().is_none() {
        return;
    }
    let mut wrong = Vec::new();
    let only = std::env::var("ONLY").ok();
    for case in CASES.iter().filter(|case| only.as_ref().is_none_or(|only| only == case.name)) {
        let project = Project::new(case.files, None, case.repair.0);
        let before = project.run(&[]).await;
        let tests: Vec<_> = before.tests.iter().map(|(name, test)| format!("{name}{}", mark(test))).collect();
        let seen = format!("{:?} {}", project.check.runner, tests.join(" "));
        let findings = before.findings(&project.snapshot);
        let places: Vec<_> = findings.iter().map(|found| (found.path.as_str(), found.line)).collect();
        let verdict = shown(&project.verdict(&[case.repair]).await);
        if seen != case.before || places != [case.place] || verdict != case.verdict {
            wrong.push(format!("{}: {seen}\n{places:?}\n{verdict}\n{}", case.name, before.excerpt(4000)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn mark(test: &TestResult) -> char {
    match test.state {
        State::Passed => '+',
        State::Skipped => '~',
        State::Failed => '-',
    }
}

// Makes the .vsix: `node package.mjs` without a server, `node package.mjs TARGET [PROGRAM [FILE]]` with the server inside.
// Without PROGRAM the server is built with cargo, for which the target's toolchain must be there.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** VS Code's names of the platforms, and Rust's. */
const TARGETS = {
  'linux-x64': { triple: 'x86_64-unknown-linux-gnu' },
  'linux-arm64': { triple: 'aarch64-unknown-linux-gnu' },
  'darwin-x64': { triple: 'x86_64-apple-darwin' },
  'darwin-arm64': { triple: 'aarch64-apple-darwin' },
  'win32-x64': { triple: 'x86_64-pc-windows-msvc', program: 'opendevagent.exe' },
};
/** The extension is loaded when a file is opened: it must stay small. */
const MAX_BUNDLE = 400_000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = here('../..');
const server = here('server');

function run(program, args, options = {}) {
  return execFileSync(program, args, { cwd: here('.'), stdio: ['ignore', 'pipe', 'inherit'], ...options }).toString();
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

/** Builds the server for a target; the path of its program. */
function build({ triple, program = 'opendevagent' }) {
  run('cargo', ['build', '--release', '--bin', 'opendevagent', '--target', triple], { cwd: root });
  return join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), triple, 'release', program);
}

function bundle(target, program) {
  const { program: name = 'opendevagent' } = target;
  if (!existsSync(program)) {
    fail(`${program} does not exist`);
  }
  mkdirSync(server);
  copyFileSync(program, join(server, name));
  chmodSync(join(server, name), 0o755);
}

const [name, program, file] = process.argv.slice(2);
const target = TARGETS[name];
if (name !== undefined && target === undefined) {
  fail(`${name} is none of ${Object.keys(TARGETS).join(', ')}`);
}
const { version } = JSON.parse(run('node', ['-p', 'JSON.stringify(require("./package.json"))']));
const out = file ?? here(`opendevagent-${name ? `${name}-` : ''}${version}.vsix`);
rmSync(server, { recursive: true, force: true });
try {
  if (target) {
    bundle(target, program ?? build(target));
  }
  const args = ['package', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'];
  run(here('node_modules/.bin/vsce'), [...args, '--out', out, ...(name ? ['--target', name] : [])]);
} finally {
  rmSync(server, { recursive: true, force: true });
}
const { size } = statSync(here('dist/extension.js'));
if (size > MAX_BUNDLE) {
  fail(`dist/extension.js has ${size} bytes, more than ${MAX_BUNDLE}`);
}
console.log(`${out}: ${statSync(out).size} bytes, of which the extension ${size} before it is packed`);

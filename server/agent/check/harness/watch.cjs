// Notes for OpenDevAgent how a Node process ends, which `console.assert` failed in it and which lines ran.
//
// Preloaded by `--require`. Writes nothing to the program's streams and swallows its own errors: a program must
// behave as if this file were not there. One JSON line when the process starts, one when it has ended by itself;
// a process that was cut short (`process.reallyExit`) leaves no second line.
'use strict';

function watch() {
  const { isMainThread } = require('node:worker_threads');
  const record = process.env.OPENDEVAGENT_RECORD;
  const root = process.env.OPENDEVAGENT_ROOT;
  if (!isMainThread || !record || !root) return;
  const fs = require('node:fs');
  const inside = require('node:path').join(fs.realpathSync(root), '/');
  const write = (line) => {
    try { fs.appendFileSync(record, `${JSON.stringify(line)}\n`); } catch { /* the program goes on */ }
  };

  // A package manager or the test runner itself only starts what matters.
  const launcher = process.execArgv.includes('--test')
    || /[\\/](npm|npx|yarn|pnpm|corepack)(-cli)?\.c?js$|[\\/](npm|npx|yarn|pnpm)$/.test(process.argv[1] ?? '');
  const nested = 'OPENDEVAGENT_NESTED' in process.env;
  if (!launcher) process.env.OPENDEVAGENT_NESTED = '1';

  let asserted = 0;
  const asserts = [];
  let left = [];
  const frames = (below) => {
    const { prepareStackTrace, stackTraceLimit } = Error;
    const holder = {};
    try {
      Error.stackTraceLimit = 50;
      Error.prepareStackTrace = (_, sites) => sites.map((site) => [site.getFileName() ?? '', site.getLineNumber() ?? 0]);
      Error.captureStackTrace(holder, below);
      return holder.stack
        .map(([file, line]) => [file.startsWith('file://') ? decodeURIComponent(file.slice(7)) : file, line])
        .filter(([file]) => file.startsWith(inside))
        .map(([file, line]) => [file.slice(inside.length), line])
        .reverse();
    } catch {
      return [];
    } finally {
      Object.assign(Error, { stackTraceLimit });
      if (prepareStackTrace === undefined) delete Error.prepareStackTrace;
      else Error.prepareStackTrace = prepareStackTrace;
    }
  };

  const { assert } = console;
  const exit = process.exit;
  const wrapped = {
    assert(ok, ...rest) {
      asserted += 1;
      if (!ok && asserts.length < 100) asserts.push(frames(wrapped.assert));
      return Reflect.apply(assert, this, arguments.length === 0 ? [] : [ok, ...rest]);
    },
    exit(code) {
      if (left.length === 0) left = frames(wrapped.exit);
      return Reflect.apply(exit, process, arguments.length === 0 ? [] : [code]);
    },
  };
  console.assert = wrapped.assert;
  process.exit = wrapped.exit;
  // What tests are written with, as it is before the program.
  const library = require('node:assert');
  const kept = [[library], [library.strict], [Object, 'is'], [library.AssertionError.prototype]].flatMap(
    ([owner, only]) => (only ? [only] : Object.getOwnPropertyNames(owner)).map((name) => [owner, name, owner[name]]),
  );
  const tampered = () => kept.some(([owner, name, value]) => owner[name] !== value);

  // Which lines ran, by the engine's own counts. Installed packages are not looked at.
  const cover = () => {
    const session = new (require('node:inspector').Session)();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
    return () => {
      const executed = {};
      session.post('Profiler.takePreciseCoverage', (error, taken) => {
        for (const { url, functions } of error ? [] : taken.result) {
          const file = url.startsWith('file://') ? decodeURIComponent(url.slice(7)) : url;
          if (!file.startsWith(inside) || file.includes('/node_modules/')) continue;
          const starts = [];
          let at = 0;
          for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
            starts.push(at + line.search(/\S|$/));
            at += line.length + 1;
          }
          const ranges = functions.flatMap((each) => each.ranges);
          if (ranges.length * starts.length > 2e7) continue;
          // Inner ranges come after those around them.
          const ran = starts.map(() => false);
          for (const { startOffset, endOffset, count } of ranges) {
            starts.forEach((start, line) => {
              if (start >= startOffset && start < endOffset) ran[line] = count > 0;
            });
          }
          executed[file.slice(inside.length)] = ran.flatMap((yes, line) => (yes ? [line + 1] : []));
        }
      });
      return executed;
    };
  };
  let covered = () => null;
  try { if (!launcher) covered = cover(); } catch { /* it stays unknown */ }

  write({ start: process.pid, nested });
  process.on('exit', () => {
    const caught = ['uncaughtException', 'unhandledRejection'].some((name) => process.listenerCount(name) > 0);
    const replaced = console.assert !== wrapped.assert || caught || tampered();
    let executed = null;
    try { executed = covered(); } catch { /* it stays unknown */ }
    write({ end: process.pid, nested, left, asserted, asserts, replaced, executed });
  });
}

try { watch(); } catch { /* the program goes on */ }

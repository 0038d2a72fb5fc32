// The server's program is found in the documented order, and a wrong one is named with its reason.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { after, test } from 'node:test';
import { findServer, workspaceServer, type Places } from '../src/server';

const root = mkdtempSync(path.join(tmpdir(), 'opendevagent-'));
after(() => rmSync(root, { recursive: true }));

/** A program that prints `says`. */
function program(folder: string, says: string): string {
  const file = path.join(root, folder, 'opendevagent');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho '${says}'\n`);
  chmodSync(file, 0o755);
  return file;
}

const env = program('env', 'opendevagent 1.0.0');
const setting = program('setting', 'opendevagent 2.0.0');
const bundled = path.dirname(program('bundled', 'opendevagent 3.0.0'));
const onPath = path.dirname(program('path', 'opendevagent 4.0.0'));
const other = program('other', 'something else');
const noServer = path.join(root, 'none');
const all: Places = { env, setting, bundled, searchPath: onPath };

async function finds(places: Partial<Places>, expect: string): Promise<void> {
  const found = await findServer({ ...all, ...places });
  assert.equal('version' in found ? found.version : found.problem, expect);
}

test('environment, setting, bundled, PATH', async () => {
  await finds({}, '1.0.0');
  await finds({ env: undefined }, '2.0.0');
  await finds({ env: '', setting: '' }, '3.0.0');
  await finds({ env: undefined, setting: undefined, bundled: noServer }, '4.0.0');
});

test('what a workspace brings goes before the bundled one, once it is agreed to', async () => {
  assert.equal(workspaceServer([root]), undefined);
  const command = program('in/.venv/bin', 'opendevagent 5.0.0');
  const found = workspaceServer([root, path.join(root, 'in')]);
  assert.equal(found?.command, command);
  await finds({ env: undefined, setting: undefined, workspace: found?.command }, '5.0.0');
  await finds({ env: undefined, workspace: found?.command }, '2.0.0');
  program('in/.venv/bin', 'opendevagent 5.0.0, changed');
  assert.notEqual(workspaceServer([path.join(root, 'in')])?.mark, found?.mark);
});

test('the first folder of PATH that has it, and no relative one', async () => {
  const nowhere = { env: undefined, setting: undefined, bundled: noServer };
  await finds({ ...nowhere, searchPath: [noServer, onPath, bundled].join(path.delimiter) }, '4.0.0');
  const relative = path.relative(process.cwd(), onPath);
  await finds(
    { ...nowhere, searchPath: relative },
    'no opendevagent came with this extension, and there is none on PATH',
  );
  await finds(
    { ...nowhere, searchPath: undefined },
    'no opendevagent came with this extension, and there is none on PATH',
  );
});

test('a program that the user named is not passed over', async () => {
  await finds(
    { env: other },
    `${other} (from OPENDEVAGENT_BIN) is not an OpenDevAgent server: it does not tell its version`,
  );
  await finds(
    { env: undefined, setting: noServer },
    `${noServer} (from the setting opendevagent.path) cannot be started: spawn ${noServer} ENOENT`,
  );
});

// The package holds what the extension needs, and nothing else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';

// The bundle of the tests is in dist/test.
const root = `${__dirname}/../..`;
/** It is loaded when a file is opened. */
const MAX_BUNDLE = 400_000;
const KINDS = [
  /^(README|CHANGELOG)\.md$/,
  /^(LICENSE|package\.json|icon\.png|dist\/extension\.js|media\/view\.svg)$/,
  /^walkthrough\/\w+\.md$/,
  /^pictures\/\w+\.png$/,
];

const files = execFileSync(`${root}/node_modules/.bin/vsce`, ['ls', '--no-dependencies'], { cwd: root })
  .toString()
  .trim()
  .split('\n');

test('no source, test, dependency or server is packed', () => {
  assert.deepEqual(files.filter((file) => !KINDS.some((kind) => kind.test(file))), []);
  assert.deepEqual(KINDS.filter((kind) => !files.some((file) => kind.test(file))), []);
});

test('no secret, place of this machine or map of the sources is in it', () => {
  const bad = /sk-[\w-]{16,}|BEGIN [A-Z ]*PRIVATE KEY|sourceMappingURL|\/(home|root|tmp)\//;
  const texts = files.filter((file) => !file.endsWith('.png'));
  const found = texts.map((file) => [file, bad.exec(readFileSync(`${root}/${file}`, 'utf8'))?.[0]]);
  assert.deepEqual(found.filter(([, text]) => text), []);
});

test('the bundle is small', () => {
  assert.ok(statSync(`${root}/dist/extension.js`).size <= MAX_BUNDLE);
});

test('each setting belongs to the machine, so that no workspace can have a value for it', () => {
  const { contributes, capabilities } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
  const settings = Object.entries(contributes.configuration.properties as Record<string, { scope?: string }>);
  assert.deepEqual(settings.filter(([, { scope }]) => scope !== 'machine').map(([name]) => name), []);
  const names = new Set(settings.map(([name]) => name));
  const restricted = capabilities.untrustedWorkspaces.restrictedConfigurations as string[];
  assert.deepEqual(restricted.filter((name) => !names.has(name)), []);
});

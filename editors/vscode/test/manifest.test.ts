// What package.json names exists, and every language of the sandbox wakes the extension.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LANGUAGES } from '../src/languages';

// The bundle of the tests is in dist/test.
const root = `${__dirname}/../..`;
const text = readFileSync(`${root}/package.json`, 'utf8');
const manifest = JSON.parse(text);
const { contributes } = manifest;

test('every command that is named is declared', () => {
  const declared = new Set(contributes.commands.map(({ command }: { command: string }) => command));
  const named = new Set(text.match(/opendevagent\.ui\.\w+/g));
  assert.deepEqual([...named].filter((command) => !declared.has(command)), []);
});

test('every file that is named is there', () => {
  const steps = contributes.walkthroughs[0].steps as { media: { markdown: string } }[];
  const files = [
    manifest.icon,
    ...steps.map(({ media }) => media.markdown),
    ...(text.match(/media\/[\w.]+/g) ?? []),
    ...(readFileSync(`${root}/README.md`, 'utf8').match(/pictures\/[\w.]+/g) ?? []),
  ];
  assert.equal(steps.length, 4);
  assert.deepEqual(files.filter((file) => !existsSync(`${root}/${file}`)), []);
});

test('the languages are those of the sandbox', () => {
  const table = readFileSync(`${root}/../../server/sandbox/languages.toml`, 'utf8');
  const names = [...table.matchAll(/^name = "(\w+)"$/gm)].map(([, name]) => name!);
  assert.deepEqual([...LANGUAGES].sort(), names.sort());
  const events = names.map((name) => `onLanguage:${name === 'bash' ? 'shellscript' : name}`);
  assert.deepEqual(events.filter((event) => !manifest.activationEvents.includes(event)), []);
});

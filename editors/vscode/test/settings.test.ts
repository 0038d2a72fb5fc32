// Only what the user has set reaches the server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Inspected, userSettings } from '../src/settings';

function collects(inspected: Record<string, Inspected & Record<string, unknown>>, expect: object): void {
  assert.deepEqual(
    userSettings(Object.keys(inspected), (key) => inspected[key]),
    expect,
  );
}

test('dotted keys become nested objects', () => {
  collects(
    {
      'model.baseUrl': { globalValue: 'u' },
      'model.zdr': { globalValue: false },
      'agents.coder.fallbacks': { globalValue: [] },
    },
    { model: { baseUrl: 'u', zdr: false }, agents: { coder: { fallbacks: [] } } },
  );
});

test('defaults, the values of a workspace and settings of this client stay here', () => {
  collects(
    {
      'sandbox.cpus': { defaultValue: 1 },
      'model.baseUrl': { workspaceValue: 'evil' },
      path: { globalValue: '/bin/x' },
    },
    {},
  );
});

// Only what the user has set reaches the server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { userSettings } from '../src/settings';

test('what the user has set is taken as it is', () => {
  const globalValue = { model: { baseUrl: 'u', zdr: false }, agents: { coder: { fallbacks: [] } } };
  assert.deepEqual(userSettings({ globalValue }), globalValue);
});

test('defaults, the values of a workspace and settings of this client stay here', () => {
  const section = {
    defaultValue: { sandbox: { cpus: 1 } },
    globalValue: { path: '/bin/x' },
    workspaceValue: { model: { baseUrl: 'evil' } },
  };
  assert.deepEqual(userSettings(section), {});
  assert.deepEqual(userSettings({}), {});
  assert.deepEqual(userSettings(undefined), {});
});

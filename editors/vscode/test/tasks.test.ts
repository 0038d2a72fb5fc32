// What is known of tasks follows the server's events, and is told in one line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TaskEvent, TaskRow } from '../src/protocol';
import { describe, isOffered, TaskList } from '../src/tasks';

let changes = 0;
const list = () => new TaskList(() => (changes += 1));
const event = (task: string, fields: object) => ({ task, seq: 0, at: 0, ...fields }) as TaskEvent;
const verdict = { level: 'proven', reason: 'it works' } as const;
const row: TaskRow = { task: '1', action: 'fix', title: 'fix a.py', phase: 'complete', percent: 100 };

test('a task from its start to its end', () => {
  const tasks = list();
  assert.ok(tasks.update(event('1', { kind: 'started', action: 'fix', title: 'fix a.py' })));
  assert.equal(describe(tasks.get('1')!), '▱▱▱▱▱ queued 0 %');
  tasks.update(event('1', { kind: 'phase', phase: 'debugging', percent: 80, attempt: 1 }));
  tasks.update(event('1', { kind: 'phase', phase: 'testing', percent: 65, attempt: 2 }));
  tasks.update(event('1', { kind: 'usage', usage: { cost_usd: 0.0123 } }));
  assert.equal(describe(tasks.get('1')!), '▰▰▰▰▱ testing 80 % · $0.0123');
  assert.equal(tasks.running.length, 1);
  assert.ok(tasks.update(event('1', { kind: 'ended', phase: 'complete', verdict, message: '' })));
  assert.equal(describe(tasks.get('1')!), 'proven · $0.0123');
  assert.equal(tasks.running.length, 0);
  const before = changes;
  tasks.replace([{ ...row, verdict, proposal: 'standing', cost_usd: 1.5 }]);
  assert.equal(changes, before + 1);
  assert.equal(describe(tasks.get('1')!), 'proven, to review · $1.50');
  assert.ok(tasks.update(event('1', { kind: 'noted', level: 'info', text: 'Applied' })), 'the row is out of date');
});

test('the newest come first, also those of an earlier session', () => {
  const tasks = list();
  tasks.replace([{ ...row, task: '2' }, { ...row, task: '1' }]);
  tasks.update(event('3', { kind: 'started', action: 'run', title: 'run a.py' }));
  assert.deepEqual(tasks.all.map(({ task }) => task), ['3', '2', '1']);
});

test('a server that stops leaves nothing running and nothing to apply', () => {
  const tasks = list();
  tasks.replace([{ ...row, task: '2', phase: 'testing' }, { ...row, verdict, proposal: 'standing' }]);
  tasks.interrupt();
  assert.deepEqual(tasks.all.map(describe), ['cancelled', 'proven']);
});

test('what a row says', () => {
  const says = (fields: Partial<TaskRow>, expect: string) => assert.equal(describe({ ...row, ...fields }), expect);
  says({}, 'done');
  says({ phase: 'failed' }, 'failed');
  says({ phase: 'cancelled', verdict }, 'cancelled');
  says({ phase: 'failed', error: 'no key', verdict: { level: 'unverified', reason: 'no key' } }, 'failed');
  says({ verdict, proposal: 'applied' }, 'proven, applied');
  says({ verdict, server: 'this' }, 'proven');
  says({ verdict, server: 'other' }, 'proven · another editor');
  says({ phase: 'failed', server: 'earlier' }, 'failed · earlier');
  says({ verdict: { level: 'failing', reason: '' }, proposal: 'standing', phase: 'failed' }, 'failing');
});

test('a failing proposal is not offered', () => {
  assert.ok(isOffered({ ...row, proposal: 'standing', verdict }));
  assert.ok(!isOffered({ ...row, proposal: 'standing', verdict: { level: 'failing', reason: '' } }));
  assert.ok(!isOffered({ ...row, proposal: 'applied', verdict }));
});

test('tasks of other servers are told of, and are not ours', () => {
  const tasks = list();
  const elsewhere: TaskRow = { ...row, phase: 'testing', percent: 65, server: 'other' };
  const earlier: TaskRow = { ...row, task: '0', verdict, proposal: 'standing', server: 'earlier' };
  tasks.replace([elsewhere, earlier]);
  assert.equal(describe(elsewhere), '▰▰▰▱▱ testing 65 % · another editor');
  assert.ok(!isOffered(earlier));
  assert.deepEqual(tasks.running, []);
  tasks.interrupt();
  assert.equal(tasks.get('1')!.phase, 'testing');
});

// Events become readable lines; keys never do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redact, TaskLog } from '../src/log';
import type { TaskEvent } from '../src/protocol';

/** The lines for `events` of one task, with their levels. */
function logged(...events: object[]): string[] {
  const lines: string[] = [];
  const to = (level: string) => (line: string) => void lines.push(`${level} ${line}`);
  const log = new TaskLog({ debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') });
  events.forEach((event, seq) => log.add({ task: '018f-abcdef', seq, at: 0, ...event } as TaskEvent));
  return lines;
}

test('each kind of event is one line', () => {
  const tests = { run: 3, passed: 2, failed: 1 };
  assert.deepEqual(
    logged(
      { kind: 'started', action: 'fix', title: 'Fix gcd' },
      { kind: 'phase', phase: 'debugging', percent: 80, attempt: 2 },
      { kind: 'ran', stage: 'before', status: 'exit_nonzero', exit_code: 1, tests },
      { kind: 'noted', level: 'warning', text: 'slow' },
      { kind: 'ended', phase: 'failed', verdict: { level: 'failing', reason: '' }, message: 'no fix' },
    ),
    [
      'info abcdef fix: Fix gcd',
      'info abcdef [DEBUGGING] 80 %, attempt 2',
      'info abcdef check before the edit: exit_nonzero, 2 of 3 tests passed',
      'warn abcdef slow',
      'error abcdef failed (failing): no fix',
    ],
  );
});

test('speech in pieces is logged by lines', () => {
  assert.deepEqual(
    logged(
      { kind: 'said', agent: 'coder', text: 'I cha' },
      { kind: 'said', agent: 'coder', text: 'nge\nthis' },
      { kind: 'noted', level: 'info', text: 'done' },
    ),
    ['debug abcdef coder: I change', 'debug abcdef this', 'info abcdef done'],
  );
});

test('a kind that is not known is shown as it is', () => {
  assert.deepEqual(logged({ kind: 'new' }), ['info abcdef {"task":"018f-abcdef","seq":0,"at":0,"kind":"new"}']);
});

test('keys are blotted out of traces', () => {
  assert.equal(redact('Result: {\n    "key": "sk-or-\\"x\\""\n}'), 'Result: {\n    "key": "…"\n}');
  assert.equal(redact('{"keyEnv":"A"}'), '{"keyEnv":"A"}');
});

// What the wizard asks for each action, and what its answers become.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dollars, needsInstruction, questions, wish, type Answers } from '../src/wish';

const file = { label: 'a.py', uri: 'file:///w/a.py', isWorkspace: false };
const workspace = { label: 'w', uri: 'file:///w', isWorkspace: true };
const answers: Answers = {
  action: 'generate',
  target: workspace,
  instruction: ' a queue ',
  language: 'go',
  framework: '',
  check: 'go test ./...',
  budget: 0.2,
};

test('an action is asked what matters for it', () => {
  const asked = (action: Answers['action'], target?: Answers['target']) =>
    questions({ action, ...(target && { target }) }).join(' ');
  assert.equal(questions({}).join(' '), 'action');
  assert.equal(asked('run', file), 'action target');
  assert.equal(asked('explain', file), 'action target instruction budget');
  assert.equal(asked('fix', file), 'action target instruction check budget');
  assert.equal(asked('generate', workspace), 'action target instruction language framework check budget');
  // A file says its language itself.
  assert.equal(asked('tests', file), 'action target instruction framework check budget');
});

test('only a whole workspace leaves open what is wanted', () => {
  assert.ok(needsInstruction({ action: 'plan', target: workspace }));
  assert.ok(!needsInstruction({ action: 'plan', target: file }));
  assert.ok(!needsInstruction({ action: 'fix', target: workspace }));
});

test('answers become the argument of the command, empty ones and those of other actions left out', () => {
  const { uri } = workspace;
  assert.deepEqual(wish(answers), { uri, instruction: 'a queue', language: 'go', check: 'go test ./...', budget: 0.2 });
  assert.deepEqual(wish({ ...answers, action: 'run', target: file }), { uri: file.uri });
  const range = { start: { line: 1, character: 0 }, end: { line: 2, character: 0 } };
  assert.deepEqual(wish({ ...answers, action: 'explain', target: { ...file, range }, budget: undefined }), {
    uri: file.uri,
    range,
    instruction: 'a queue',
  });
});

test('sums of money', () => {
  assert.deepEqual(['0.25', '$0.25', ' 0,25 $ ', '2'].map(dollars), [0.25, 0.25, 0.25, 2]);
  assert.deepEqual(['', '0', '-1', 'one', '1.2.3', '1e3'].map(dollars), Array(6).fill(undefined));
});

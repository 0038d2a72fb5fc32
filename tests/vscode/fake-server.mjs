#!/usr/bin/env node
// A language server that plays the public contract by heart, so that the client can be tested on its own.
// `fix` offers a repaired gcd.py, `run` lasts until it is cancelled, `plan` fails for want of a key, `tests` is the end
// of the server; the others only answer. The only key it takes begins with `sk-test-`.
// Every message that comes in is written to the file OPENDEVAGENT_TRANSCRIPT, one JSON document a line.
import { appendFileSync } from 'node:fs';

if (process.argv.includes('--version')) {
  console.log('opendevagent 0.0.0-fake');
  process.exit();
}

const COMMANDS =
  'plan generate fix tests review explain run apply discard showDiff showPlan showLog cancel tasks dashboard restartSandbox';
const documents = new Map();
const waiting = new Map();
const running = new Map();
/** Rows of `opendevagent/tasks` by id, and what was asked for. */
const rows = new Map();
const wishes = new Map();
const proposals = new Map();
let sent = 0;

function send(message) {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message });
  process.stdout.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

const notify = (method, params) => send({ method, params });

function request(method, params) {
  const id = `fake-${++sent}`;
  send({ id, method, params });
  return new Promise((resolve) => waiting.set(id, resolve));
}

/** The events of one task, numbered without gaps. */
function taskEvents() {
  const task = `018f0000-0000-7000-8000-${String(++sent).padStart(12, '0')}`;
  let seq = 0;
  return {
    task,
    event: (kind, fields) => {
      const { action, title, phase, percent, verdict, usage } = fields;
      const row = rows.get(task) ?? { task, action, title, phase: 'queued', percent: 0, proposal: 'none', cost_usd: 0 };
      rows.set(task, { ...row, ...(phase && { phase }), ...(percent && { percent }), ...(verdict && { verdict }) });
      Object.assign(rows.get(task), usage && { cost_usd: usage.cost_usd });
      notify('opendevagent/event', { task, seq: seq++, at: Date.now(), kind, ...fields });
    },
  };
}

function decide(task, event, proposal) {
  rows.get(task).proposal = proposal;
  event('noted', { level: 'info', text: proposal });
}

async function fix({ uri }, { task, event }) {
  const { version, text } = documents.get(uri);
  const before = { run: 1, passed: 0, failed: 1 };
  const verdict = { level: 'proven', reason: 'test_gcd failed before and passes now' };
  notify('opendevagent/status', { state: 'busy', message: '1 task runs' });
  event('started', { action: 'fix', title: 'Fix gcd' });
  await request('opendevagent/credentials', {});
  event('ran', { stage: 'before', status: 'exit_nonzero', exit_code: 1, tests: before });
  event('phase', { phase: 'debugging', percent: 80, attempt: 1 });
  event('said', { agent: 'debugger', text: 'The remainder is needed, not the quotient.\n' });
  event('ran', { stage: 'after', status: 'ok', exit_code: 0, tests: { run: 1, passed: 1, failed: 0 } });
  event('usage', { usage: { calls: 1, prompt_tokens: 900, completion_tokens: 80, cost_usd: 0.0123 } });
  rows.get(task).proposal = 'standing';
  event('ended', { phase: 'complete', verdict, message: verdict.reason });
  notify('opendevagent/status', { state: 'ready', message: 'ready' });
  const after = text.replace('a // b', 'a % b');
  const created = { uri: uri.replace(/[^/]*$/, 'notes.md'), before: null, after: '# gcd\n', diff: '' };
  const review = { task, title: 'Fix gcd', verdict, files: [{ uri, before: text, after, diff: '' }, created] };
  const apply = async () => {
    const start = text.indexOf('a // b') - text.indexOf('\n') - 1;
    const range = { start: { line: 1, character: start }, end: { line: 1, character: start + 'a // b'.length } };
    const change = { textDocument: { uri, version }, edits: [{ range, newText: 'a % b' }] };
    await request('workspace/applyEdit', { edit: { documentChanges: [change] } });
    decide(task, event, 'applied');
  };
  const discard = () => decide(task, event, 'discarded');
  proposals.set(task, { review, apply, discard });
  const { decision } = await request('opendevagent/review', review);
  await { apply, discard }[decision]?.();
}

function plan(_, { event }) {
  event('started', { action: 'plan', title: 'Plan gcd' });
  event('ended', { phase: 'failed', verdict: null, message: 'no key for openrouter.ai', stop: 'key' });
  const remedy = 'hand one over in your editor';
  notify('opendevagent/status', { state: 'problem', message: 'no key for openrouter.ai', remedy, about: 'key' });
}

function run(_, { task, event }) {
  event('started', { action: 'run', title: 'Run endless.py' });
  event('phase', { phase: 'testing', percent: 65, attempt: 0 });
  running.set(task, () => event('ended', { phase: 'cancelled', verdict: null, message: 'cancelled by the user' }));
}

function execute(id, name, argument) {
  if (name === 'cancel') {
    send({ id, result: null });
    running.get(argument.task)?.();
    running.delete(argument.task);
  } else if (proposals.has(argument.task)) {
    send({ id, result: null });
    proposals.get(argument.task)[name]?.();
  } else if (documents.has(argument.uri) || name === 'generate') {
    begin(id, name, argument);
  } else {
    send({ id, error: { code: -32602, message: `${argument.uri} is not open` } });
  }
}

function begin(id, name, argument) {
  const events = taskEvents();
  wishes.set(events.task, [name, argument]);
  send({ id, result: { task: events.task } });
  ({ fix, run, plan, tests: () => process.exit(1) })[name]?.(argument, events);
}

function setKey(id, key) {
  const ok = key === null || key.startsWith('sk-test-');
  const message = ok ? 'key test, $3.50 of $5.00 left' : 'openrouter.ai refused the key';
  send({ id, result: { ok, message, refused: !ok } });
}

const DOCTOR = {
  checks: [
    { name: 'model', ok: true, message: 'key test, no limit' },
    { name: 'sandbox', ok: false, message: 'no Docker engine was found', remedy: 'install Docker' },
  ],
  local: [],
};

const capabilities = {
  textDocumentSync: { openClose: true, change: 1, save: true },
  executeCommandProvider: { commands: COMMANDS.split(' ').map((name) => `opendevagent.${name}`) },
};

const handlers = {
  initialize: ({ id }) => send({ id, result: { capabilities } }),
  shutdown: ({ id }) => send({ id, result: null }),
  exit: () => process.exit(),
  'textDocument/didOpen': ({ params: { textDocument } }) => documents.set(textDocument.uri, textDocument),
  'textDocument/didChange': ({ params: { textDocument, contentChanges } }) =>
    documents.set(textDocument.uri, { version: textDocument.version, text: contentChanges.at(-1).text }),
  'opendevagent/tasks': ({ id }) => send({ id, result: [...rows.values()].reverse() }),
  'opendevagent/proposal': ({ id, params: { task } }) => send({ id, result: proposals.get(task).review }),
  'opendevagent/again': ({ id, params: { task } }) => begin(id, ...wishes.get(task)),
  'opendevagent/setKey': ({ id, params: { key } }) => setKey(id, key),
  'opendevagent/doctor': ({ id }) => send({ id, result: DOCTOR }),
  'workspace/executeCommand': ({ id, params }) =>
    execute(id, params.command.replace('opendevagent.', ''), params.arguments[0]),
};

function receive(message) {
  appendFileSync(process.env.OPENDEVAGENT_TRANSCRIPT, `${JSON.stringify(message)}\n`);
  if (message.method === undefined) {
    waiting.get(message.id)?.(message.result);
  } else if (handlers[message.method]) {
    handlers[message.method](message);
  } else if (message.id !== undefined) {
    send({ id: message.id, error: { code: -32601, message: `${message.method} is not known` } });
  }
}

let pending = Buffer.alloc(0);
process.stdin.on('data', (bytes) => {
  pending = Buffer.concat([pending, bytes]);
  for (;;) {
    const head = pending.indexOf('\r\n\r\n');
    const length = Number(/Content-Length: (\d+)/i.exec(pending.subarray(0, Math.max(head, 0)).toString())?.[1]);
    if (head < 0 || pending.length < head + 4 + length) {
      return;
    }
    const body = pending.subarray(head + 4, head + 4 + length).toString();
    pending = pending.subarray(head + 4 + length);
    receive(JSON.parse(body));
  }
});
process.stdin.on('end', () => process.exit());

#!/usr/bin/env node
// A language server that plays the public contract by heart, so that the client can be tested on its own.
// `fix` offers a repaired gcd.py, `run` lasts until it is cancelled, `tests` is the end of the server; the others only answer.
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
    event: (kind, fields) => notify('opendevagent/event', { task, seq: seq++, at: Date.now(), kind, ...fields }),
  };
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
  event('ended', { phase: 'complete', verdict, message: verdict.reason });
  notify('opendevagent/status', { state: 'ready', message: 'ready' });
  const after = text.replace('a // b', 'a % b');
  const created = { uri: uri.replace(/[^/]*$/, 'notes.md'), before: null, after: '# gcd\n', diff: '' };
  const review = { task, title: 'Fix gcd', verdict, files: [{ uri, before: text, after, diff: '' }, created] };
  const { decision } = await request('opendevagent/review', review);
  if (decision === 'apply') {
    const start = text.indexOf('a // b') - text.indexOf('\n') - 1;
    const range = { start: { line: 1, character: start }, end: { line: 1, character: start + 'a // b'.length } };
    const change = { textDocument: { uri, version }, edits: [{ range, newText: 'a % b' }] };
    await request('workspace/applyEdit', { edit: { documentChanges: [change] } });
  }
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
  } else if (documents.has(argument.uri)) {
    const events = taskEvents();
    send({ id, result: { task: events.task } });
    ({ fix, run, tests: () => process.exit(1) })[name]?.(argument, events);
  } else {
    send({ id, error: { code: -32602, message: `${argument.uri} is not open` } });
  }
}

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

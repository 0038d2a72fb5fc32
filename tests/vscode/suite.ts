// What the client does, seen from inside the extension host of a real VS Code. Started by run.mjs.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import Mocha from 'mocha';
import * as vscode from 'vscode';
import { measureActivation } from './activation';

const BROKEN = 'def gcd(a, b):\n    return a if b == 0 else gcd(b, a // b)\n';
const FIXED = BROKEN.replace('//', '%');
const KEY = 'sk-test-0123456789';
const CANCEL_BUTTON = '.notification-list-item .monaco-button:text("Cancel")';
const PATIENCE_MS = 30_000;

/** Only the fake server writes one. */
const transcript = process.env['OPENDEVAGENT_TRANSCRIPT'];

interface Message {
  id?: string;
  method?: string;
  params?: any;
  result?: any;
}

/** What the fake server has received. */
function received(): Message[] {
  const lines = readFileSync(transcript!, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Message);
}

/** Answers of the client to requests of the server that have the field `name`. */
function answers(name: string): unknown[] {
  return received()
    .filter(({ result }) => result && name in result)
    .map(({ result }) => result[name]);
}

function executed(command: string): any {
  return received().findLast(
    ({ method, params }) => method === 'workspace/executeCommand' && params.command === command,
  )?.params.arguments[0];
}

/** Asks the person in front of the screen to do something; see run.mjs. */
async function person(
  act: 'type' | 'press' | 'click' | 'hover' | 'read' | 'count' | 'picture' | 'say',
  argument: string,
): Promise<unknown> {
  const response = await fetch(process.env['OPENDEVAGENT_PERSON']!, {
    method: 'POST',
    body: JSON.stringify({ act, argument }),
  });
  const { result, error } = (await response.json()) as { result: unknown; error?: string };
  assert.equal(error, undefined);
  return result;
}

/** Waits until `probe` gives something, and gives it. */
async function until<T>(what: string, probe: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; ;) {
    const value = await probe();
    if (value) {
      return value;
    }
    assert.ok(Date.now() < end, `waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const ui = (name: string, ...args: unknown[]) => vscode.commands.executeCommand(`opendevagent.ui.${name}`, ...args);

/** What an input box says against its value. */
const objection = async () => String(await person('read', '.quick-input-message'));

async function open(name: string): Promise<vscode.TextEditor> {
  const [folder] = vscode.workspace.workspaceFolders!;
  return vscode.window.showTextDocument(vscode.Uri.joinPath(folder!.uri, name), { preview: false });
}

function diffTabs(): vscode.Tab[] {
  return vscode.window.tabGroups.all
    .flatMap((group) => group.tabs)
    .filter((tab) => tab.input instanceof vscode.TabInputTextDiff);
}

/** The text of the newest notification. */
async function notification(): Promise<string> {
  await vscode.commands.executeCommand('notifications.showList');
  return String(await person('read', '.notification-list-item-message'));
}

/** What the language status in the status bar says when the pointer is on it. */
async function status(): Promise<string> {
  await person('hover', '[id="status.languageStatus"]');
  const text = String(await person('read', '.hover-language-status:has-text("OpenDevAgent")'));
  await person('hover', '.editor-container'); // The next pointer shall find it changed.
  return text;
}

/** Runs Fix on gcd.py and waits for its review. */
async function fix(): Promise<vscode.TextDocument> {
  const { document } = await open('gcd.py');
  assert.equal(document.getText(), BROKEN);
  await ui('fix');
  await until('the diff of gcd.py', () =>
    vscode.window.tabGroups.activeTabGroup.activeTab?.label.startsWith('gcd.py: '),
  );
  return document;
}

const extension = () => vscode.extensions.getExtension('opendevagent.opendevagent')!;

/** A button of a notification, and a row of a pick list. */
const button = (title: string) => `.notification-list-item .monaco-button:text-is("${title}")`;
const ROW = (text: string) => `.quick-input-list .monaco-list-row:has-text("${text}")`;

/** Waits for a step of the wizard. The same widget shows them all. */
const atStep = (step: number) =>
  until(`step ${step}`, async () =>
    String(await person('read', '.quick-input-title')).includes(`(${step}/`),
  );

async function answer(step: number, text: string): Promise<void> {
  await atStep(step);
  await person('type', text);
}

const FIRST_TASK = '.pane-body:has([aria-label="Tasks"]) .monaco-list-row[data-index="0"]';
const firstTask = async () => String(await person('read', FIRST_TASK));

const reviewEnds = () => until('the end of the review', () => diffTabs().length === 0);

/** The text of the log channel, which VS Code shows as a document. */
async function log(): Promise<string> {
  await ui('log');
  const channel = await until('the log', () =>
    vscode.workspace.textDocuments.find(
      ({ uri }) => uri.scheme === 'output' && /OpenDevAgent(?!.Server)/.test(uri.path),
    ),
  );
  return channel.getText();
}

function define(): void {
  if (!transcript) {
    test('is not active before it is needed; what it costs then is printed', async () => {
      assert.ok(!extension().isActive);
      for (const line of await measureActivation(extension(), vscode.extensions.getExtension('opendevagent-tests.empty')!)) {
        await person('say', line);
      }
    });
  }

  test('starts with a Python file, and has the commands of both sides', async () => {
    await open('gcd.py');
    const all = await until('the start of the server', async () => {
      const commands = await vscode.commands.getCommands(true);
      return commands.includes('opendevagent.fix') && commands;
    });
    const declared = extension().packageJSON.contributes.commands as { command: string }[];
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !all.includes(command)),
      [],
    );
  });

  test('the language status tells that the server is ready', async () => {
    assert.match(await status(), /OpenDevAgent: ready/);
  });

  test('review: ✓ applies to the buffer, one undo takes it back', async () => {
    const document = await fix();
    await person('picture', 'review');
    await person('click', '.editor-actions [aria-label^="Apply Proposal"]');
    await until('the edit', () => document.getText() === FIXED);
    await reviewEnds();
    assert.ok(document.isDirty, 'the buffer is changed, not the file');
    await open('gcd.py');
    await person('picture', 'applied');
    await vscode.commands.executeCommand('undo');
    assert.equal(document.getText(), BROKEN);
  });

  test('review: ✗ discards', async () => {
    const document = await fix();
    await person('click', '.editor-actions [aria-label^="Discard Proposal"]');
    await reviewEnds();
    assert.equal(document.getText(), BROKEN);
  });

  test('review: closing all tabs puts it off', async () => {
    const document = await fix();
    await vscode.window.tabGroups.close(diffTabs());
    await reviewEnds();
    assert.equal(document.getText(), BROKEN);
  });

  test('the log tells the story of the tasks', async () => {
    const text = await until('the end of a task', async () => {
      const lines = await log();
      return lines.includes('complete (proven)') && lines;
    });
    assert.match(text, /check before the edit: exit_nonzero, 0 of 1 tests passed/);
    await person('picture', 'log');
  });

  test('no progress is left of a task that has ended', async () => {
    await vscode.commands.executeCommand('notifications.showList');
    await until('their end', async () => (await person('count', CANCEL_BUTTON)) === 0);
  });

  test('a running task is shown with its phase, and its Cancel button ends it', async () => {
    await open('endless.py');
    await ui('run');
    await until('the start', async () => (await log()).includes('run: '));
    await until('the phase', async () => /endless\.py.*testing/.test(await notification()));
    await person('picture', 'progress');
    await person('click', CANCEL_BUTTON);
    await until('the end', async () => (await log()).includes('cancelled: '));
  });

  test('a task can be cancelled by command', async () => {
    const count = async (text: string) => (await log()).split(text).length;
    const [starts, ends] = [await count('run: '), await count('cancelled: ')];
    await open('endless.py');
    await ui('run');
    await until('the start', async () => (await count('run: ')) > starts);
    await ui('cancel');
    await until('the end', async () => (await count('cancelled: ')) > ends);
  });

  if (transcript) {
    defineWithFake();
  }
}

/** What only the other side of the wire can see. */
function defineWithFake(): void {
  test('opts in to everything, and sends only settings that are set', () => {
    const [initialize] = received().filter(({ method }) => method === 'initialize');
    const client = { review: true, events: true, credentials: true, status: true, ends: true };
    assert.deepEqual(initialize!.params.initializationOptions, { client, settings: {} });
  });

  test('each decision has been sent', async () => {
    const decisions = await until('three answers', () => answers('decision').length === 3 && answers('decision'));
    assert.deepEqual(decisions, ['apply', 'discard', 'later']);
    assert.deepEqual(answers('applied'), [true]);
  });

  test('cancel has named the task', () => {
    assert.match(executed('opendevagent.cancel').task, /^018f/);
  });

  test('the key is typed once, asked for each time, and gone when removed', async () => {
    const keyNow = async () => {
      const document = await fix();
      await ui('discard');
      await reviewEnds();
      assert.equal(document.getText(), BROKEN);
      return received().findLast(({ method, result }) => method === undefined && (result === null || result?.key))
        ?.result;
    };
    assert.equal(await keyNow(), null);
    const asked = ui('setKey');
    await person('type', 'two words');
    await until('the objection', async () => /one word/.test(await objection()));
    await person('type', 'wrong');
    await until('the refusal', async () => /refused the key/.test(await objection()));
    await person('type', KEY);
    await asked;
    assert.match(await notification(), /the key works: key test, \$3\.50 of \$5\.00 left/);
    // A key that was refused is taken back before another is tried.
    const tried = received().filter(({ method }) => method === 'opendevagent/setKey');
    assert.deepEqual(tried.map(({ params }) => params.key), ['wrong', null, KEY]);
    assert.deepEqual(await keyNow(), { key: KEY });
    await ui('removeKey');
    assert.equal(await keyNow(), null);
    assert.ok(!(await log()).includes(KEY));
  });

  test('Fix takes the problems of the line along', async () => {
    const { document, selection } = await open('gcd.py');
    const problems = vscode.languages.createDiagnosticCollection('test');
    const line = document.lineAt(selection.active.line).range;
    const elsewhere = new vscode.Range(line.end.translate(1, 0), line.end.translate(1, 1));
    problems.set(document.uri, [new vscode.Diagnostic(line, 'wrong'), new vscode.Diagnostic(elsewhere, 'not here')]);
    await fix();
    problems.dispose();
    await ui('discard');
    await reviewEnds();
    const { uri, range, diagnostics } = executed('opendevagent.fix');
    const { line: row, character } = selection.active;
    assert.equal(uri, document.uri.toString());
    assert.deepEqual(range, { start: { line: row, character }, end: { line: row, character } });
    assert.deepEqual(
      diagnostics.map(({ message }: { message: string }) => message),
      ['wrong'],
    );
  });

  test('Plan asks what for; without a key it says what helps', async () => {
    await open('gcd.py');
    const asked = ui('plan');
    await person('type', 'add lcm');
    await asked;
    assert.equal(executed('opendevagent.plan').instruction, 'add lcm');
    await until('the message', async () => /no key for openrouter/.test(await notification()));
    for (const title of ['Set API Key…', 'Use a Local Model', 'Run Again', 'Show Log']) {
      await until(title, async () => Number(await person('count', button(title))) > 0);
    }
    assert.match(await status(), /no key for openrouter.*hand one over.*Set API Key/);
  });

  test('after a key is set, what failed for want of it can run again', async () => {
    const plans = () => received().filter(({ params }) => params?.command === 'opendevagent.plan').length;
    const again = () => received().filter(({ method }) => method === 'opendevagent/again').length;
    assert.deepEqual([plans(), again()], [1, 0]);
    await vscode.commands.executeCommand('notifications.clearAll');
    const asked = ui('setKey');
    await person('type', KEY);
    await asked;
    await until('the message', async () => /the key works/.test(await notification()));
    await person('click', button('Run Again'));
    await until('the second run', () => again() === 1);
    await ui('removeKey');
    await vscode.commands.executeCommand('notifications.clearAll');
  });

  test('New Task asks step by step, goes back, and shows what it will do', async () => {
    const { selection } = await open('gcd.py');
    const asked = ui('newTask');
    await answer(1, 'Generate');
    await answer(2, 'This file');
    await atStep(3);
    await person('click', '.quick-input-titlebar [aria-label^="Back"]');
    await answer(2, 'Whole workspace');
    await answer(3, ''); // A whole workspace does not say what is wanted.
    await until('the objection', async () => /Say what you want/.test(await objection()));
    await answer(3, 'add lcm');
    await answer(4, 'python');
    await answer(5, 'pytest');
    await answer(6, 'python -m pytest -q');
    await answer(7, '0.07');
    await atStep(8);
    await person('picture', 'wizard');
    await person('press', 'Enter');
    await asked;
    const [folder] = vscode.workspace.workspaceFolders!;
    assert.deepEqual(executed('opendevagent.generate'), {
      uri: folder!.uri.toString(),
      instruction: 'add lcm',
      language: 'python',
      framework: 'pytest',
      check: 'python -m pytest -q',
      budget: 0.07,
    });
    assert.ok(selection.isEmpty);
  });

  test('New Task given up starts nothing', async () => {
    const before = received().filter(({ method }) => method === 'workspace/executeCommand').length;
    const asked = ui('newTask');
    await answer(1, 'Fix');
    await atStep(2);
    await person('press', 'Escape');
    await asked;
    assert.equal(received().filter(({ method }) => method === 'workspace/executeCommand').length, before);
  });

  test('Check Setup lists what is missing, with what mends it', async () => {
    const asked = ui('doctor');
    await until('the list', async () => Number(await person('count', ROW('no Docker engine was found'))) > 0);
    assert.match(String(await person('read', ROW('sandbox'))), /Set Up Docker/);
    await person('picture', 'doctor');
    await person('press', 'Escape');
    await asked;
  });

  test('the view shows tasks with verdict and cost, and can apply one that was put off', async () => {
    const document = await fix();
    await vscode.window.tabGroups.close(diffTabs());
    await reviewEnds();
    await vscode.commands.executeCommand('opendevagent.tasks.focus');
    await until('the row', async () => /Fix gcd.*proven, to review · \$0\.0123/.test(await firstTask()));
    await person('hover', FIRST_TASK);
    await person('picture', 'tasks');
    await person('click', `${FIRST_TASK} [aria-label^="Review Changes"]`);
    await until('the diff', () => diffTabs().length === 2);
    await ui('nextFile');
    await until('the next file', () => vscode.window.tabGroups.activeTabGroup.activeTab?.label.startsWith('notes.md: '));
    await ui('nextFile');
    await until('the first file', () => vscode.window.tabGroups.activeTabGroup.activeTab?.label.startsWith('gcd.py: '));
    await person('hover', FIRST_TASK);
    await person('click', `${FIRST_TASK} [aria-label^="Apply"]`);
    await until('the edit', () => document.getText() === FIXED);
    await reviewEnds();
    await until('the outcome', async () => /proven, applied/.test(await firstTask()));
    await open('gcd.py');
    await vscode.commands.executeCommand('undo');
  });

  test('the view runs a task again and cancels it', async () => {
    await open('endless.py');
    await ui('run');
    await until('the row', async () => /Run endless\.py.*testing 65 %/.test(await firstTask()));
    await person('hover', FIRST_TASK);
    await person('click', `${FIRST_TASK} [aria-label^="Cancel Task"]`);
    await until('the end', async () => /cancelled/.test(await firstTask()));
    await person('hover', FIRST_TASK);
    await person('click', `${FIRST_TASK} [aria-label^="Run Again"]`);
    await until('the start', async () => /testing/.test(await firstTask()));
    await ui('cancel');
    await until('the end', async () => /cancelled/.test(await firstTask()));
  });

  test('no key is bound that VS Code binds', async () => {
    const text = await vscode.workspace.openTextDocument(vscode.Uri.parse('vscode://defaultsettings/keybindings.json'));
    const bound = [...text.getText().matchAll(/"key": "([^"]+)",\s*"command": "([^"]+)"/g)];
    const pairs = bound.map(([, key, command]) => [key!, command!] as const);
    const others = new Map(pairs.filter(([, command]) => !command.startsWith('opendevagent.')));
    assert.ok(others.size > 100, 'the list was read');
    const ours = extension().packageJSON.contributes.keybindings as { key: string }[];
    const clashes = ours.filter(({ key }) => {
      const [first] = key.split(' ');
      return [...others.keys()].some((other) => other === key || other === first || other.startsWith(`${first} `));
    });
    assert.deepEqual(clashes, []);
  });

  const starts = () => received().filter(({ method }) => method === 'initialize').length;
  async function worksAfterStart(number: number): Promise<void> {
    await until(
      'the start',
      async () => starts() === number && (await vscode.commands.getCommands()).includes('opendevagent.fix'),
    );
    await fix();
    await ui('discard');
    await reviewEnds();
  }

  test('works as before after a restart', async () => {
    await ui('restart');
    await worksAfterStart(2);
  });

  test('works as before after a crash, which puts off what was under review', async () => {
    await fix();
    await open('gcd.py');
    await ui('tests');
    await reviewEnds();
    await worksAfterStart(3);
  });

  test('says what is wrong when the server cannot be started', async () => {
    const working = process.env['OPENDEVAGENT_BIN']!;
    process.env['OPENDEVAGENT_BIN'] = '/nowhere/opendevagent';
    await ui('restart');
    await open('gcd.py');
    assert.match(await notification(), /\/nowhere\/opendevagent \(from OPENDEVAGENT_BIN\) cannot be started/);
    await person('picture', 'missing');
    assert.match(await status(), /OpenDevAgent: not running/);
    process.env['OPENDEVAGENT_BIN'] = working;
    await person('click', '.notification-list-item .monaco-button:text("Try Again")');
    await worksAfterStart(4);
  });

  defineWorkspaceServer(starts);
}

/** A workspace may bring a server of its own; nobody uses it without having said so. */
function defineWorkspaceServer(starts: () => number): void {
  test('the server of a workspace is asked about, and used once that is answered', async () => {
    const fake = process.env['OPENDEVAGENT_BIN']!;
    const [folder] = vscode.workspace.workspaceFolders!;
    const program = vscode.Uri.joinPath(folder!.uri, '.venv/bin/opendevagent').fsPath;
    mkdirSync(path.dirname(program), { recursive: true });
    writeFileSync(program, `#!/bin/sh\nexec "${fake}" "$@"\n`, { mode: 0o755 });
    const before = starts();
    process.env['OPENDEVAGENT_BIN'] = '';
    await vscode.commands.executeCommand('notifications.clearAll');
    await ui('restart');
    await vscode.commands.executeCommand('notifications.showList');
    await until('the question', async () => Number(await person('count', button('Use It'))) > 0);
    assert.equal(starts(), before, 'it does not run yet');
    await person('picture', 'workspace-server');
    await person('click', button('Use It'));
    await until('its start', () => starts() === before + 1);
    await ui('restart');
    await until('a start without a question', () => starts() === before + 2);
    process.env['OPENDEVAGENT_BIN'] = fake;
  });
}

/** What a workspace that nobody has said to trust may have done. The fake server is the only one that runs here. */
function defineUntrusted(): void {
  const starts = () => received().filter(({ method }) => method === 'initialize');
  const refusal = () => until('the refusal', async () => /not trusted.*nothing of it is run/.test(await notification()));

  test('the server runs, and nothing that the workspace sets reaches it', async () => {
    const [folder] = vscode.workspace.workspaceFolders!;
    const file = vscode.Uri.joinPath(folder!.uri, '.vscode/settings.json').fsPath;
    mkdirSync(path.dirname(file), { recursive: true });
    const wanted = { 'opendevagent.path': '/evil', 'opendevagent.model.baseUrl': 'https://evil.example' };
    writeFileSync(file, JSON.stringify(wanted));
    await open('gcd.py');
    await until('the start', async () => /OpenDevAgent: ready/.test(await status()));
    const before = starts().length;
    await ui('restart');
    await until('another start', () => starts().length > before);
    await until('its end', async () => /OpenDevAgent: ready/.test(await status()));
    assert.deepEqual(starts().at(-1)!.params.initializationOptions.settings, {});
  });

  test('Fix is refused, whether it comes from us or from a code action', async () => {
    await open('gcd.py');
    for (const start of [() => ui('fix'), () => vscode.commands.executeCommand('opendevagent.fix', {})]) {
      await vscode.commands.executeCommand('notifications.clearAll');
      await start();
      await refusal();
    }
    await person('picture', 'untrusted');
    // It has the focus, and so the keys of the next question.
    await vscode.commands.executeCommand('notifications.clearAll');
    assert.equal(executed('opendevagent.fix'), undefined);
  });

  test('the wizard offers only what reads', async () => {
    const asked = ui('newTask');
    await atStep(1);
    await until('the actions', async () => Number(await person('count', ROW('Plan'))) > 0);
    for (const title of ['Fix', 'Generate', 'Write Tests', 'Run in Sandbox']) {
      assert.equal(await person('count', ROW(title)), 0, title);
    }
    await person('press', 'Escape');
    await asked;
  });

  test('Review works', async () => {
    await open('gcd.py');
    await ui('review');
    await until('the order', () => executed('opendevagent.review'));
  });

  test('once it is trusted, Fix works', async () => {
    await vscode.commands.executeCommand('notifications.clearAll');
    const before = starts().length;
    await vscode.commands.executeCommand('workbench.trust.manage');
    await person('picture', 'trust');
    await person('click', '.workspace-trust-editor .monaco-button:text-is("Trust")');
    await until('the trust', () => vscode.workspace.isTrusted);
    await until('another start', () => starts().length > before);
    await fix();
    await ui('discard');
    await reviewEnds();
  });
}

export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'tdd', timeout: 2 * PATIENCE_MS, reporter: Mocha.reporters.Base });
  mocha.suite.emit('pre-require', globalThis, '', mocha);
  suite('client', vscode.workspace.isTrusted ? define : defineUntrusted);
  const failures: string[] = [];
  const total = await new Promise<number>((resolve) => {
    const runner = mocha.run(() => resolve(runner.total));
    runner.on('pass', (passed) => void person('say', `ok   ${passed.title} (${passed.duration} ms)`));
    runner.on('fail', (failed, error) => {
      failures.push(failed.title);
      void person('say', `FAIL ${failed.title}\n${(error as Error).stack}`);
    });
  });
  await person('say', `vscode: ${total - failures.length} of ${total} tests passed`);
  if (failures.length > 0) {
    throw new Error(`failed: ${failures.join(', ')}`);
  }
}

// The commands of the palette, the menus and the tree. Their ids differ from the server's own commands, which
// vscode-languageclient registers as they are: an id registered twice stops the client from starting.
import * as vscode from 'vscode';
import type { Client } from './client';
import { checkSetup, inTerminal, useLocalModel } from './doctor';
import { showMenu } from './menu';
import type { Action, ReviewParams, Wish } from './protocol';
import type { Reviews } from './review';
import type { Secrets } from './secrets';
import type { StatusItem } from './status';
import { isOffered, type TaskList } from './tasks';
import { allows } from './trust';
import { ACTIONS } from './wish';
import { wizard } from './wizard';

/** Actions that are asked for what is meant, and those that take the problems at the cursor along. */
const ASKED: ReadonlySet<Action> = new Set(['plan', 'generate']);
const WITH_PROBLEMS: ReadonlySet<Action> = new Set(['fix', 'explain']);

export interface Targets {
  client: Client;
  log: vscode.LogOutputChannel;
  memory: vscode.Memento;
  reviews: Reviews;
  secrets: Secrets;
  status: StatusItem;
  tasks: TaskList;
}

type Commands = Record<string, (argument: unknown) => unknown>;

export function registerCommands(targets: Targets): vscode.Disposable {
  const commands = { ...general(targets), ...ofReviews(targets), ...ofTasks(targets), ...ofActions(targets) };
  const registered = Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`opendevagent.ui.${name}`, async (argument: unknown) => {
      try {
        await run(argument);
      } catch (error) {
        report(error);
      }
    }),
  );
  return vscode.Disposable.from(...registered);
}

function general({ client, log, secrets, status, tasks }: Targets): Commands {
  return {
    menu: () => showMenu(status.current, tasks.running.length > 0),
    log: () => log.show(true),
    restart: () => client.restart(),
    settings: () =>
      vscode.commands.executeCommand('workbench.action.openSettings', '@ext:opendevagent.opendevagent'),
    setKey: () => secrets.ask(),
    removeKey: () => secrets.remove(),
    chooseServer: chooseServer,
    walkthrough: async () => {
      await vscode.commands.executeCommand('workbench.action.openWalkthrough', 'opendevagent.opendevagent#start', false);
      await secrets.tick();
    },
    doctor: () => checkSetup(client),
    localModel: () => useLocalModel(client),
    fixSetup: () => inTerminal(client, 'Set up Docker', ['doctor', '--fix']),
    installDependencies: () => inTerminal(client, 'Install dependencies', ['sandbox', 'setup']),
    demo: () => inTerminal(client, 'Demo', ['demo']),
    dashboard: () => execute(client, 'dashboard', {}),
  };
}

function ofReviews({ reviews }: Targets): Commands {
  const uri = (argument: unknown) => (argument instanceof vscode.Uri ? argument : undefined);
  return {
    apply: (argument) => reviews.decideAt(uri(argument), 'apply'),
    discard: (argument) => reviews.decideAt(uri(argument), 'discard'),
    nextFile: (argument) => reviews.next(uri(argument)),
  };
}

/** Commands about one task: the tree hands over its row, a button of a message `{task}`. */
function ofTasks(targets: Targets): Commands {
  const { client, reviews, tasks } = targets;
  const about = (run: (task: string) => unknown) => (argument: unknown) => {
    const task = (argument as { task?: unknown } | undefined)?.task;
    return typeof task === 'string' ? run(task) : undefined;
  };
  const decide = (decision: 'apply' | 'discard') =>
    about((task) => reviews.decideTask(task, decision) || execute(client, decision, { task }));
  return {
    cancel: () => chooseAndCancel(client, tasks),
    cancelTask: about(async (task) => {
      await execute(client, 'cancel', { task });
      client.refresh(); // No event tells of tasks of other servers.
    }),
    openDiff: about((task) => openDiff(targets, task)),
    taskLog: about((task) => execute(client, 'showLog', { task })),
    again: about((task) => allows(tasks.get(task)?.action ?? '') && client.request('opendevagent/again', { task })),
    applyTask: decide('apply'),
    discardTask: decide('discard'),
    refreshTasks: () => client.refresh(),
  };
}

function ofActions({ client, memory }: Targets): Commands {
  const actions = Object.keys(ACTIONS).map((action) => [action, () => act(client, action as Action)]);
  const newTask = async () => {
    const started = await wizard(memory, fileEditor());
    if (started && allows(started.action)) {
      await execute(client, started.action, started.wish);
    }
  };
  return { ...Object.fromEntries(actions), newTask };
}

/** Asks the server to end a task. */
export async function cancelTask(client: Client, task: string): Promise<void> {
  await execute(client, 'cancel', { task }).catch(report);
}

async function chooseAndCancel(client: Client, tasks: TaskList): Promise<void> {
  const running = tasks.running.map(({ task, title }) => ({ label: title, task }));
  const chosen =
    running.length > 1 ? await vscode.window.showQuickPick(running, { title: 'Cancel which task?' }) : running[0];
  if (chosen) {
    await execute(client, 'cancel', { task: chosen.task });
  }
}

/** A proposal that is offered opens for review once more; another is only shown. */
async function openDiff({ client, reviews, tasks }: Targets, task: string): Promise<void> {
  if (await reviews.reveal(task)) {
    return;
  }
  const row = tasks.get(task);
  if (!row || !isOffered(row)) {
    await execute(client, 'showDiff', { task });
    return;
  }
  const proposal = await client.request<ReviewParams>('opendevagent/proposal', { task });
  const { decision } = await reviews.review(proposal, new vscode.CancellationTokenSource().token);
  if (decision !== 'later') {
    await execute(client, decision, { task });
  }
}

/** Starts an action on what the active editor shows. */
async function act(client: Client, action: Action): Promise<void> {
  if (!allows(action)) {
    return;
  }
  const editor = fileEditor();
  if (!editor) {
    throw new Error('open a file of the workspace first, or use “New Task…”');
  }
  const { document, selection } = editor;
  const question = ASKED.has(action) ? ACTIONS[action].ask : undefined;
  const instruction = question && (await vscode.window.showInputBox({ title: 'OpenDevAgent', prompt: question }));
  if (question && instruction === undefined) {
    return; // The user pressed Escape.
  }
  const convert = (await client.running()).code2ProtocolConverter;
  const here = WITH_PROBLEMS.has(action) ? problemsAt(document, selection) : [];
  await execute(client, action, {
    uri: convert.asUri(document.uri),
    range: convert.asRange(selection),
    ...(here.length > 0 && { diagnostics: await convert.asDiagnostics(here) }),
    ...(instruction && { instruction }),
  });
}

/** The editor of the active tab. VS Code's `activeTextEditor` may be the log below it. */
function fileEditor(): vscode.TextEditor | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const uri = input instanceof vscode.TabInputText && input.uri.scheme === 'file' ? input.uri.toString() : undefined;
  const { activeTextEditor, visibleTextEditors } = vscode.window;
  return [activeTextEditor, ...visibleTextEditors].find((editor) => editor?.document.uri.toString() === uri);
}

/** With nothing selected, the problems of the cursor's line. */
function problemsAt(document: vscode.TextDocument, selection: vscode.Selection): vscode.Diagnostic[] {
  const range = selection.isEmpty ? document.lineAt(selection.active.line).range : selection;
  return vscode.languages.getDiagnostics(document.uri).filter((problem) => problem.range.intersection(range));
}

/** The new setting starts the server anew. */
async function chooseServer(): Promise<void> {
  const [file] = (await vscode.window.showOpenDialog({ title: 'The opendevagent program', openLabel: 'Use' })) ?? [];
  if (file) {
    const settings = vscode.workspace.getConfiguration('opendevagent');
    await settings.update('path', file.fsPath, vscode.ConfigurationTarget.Global);
  }
}

/** The server answers at once with the id of the task; how it goes on comes as events. */
function execute(client: Client, command: string, argument: Wish | { task: string } | Record<string, never>): Promise<unknown> {
  return client.request('workspace/executeCommand', {
    command: `opendevagent.${command}`,
    arguments: [argument],
  });
}

function report(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  void vscode.window.showErrorMessage(`OpenDevAgent: ${message}`);
}

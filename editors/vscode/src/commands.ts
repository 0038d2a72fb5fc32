// The commands of the palette and the context menu. Their ids differ from the server's own commands, which
// vscode-languageclient registers as they are: an id registered twice stops the client from starting.
import * as vscode from 'vscode';
import { ExecuteCommandRequest } from 'vscode-languageclient/node';
import type { Client } from './client';
import type { RunningTasks } from './progress';
import type { Action } from './protocol';
import type { Reviews } from './review';
import type { Secrets } from './secrets';

interface Needs {
  /** Asked before the action starts; an empty answer is fine. */
  question?: string;
  /** Whether the problems at the cursor go along. */
  diagnostics?: boolean;
}

const ACTIONS: Record<Action, Needs> = {
  plan: { question: 'What should be planned? Empty: what the selection says.' },
  generate: { question: 'What should be written? Empty: what the selection or the comment says.' },
  fix: { diagnostics: true },
  tests: {},
  review: {},
  explain: { diagnostics: true },
  run: {},
};

export interface Targets {
  client: Client;
  log: vscode.LogOutputChannel;
  reviews: Reviews;
  secrets: Secrets;
  tasks: RunningTasks;
}

export function registerCommands({ client, log, reviews, secrets, tasks }: Targets): vscode.Disposable {
  const commands: Record<string, (uri?: vscode.Uri) => unknown> = {
    cancel: () => chooseAndCancel(client, tasks),
    log: () => log.show(true),
    restart: () => client.restart(),
    setKey: () => secrets.ask(),
    removeKey: () => secrets.remove(),
    apply: (uri) => reviews.decideAt(uri, 'apply'),
    discard: (uri) => reviews.decideAt(uri, 'discard'),
  };
  for (const [action, needs] of Object.entries(ACTIONS)) {
    commands[action] = () => act(client, action, needs);
  }
  const registered = Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`opendevagent.ui.${name}`, async (uri: unknown) => {
      try {
        await run(uri instanceof vscode.Uri ? uri : undefined);
      } catch (error) {
        report(error);
      }
    }),
  );
  return vscode.Disposable.from(...registered);
}

/** Asks the server to end a task. */
export async function cancelTask(client: Client, task: string): Promise<void> {
  await execute(client, 'cancel', { task }).catch(report);
}

async function chooseAndCancel(client: Client, tasks: RunningTasks): Promise<void> {
  const running = tasks.titles.map(({ task, title }) => ({ label: title, task }));
  const chosen =
    running.length > 1 ? await vscode.window.showQuickPick(running, { title: 'Cancel which task?' }) : running[0];
  if (chosen) {
    await execute(client, 'cancel', { task: chosen.task });
  }
}

/** Starts an action on what the active editor shows. */
async function act(client: Client, action: string, { question, diagnostics }: Needs): Promise<void> {
  const editor = fileEditor();
  if (!editor) {
    throw new Error('open a file of the workspace first');
  }
  const { document, selection } = editor;
  const instruction = question && (await vscode.window.showInputBox({ title: 'OpenDevAgent', prompt: question }));
  if (question && instruction === undefined) {
    return; // The user pressed Escape.
  }
  const convert = (await client.running()).code2ProtocolConverter;
  const here = diagnostics ? problemsAt(document, selection) : [];
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

/** The server answers at once with the id of the task; how it goes on comes as events. */
async function execute(client: Client, command: string, argument: object): Promise<void> {
  const connection = await client.running();
  await connection.sendRequest(ExecuteCommandRequest.type, {
    command: `opendevagent.${command}`,
    arguments: [argument],
  });
}

function report(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  void vscode.window.showErrorMessage(`OpenDevAgent: ${message}`);
}

// Entry point: makes the parts, connects them, starts the server. Everything that LSP can carry is in the server.
import * as vscode from 'vscode';
import { Client } from './client';
import { cancelTask, registerCommands } from './commands';
import { tellEnd } from './ends';
import { TaskLog } from './log';
import { RunningTasks } from './progress';
import type { TaskEvent } from './protocol';
import type { Remedy } from './remedies';
import { Reviews } from './review';
import { Secrets } from './secrets';
import { StatusItem } from './status';
import { TaskList } from './tasks';
import { TaskTree } from './tree';

let client: Client | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('OpenDevAgent', { log: true });
  const reviews = new Reviews();
  const status = new StatusItem();
  const list: TaskList = new TaskList(() => changed(list, tree, reviews, status));
  const tree = new TaskTree(() => list);
  const unkeyed = new Unkeyed();
  const secrets: Secrets = new Secrets(
    context.secrets,
    (key) => started.request('opendevagent/setKey', { key }),
    () => unkeyed.again(),
  );
  const tasks = new RunningTasks((task) => void cancelTask(started, task));
  const seen = (event: TaskEvent) => {
    if (event.kind === 'ended') {
      unkeyed.note(event);
      tellEnd(event, list.get(event.task));
    }
  };
  const started: Client = new Client(context, { log: new TaskLog(log), reviews, secrets, status, list, tasks, seen });
  client = started;
  const memory = context.workspaceState;
  context.subscriptions.push(
    ...[log, reviews, secrets, status, tree, tasks, started],
    registerCommands({ client: started, log, memory, reviews, secrets, status, tasks: list }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void started.restart()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration('opendevagent.path')) {
        void started.restart();
      } else if (change.affectsConfiguration('opendevagent')) {
        void started.reconfigure();
      }
    }),
  );
  void started.restart(); // Not awaited: nothing else of VS Code shall wait for the server.
}

export function deactivate(): Promise<void> | undefined {
  return client?.stop();
}

/** Shows what has become of the tasks. */
function changed(list: TaskList, tree: TaskTree, reviews: Reviews, status: StatusItem): void {
  tree.refresh();
  status.follow(list.running);
  void vscode.commands.executeCommand('setContext', 'opendevagent.busy', list.running.length > 0);
  for (const { task, proposal } of list.all) {
    // Decided elsewhere, by the code action or another client: nobody waits for this review any more.
    if (proposal === 'applied' || proposal === 'discarded') {
      reviews.decideTask(task, 'later');
    }
  }
}

/** The last task that ended for want of a key. */
class Unkeyed {
  private task: string | undefined;

  note(event: Extract<TaskEvent, { kind: 'ended' }>): void {
    this.task = event.stop === 'key' ? event.task : undefined;
  }

  /** The button that runs it again. */
  again(): Remedy[] {
    const { task } = this;
    return task ? [{ title: 'Run Again', command: 'opendevagent.ui.again', argument: { task } }] : [];
  }
}

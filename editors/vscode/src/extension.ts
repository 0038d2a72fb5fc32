// Entry point: makes the parts, connects them, starts the server. Everything that LSP can carry is in the server.
import * as vscode from 'vscode';
import { Client } from './client';
import { cancelTask, registerCommands } from './commands';
import { TaskLog } from './log';
import { RunningTasks } from './progress';
import { Reviews } from './review';
import { Secrets } from './secrets';
import { StatusItem } from './status';

let client: Client | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('OpenDevAgent', { log: true });
  const reviews = new Reviews();
  const secrets = new Secrets(context.secrets);
  const status = new StatusItem();
  const tasks = new RunningTasks((task) => void cancelTask(started, task));
  const started = new Client(context, { log: new TaskLog(log), reviews, secrets, status, tasks });
  client = started;
  context.subscriptions.push(
    log,
    reviews,
    status,
    tasks,
    started,
    registerCommands({ client: started, log, reviews, secrets, tasks }),
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

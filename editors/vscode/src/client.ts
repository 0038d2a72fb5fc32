// Starts, restarts and stops the language server, and connects what it sends beyond LSP to the parts that show it.
import * as vscode from 'vscode';
import {
  DidChangeConfigurationNotification,
  LanguageClient,
  RevealOutputChannelOn,
  State,
} from 'vscode-languageclient/node';
import { redact, type TaskLog } from './log';
import type { RunningTasks } from './progress';
import type { ReviewParams, Status, TaskEvent } from './protocol';
import type { Reviews } from './review';
import type { Secrets } from './secrets';
import { findServer, type Lookup } from './server';
import { userSettings } from './settings';
import type { StatusItem } from './status';

export interface Parts {
  log: TaskLog;
  reviews: Reviews;
  secrets: Secrets;
  status: StatusItem;
  tasks: RunningTasks;
}

export class Client implements vscode.Disposable {
  /** What the server and the protocol say; the log of the tasks is a channel of its own. */
  private readonly output = vscode.window.createOutputChannel('OpenDevAgent Server', { log: true });
  private client: LanguageClient | undefined;
  /** Starts and stops happen one after the other. */
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly parts: Parts,
  ) {}

  dispose(): void {
    this.output.dispose();
  }

  /** The running client, once a start that is under way has ended. */
  async running(): Promise<LanguageClient> {
    await this.last;
    if (!this.client?.isRunning()) {
      throw new Error('the server is not running');
    }
    return this.client;
  }

  restart(): Promise<void> {
    return this.next(async () => {
      await this.end();
      await this.begin();
    });
  }

  stop(): Promise<void> {
    return this.next(() => this.end());
  }

  /** The user has changed settings. */
  async reconfigure(): Promise<void> {
    if (this.client?.isRunning()) {
      await this.client.sendNotification(DidChangeConfigurationNotification.type, {
        settings: { opendevagent: this.settings() },
      });
    }
  }

  private next(step: () => Promise<void>): Promise<void> {
    this.last = this.last
      .then(step)
      .catch((error: unknown) => this.complain(`the server did not start: ${String(error)}`));
    return this.last;
  }

  private async begin(): Promise<void> {
    this.parts.status.show({ state: 'busy', message: 'starting' });
    const found = await this.find();
    if ('problem' in found) {
      this.complain(found.problem);
      return;
    }
    this.output.info(`starting ${found.command}, version ${found.version}`);
    this.client = this.connect(found.command);
    await this.client.start();
  }

  private async end(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    // One whose start failed, or that hangs, refuses to be stopped; the library ends its process all the same.
    await client?.dispose().catch((error: unknown) => this.output.warn(String(error)));
  }

  private find(): Promise<Lookup> {
    return findServer({
      env: process.env['OPENDEVAGENT_BIN'],
      setting: vscode.workspace.getConfiguration('opendevagent').inspect<string>('path')?.globalValue,
      bundled: this.context.asAbsolutePath('server'),
      searchPath: process.env['PATH'],
    });
  }

  private connect(command: string): LanguageClient {
    const { log, reviews, secrets, status, tasks } = this.parts;
    const client: LanguageClient = new LanguageClient(
      'opendevagent',
      'OpenDevAgent',
      { command, args: ['lsp'] },
      {
        documentSelector: [{ scheme: 'file' }],
        outputChannel: this.output,
        traceOutputChannel: keyless(this.output),
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationOptions: () => ({
          client: { review: true, events: true, credentials: true, status: true },
          settings: this.settings(),
        }),
        middleware: {
          workspace: {
            configuration: ({ items }) => items.map(({ section }) => this.section(section)),
            // The library's own would send the defaults and what the workspace sets.
            didChangeConfiguration: () =>
              client.sendNotification('workspace/didChangeConfiguration', {
                settings: { opendevagent: this.settings() },
              }),
          },
        },
      },
    );
    client.onRequest('opendevagent/credentials', () => secrets.credentials());
    client.onRequest('opendevagent/review', (params: ReviewParams, token) => reviews.review(params, token));
    client.onNotification('opendevagent/status', (params: Status) => status.show(params));
    client.onNotification('opendevagent/event', (event: TaskEvent) => {
      log.add(event);
      tasks.update(event);
    });
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        status.show({ state: 'ready', message: 'ready' });
      } else if (newState === State.Stopped) {
        reviews.abandon();
        tasks.clear();
        status.show({ state: 'problem', message: 'stopped', remedy: 'Run “OpenDevAgent: Restart Server”.' });
      }
    });
    return client;
  }

  private settings(): Record<string, unknown> {
    const ours = vscode.workspace.getConfiguration('opendevagent');
    const { properties } = this.context.extension.packageJSON.contributes.configuration as { properties: object };
    const keys = Object.keys(properties).map((name) => name.slice('opendevagent.'.length));
    return userSettings(keys, (key) => ours.inspect(key));
  }

  /** The answer to `workspace/configuration`; the library's own would hold the defaults and what the workspace sets. */
  private section(name: string | undefined): unknown {
    const path = (name ?? '').split('.');
    return (
      path.reduce<unknown>((value, key) => (value as Record<string, unknown> | null | undefined)?.[key], {
        opendevagent: this.settings(),
      }) ?? null
    );
  }

  /** Not awaited: the user may leave the message standing. */
  private complain(problem: string): void {
    this.output.error(problem);
    this.parts.status.show({ state: 'problem', message: 'not running', remedy: problem });
    const choices = {
      'Open Settings': 'workbench.action.openSettings',
      'Try Again': 'opendevagent.ui.restart',
      'Show Log': 'opendevagent.ui.log',
    };
    void vscode.window.showErrorMessage(`OpenDevAgent: ${problem}.`, ...Object.keys(choices)).then((chosen) => {
      if (chosen) {
        void vscode.commands.executeCommand(choices[chosen as keyof typeof choices], 'opendevagent.path');
      }
    });
  }
}

/** The same channel, but keys are blotted out on the way. */
function keyless(channel: vscode.LogOutputChannel): vscode.OutputChannel {
  return {
    name: channel.name,
    append: (text) => channel.append(redact(text)),
    appendLine: (text) => channel.appendLine(redact(text)),
    replace: (text) => channel.replace(redact(text)),
    clear: () => channel.clear(),
    show: () => channel.show(),
    hide: () => channel.hide(),
    dispose: () => channel.dispose(),
  };
}

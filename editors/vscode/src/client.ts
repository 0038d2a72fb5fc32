// Starts, restarts and stops the language server, and connects what it sends beyond LSP to the parts that show it.
import * as vscode from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import { redact, type TaskLog } from './log';
import type { RunningTasks } from './progress';
import type { ReviewParams, Status, TaskEvent, TaskRow } from './protocol';
import { tell } from './remedies';
import type { Reviews } from './review';
import type { Secrets } from './secrets';
import { findServer, workspaceServer, type Lookup } from './server';
import { userSettings } from './settings';
import type { StatusItem } from './status';
import type { TaskList } from './tasks';
import { allows } from './trust';

/** How long the rows of the tasks may be out of date: many events want them at once. */
const REFRESH_MS = 50;
/** Programs of workspaces that the user agreed to, or refused. */
const AGREED = 'opendevagent.workspaceServers';

/** Evaluated when the server is started: most of what there is to load, and nothing else of activation waits for it. */
type Library = typeof import('vscode-languageclient/node.js');

export interface Parts {
  log: TaskLog;
  reviews: Reviews;
  secrets: Secrets;
  status: StatusItem;
  list: TaskList;
  tasks: RunningTasks;
  /** After the event was taken in. */
  seen(event: TaskEvent): void;
}

export class Client implements vscode.Disposable {
  /** What the server and the protocol say; the log of the tasks is a channel of its own. */
  private readonly output = vscode.window.createOutputChannel('OpenDevAgent Server', { log: true });
  private client: LanguageClient | undefined;
  private command: string | undefined;
  private refreshing: NodeJS.Timeout | undefined;
  /** Starts and stops happen one after the other. */
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly parts: Parts,
  ) {}

  dispose(): void {
    clearTimeout(this.refreshing);
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

  /** A request beyond LSP, or a command. */
  async request<T>(method: string, params: object): Promise<T> {
    return (await this.running()).sendRequest<T>(method, params);
  }

  /** The program that runs, or ran last. */
  program(): string {
    if (this.command === undefined) {
      throw new Error('the server’s program was not found');
    }
    return this.command;
  }

  /** Asks the server for its rows of tasks, soon and once for many. */
  refresh(): void {
    this.refreshing ??= setTimeout(() => {
      this.refreshing = undefined;
      this.request<TaskRow[]>('opendevagent/tasks', {}).then(
        (rows) => this.parts.list.replace(rows),
        () => undefined, // It stopped meanwhile; the rows stay as they were.
      );
    }, REFRESH_MS);
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
      await this.client.sendNotification('workspace/didChangeConfiguration', {
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
    // Loaded while the program tells its version.
    const [found, library] = await Promise.all([this.find(), import('vscode-languageclient/node.js')]);
    if ('problem' in found) {
      this.complain(found.problem);
      return;
    }
    this.output.info(`starting ${found.command}, version ${found.version}`);
    this.command = found.command;
    this.client = this.connect(found.command, library);
    await this.client.start();
  }

  private async end(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    // One whose start failed, or that hangs, refuses to be stopped; the library ends its process all the same.
    await client?.dispose().catch((error: unknown) => this.output.warn(String(error)));
  }

  private async find(): Promise<Lookup> {
    const env = process.env['OPENDEVAGENT_BIN'];
    const setting = vscode.workspace.getConfiguration('opendevagent').inspect<string>('path')?.globalValue;
    return findServer({
      env,
      setting,
      workspace: env || setting ? undefined : this.ofWorkspace(),
      bundled: this.context.asAbsolutePath('server'),
      searchPath: process.env['PATH'],
    });
  }

  /**
   * The program that a trusted workspace brings, once the user agreed to it: it will get the key. A program that has
   * changed is asked about anew. Not waited for: until then the next one in order is used.
   */
  private ofWorkspace(): string | undefined {
    const folders = vscode.workspace.workspaceFolders?.map(({ uri }) => uri).filter(({ scheme }) => scheme === 'file');
    const found = vscode.workspace.isTrusted ? workspaceServer(folders?.map(({ fsPath }) => fsPath) ?? []) : undefined;
    const agreed = this.context.globalState.get<Record<string, boolean>>(AGREED, {});
    if (found && agreed[found.mark] === undefined) {
      const question = `OpenDevAgent: this workspace brings its own server, ${found.command}. It would get your API key.`;
      void vscode.window.showWarningMessage(question, 'Use It', 'Never').then(async (answer) => {
        if (answer) {
          await this.context.globalState.update(AGREED, { ...agreed, [found.mark]: answer === 'Use It' });
          await (answer === 'Use It' && this.restart());
        }
      });
    }
    return found && agreed[found.mark] ? found.command : undefined;
  }

  private connect(command: string, { LanguageClient, RevealOutputChannelOn, State }: Library): LanguageClient {
    const { log, reviews, secrets, status, tasks, list, seen } = this.parts;
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
          client: { review: true, events: true, credentials: true, status: true, ends: true },
          settings: this.settings(),
        }),
        middleware: {
          // What code actions and lenses start; ours ask by themselves.
          executeCommand: (command, args, next) =>
            allows(command.slice('opendevagent.'.length)) ? next(command, args) : undefined,
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
    client.onRequest('opendevagent/credentials', (wanted: { rejected?: boolean }) => secrets.credentials(wanted ?? {}));
    client.onRequest('opendevagent/review', (params: ReviewParams, token) => reviews.review(params, token));
    client.onNotification('opendevagent/status', (params: Status) => status.show(params));
    client.onNotification('opendevagent/event', (event: TaskEvent) => {
      log.add(event);
      tasks.update(event);
      if (list.update(event)) {
        this.refresh();
      }
      seen(event);
    });
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        status.show({ state: 'ready', message: 'ready' });
        this.refresh();
      } else if (newState === State.Stopped) {
        reviews.abandon();
        tasks.clear();
        list.interrupt();
        status.show({ state: 'problem', message: 'stopped', remedy: 'Run “OpenDevAgent: Restart Server”.' });
      }
    });
    return client;
  }

  /** The whole section at once: looking up each setting takes VS Code a tenth of a millisecond. */
  private settings(): Record<string, unknown> {
    return userSettings(vscode.workspace.getConfiguration().inspect('opendevagent'));
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
    void tell('Error', `${problem}.`, [
      { title: 'Choose Program…', command: 'opendevagent.ui.chooseServer' },
      { title: 'How to Install', command: 'opendevagent.ui.walkthrough' },
      { title: 'Try Again', command: 'opendevagent.ui.restart' },
    ]);
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

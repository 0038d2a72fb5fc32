// Keeps the API key in VS Code's secret storage and hands it to the server when that asks. It goes nowhere else.
import * as vscode from 'vscode';
import type { Credentials, KeyAnswer } from './protocol';
import { LOG, tell, type Remedy } from './remedies';

const NAME = 'opendevagent.key';
/** The context key that menus and the walkthrough look for. */
const HAS_KEY = 'opendevagent.hasKey';
/** Ticks the walkthrough's step. VS Code takes only what becomes true after it has read the walkthrough. */
const SEEN_KEY = 'opendevagent.seenKey';
/** How long it may take for that once the walkthrough is open. */
const READ_MS = 2_000;
const ANYWAY = 'Store It Anyway';

/** Gives a key (null: none) to the running server, which asks the model's server about it. */
export type Validate = (key: string | null) => Promise<KeyAnswer>;

export class Secrets implements vscode.Disposable {
  /** What the server got last. */
  private given: string | undefined;
  private readonly watch: vscode.Disposable;

  constructor(
    private readonly storage: vscode.SecretStorage,
    private readonly validate: Validate,
    /** Asked after a key was set: what failed for want of it can run again. */
    private readonly afterwards: () => Remedy[],
  ) {
    // Another window may have changed it.
    this.watch = storage.onDidChange(({ key }) => void (key === NAME && this.announce()));
    void this.announce();
  }

  dispose(): void {
    this.watch.dispose();
  }

  /** The walkthrough was opened: a key that was set before counts as well. */
  async tick(): Promise<void> {
    const key = await this.storage.get(NAME);
    await new Promise((resolve) => setTimeout(resolve, READ_MS));
    await vscode.commands.executeCommand('setContext', SEEN_KEY, Boolean(key));
  }

  /** Read anew each time, so that a changed key needs no restart. One that was refused is not given twice. */
  async credentials({ rejected }: { rejected?: boolean }): Promise<Credentials> {
    const key = await this.storage.get(NAME);
    if (!key || (rejected && key === this.given)) {
      return null;
    }
    this.given = key;
    return { key };
  }

  /** Asks for the key until one is taken or the user gives up. */
  async ask(): Promise<void> {
    const input = vscode.window.createInputBox();
    Object.assign(input, {
      title: 'OpenDevAgent: API Key',
      prompt: 'Kept in the secret storage of VS Code, never in settings. From https://openrouter.ai/keys, or your own server’s.',
      placeholder: 'sk-or-…',
      password: true,
      ignoreFocusOut: true,
    });
    const hidden = new Promise<undefined>((resolve) => input.onDidHide(() => resolve(undefined)));
    const typed = () => new Promise<string>((resolve) => {
      const once = input.onDidAccept(() => {
        once.dispose();
        resolve(input.value.trim());
      });
    });
    input.onDidChangeValue(() => (input.validationMessage = undefined));
    input.show();
    for (;;) {
      const key = await Promise.race([typed(), hidden]);
      if (key === undefined) {
        break;
      }
      input.busy = true;
      input.enabled = false;
      const problem = await this.take(key);
      if (problem === undefined) {
        break;
      }
      Object.assign(input, { busy: false, enabled: true, validationMessage: problem });
      input.show(); // A message box may have taken the focus.
    }
    input.dispose();
  }

  async remove(): Promise<void> {
    await this.storage.delete(NAME);
    await this.validate(null).catch(() => undefined); // A server that does not run has none.
    void vscode.window.showInformationMessage('OpenDevAgent: the API key is removed.');
  }

  /** Stores a key that works; else says why not. */
  private async take(key: string): Promise<string | undefined> {
    if (!/^[\x21-\x7e]+$/.test(key)) {
      return 'A key is one word of plain characters, without blanks.';
    }
    const answer = await this.validate(key).catch((error: unknown) => ({
      ok: false,
      refused: false,
      message: `the server could not check it: ${error instanceof Error ? error.message : String(error)}`,
    }));
    if (answer.ok) {
      await this.storage.store(NAME, key);
      void tell('Information', `the key works: ${answer.message}`, this.afterwards());
      return undefined;
    }
    if (answer.refused) {
      await this.restore();
      // What else could be done about a key is of no use here.
      return `The key was refused: ${answer.message.split('; ')[0]}`;
    }
    const chosen = await vscode.window.showWarningMessage(`OpenDevAgent: the key is not checked: ${answer.message}`, ANYWAY, LOG.title);
    if (chosen === ANYWAY) {
      await this.storage.store(NAME, key);
      return undefined;
    }
    await this.restore();
    if (chosen === LOG.title) {
      void vscode.commands.executeCommand(LOG.command);
    }
    return answer.message;
  }

  /** The server forgets the key that was tried, and asks for the stored one when it needs it. */
  private async restore(): Promise<void> {
    await this.validate(null).catch(() => undefined);
  }

  private async announce(): Promise<void> {
    const key = await this.storage.get(NAME);
    await vscode.commands.executeCommand('setContext', HAS_KEY, Boolean(key));
  }
}

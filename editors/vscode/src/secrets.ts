// Keeps the API key in VS Code's secret storage and hands it to the server when that asks. It goes nowhere else.
import * as vscode from 'vscode';
import type { Credentials } from './protocol';

const NAME = 'opendevagent.key';

export class Secrets {
  constructor(private readonly storage: vscode.SecretStorage) {}

  /** Read anew each time, so that a changed key needs no restart. */
  async credentials(): Promise<Credentials> {
    const key = await this.storage.get(NAME);
    return key ? { key } : null;
  }

  async ask(): Promise<void> {
    const key = await vscode.window.showInputBox({
      title: 'OpenDevAgent: API Key',
      prompt: 'Kept in the secret storage of VS Code, never in settings.',
      password: true,
      ignoreFocusOut: true,
      validateInput: (text) => (/^\S+$/.test(text.trim()) ? undefined : 'A key is one word without blanks.'),
    });
    if (key !== undefined) {
      await this.storage.store(NAME, key.trim());
      void vscode.window.showInformationMessage('OpenDevAgent: the API key is stored.');
    }
  }

  async remove(): Promise<void> {
    await this.storage.delete(NAME);
    void vscode.window.showInformationMessage('OpenDevAgent: the API key is removed.');
  }
}

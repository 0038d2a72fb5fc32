// Shows the lasting state of the server in the language status of the editor.
import * as vscode from 'vscode';
import type { Status } from './protocol';

export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.languages.createLanguageStatusItem('opendevagent', { scheme: 'file' });

  constructor() {
    this.item.name = 'OpenDevAgent';
    this.item.command = { command: 'opendevagent.ui.log', title: 'Show Log' };
  }

  dispose(): void {
    this.item.dispose();
  }

  show({ state, message, remedy }: Status): void {
    this.item.text = `OpenDevAgent: ${message}`;
    this.item.detail = remedy ?? '';
    this.item.busy = state === 'busy';
    this.item.severity =
      state === 'problem' ? vscode.LanguageStatusSeverity.Error : vscode.LanguageStatusSeverity.Information;
  }
}

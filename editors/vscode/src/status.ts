// Shows the lasting state of the server: in the status bar, and in the language status of the editor.
import * as vscode from 'vscode';
import type { Status, TaskRow } from './protocol';
import { remedies } from './remedies';
import { describe } from './tasks';

const ICONS: Record<Status['state'], string> = { ready: 'sparkle', busy: 'loading~spin', problem: 'warning' };

export class StatusItem implements vscode.Disposable {
  private readonly language = vscode.languages.createLanguageStatusItem('opendevagent', { scheme: 'file' });
  private readonly bar = vscode.window.createStatusBarItem('opendevagent', vscode.StatusBarAlignment.Right, 90);
  private status: Status = { state: 'busy', message: 'starting' };
  private running: TaskRow[] = [];

  constructor() {
    this.language.name = 'OpenDevAgent';
    this.bar.name = 'OpenDevAgent';
    this.bar.command = 'opendevagent.ui.menu';
    this.render();
    this.bar.show();
  }

  dispose(): void {
    this.language.dispose();
    this.bar.dispose();
  }

  show(status: Status): void {
    this.status = status;
    this.render();
  }

  /** What runs, for the text of the bar. */
  follow(running: TaskRow[]): void {
    this.running = running;
    this.render();
  }

  /** What the state is, and what mends it. */
  get current(): Status {
    return this.status;
  }

  private render(): void {
    const { state, message, remedy, about } = this.status;
    const [mend] = remedies(about);
    this.language.text = `OpenDevAgent: ${message}`;
    this.language.detail = remedy ?? '';
    this.language.busy = state === 'busy';
    this.language.severity =
      state === 'problem' ? vscode.LanguageStatusSeverity.Error : vscode.LanguageStatusSeverity.Information;
    this.language.command = mend
      ? { command: mend.command, title: mend.title, ...('argument' in mend && { arguments: [mend.argument] }) }
      : { command: 'opendevagent.ui.log', title: 'Show Log' };
    const [first, ...others] = this.running;
    const doing = first && `${first.title}, ${first.phase}${others.length > 0 ? `, ${others.length} more` : ''}`;
    this.bar.text = `$(${ICONS[state]}) ${doing ?? 'OpenDevAgent'}`;
    this.bar.tooltip = this.tooltip();
    this.bar.backgroundColor =
      state === 'problem' ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    this.bar.accessibilityInformation = { label: `OpenDevAgent: ${doing ?? message}` };
  }

  private tooltip(): vscode.MarkdownString {
    const { message, remedy } = this.status;
    const text = new vscode.MarkdownString('**OpenDevAgent**: ').appendText(message);
    for (const line of [remedy, ...this.running.map((row) => `${row.title}: ${describe(row)}`)]) {
      if (line) {
        text.appendMarkdown('\n\n').appendText(line);
      }
    }
    return text;
  }
}

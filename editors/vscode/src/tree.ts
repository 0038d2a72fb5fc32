// The view “Tasks”: each task with its phase, verdict and cost, and buttons for what can be done with it.
import * as vscode from 'vscode';
import type { TaskRow, Verdict } from './protocol';
import { describe, isOffered, isRunning, type TaskList } from './tasks';

export const VIEW = 'opendevagent.tasks';

export class TaskTree implements vscode.TreeDataProvider<TaskRow>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly view = vscode.window.createTreeView(VIEW, { treeDataProvider: this });

  constructor(private readonly list: () => TaskList) {}

  dispose(): void {
    this.view.dispose();
    this.changed.dispose();
  }

  refresh(): void {
    const { length } = this.list().running;
    this.view.badge = length > 0 ? { value: length, tooltip: `${length} running` } : undefined;
    this.changed.fire();
  }

  getChildren(row?: TaskRow): TaskRow[] {
    return row ? [] : this.list().all;
  }

  getTreeItem(row: TaskRow): vscode.TreeItem {
    const item = new vscode.TreeItem(row.title);
    item.id = row.task;
    item.description = describe(row);
    item.iconPath = icon(row);
    item.tooltip = tooltip(row);
    item.contextValue = kinds(row).join(' ');
    const command = isOffered(row) ? 'opendevagent.ui.openDiff' : 'opendevagent.ui.taskLog';
    item.command = { command, title: 'Open', arguments: [row] };
    item.accessibilityInformation = { label: `${row.title}, ${describe(row)}` };
    return item;
  }
}

/** Words that the `when` clauses of `package.json` look for. */
function kinds(row: TaskRow): string[] {
  if (isRunning(row)) {
    return ['running'];
  }
  if (isOffered(row)) {
    return ['ended', 'offered'];
  }
  // Without one the server that had it is gone.
  const decided = row.proposal === undefined ? [] : ['decided'];
  return ['ended', ...decided, ...(row.proposal === 'standing' ? ['failing'] : [])];
}

const LEVELS: Record<Verdict['level'], [icon: string, color: string]> = {
  proven: ['verified-filled', 'testing.iconPassed'],
  passing: ['pass-filled', 'testing.iconPassed'],
  runs: ['pass', 'testing.iconPassed'],
  unverified: ['question', 'editorWarning.foreground'],
  failing: ['error', 'testing.iconFailed'],
};

function icon(row: TaskRow): vscode.ThemeIcon {
  if (isRunning(row)) {
    return new vscode.ThemeIcon(row.phase === 'queued' ? 'watch' : 'loading~spin');
  }
  if (row.phase === 'cancelled') {
    return new vscode.ThemeIcon('circle-slash', new vscode.ThemeColor('disabledForeground'));
  }
  if (row.error || row.phase === 'failed') {
    return new vscode.ThemeIcon('error', new vscode.ThemeColor('testing.iconFailed'));
  }
  const [name, color] = (row.verdict && LEVELS[row.verdict.level]) ?? ['check', 'foreground'];
  return new vscode.ThemeIcon(name, new vscode.ThemeColor(color));
}

/** Plain text all over: what is shown comes from programs and models. */
function tooltip(row: TaskRow): vscode.MarkdownString {
  const text = new vscode.MarkdownString('**');
  text.appendText(row.title).appendMarkdown('**\n\n').appendText(describe(row));
  for (const more of [row.error, row.verdict?.reason]) {
    if (more) {
      text.appendMarkdown('\n\n').appendText(more);
    }
  }
  return text;
}

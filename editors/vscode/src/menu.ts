// The menu behind the item in the status bar: first what mends a problem, then everything else.
import * as vscode from 'vscode';
import type { Status } from './protocol';
import { remedies, type Remedy } from './remedies';

interface Entry extends vscode.QuickPickItem, Partial<Remedy> {
  label: string;
}

const USUAL: [icon: string, title: string, command: string][] = [
  ['sparkle', 'New Task…', 'opendevagent.ui.newTask'],
  ['list-unordered', 'Show Tasks', 'opendevagent.tasks.focus'],
  ['dashboard', 'Open Dashboard', 'opendevagent.ui.dashboard'],
  ['output', 'Show Log', 'opendevagent.ui.log'],
  ['pulse', 'Check Setup', 'opendevagent.ui.doctor'],
  ['key', 'Set API Key…', 'opendevagent.ui.setKey'],
  ['settings-gear', 'Settings', 'opendevagent.ui.settings'],
  ['debug-restart', 'Restart Server', 'opendevagent.ui.restart'],
];

export async function showMenu({ state, message, remedy, about }: Status, isRunning: boolean): Promise<void> {
  const mend: Entry[] = remedies(about).map((button) => ({ ...button, label: `$(wrench) ${button.title}` }));
  const entries: Entry[] = [
    ...(state === 'problem' ? mend : []),
    ...(isRunning ? [{ label: '$(debug-stop) Cancel', command: 'opendevagent.ui.cancel' }] : []),
    ...USUAL.map(([icon, title, command]) => ({ label: `$(${icon}) ${title}`, command })),
  ];
  const chosen = await vscode.window.showQuickPick(entries, {
    title: `OpenDevAgent: ${message}`,
    placeHolder: remedy ?? 'What now?',
  });
  if (chosen?.command) {
    await vscode.commands.executeCommand(chosen.command, ...('argument' in chosen ? [chosen.argument] : []));
  }
}

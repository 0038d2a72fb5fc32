// Which buttons a problem gets: each mends it, or shows more of it.
import * as vscode from 'vscode';
import type { About } from './protocol';

/** A button, and the command behind it. */
export interface Remedy {
  title: string;
  command: string;
  argument?: unknown;
}

const LOG: Remedy = { title: 'Show Log', command: 'opendevagent.ui.log' };
const KEY: Remedy = { title: 'Set API Key…', command: 'opendevagent.ui.setKey' };
const LOCAL: Remedy = { title: 'Use a Local Model', command: 'opendevagent.ui.localModel' };
const CHECK: Remedy = { title: 'Check Setup', command: 'opendevagent.ui.doctor' };
const DOCKER: Remedy = { title: 'Set Up Docker', command: 'opendevagent.ui.fixSetup' };
const settings = (title: string, query: string): Remedy => ({
  title,
  command: 'workbench.action.openSettings',
  argument: query,
});

const BY_KIND: Partial<Record<About, Remedy[]>> = {
  key: [KEY, LOCAL],
  model: [settings('Model Settings', 'opendevagent.model opendevagent.agents'), CHECK],
  sandbox: [DOCKER, CHECK],
  store: [settings('Store Settings', 'opendevagent.store'), CHECK],
  budget: [settings('Raise Budget', 'opendevagent.budget')],
};

/** What mends a problem of this kind. */
export function remedies(about: About | undefined): Remedy[] {
  return (about && BY_KIND[about]) ?? [];
}

/** For the checks of the doctor, by name. */
export const CHECKS: Record<string, Remedy> = {
  settings: settings('Settings', '@ext:opendevagent.opendevagent'),
  store: settings('Store Settings', 'opendevagent.store'),
  model: KEY,
  sandbox: DOCKER,
  limits: settings('Sandbox Settings', 'opendevagent.sandbox'),
  packages: { title: 'Install Dependencies', command: 'opendevagent.ui.installDependencies' },
};

/** Says it once, with buttons. Not to be awaited where anything else waits: the user may leave it standing. */
export async function tell(
  level: 'Information' | 'Warning' | 'Error',
  message: string,
  buttons: Remedy[] = [LOG],
): Promise<void> {
  const show = {
    Information: vscode.window.showInformationMessage,
    Warning: vscode.window.showWarningMessage,
    Error: vscode.window.showErrorMessage,
  }[level];
  const chosen = await show(`OpenDevAgent: ${message}`, ...buttons.map(({ title }) => title));
  const button = buttons.find(({ title }) => title === chosen);
  if (button) {
    await vscode.commands.executeCommand(button.command, ...('argument' in button ? [button.argument] : []));
  }
}

export { LOG };

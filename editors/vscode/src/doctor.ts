// Check Setup: what the server's doctor finds, as a list in which a problem can be chosen to be mended.
import * as vscode from 'vscode';
import type { Client } from './client';
import type { DoctorCheck } from './protocol';
import { CHECKS, remedies, tell } from './remedies';

interface LocalServer {
  name: string;
  base_url: string;
  models: string[];
}

interface Findings {
  checks: DoctorCheck[];
  /** Model servers on this machine. */
  local?: LocalServer[];
}

const AGENTS = ['architect', 'coder', 'debugger'];

async function examine(client: Client): Promise<Findings> {
  const options = { location: vscode.ProgressLocation.Notification, title: 'OpenDevAgent: checking the setup' };
  return vscode.window.withProgress(options, () => client.request<Findings>('opendevagent/doctor', {}));
}

export async function checkSetup(client: Client): Promise<void> {
  const { checks } = await examine(client);
  const sorted = [...checks].sort((one, other) => Number(one.ok) - Number(other.ok));
  const items = sorted.map((check) => {
    const remedy = check.ok ? undefined : CHECKS[check.name];
    return {
      label: `$(${check.ok ? 'pass' : 'error'}) ${check.name}`,
      description: remedy ? `$(wrench) ${remedy.title}` : '',
      detail: [check.message, check.remedy].filter(Boolean).join(' → '),
      remedy,
    };
  });
  const bad = checks.filter(({ ok }) => !ok).length;
  const chosen = await vscode.window.showQuickPick(items, {
    title: bad === 0 ? 'OpenDevAgent: all is there' : `OpenDevAgent: ${bad === 1 ? 'one problem' : `${bad} problems`}`,
    placeHolder: bad === 0 ? '' : 'Choose a problem to mend it',
    matchOnDetail: true,
  });
  if (chosen?.remedy) {
    const { command, argument } = chosen.remedy;
    await vscode.commands.executeCommand(command, ...(argument === undefined ? [] : [argument]));
  }
}

/** Lets the user choose a model of a server on this machine; writes the settings for it. */
export async function useLocalModel(client: Client): Promise<void> {
  const { local = [] } = await examine(client);
  const items = local.flatMap(({ name, base_url, models }) =>
    models.map((model) => ({ label: model, description: `${name}, ${base_url}`, base_url })),
  );
  if (items.length === 0) {
    void tell(
      'Information',
      'no model server was found on this machine. Start Ollama, LM Studio or llama.cpp with a model, or give its address.',
      remedies('model'),
    );
    return;
  }
  const chosen = await vscode.window.showQuickPick(items, { title: 'OpenDevAgent: Which local model?' });
  if (chosen) {
    const settings = vscode.workspace.getConfiguration('opendevagent');
    const values = [['model.baseUrl', chosen.base_url], ...AGENTS.flatMap((agent) => [
      [`agents.${agent}.model`, chosen.label],
      [`agents.${agent}.fallbacks`, []],
    ])] as [string, unknown][];
    for (const [key, value] of values) {
      await settings.update(key, value, vscode.ConfigurationTarget.Global);
    }
    void tell('Information', `all three agents use ${chosen.label} now.`, []);
  }
}

/** Runs the server's program in a terminal that stays open. */
export async function inTerminal(client: Client, name: string, args: string[]): Promise<void> {
  const execution = new vscode.ProcessExecution(client.program(), args);
  const task = new vscode.Task({ type: 'process' }, vscode.TaskScope.Workspace, name, 'OpenDevAgent', execution);
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, focus: true, panel: vscode.TaskPanelKind.Dedicated };
  await vscode.tasks.executeTask(task);
}

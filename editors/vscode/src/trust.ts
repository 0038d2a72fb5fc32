// In a workspace that the user does not trust, models may read; nothing of it is run.
import * as vscode from 'vscode';
import { tell } from './remedies';

/** Actions whose checks run programs of the workspace, in a container whose image it may choose. */
const RUNNING: ReadonlySet<string> = new Set(['fix', 'generate', 'tests', 'run']);

export function isAllowed(action: string): boolean {
  return vscode.workspace.isTrusted || !RUNNING.has(action);
}

/** Like `isAllowed`, and tells the user when not. */
export function allows(action: string): boolean {
  const allowed = isAllowed(action);
  if (!allowed) {
    void tell('Warning', 'this workspace is not trusted, so nothing of it is run. Plan, Review and Explain work.', [
      { title: 'Manage Workspace Trust', command: 'workbench.trust.manage' },
    ]);
  }
  return allowed;
}

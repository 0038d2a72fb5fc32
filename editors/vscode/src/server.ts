// Finds the server's program and asks it for its version. Knows nothing of VS Code's API.
import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import * as path from 'node:path';

/** Where to look, in this order. */
export interface Places {
  /** OPENDEVAGENT_BIN. */
  env: string | undefined;
  /** The setting `opendevagent.path`. */
  setting: string | undefined;
  /** The program that a trusted workspace brings and the user agreed to. */
  workspace?: string | undefined;
  /** The folder `server` of this extension. */
  bundled: string;
  /** PATH. */
  searchPath: string | undefined;
}

export type Lookup = { command: string; version: string } | { problem: string };

const PROGRAM = process.platform === 'win32' ? 'opendevagent.exe' : 'opendevagent';
const PROBE_MS = 10_000;

/** The first program of `places` that says its version. One that the user named is never passed over in silence. */
export async function findServer(places: Places): Promise<Lookup> {
  const [command, named] = choose(places);
  if (command === undefined) {
    return { problem: `no ${PROGRAM} came with this extension, and there is none on PATH` };
  }
  const answer = await version(command);
  return 'problem' in answer ? { problem: `${command} (${named}) ${answer.problem}` } : { command, ...answer };
}

/** The program, and by what it was chosen. */
function choose({ env, setting, workspace, bundled, searchPath }: Places): [string | undefined, string] {
  if (env) {
    return [env, 'from OPENDEVAGENT_BIN'];
  }
  if (setting) {
    return [setting, 'from the setting opendevagent.path'];
  }
  if (workspace) {
    return [workspace, 'of the workspace'];
  }
  const inside = path.join(bundled, PROGRAM);
  return isProgram(inside) ? [inside, 'bundled'] : [onPath(searchPath ?? ''), 'on PATH'];
}

/** Where the tools of a workspace are, by habit. */
const TOOLS = process.platform === 'win32' ? ['.venv/Scripts', 'node_modules/.bin'] : ['.venv/bin', 'node_modules/.bin'];

/** The program that one of the folders brings, with a mark that changes when it does. */
export function workspaceServer(folders: string[]): { command: string; mark: string } | undefined {
  const command = folders
    .flatMap((folder) => TOOLS.map((tools) => path.join(folder, tools, PROGRAM)))
    .find(isProgram);
  if (command === undefined) {
    return undefined;
  }
  const { size, mtimeMs } = statSync(command);
  return { command, mark: `${command} ${size} ${mtimeMs}` };
}

/**
 * Looked up here and not by the system, which on Windows would try the working directory first: the workspace.
 * Relative entries are skipped for the same reason.
 */
function onPath(searchPath: string): string | undefined {
  return searchPath
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, PROGRAM))
    .find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function version(command: string): Promise<{ version: string } | { problem: string }> {
  return new Promise((resolve) => {
    execFile(command, ['--version'], { timeout: PROBE_MS }, (error, stdout) => {
      const [, found] = /^opendevagent (\S+)/.exec(stdout) ?? [];
      if (error) {
        resolve({ problem: `cannot be started: ${error.message}` });
      } else if (found === undefined) {
        resolve({ problem: 'is not an OpenDevAgent server: it does not tell its version' });
      } else {
        resolve({ version: found });
      }
    });
  });
}

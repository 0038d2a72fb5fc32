// A real VS Code for tests: its server on loopback, a headless browser in front, settings without what would disturb.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const extension = here('../../editors/vscode');
/** Where pictures and what VS Code says are kept. */
export const pictures = process.env.OPENDEVAGENT_PICTURES ?? here('../../target/vscode');
const { chromium } = createRequire(join(extension, 'package.json'))('playwright-core');

const QUIET = {
  'workbench.startupEditor': 'none',
  'chat.disableAIFeatures': true,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'security.workspace.trust.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
};

/** Builds VS Code when it is missing, and makes a copy of the workspace. `chatter` names the file for what it says. */
export function prepare(chatter) {
  const output = execFileSync(here('host.sh'), { stdio: ['ignore', 'pipe', 'inherit'] });
  const host = output.toString().trim();
  const folder = mkdtempSync(join(tmpdir(), 'opendevagent-vscode-'));
  mkdirSync(pictures, { recursive: true });
  cpSync(here('workspace'), join(folder, 'workspace'), { recursive: true });
  return { host, folder, chatter: createWriteStream(join(pictures, chatter)) };
}

/** Replaces the user's settings and those of the machine, also while VS Code runs. */
export function settings({ folder }, more) {
  for (const place of ['User', 'Machine']) {
    mkdirSync(join(folder, 'data', place), { recursive: true });
    writeFileSync(join(folder, 'data', place, 'settings.json'), JSON.stringify({ ...QUIET, ...more }));
  }
}

function command({ host, folder }, more) {
  const folders = { 'server-data-dir': 'server', 'user-data-dir': 'data', 'extensions-dir': 'extensions' };
  return [
    join(host, 'package/lib/vscode/out/server-main.js'),
    '--accept-server-license-terms',
    ...Object.entries(folders).flatMap(([name, path]) => [`--${name}`, join(folder, path)]),
    ...more,
  ];
}

/** Installs a packed extension, as a user would. */
export function install(place, vsix) {
  execFileSync(join(place.host, 'bin/node'), command(place, ['--install-extension', vsix]), { stdio: 'pipe' });
}

/** Starts VS Code and waits for its address. */
export async function start(place, environment, more = [], isTrusted = true) {
  const args = command(place, [
    ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token', '--telemetry-level', 'off'],
    ...(isTrusted ? ['--disable-workspace-trust'] : []),
    ...more,
  ]);
  const env = { ...process.env, ...environment, PATH: `${join(place.host, 'bin')}:${process.env.PATH}` };
  const server = spawn(join(place.host, 'bin/node'), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  server.stdout.pipe(place.chatter);
  server.stderr.pipe(place.chatter);
  const port = await new Promise((resolve, reject) => {
    let said = '';
    server.stdout.on('data', (bytes) => {
      said += bytes;
      const [, found] = /agent listening on (\d+)/.exec(said) ?? [];
      if (found) resolve(found);
    });
    server.on('exit', () => reject(new Error(`VS Code ended early: ${said}`)));
  });
  return { server, address: `127.0.0.1:${port}` };
}

/** A window to look at it. */
export async function look({ host }) {
  const browser = await chromium.launch({
    executablePath: join(host, 'browser'),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-sync',
    ],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.setDefaultTimeout(20_000);
  page.setDefaultNavigationTimeout(90_000);
  return { browser, page };
}

export const picture = (page, name) => page.screenshot({ path: join(pictures, `${name}.png`), animations: 'disabled' });

export function cleanUp({ folder }) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

// Runs the suite of this folder in the extension host of a real VS Code, in a headless browser, with a person in front.
//
//   node tests/vscode/run.mjs            against fake-server.mjs
//   OPENDEVAGENT_BIN=… node …/run.mjs    against that server, which inherits this environment
//
// Wants `npm ci && npm run build` in editors/vscode. host.sh builds VS Code when it is missing. Pictures and what
// VS Code says go to target/vscode, or to OPENDEVAGENT_PICTURES. Prints the number of tests that passed; exit code 0
// only if all did.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const extension = here('../../editors/vscode');
const pictures = process.env.OPENDEVAGENT_PICTURES ?? here('../../target/vscode');
const { chromium } = createRequire(join(extension, 'package.json'))('playwright-core');
const LIMIT_MS = 120_000;

/** A copy of the workspace, and settings without what would disturb: news, updates, questions. */
function prepare(folder) {
  cpSync(here('workspace'), join(folder, 'workspace'), { recursive: true });
  mkdirSync(join(folder, 'data/User'), { recursive: true });
  const settings = {
    'workbench.startupEditor': 'none',
    'chat.disableAIFeatures': true,
    'extensions.autoUpdate': false,
    'extensions.autoCheckUpdates': false,
    'security.workspace.trust.enabled': false,
    'workbench.secondarySideBar.defaultVisibility': 'hidden',
  };
  writeFileSync(join(folder, 'data/User/settings.json'), JSON.stringify(settings));
}

/** Starts VS Code, which talks to `chatter`, and waits for its address. */
async function startHost(host, folder, environment, chatter) {
  const args = [
    join(host, 'package/lib/vscode/out/server-main.js'),
    ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token', '--accept-server-license-terms'],
    ...['--telemetry-level', 'off', '--disable-workspace-trust'],
    '--enable-smoke-test-driver', // A built VS Code runs no tests without it.
    ...[
      '--server-data-dir',
      join(folder, 'server'),
      '--user-data-dir',
      join(folder, 'data'),
      '--extensions-dir',
      join(folder, 'extensions'),
    ],
  ];
  const env = { ...process.env, ...environment, PATH: `${join(host, 'bin')}:${process.env.PATH}` };
  const server = spawn(join(host, 'bin/node'), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  server.stdout.pipe(chatter);
  server.stderr.pipe(chatter);
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

/** What the suite may ask of the person in front of the screen. */
function person(page) {
  return {
    async type(text) {
      const input = page
        .locator('.quick-input-widget input[type=text], .quick-input-widget input[type=password]')
        .first();
      await input.waitFor({ state: 'visible' });
      await input.fill(text);
      await input.press('Enter');
    },
    press: (keys) => page.keyboard.press(keys),
    click: (selector) => page.locator(selector).first().click(),
    hover: (selector) => page.locator(selector).first().hover(),
    read: (selector) => page.locator(selector).first().textContent(),
    count: (selector) => page.locator(selector).count(),
    say: (line) => console.log(line),
    picture: (name) => page.screenshot({ path: join(pictures, `${name}.png`) }),
  };
}

/** Makes the person reachable from the extension host. */
async function listen(answer) {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { act, argument } = JSON.parse(body);
    try {
      response.end(JSON.stringify({ result: (await answer(act, argument)) ?? null }));
    } catch (error) {
      response.end(JSON.stringify({ error: `${act} ${argument}: ${error.message}` }));
    }
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

/** Opens the workbench with the suite as its tests; resolves to the exit code. */
async function runSuite(page, address, folder, chatter) {
  const exit = new Promise((resolve) => page.exposeFunction('codeAutomationExit', resolve));
  await page.exposeFunction('codeAutomationLog', (type, args) => chatter.write(`[${type}] ${args.join(' ')}\n`));
  const remote = `vscode-remote://${address}`;
  const payload = [
    ['extensionDevelopmentPath', remote + extension],
    ['extensionTestsPath', remote + join(extension, 'dist/suite.js')],
    ['skipWelcome', 'true'],
  ];
  await page.goto(
    `http://${address}/?folder=${join(folder, 'workspace')}&payload=${encodeURIComponent(JSON.stringify(payload))}`,
  );
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, LIMIT_MS, 'time is up')));
  return Promise.race([exit, late]).finally(() => clearTimeout(timer));
}

const host = execFileSync(here('host.sh'), { stdio: ['ignore', 'pipe', 'inherit'] })
  .toString()
  .trim();
const folder = mkdtempSync(join(tmpdir(), 'opendevagent-vscode-'));
mkdirSync(pictures, { recursive: true });
const chatter = createWriteStream(join(pictures, 'vscode.log'));
prepare(folder);
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
page.setDefaultTimeout(10_000);
const acts = person(page);
const control = await listen((act, argument) => acts[act](argument));
const environment = {
  OPENDEVAGENT_PERSON: control.url,
  ...(process.env.OPENDEVAGENT_BIN === undefined && {
    OPENDEVAGENT_BIN: here('fake-server.mjs'),
    OPENDEVAGENT_TRANSCRIPT: join(folder, 'transcript.jsonl'),
  }),
};
const { server, address } = await startHost(host, folder, environment, chatter);
try {
  const code = await runSuite(page, address, folder, chatter);
  if (code !== 0) {
    await acts.picture('failed');
    console.log(`vscode: ended with ${code}; see ${pictures}`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
  control.server.close();
  server.kill();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

// Runs the suite of this folder in the extension host of a real VS Code, in a headless browser, with a person in front.
//
//   node tests/vscode/run.mjs            against fake-server.mjs, and once more in a workspace that is not trusted
//   OPENDEVAGENT_BIN=… node …/run.mjs    against that server, which inherits this environment
//
// Wants `npm ci && npm run build` in editors/vscode. host.sh builds VS Code when it is missing. Pictures and what
// VS Code says go to target/vscode, or to OPENDEVAGENT_PICTURES. Prints the number of tests that passed; exit code 0
// only if all did.
import { cpSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { cleanUp, extension, here, look, picture, pictures, prepare, settings, start } from './workbench.mjs';

const LIMIT_MS = 300_000;

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
    picture: (name) => picture(page, name),
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

/** One VS Code with the suite in it. */
async function run(chatterFile, more, isTrusted) {
  const place = prepare(chatterFile);
  const { folder, chatter } = place;
  settings(place, more);
  cpSync(here('empty'), join(folder, 'extensions/empty'), { recursive: true });
  const { browser, page } = await look(place);
  const acts = person(page);
  const control = await listen((act, argument) => acts[act](argument));
  const environment = {
    OPENDEVAGENT_PERSON: control.url,
    ...(!isReal && {
      OPENDEVAGENT_BIN: here('fake-server.mjs'),
      OPENDEVAGENT_TRANSCRIPT: join(folder, 'transcript.jsonl'),
    }),
  };
  // A built VS Code runs no tests without the driver.
  const { server, address } = await start(place, environment, ['--enable-smoke-test-driver'], isTrusted);
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
    cleanUp(place);
  }
}

const isReal = process.env.OPENDEVAGENT_BIN !== undefined;
await run('vscode.log', {}, true);
if (!isReal) {
  const asking = { 'security.workspace.trust.enabled': true, 'security.workspace.trust.startupPrompt': 'never' };
  await run('vscode-untrusted.log', asking, false);
}

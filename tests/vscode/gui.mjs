// Drives the packed extension in a real VS Code as a person does: looks, clicks, types. From a first minute without a
// key to a proven fix, and what is said without Docker.
//
//   node tests/vscode/gui.mjs PROGRAM KEY
//
// PROGRAM is the server, which goes into the package; KEY is the only one that its model server takes. The environment
// says where that is (OPENDEVAGENT_MODEL_BASE_URL). Pictures go where those of run.mjs go. Prints the number of steps
// that went well; each stands on the one before, so the first that fails is the last.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { cleanUp, extension, install, look, picture, pictures, prepare, settings, start } from './workbench.mjs';

const [program, key] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
const CALM = {
  'workbench.colorTheme': 'Default Dark Modern',
  'workbench.layoutControl.enabled': false,
  'editor.minimap.enabled': false,
  'terminal.integrated.gpuAcceleration': 'off', // Text that can be read.
  'breadcrumbs.enabled': false,
  'workbench.editor.empty.hint': 'hidden',
};

const place = prepare('gui.log');
settings(place, CALM);
const { browser, page } = await look(place);
page.setDefaultTimeout(PATIENCE_MS);

const toast = (text) => page.locator('.notifications-toasts .notification-list-item', { hasText: text });
const button = (title) => page.getByRole('button', { name: title, exact: true });
const quickInput = page.locator('.quick-input-widget input').first();
const rows = page.locator('.quick-input-list .monaco-list-row');
const task = page.locator('.pane-body:has([aria-label="Tasks"]) .monaco-list-row[data-index="0"]');
const tab = (text) => page.locator('.tabs-container .tab', { hasText: text });
const shown = (name) => picture(page, `gui-${name}`);

async function read(locator) {
  return ((await locator.textContent()) ?? '').replaceAll('\u00a0', ' ');
}

/** Waits until a text that is on the screen fits. */
async function until(locator, fits) {
  for (const end = Date.now() + PATIENCE_MS; ; ) {
    const text = (await locator.count()) > 0 ? await read(locator.first()) : '';
    if (fits.test(text)) return text;
    if (Date.now() > end) throw new Error(`${fits} was awaited, there is: ${text}`);
    await page.waitForTimeout(50);
  }
}

async function command(title) {
  await page.keyboard.press('F1');
  await quickInput.waitFor();
  await quickInput.fill(`>${title}`);
  // The list is sorted anew while one types: only then is the first the best.
  await until(rows.first().locator('.label-name'), new RegExp(`^${title}`));
  await page.keyboard.press('Enter');
}

async function open(name) {
  const there = page.locator(`.tabs-container .tab[data-resource-name="${name}"]`);
  if ((await there.count()) > 0) {
    await there.first().click();
  } else {
    await page.keyboard.press('Control+p');
    await quickInput.waitFor();
    await quickInput.fill(name);
    await until(rows.first().locator('.label-name'), new RegExp(`^${name}$`));
    await page.keyboard.press('Enter');
  }
  await page.locator(`.tabs-container .tab.active[data-resource-name="${name}"]`).waitFor();
}

/** Ctrl+Alt+D, then another key. */
async function chord(second) {
  await page.keyboard.press('Control+Alt+d');
  await page.keyboard.press(second);
}

/** Types into an input, in the wizard at a certain step. */
async function answer(text, step) {
  if (step !== undefined) await until(page.locator('.quick-input-title'), new RegExp(`\\(${step}/`));
  await quickInput.fill(text);
  await page.keyboard.press('Enter');
}

const editor = page.locator('.editor-instance .view-lines').last();
const BROKEN = /gcd\(b, a \/\/ b\)/;
const FIXED = /gcd\(b, a % b\)/;

const steps = {
  'the package installs, and the view says how to begin': async () => {
    await page.goto(`http://${address}/?folder=${join(place.folder, 'workspace')}`);
    await page.locator('.activitybar a[aria-label^="OpenDevAgent"]').click();
    await button('Set API Key').waitFor();
    await shown('welcome');
  },
  'without a key, Fix says so and offers to set one': async () => {
    await open('gcd.py');
    await page.locator('[id="opendevagent.opendevagent"], .statusbar-item', { hasText: 'OpenDevAgent' }).first().waitFor();
    await page.locator('.view-line').nth(1).click();
    await chord('f');
    await toast('key').getByRole('button', { name: 'Set API Key…' }).waitFor();
    await shown('no-key');
    await toast('key').getByRole('button', { name: 'Set API Key…' }).click();
  },
  'a wrong key is refused, and another can be typed at once': async () => {
    await quickInput.waitFor();
    if ((await quickInput.getAttribute('type')) !== 'password') throw new Error('the key can be read on the screen');
    await answer('a-wrong-key');
    await until(page.locator('.quick-input-message'), /refused/);
    await shown('wrong-key');
    await answer(key);
    await toast('the key works').waitFor();
    await shown('key-works');
  },
  'what failed runs again, with live progress': async () => {
    await toast('the key works').getByRole('button', { name: 'Run Again' }).click();
    await toast('fix gcd.py').getByRole('button', { name: 'Cancel' }).waitFor();
    await until(task, /testing|debugging/);
    await shown('progress');
  },
  'the proposal is a diff with its verdict': async () => {
    await tab('gcd.py: proven').waitFor();
    await until(task, /proven, to review · \$/);
    await shown('review');
  },
  '✓ applies it, undo takes it back': async () => {
    await page.locator('.editor-actions [aria-label^="Apply Proposal"]').click();
    await until(editor, FIXED);
    await until(task, /proven, applied/);
    await shown('applied');
    await page.locator('.view-line').nth(1).click();
    await page.keyboard.press('Control+z');
    await until(editor, BROKEN);
  },
  'the wizard asks step by step, and its task is discarded with ✗': async () => {
    await chord('n');
    await until(page.locator('.quick-input-title'), /\(1\//);
    await shown('wizard-first');
    await answer('Fix', 1);
    await answer('This file', 2);
    await until(page.locator('.quick-input-title'), /\(3\//);
    await page.locator('.quick-input-titlebar [aria-label^="Back"]').click();
    await answer('At the cursor', 2);
    await answer('gcd is wrong', 3);
    await answer('python -m pytest -q', 4);
    await answer('0.10', 5);
    await until(page.locator('.quick-input-title'), /\(6\//);
    await rows.filter({ hasText: '$0.10' }).waitFor();
    await rows.filter({ hasText: 'python -m pytest -q' }).waitFor();
    await shown('wizard');
    await page.keyboard.press('Enter');
    await tab('gcd.py: proven').waitFor();
    await page.locator('.editor-actions [aria-label^="Discard Proposal"]').click();
    await until(task, /proven, discarded/);
    await until(editor, BROKEN);
  },
  'a program that does not end is cancelled': async () => {
    await open('endless.py');
    await page.locator('.view-line').first().click();
    await chord('r');
    await until(task, /run endless\.py.*testing/);
    await toast('run endless.py').getByRole('button', { name: 'Cancel' }).click();
    await until(task, /cancelled/);
  },
  'Check Setup says that all is there': async () => {
    await command('OpenDevAgent: Check Setup');
    await until(page.locator('.quick-input-title'), /all is there|problem/);
    await rows.filter({ hasText: 'sandbox' }).first().waitFor();
    await shown('doctor');
    await page.keyboard.press('Escape');
    await page.keyboard.press('F1');
    await quickInput.fill('>OpenDevAgent: Remove API Key');
    await rows.filter({ hasText: 'Remove API Key' }).first().waitFor(); // Offered only where there is one.
    await page.keyboard.press('Escape');
  },
  'the demo runs in a terminal': async () => {
    await command('OpenDevAgent: Run the Demo');
    await until(page.locator('.xterm-rows'), /proven/);
    await shown('demo');
    await page.locator('.part.panel [aria-label^="Hide Panel"]').first().click();
  },
  'without Docker a proposal is not proven, and help is offered': async () => {
    settings(place, { ...CALM, 'opendevagent.sandbox.host': 'unix:///nonexistent/docker.sock' });
    await open('gcd.py');
    await page.locator('.view-line').nth(1).click();
    await page.waitForTimeout(2000); // VS Code looks at its settings file when it likes.
    await chord('f');
    await toast('could not be checked').getByRole('button', { name: 'Set Up Docker' }).waitFor();
    await tab('gcd.py: unverified').waitFor();
    await shown('no-docker');
    await page.locator('.editor-actions [aria-label^="Discard Proposal"]').click();
    await until(task, /unverified, discarded/);
  },
  'the walkthrough has four steps, and knows that there is a key': async () => {
    await command('OpenDevAgent: Get Started');
    await page.locator('.getting-started-step').nth(3).waitFor();
    await page.locator('.getting-started-step', { hasText: 'Choose a model' }).locator('[class*="step-checked"]').waitFor();
    await shown('walkthrough');
  },
};

const vsix = join(place.folder, 'opendevagent.vsix');
const stripped = join(place.folder, 'stripped');
execFileSync('strip', ['-o', stripped, program]); // A debug build's symbols take a minute to pack.
execFileSync('node', [join(extension, 'package.mjs'), 'linux-x64', stripped, vsix], { stdio: ['ignore', 'pipe', 'inherit'] });
install(place, vsix);
const { server, address } = await start(place, { OPENDEVAGENT_BIN: '' });
let passed = 0;
try {
  for (const [name, step] of Object.entries(steps)) {
    const began = Date.now();
    await step();
    passed += 1;
    console.log(`ok   ${name} (${Date.now() - began} ms)`);
  }
} catch (error) {
  console.log(`FAIL ${Object.keys(steps)[passed]}\n${error.stack}; see ${pictures}`);
  await shown('failed');
  process.exitCode = 1;
} finally {
  console.log(`vscode-gui: ${passed} of ${Object.keys(steps).length} steps passed`);
  await browser.close();
  server.kill();
  cleanUp(place);
}

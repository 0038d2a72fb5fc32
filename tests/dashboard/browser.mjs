// Looks at a dashboard with a real Chromium: accessibility in light and dark, pictures at 400 and 1,600 px, live
// updates, the keyboard, hostile text, and what other sites get to see.
//
//   node browser.mjs LINK LINK PICTURES PROVEN HOSTILE RUNNING
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [link, second, pictures, proven, hostile, running] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const { port } = new URL(link);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', `--host-resolver-rules=MAP evil.example 127.0.0.1`],
});
const complaints = [];

async function reader(options) {
  // The checker of accessibility is a script of its own, which the page's policy would not let in.
  const context = await browser.newContext({ bypassCSP: options.bypassCSP ?? false, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('console', (message) => message.type() === 'error' && complaints.push(`${page.url()}: ${message.text()}`));
  page.on('dialog', (dialog) => complaints.push(`dialog ${dialog.message()}`));
  return page;
}

async function accessible(page, name) {
  await page.addScriptTag({ path: axe });
  const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  for (const { id, help, nodes } of violations) {
    complaints.push(`${name}: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join(' | ')}`);
  }
}

// The link is good once, leads to an address that a second page can use, and leaves no cookie.
const first = await reader({ viewport: { width: 1600, height: 1000 } });
await first.goto(link);
const root = first.url();
assert.match(root, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{64}\/$/);
assert.deepEqual(await first.context().cookies(), []);
const reused = await first.context().request.get(link);
assert.equal(reused.status(), 403);
await first.locator('#connection.on').waitFor();

// Every page, light and dark, narrow and wide.
const pages = { tasks: root, found: `${root}?q=parser&action=generate`, empty: `${root}?q=nothing+like+this`, proven: `${root}task/${proven}`, running: `${root}task/${running}`, hostile: `${root}task/${hostile}`, system: `${root}system` };
for (const colorScheme of ['light', 'dark']) {
  for (const width of [400, 1600]) {
    const page = await reader({ colorScheme, viewport: { width, height: width === 400 ? 860 : 1000 }, bypassCSP: true });
    for (const [name, address] of Object.entries(pages)) {
      await page.goto(address);
      await page.locator('#connection.on').waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) complaints.push(`${name} ${colorScheme} ${width}: ${wide} px too wide`);
      await accessible(page, `${name} ${colorScheme} ${width}`);
      await page.screenshot({ path: join(pictures, `${name}-${colorScheme}-${width}.png`), fullPage: true });
    }
    await page.context().close();
  }
}

// Hostile text is text.
for (const address of [root, pages.hostile]) {
  await first.goto(address);
  await first.waitForLoadState();
  assert.equal(await first.locator('img[src=x], main script').count(), 0);
  assert.ok(!(await first.title()).startsWith('owned'));
}
await first.goto(`${root}?q=${encodeURIComponent('"><script>document.title="owned"</script>')}`);
assert.ok(!(await first.title()).startsWith('owned'));

// The keyboard: skip link, search, a task, back.
await first.goto(root);
await first.keyboard.press('Tab');
assert.equal(await first.evaluate(() => document.activeElement.textContent), 'Skip to content');
await first.keyboard.press('Enter');
await first.keyboard.press('/');
assert.equal(await first.evaluate(() => document.activeElement.id), 'search');
await first.keyboard.type('gcd');
await first.keyboard.press('Enter');
await first.waitForURL(/q=gcd/);
await first.locator('.task a').first().focus();
await first.keyboard.press('Enter');
await first.waitForURL(/task/);
await first.goBack();
assert.match(first.url(), /q=gcd/);

// A page that is open shows what happens, and keeps what its reader has opened.
await first.goto(pages.running);
await first.locator('#connection.on').waitFor();
await first.locator('#timeline .now', { hasText: 'Coding' }).waitFor();
const overview = await reader({});
await overview.goto(root);
await overview.locator('#running .task', { hasText: 'parser.rs' }).waitFor();
console.log('waiting for the end of the running task');
await first.locator('#verdict', { hasText: '13 tests pass' }).waitFor().catch(() => {});
await first.locator('#head .badge', { hasText: 'complete' }).waitFor();
await first.locator('#said', { hasText: 'complete' }).waitFor({ state: 'attached' });
await overview.locator('#history .task', { hasText: 'parser.rs' }).waitFor();
assert.equal(await overview.locator('#running .task').count(), 0);

// A button does what it says.
await first.goto(pages.proven);
await first.getByRole('button', { name: 'Discard' }).click();
await first.waitForURL(pages.proven);

// Without scripts everything but the updates is there.
const plain = await reader({ javaScriptEnabled: false });
await plain.goto(pages.proven);
assert.ok(await plain.getByRole('heading', { name: 'Verdict' }).isVisible());
await plain.getByRole('link', { name: 'All tasks' }).click();
assert.equal(plain.url(), root);

// Another name of this machine (DNS rebinding) sees nothing, not even whether a link is good.
const quiet = complaints.length;
const rebound = await reader({});
for (const path of [new URL(second).search, new URL(root).pathname]) {
  const answer = await rebound.goto(`http://evil.example:${port}/${path.replace(/^\//, '')}`);
  assert.equal(answer.status(), 421);
}

// Another site that knows even the secret can neither read, nor frame, nor act.
const site = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!DOCTYPE html><title>other</title><iframe></iframe>'));
await new Promise((ready) => site.listen(0, '127.0.0.1', ready));
const other = await reader({});
await other.goto(`http://127.0.0.1:${site.address().port}/`);
const got = await other.evaluate(async ({ root, task }) => {
  const attempt = async (work) => { try { return await work(); } catch (error) { return String(error.name ?? error); } };
  const read = await attempt(async () => (await fetch(root)).text());
  const post = await attempt(async () => (await fetch(`${root}task/${task}/apply`, { method: 'POST', mode: 'no-cors' })).type);
  const form = document.createElement('form');
  Object.assign(form, { method: 'post', action: `${root}task/${task}/apply`, target: 'frame' });
  const frame = document.querySelector('iframe');
  frame.name = 'frame';
  document.body.append(form);
  form.submit();
  const stream = await new Promise((done) => {
    const source = new EventSource(`${root}live`);
    source.onopen = () => done('open');
    source.onerror = () => done('refused');
  });
  frame.src = root;
  await new Promise((done) => setTimeout(done, 500));
  const framed = await attempt(async () => frame.contentDocument?.title ?? 'hidden');
  return { read, post, stream, framed };
}, { root, task: proven });
assert.equal(got.read, 'TypeError');
assert.equal(got.stream, 'refused');
assert.ok(got.framed === 'hidden' || got.framed === '', got.framed);
complaints.length = quiet; // Chromium complains of what it refused, as it should.
site.close();

// The second link is still good: nobody could use it up.
const late = await reader({});
await late.goto(second);
assert.equal(late.url(), root);

await browser.close();
if (complaints.length) {
  console.log(complaints.join('\n'));
  process.exit(1);
}
console.log('dashboard: all seen');

// Keeps a page as the server would draw it now: hears that something changed, fetches the page again, and takes over
// the parts that differ. Everything works without it, as of the time the page was opened.
'use strict';
const HIDDEN_MS = 5 * 60_000;
const BETWEEN_MS = 400;
const connection = document.getElementById('connection');
let source, wanted, busy, leaving;

function state(name, text) {
  connection.className = name;
  if (connection.textContent !== text) connection.textContent = text;
}

function localTimes(root) {
  for (const time of root.querySelectorAll('time')) {
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString();
    if (time.dataset.clock !== undefined) time.textContent = at.toLocaleTimeString();
  }
}

// What a reader has opened or holds stays so.
function take(part, fresh) {
  const key = (element) => `${element.tagName} ${element.id || element.getAttribute('href') || element.ariaLabel}`;
  for (const details of part.querySelectorAll('details[id]')) {
    const other = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (other) other.open = details.open;
  }
  const scrolled = new Map([...part.querySelectorAll('.code')].map((code) => [key(code), [code.scrollTop, code.scrollLeft]]));
  const focused = part.contains(document.activeElement) && key(document.activeElement);
  part.replaceChildren(...fresh.childNodes);
  for (const code of part.querySelectorAll('.code')) [code.scrollTop, code.scrollLeft] = scrolled.get(key(code)) ?? [0, 0];
  if (focused) [...part.querySelectorAll('a, button, summary, .code')].find((other) => key(other) === focused)?.focus();
}

async function refresh() {
  if (busy) return (wanted = true);
  busy = true;
  wanted = false;
  try {
    const answer = await fetch(location.href, { cache: 'no-store' });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    localTimes(fresh);
    for (const part of document.querySelectorAll('[data-part]')) {
      const other = fresh.getElementById(part.id);
      if (other && !part.isEqualNode(other)) take(part, other);
    }
    const news = fresh.querySelector('[data-news]')?.dataset.news;
    const said = document.getElementById('said');
    if (news && said.textContent !== news) said.textContent = news;
    document.title = fresh.title;
  } catch {
    // The stream tells when the server is gone.
  } finally {
    setTimeout(() => {
      busy = false;
      if (wanted) refresh();
    }, BETWEEN_MS);
  }
}

function connect() {
  source?.close();
  source = new EventSource(document.body.dataset.live);
  source.onopen = () => state('on', 'Live');
  source.onmessage = refresh;
  source.onerror = () => {
    if (leaving) return;
    const over = source.readyState === EventSource.CLOSED;
    state('off', over ? 'Ended: open the page from your editor again' : 'Not connected');
  };
}

// A page that nobody looks at does not keep the server up.
let hidden;
document.addEventListener('visibilitychange', () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => source.close(), HIDDEN_MS);
  else if (source.readyState === EventSource.CLOSED) connect(), refresh();
});
addEventListener('pagehide', () => (leaving = true));
addEventListener('pageshow', (event) => event.persisted && ((leaving = false), connect(), refresh()));
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, select, textarea')) return;
  const search = document.getElementById('search');
  if (search) event.preventDefault(), search.focus();
});
for (const select of document.querySelectorAll('form[role=search] select')) {
  select.addEventListener('change', () => select.form.requestSubmit());
}
localTimes(document);
connect();

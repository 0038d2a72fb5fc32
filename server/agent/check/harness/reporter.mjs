// Writes every result of `node --test` as one JSON line for OpenDevAgent: names of suites and test, file, outcome.
import { relative } from 'node:path';
import { inspect } from 'node:util';

const MAX = 8192;

export default async function* report(source) {
  const open = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      open.length = data.nesting;
      open[data.nesting] = data.name;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // typescript.sh has compiled the file from another.
    const source = (path) => relative(process.cwd(), path).replace(/^\.opendevagent\/(.*)\.test\.mjs$/, '$1.ts');
    const file = data.file ? source(data.file) : '';
    const whole = data.nesting === 0 && (data.name === data.file || data.name === file);
    const cause = data.details?.error?.cause ?? data.details?.error;
    yield `${JSON.stringify({
      file: whole ? source(data.name) || data.name : file,
      names: whole ? [] : [...open.slice(0, data.nesting), data.name],
      suite: data.details?.type === 'suite',
      state: data.skip !== undefined || data.todo !== undefined ? 'skipped' : type.slice(5),
      kind: data.details?.error?.failureType,
      line: data.line,
      message: cause === undefined ? '' : String(cause?.message ?? cause).slice(0, MAX),
      detail: cause === undefined ? '' : (cause?.stack ?? inspect(cause)).slice(0, MAX),
    })}\n`;
  }
}

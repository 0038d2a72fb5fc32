// Turns the events of tasks into lines of the log channel. What agents say is at level Debug, so hidden by default.
import type { TaskEvent, Tests } from './protocol';

type Level = 'debug' | 'info' | 'warn' | 'error';

/** The methods of VS Code's LogOutputChannel that are used here. */
export type Channel = Record<Level, (line: string) => void>;

export class TaskLog {
  /** What has been said since the last line end, by task: answers arrive in pieces. */
  private readonly partial = new Map<string, string>();

  constructor(private readonly channel: Channel) {}

  add(event: TaskEvent): void {
    // The random end of the id: tasks of one minute share the beginning.
    const task = event.task.slice(-6);
    for (const [level, line] of this.lines(event)) {
      this.channel[level](`${task} ${line}`);
    }
  }

  private lines(event: TaskEvent): [Level, string][] {
    const before = this.partial.get(event.task) ?? '';
    this.partial.delete(event.task);
    if (event.kind !== 'said') {
      const rest: [Level, string][] = before === '' ? [] : [['debug', before]];
      return [...rest, describe(event)];
    }
    const lines = ((before === '' ? `${event.agent}: ` : before) + event.text).split('\n');
    this.partial.set(event.task, lines.pop() ?? '');
    return lines.map((line) => ['debug', line]);
  }
}

/** One line for everything but speech. */
function describe(event: Exclude<TaskEvent, { kind: 'said' }>): [Level, string] {
  switch (event.kind) {
    case 'started':
      return ['info', `${event.action}: ${event.title}`];
    case 'phase':
      return [
        'info',
        `[${event.phase.toUpperCase()}] ${event.percent} %${event.attempt > 0 ? `, attempt ${event.attempt}` : ''}`,
      ];
    case 'ran':
      return ['info', `check ${event.stage} the edit: ${event.status}${counted(event.tests)}`];
    case 'found':
      return [
        'info',
        `${event.path}: ${event.findings.map(({ line, message }) => `${line}: ${message}`).join('; ') || 'nothing found'}`,
      ];
    case 'usage':
      return [
        'debug',
        `${event.usage.calls} calls, ${event.usage.prompt_tokens} + ${event.usage.completion_tokens} tokens, $${event.usage.cost_usd}`,
      ];
    case 'noted':
      return [event.level === 'warning' ? 'warn' : event.level, event.text];
    case 'ended':
      return [
        event.phase === 'failed' ? 'error' : 'info',
        `${event.phase}${level(event)}: ${event.message}`,
      ];
    default:
      return ['info', JSON.stringify(event)]; // A newer server may know more kinds.
  }
}

/** A cancelled task has shown nothing. */
function level(event: { phase: string; verdict?: { level: string } | null }): string {
  return event.verdict && event.phase !== 'cancelled' ? ` (${event.verdict.level})` : '';
}

function counted(tests: Tests | null): string {
  return tests ? `, ${tests.passed} of ${tests.run} tests passed` : '';
}

/** A trace of the protocol holds the answer to `opendevagent/credentials`: the key must not be in what is shown. */
export function redact(text: string): string {
  return text.replace(/("key"\s*:\s*)"(?:[^"\\]|\\.)*"/g, '$1"…"');
}

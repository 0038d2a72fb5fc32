// What is known of all tasks: the rows that the server has told, kept up by its events. Knows nothing of VS Code's API.
import type { Phase, TaskEvent, TaskRow } from './protocol';

export class TaskList {
  private readonly rows = new Map<string, TaskRow>();

  /** `changed` is called after each change. */
  constructor(private readonly changed: () => void) {}

  /** The newest first: ids are sorted by age. */
  get all(): TaskRow[] {
    return [...this.rows.values()].sort((one, other) => (one.task < other.task ? 1 : -1));
  }

  /** Of this server: of others nothing more is heard until the rows are asked for again. */
  get running(): TaskRow[] {
    return this.all.filter((row) => isRunning(row) && isOurs(row));
  }

  get(task: string): TaskRow | undefined {
    return this.rows.get(task);
  }

  /** Takes what the server knows instead of what was known. */
  replace(rows: TaskRow[]): void {
    this.rows.clear();
    for (const row of rows) {
      this.rows.set(row.task, row);
    }
    this.changed();
  }

  /** Whether the server should be asked for its rows again: it knows more than the event says. */
  update(event: TaskEvent): boolean {
    if (event.kind === 'started') {
      const { task, action, title } = event;
      this.rows.set(task, { task, action, title, phase: 'queued', percent: 0 });
      this.changed();
      return true;
    }
    const row = this.rows.get(event.task);
    if (!row) {
      return event.kind === 'ended';
    }
    if (event.kind === 'phase') {
      // A repair goes back to an earlier phase; what a user sees only grows.
      Object.assign(row, { phase: event.phase, percent: Math.max(row.percent, event.percent) });
    } else if (event.kind === 'usage') {
      row.cost_usd = event.usage.cost_usd;
    } else if (event.kind === 'ended') {
      Object.assign(row, { phase: event.phase, percent: 100, verdict: event.verdict });
    } else {
      // What is noted after the end: that the proposal was applied or discarded.
      return event.kind === 'noted' && !isRunning(row);
    }
    this.changed();
    return event.kind === 'ended';
  }

  /** The server is gone. What has ended stays to be read. */
  interrupt(): void {
    for (const row of this.rows.values()) {
      if (isRunning(row) && isOurs(row)) {
        Object.assign(row, { phase: 'cancelled', error: 'the server stopped' });
      }
      delete row.proposal;
    }
    this.changed();
  }
}

const ENDED: ReadonlySet<Phase> = new Set(['complete', 'failed', 'cancelled']);

export function isRunning(row: TaskRow): boolean {
  return !ENDED.has(row.phase);
}

/** Whether the server of this window has it. */
export function isOurs({ server }: TaskRow): boolean {
  return server === undefined || server === 'this';
}

/** A proposal that waits for the user. One whose check fails is not offered. */
export function isOffered(row: TaskRow): boolean {
  return isOurs(row) && row.proposal === 'standing' && row.verdict?.level !== 'failing';
}

/** One line beside the title: what it is doing, or what came of it, and what it has cost. */
export function describe(row: TaskRow): string {
  const cost = row.cost_usd ? `$${row.cost_usd.toFixed(row.cost_usd < 0.1 ? 4 : 2)}` : '';
  return [isRunning(row) ? progress(row) : outcome(row), cost, whose(row)].filter(Boolean).join(' · ');
}

function whose({ server }: TaskRow): string {
  return server === 'other' ? 'another editor' : server === 'earlier' ? 'earlier' : '';
}

const STEPS = 5;

function progress({ phase, percent }: TaskRow): string {
  const done = Math.round((percent / 100) * STEPS);
  return `${'▰'.repeat(done)}${'▱'.repeat(STEPS - done)} ${phase} ${percent} %`;
}

function outcome({ phase, verdict, proposal, error }: TaskRow): string {
  if (phase === 'cancelled' || error) {
    return phase; // A verdict on what was never proposed says nothing.
  }
  const decided = proposal === 'applied' || proposal === 'discarded' ? proposal : '';
  const open = proposal === 'standing' && verdict?.level !== 'failing' ? 'to review' : '';
  return [verdict?.level ?? (phase === 'failed' ? 'failed' : 'done'), decided || open].filter(Boolean).join(', ');
}

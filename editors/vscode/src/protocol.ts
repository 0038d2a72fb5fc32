// The messages that this client and the server exchange beyond LSP (opt-ins of the `initialize` request).

export type Action = 'plan' | 'generate' | 'fix' | 'tests' | 'review' | 'explain' | 'run';

export type Phase = 'queued' | 'planning' | 'coding' | 'testing' | 'debugging' | 'complete' | 'failed' | 'cancelled';

/** One step of a task, sent as the notification `opendevagent/event`. */
export type TaskEvent = {
  task: string;
  /** Counts up by one within a task, from 0. */
  seq: number;
  /** Milliseconds since the Unix epoch. */
  at: number;
} & (
  | { kind: 'started'; action: Action; title: string }
  | { kind: 'phase'; phase: Phase; percent: number; attempt: number }
  | { kind: 'said'; agent: string; text: string }
  | { kind: 'ran'; stage: 'before' | 'after'; status: string; exit_code: number | null; tests: Tests | null }
  | { kind: 'found'; path: string; findings: Finding[] }
  | { kind: 'usage'; usage: { calls: number; prompt_tokens: number; completion_tokens: number; cost_usd: number } }
  | { kind: 'noted'; level: 'info' | 'warning' | 'error'; text: string }
  | { kind: 'ended'; phase: Phase; verdict: Verdict | null; message: string }
);

export interface Tests {
  run: number;
  passed: number;
  failed: number;
}

export interface Finding {
  /** From 1. */
  line: number;
  severity: string;
  message: string;
}

export interface Verdict {
  level: 'unverified' | 'failing' | 'runs' | 'passing' | 'proven';
  reason: string;
}

/** The lasting state of the server, sent as the notification `opendevagent/status`. */
export interface Status {
  state: 'ready' | 'busy' | 'problem';
  message: string;
  /** What the user can do about a problem. */
  remedy?: string | null;
}

/** A finished proposal, sent as the request `opendevagent/review`. */
export interface ReviewParams {
  task: string;
  title: string;
  verdict: Verdict;
  files: ReviewedFile[];
}

export interface ReviewedFile {
  uri: string;
  /** The whole text; null where the file does not exist on that side. */
  before: string | null;
  after: string | null;
}

export type Decision = 'apply' | 'discard' | 'later';

/** The answer to the request `opendevagent/credentials`; null when no key is stored. */
export type Credentials = { key: string } | null;

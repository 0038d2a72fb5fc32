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
  | { kind: 'ended'; phase: Phase; verdict: Verdict | null; message: string; stop?: About; quiet?: boolean }
);

/** What a problem is about: decides which buttons mend it. A newer server may know more. */
export type About = 'key' | 'model' | 'sandbox' | 'store' | 'budget' | 'stale' | 'usage' | 'cancelled';

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
  about?: About;
}

/** One row of the answer to `opendevagent/tasks`. Those of other servers may lack what is optional here. */
export interface TaskRow {
  task: string;
  action: Action;
  title: string;
  phase: Phase;
  percent: number;
  verdict?: Verdict | null;
  /** What became of the proposal. */
  proposal?: 'none' | 'standing' | 'applying' | 'applied' | 'discarded';
  /** The file or folder that the task is about. */
  uri?: string | null;
  cost_usd?: number;
  error?: string | null;
  /** Whose task it is: of this server, of another that runs, or of one that is gone. */
  server?: 'this' | 'other' | 'earlier';
}

/** The argument of the commands that start a task. */
export interface Wish {
  uri: string;
  range?: Range;
  diagnostics?: object[];
  instruction?: string;
  language?: string;
  framework?: string;
  check?: string;
  /** US dollars. */
  budget?: number;
}

export interface Range {
  start: { line: number; character: number };
  end: { line: number; character: number };
}

/** The answer to `opendevagent/setKey`. */
export interface KeyAnswer {
  ok: boolean;
  message: string;
  /** The key is wrong. Otherwise, when not `ok`, the server of the model could not be asked. */
  refused?: boolean;
}

/** One thing that `opendevagent/doctor` looked at. */
export interface DoctorCheck {
  name: string;
  ok: boolean;
  message: string;
  remedy?: string;
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

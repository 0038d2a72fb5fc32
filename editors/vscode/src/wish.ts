// What the wizard gathers, and what it becomes for the server. Knows nothing of VS Code's API.
import type { Action, Range, Wish } from './protocol';

export interface Target {
  label: string;
  uri: string;
  range?: Range;
  /** The whole workspace, so that nothing in it says what is wanted. */
  isWorkspace: boolean;
}

export interface Answers {
  action: Action;
  target: Target;
  instruction: string;
  language: string;
  framework: string;
  check: string;
  /** US dollars; none: as the settings say. */
  budget: number | undefined;
}

/** Which questions make sense for an action, besides those that all have. */
export interface Traits {
  label: string;
  icon: string;
  detail: string;
  /** What the instruction is for. */
  ask: string;
  /** A whole workspace can be meant. */
  wide: boolean;
  /** It writes code: language, framework and check matter. */
  writes: 'new' | 'repair' | 'none';
}

export const ACTIONS: Record<Action, Traits> = {
  fix: {
    label: 'Fix',
    icon: 'wrench',
    detail: 'Repair what a failing check or a problem shows, and prove it',
    ask: 'What is wrong? Empty: what the check and the problems say.',
    wide: true,
    writes: 'repair',
  },
  generate: {
    label: 'Generate',
    icon: 'sparkle',
    detail: 'Write new code, with a check that it works',
    ask: 'What should be written? Empty: what the selection or the comment says.',
    wide: true,
    writes: 'new',
  },
  tests: {
    label: 'Write Tests',
    icon: 'beaker',
    detail: 'Tests for what is there, run in the sandbox',
    ask: 'What should be tested? Empty: what is selected.',
    wide: false,
    writes: 'new',
  },
  plan: {
    label: 'Plan',
    icon: 'list-tree',
    detail: 'Components, steps, risks; changes nothing',
    ask: 'What should be planned? Empty: what the selection says.',
    wide: true,
    writes: 'none',
  },
  review: {
    label: 'Review',
    icon: 'checklist',
    detail: 'Findings as problems; changes nothing',
    ask: 'What to look for? Empty: everything.',
    wide: false,
    writes: 'none',
  },
  explain: {
    label: 'Explain',
    icon: 'comment',
    detail: 'What the code does',
    ask: 'What is unclear? Empty: everything.',
    wide: false,
    writes: 'none',
  },
  run: {
    label: 'Run in Sandbox',
    icon: 'play',
    detail: 'Run the file in a container without network',
    ask: '',
    wide: false,
    writes: 'none',
  },
};

export type Question = keyof Answers;

/** The questions that are asked, in order. */
export function questions({ action, target }: Partial<Answers>): Question[] {
  if (action === undefined) {
    return ['action'];
  }
  const { ask, writes } = ACTIONS[action];
  return [
    'action',
    'target',
    ...(ask ? (['instruction'] as const) : []),
    // A file says its language itself.
    ...(writes === 'new' && target?.isWorkspace !== false ? (['language'] as const) : []),
    ...(writes === 'new' ? (['framework'] as const) : []),
    ...(writes === 'none' ? [] : (['check'] as const)),
    ...(action === 'run' ? [] : (['budget'] as const)),
  ];
}

/** Nothing else says what should be planned or written. */
export function needsInstruction({ action, target }: Partial<Answers>): boolean {
  return (action === 'plan' || action === 'generate') && target?.isWorkspace === true;
}

/** `0.25`, `$0.25` or `0,25 $`; undefined for what is no sum. */
export function dollars(text: string): number | undefined {
  const [, sum] = /^\s*\$?\s*(\d+(?:[.,]\d+)?)\s*\$?\s*$/.exec(text) ?? [];
  const value = Number(sum?.replace(',', '.'));
  return value > 0 ? value : undefined;
}

/** The argument of the server's command. Answers to questions that do not belong to the action are left out. */
export function wish(answers: Answers): Wish {
  const asked = new Set(questions(answers));
  const { target } = answers;
  const words = (['instruction', 'language', 'framework', 'check'] as const).filter(
    (name) => asked.has(name) && answers[name].trim() !== '',
  );
  return {
    uri: target.uri,
    ...(target.range && { range: target.range }),
    ...Object.fromEntries(words.map((name) => [name, answers[name].trim()])),
    ...(asked.has('budget') && answers.budget !== undefined && { budget: answers.budget }),
  };
}

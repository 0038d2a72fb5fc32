// New Task: asks what is wanted step by step, with a way back, and starts it.
import * as vscode from 'vscode';
import { LANGUAGES } from './languages';
import type { Action, Wish } from './protocol';
import { BACK, choose, END, write, type Answer, type Choice, type Place } from './steps';
import { isAllowed } from './trust';
import { ACTIONS, dollars, needsInstruction, questions, wish, type Answers, type Question, type Target } from './wish';

const SUMS = [0.1, 0.25, 1, 2];
/** Checks that were named before, newest first. */
const CHECKS = 'opendevagent.checks';
const MOST_CHECKS = 8;

export interface Started {
  action: Action;
  wish: Wish;
}

type Ask = (answers: Partial<Answers>, place: Place) => Promise<Answer<unknown>>;

/** `editor` is the one whose file and selection are offered. Undefined: the user gave up. */
export async function wizard(
  memory: vscode.Memento,
  editor: vscode.TextEditor | undefined,
): Promise<Started | undefined> {
  const answers: Partial<Answers> = {};
  const asks = questionsFor(memory, editor);
  let at = 0;
  for (;;) {
    const order: (Question | 'summary')[] = [...questions(answers), 'summary'];
    const question = order[at] ?? 'summary';
    // Before the action is known nobody can tell how many questions follow.
    const of = answers.action === undefined ? 7 : order.length;
    const place = { title: title(answers), step: at + 1, of };
    const answer = question === 'summary' ? await summary(answers as Answers, place) : await asks[question](answers, place);
    if (answer === END) {
      return undefined;
    }
    if (answer === BACK) {
      at -= 1;
    } else if (question === 'summary') {
      if (answer === 'start') {
        await remember(memory, answers.check);
        return { action: answers.action!, wish: wish(answers as Answers) };
      }
      at = order.indexOf(answer as Question);
    } else {
      Object.assign(answers, { [question]: answer });
      at += 1;
    }
  }
}

function title({ action, target }: Partial<Answers>): string {
  return `OpenDevAgent: ${action ? ACTIONS[action].label : 'New Task'}${target ? ` (${target.label})` : ''}`;
}

function questionsFor(memory: vscode.Memento, editor: vscode.TextEditor | undefined): Record<Question, Ask> {
  return {
    action: ({ action }, place) =>
      choose(
        place,
        'What shall be done?',
        (Object.keys(ACTIONS) as Action[]).filter(isAllowed).map((value) => {
          const { label, icon, detail } = ACTIONS[value];
          return { label: `$(${icon}) ${label}`, detail, value };
        }),
        action,
      ),
    target: (answers, place) => chooseTarget(answers, place, editor),
    instruction: (answers, place) =>
      write(place, ACTIONS[answers.action!].ask, answers.instruction ?? '', 'In your own words', (text) =>
        text.trim() === '' && needsInstruction(answers) ? 'Say what you want: the workspace alone does not.' : undefined,
      ),
    language: ({ language }, place) =>
      choose(
        place,
        'In which language?',
        [
          { label: 'As the workspace has it', value: '' },
          ...LANGUAGES.map((value) => ({ label: value, value })),
        ],
        language,
      ),
    framework: ({ framework }, place) =>
      write(place, 'With which framework or library? Empty: as the workspace has it.', framework ?? '', 'e.g. pytest, FastAPI, React', () => undefined),
    check: ({ check }, place) =>
      choose(
        place,
        'Which command decides? Type one, or choose.',
        [
          { label: '$(search) As detected', detail: "The project's own tests, else what the language offers", value: '' },
          ...checks(memory).map((value) => ({ label: `$(history) ${value}`, value })),
        ],
        check,
        (text) => (text.trim() ? { label: `$(terminal) ${text.trim()}`, detail: 'This command', value: text.trim() } : undefined),
      ),
    budget: ({ budget }, place) => chooseBudget(budget, place),
  };
}

async function chooseTarget(
  { action, target }: Partial<Answers>,
  place: Place,
  editor: vscode.TextEditor | undefined,
): Promise<Answer<Target>> {
  const choices: Choice<Target | 'other'>[] = [];
  if (editor) {
    const uri = editor.document.uri.toString();
    const name = vscode.workspace.asRelativePath(editor.document.uri);
    const { start, end, active, isEmpty } = editor.selection;
    const lines = start.line === end.line ? `line ${start.line + 1}` : `lines ${start.line + 1} to ${end.line + 1}`;
    const range = { start: plain(start), end: plain(end) };
    if (!isEmpty) {
      choices.push({ label: '$(selection) Selection', description: `${name}, ${lines}`, value: { label: `${name}, ${lines}`, uri, range, isWorkspace: false } });
    }
    choices.push({ label: '$(file) This file', description: name, value: { label: name, uri, isWorkspace: false } });
    if (isEmpty && action !== 'run') {
      const here = { start: plain(active), end: plain(active) };
      choices.push({ label: '$(target) At the cursor', description: `${name}, line ${active.line + 1}`, value: { label: `${name}, line ${active.line + 1}`, uri, range: here, isWorkspace: false } });
    }
  }
  choices.push({ label: '$(files) Another file…', value: 'other' });
  if (action && ACTIONS[action].wide) {
    for (const folder of vscode.workspace.workspaceFolders ?? []) {
      choices.push({ label: '$(root-folder) Whole workspace', description: folder.name, value: { label: folder.name, uri: folder.uri.toString(), isWorkspace: true } });
    }
  }
  const chosen = await choose<Target | 'other'>(place, 'What is it about?', choices, target);
  return chosen === 'other' ? otherFile(place) : chosen;
}

const plain = ({ line, character }: vscode.Position) => ({ line, character });

async function otherFile(place: Place): Promise<Answer<Target>> {
  const found = await vscode.workspace.findFiles('**/*', '**/{node_modules,target,.git,.venv}/**', 2000);
  const names = found.map((uri) => ({ uri, name: vscode.workspace.asRelativePath(uri) }));
  return choose(
    place,
    'Which file?',
    names
      .sort((one, other) => one.name.localeCompare(other.name))
      .map(({ uri, name }) => ({ label: name, value: { label: name, uri: uri.toString(), isWorkspace: false } })),
    undefined,
  );
}

async function chooseBudget(current: number | undefined, place: Place): Promise<Answer<number | undefined>> {
  const usual = vscode.workspace.getConfiguration('opendevagent').get<number>('budget.usdPerTask') ?? 0.5;
  const choice = (value: number): Choice<number> => ({ label: `$${value.toFixed(2)}`, value });
  const chosen = await choose<number>(
    place,
    'What may it cost at most? Choose, or type a sum in US dollars.',
    [{ label: `$${usual.toFixed(2)}`, description: 'as in your settings', value: 0 }, ...SUMS.filter((sum) => sum !== usual).map(choice)],
    current ?? 0,
    (text) => {
      const sum = dollars(text);
      return sum === undefined ? undefined : choice(sum);
    },
  );
  return chosen === 0 ? undefined : chosen;
}

const NAMES: Record<Question, string> = {
  action: 'Action',
  target: 'Target',
  instruction: 'Instruction',
  language: 'Language',
  framework: 'Framework',
  check: 'Check',
  budget: 'Budget',
};

/** Shows all answers; each can be chosen to be given anew. */
function summary(answers: Answers, place: Place): Promise<Answer<Question | 'start'>> {
  const said: Record<Question, string> = {
    action: ACTIONS[answers.action].label,
    target: answers.target.label,
    instruction: answers.instruction || 'none',
    language: answers.language || 'as the workspace has it',
    framework: answers.framework || 'as the workspace has it',
    check: answers.check || 'as detected',
    budget: answers.budget === undefined ? 'as in your settings' : `$${answers.budget.toFixed(2)}`,
  };
  return choose<Question | 'start'>(
    place,
    'Start, or change an answer',
    [
      { label: '$(play) Start', value: 'start' },
      ...questions(answers).map((value) => ({ label: `$(edit) ${NAMES[value]}`, description: said[value], value })),
    ],
    'start',
  );
}

function checks(memory: vscode.Memento): string[] {
  return memory.get<string[]>(CHECKS, []);
}

async function remember(memory: vscode.Memento, check: string | undefined): Promise<void> {
  if (check) {
    await memory.update(CHECKS, [check, ...checks(memory).filter((known) => known !== check)].slice(0, MOST_CHECKS));
  }
}

// Inputs of a wizard: one question each, with a way back.
import * as vscode from 'vscode';

/** The user went a step back. */
export const BACK = Symbol('back');
/** The user gave up. */
export const END = Symbol('end');

export type Answer<T> = T | typeof BACK | typeof END;

/** Where in the wizard a question stands. */
export interface Place {
  title: string;
  step: number;
  of: number;
}

export interface Choice<T> extends vscode.QuickPickItem {
  value: T;
}

/** `typed` makes a choice of what the user has typed, where that is one. */
export function choose<T>(
  place: Place,
  placeholder: string,
  choices: Choice<T>[],
  current: T | undefined,
  typed?: (text: string) => Choice<T> | undefined,
): Promise<Answer<T>> {
  const pick = vscode.window.createQuickPick<Choice<T>>();
  pick.placeholder = placeholder;
  pick.matchOnDetail = true;
  pick.items = choices;
  const active = choices.find(({ value }) => JSON.stringify(value) === JSON.stringify(current));
  if (active) {
    pick.activeItems = [active];
  }
  if (typed) {
    pick.onDidChangeValue((text) => {
      const own = typed(text);
      pick.items = own ? [{ ...own, alwaysShow: true }, ...choices] : choices;
    });
  }
  return ask(pick, place, () => {
    const [selected] = pick.selectedItems;
    // A quick typist presses Enter before what was typed has become a choice: then another is still selected.
    const fits = selected?.alwaysShow || selected?.label.includes(pick.value.trim());
    return (fits ? selected : (typed?.(pick.value) ?? selected))?.value;
  });
}

/** A line of text. `wrong` says why one is not taken. */
export function write(
  place: Place,
  prompt: string,
  current: string,
  placeholder: string,
  wrong: (text: string) => string | undefined,
): Promise<Answer<string>> {
  const input = vscode.window.createInputBox();
  Object.assign(input, { prompt, placeholder, value: current });
  input.onDidChangeValue(() => (input.validationMessage = undefined));
  return ask(input, place, () => {
    input.validationMessage = wrong(input.value);
    return input.validationMessage === undefined ? input.value : undefined;
  });
}

/** `accept` gives the answer, or undefined while there is none. */
function ask<T>(
  input: vscode.QuickPick<vscode.QuickPickItem> | vscode.InputBox,
  { title, step, of }: Place,
  accept: () => T | undefined,
): Promise<Answer<T>> {
  Object.assign(input, { title, step, totalSteps: of, ignoreFocusOut: true });
  input.buttons = step > 1 ? [vscode.QuickInputButtons.Back] : [];
  return new Promise((resolve) => {
    const end = (answer: Answer<T>) => {
      resolve(answer);
      input.dispose();
    };
    input.onDidAccept(() => {
      const answer = accept();
      if (answer !== undefined) {
        end(answer);
      }
    });
    input.onDidTriggerButton(() => end(BACK));
    input.onDidHide(() => end(END));
    input.show();
  });
}

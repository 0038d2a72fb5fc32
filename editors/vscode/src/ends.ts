// Tells the user how a task ended, once, with buttons; says nothing where the outcome is on the screen anyway.
import type { TaskEvent, TaskRow } from './protocol';
import { LOG, remedies, tell, type Remedy } from './remedies';

type Ended = Extract<TaskEvent, { kind: 'ended' }>;

/** `title` names the task where its row is known. */
export function tellEnd(event: Ended, row: TaskRow | undefined): void {
  const title = row?.title ?? 'the task';
  const again: Remedy = { title: 'Run Again', command: 'opendevagent.ui.again', argument: { task: event.task } };
  const level = event.verdict?.level;
  if (event.phase === 'cancelled' || event.quiet) {
    return; // The user's own doing, or hours in which they want to hear of none.
  }
  if (event.stop) {
    const mend = remedies(event.stop);
    // Behind the last semicolon stands what to do, which the buttons do better.
    const message = mend.length > 0 ? event.message.replace(/; [^;]*$/, '') : event.message;
    void tell('Error', `${title}: ${message}`, [...mend, again, LOG]);
  } else if (level === 'failing') {
    const diff: Remedy = { title: 'Show Diff', command: 'opendevagent.ui.openDiff', argument: { task: event.task } };
    void tell('Warning', `${title}: ${event.message}`, [...(row?.proposal === 'standing' ? [diff] : []), again, LOG]);
  } else if (level === 'unverified') {
    // The proposal comes for review all the same, but the user should know that nothing speaks for it.
    void tell('Warning', `${title} could not be checked: ${event.verdict?.reason}`, [...remedies('sandbox'), LOG]);
  } else if (event.phase === 'failed') {
    void tell('Error', `${title}: ${event.message}`, [again, LOG]);
  }
}

// Shows each running task as a notification with a Cancel button, fed by the events of the server.
// The progress of LSP itself is no substitute: VS Code shows it in the status bar, without a way to cancel.
import * as vscode from 'vscode';
import type { TaskEvent } from './protocol';

interface Running {
  title: string;
  message: string;
  percent: number;
  /** Shows `message` and `percent`; does nothing until VS Code has opened the notification. */
  report(): void;
  end(): void;
}

export class RunningTasks implements vscode.Disposable {
  private readonly running = new Map<string, Running>();

  /** `cancel` asks the server to end a task; its `ended` event then ends the notification. */
  constructor(private readonly cancel: (task: string) => void) {}

  dispose(): void {
    this.clear();
  }

  update(event: TaskEvent): void {
    if (event.kind === 'started') {
      this.start(event.task, event.title);
    } else if (event.kind === 'phase') {
      this.report(event.task, event.phase, event.percent);
    } else if (event.kind === 'ended') {
      this.end(event.task);
    }
  }

  /** The server is gone, and its tasks with it. */
  clear(): void {
    for (const task of [...this.running.keys()]) {
      this.end(task);
    }
  }

  private start(task: string, title: string): void {
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    const running: Running = { title, message: '', percent: 0, report: () => {}, end };
    // Kept before VS Code calls back: by then the task may have ended.
    this.running.set(task, running);
    const options = {
      location: vscode.ProgressLocation.Notification,
      title: `OpenDevAgent: ${title}`,
      cancellable: true,
    };
    void vscode.window.withProgress(options, (progress, token) => {
      token.onCancellationRequested(() => this.cancel(task));
      let shown = 0;
      running.report = () => {
        progress.report({ message: running.message, increment: running.percent - shown });
        shown = running.percent;
      };
      running.report();
      return ended;
    });
  }

  private report(task: string, message: string, percent: number): void {
    const running = this.running.get(task);
    if (running) {
      running.message = message;
      // The bar only grows, though a repair goes back to an earlier phase.
      running.percent = Math.max(running.percent, percent);
      running.report();
    }
  }

  private end(task: string): void {
    this.running.get(task)?.end();
    this.running.delete(task);
  }
}

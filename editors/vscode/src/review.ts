// Shows a proposal as diff tabs, one per file, and tells the server what the user decided.
import * as vscode from 'vscode';
import type { Decision, ReviewParams } from './protocol';

/** Both sides of a diff are documents of this scheme; `package.json` shows ✓ and ✗ on its tabs. */
const SCHEME = 'opendevagent-review';

interface Open extends ReviewParams {
  end(decision: Decision): void;
}

export class Reviews implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private count = 0;
  /** The open reviews, in the order of their arrival. */
  private readonly open = new Map<number, Open>();
  /** The texts of all open reviews, by URI. */
  private readonly texts = new Map<string, string>();
  private readonly registrations = vscode.Disposable.from(
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
    vscode.window.tabGroups.onDidChangeTabs(({ closed }) => this.onClosed(closed)),
  );

  constructor() {
    // After a reload of the window VS Code restores the tabs, but nobody waits for their answer.
    void vscode.window.tabGroups.close(reviewTabs());
  }

  dispose(): void {
    this.registrations.dispose();
    this.abandon();
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Shows the proposal and waits for the user. To close all its tabs means `later`. */
  async review(params: ReviewParams, token: vscode.CancellationToken): Promise<{ decision: Decision }> {
    const id = ++this.count;
    // Wait before the first tab is there: the user may close it at once.
    const decided = new Promise<Decision>((end) => this.open.set(id, { ...params, end }));
    const cancelled = token.onCancellationRequested(() => this.decide(id, 'later'));
    try {
      this.announce();
      await this.show(id);
      return { decision: await decided };
    } finally {
      cancelled.dispose();
      this.decide(id, 'later');
      await this.close(id);
    }
  }

  /** Decides the review that `uri` belongs to, else the one in the active tab, else the oldest. */
  decideAt(uri: vscode.Uri | undefined, decision: Decision): void {
    const id = this.at(uri);
    if (id !== undefined) {
      this.decide(id, decision);
    }
  }

  /** Decides the review of a task, if there is one. */
  decideTask(task: string, decision: Decision): boolean {
    const id = this.idOf(task);
    if (id !== undefined) {
      this.decide(id, decision);
    }
    return id !== undefined;
  }

  /** Brings the review of a task to the front, if there is one. */
  async reveal(task: string): Promise<boolean> {
    const id = this.idOf(task);
    if (id !== undefined) {
      await this.diff(id, 0, false);
    }
    return id !== undefined;
  }

  /** Goes on to the next file of a review; after the last comes the first. */
  async next(uri: vscode.Uri | undefined): Promise<void> {
    const id = this.at(uri);
    const files = (id !== undefined && this.open.get(id)?.files) || [];
    const shown = uri ?? activeUri();
    const at = files.findIndex((file) => shown?.path === vscode.Uri.parse(file.uri).path);
    if (id !== undefined && files.length > 0) {
      await this.diff(id, (at + 1) % files.length, false);
    }
  }

  private at(uri: vscode.Uri | undefined): number | undefined {
    const active = vscode.window.tabGroups.activeTabGroup.activeTab;
    return (uri && reviewOf(uri)) ?? (active && reviewOfTab(active)) ?? this.open.keys().next().value;
  }

  private idOf(task: string): number | undefined {
    return [...this.open].find(([, review]) => review.task === task)?.[0];
  }

  /** The server is gone: nobody waits for an answer any more. */
  abandon(): void {
    for (const id of [...this.open.keys()]) {
      this.decide(id, 'later');
    }
  }

  /** The first decision counts. */
  private decide(id: number, decision: Decision): void {
    this.open.get(id)?.end(decision);
    this.open.delete(id);
    this.announce();
  }

  /** The first file is opened last, so that it is the one in front. */
  private async show(id: number): Promise<void> {
    const { length } = this.open.get(id)?.files ?? [];
    for (let at = length - 1; at >= 0; at -= 1) {
      await this.diff(id, at, true);
    }
  }

  /** Opens the diff of one file, or goes to its tab. The title says what speaks for the proposal. */
  private async diff(id: number, at: number, preserveFocus: boolean): Promise<void> {
    const review = this.open.get(id);
    const file = review?.files[at];
    if (!review || !file) {
      return; // Decided meanwhile.
    }
    const target = vscode.Uri.parse(file.uri);
    const sides = (['before', 'after'] as const).map((side) => {
      const uri = target.with({ scheme: SCHEME, query: `${id}-${side}` });
      this.texts.set(uri.toString(), file[side] ?? '');
      return uri;
    });
    const { length } = review.files;
    const place = length > 1 ? `, file ${at + 1} of ${length}` : '';
    const title = `${vscode.workspace.asRelativePath(target)}: ${review.verdict.level}${place} (${review.title})`;
    await vscode.commands.executeCommand('vscode.diff', ...sides, title, { preview: false, preserveFocus });
  }

  private onClosed(closed: readonly vscode.Tab[]): void {
    for (const id of closed.map(reviewOfTab)) {
      if (id !== undefined && reviewTabs(id).length === 0) {
        this.decide(id, 'later');
      }
    }
  }

  private async close(id: number): Promise<void> {
    await vscode.window.tabGroups.close(reviewTabs(id), true);
    for (const uri of [...this.texts.keys()]) {
      if (reviewOf(vscode.Uri.parse(uri)) === id) {
        this.texts.delete(uri);
      }
    }
  }

  private announce(): void {
    const several = [...this.open.values()].some(({ files }) => files.length > 1);
    void vscode.commands.executeCommand('setContext', 'opendevagent.reviewing', this.open.size > 0);
    void vscode.commands.executeCommand('setContext', 'opendevagent.reviewingSeveral', several);
  }
}

/** The tabs of one review, or of all. */
function reviewTabs(id?: number): vscode.Tab[] {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  return tabs.filter((tab) => (id === undefined ? reviewOfTab(tab) !== undefined : reviewOfTab(tab) === id));
}

function reviewOfTab({ input }: vscode.Tab): number | undefined {
  return input instanceof vscode.TabInputTextDiff ? reviewOf(input.modified) : undefined;
}

function activeUri(): vscode.Uri | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  return input instanceof vscode.TabInputTextDiff ? input.modified : undefined;
}

function reviewOf(uri: vscode.Uri): number | undefined {
  return uri.scheme === SCHEME ? Number.parseInt(uri.query, 10) : undefined;
}

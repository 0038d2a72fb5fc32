// Shows a proposal as diff tabs, one per file, and tells the server what the user decided.
import * as vscode from 'vscode';
import type { Decision, ReviewParams } from './protocol';

/** Both sides of a diff are documents of this scheme; `package.json` shows ✓ and ✗ on its tabs. */
const SCHEME = 'opendevagent-review';

export class Reviews implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private count = 0;
  /** What ends each open review, in the order of their arrival. */
  private readonly open = new Map<number, (decision: Decision) => void>();
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
    const decided = new Promise<Decision>((resolve) => this.open.set(id, resolve));
    const cancelled = token.onCancellationRequested(() => this.decide(id, 'later'));
    try {
      this.announce();
      await this.show(id, params);
      return { decision: await decided };
    } finally {
      cancelled.dispose();
      this.decide(id, 'later');
      await this.close(id);
    }
  }

  /** Decides the review that `uri` belongs to, else the one in the active tab, else the oldest. */
  decideAt(uri: vscode.Uri | undefined, decision: Decision): void {
    const active = vscode.window.tabGroups.activeTabGroup.activeTab;
    const id = (uri && reviewOf(uri)) ?? (active && reviewOfTab(active)) ?? this.open.keys().next().value;
    if (id !== undefined) {
      this.decide(id, decision);
    }
  }

  /** The server is gone: nobody waits for an answer any more. */
  abandon(): void {
    for (const id of [...this.open.keys()]) {
      this.decide(id, 'later');
    }
  }

  /** The first decision counts. */
  private decide(id: number, decision: Decision): void {
    this.open.get(id)?.(decision);
    this.open.delete(id);
    this.announce();
  }

  /** The first file is opened last, so that it is the one in front. */
  private async show(id: number, { title, verdict, files }: ReviewParams): Promise<void> {
    for (const file of [...files].reverse()) {
      if (!this.open.has(id)) {
        return;
      }
      const target = vscode.Uri.parse(file.uri);
      const sides = (['before', 'after'] as const).map((side) => {
        const uri = target.with({ scheme: SCHEME, query: `${id}-${side}` });
        this.texts.set(uri.toString(), file[side] ?? '');
        return uri;
      });
      const name = vscode.workspace.asRelativePath(target);
      const options: vscode.TextDocumentShowOptions = { preview: false, preserveFocus: true };
      await vscode.commands.executeCommand('vscode.diff', ...sides, `${name}: ${title} (${verdict.level})`, options);
    }
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
    void vscode.commands.executeCommand('setContext', 'opendevagent.reviewing', this.open.size > 0);
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

function reviewOf(uri: vscode.Uri): number | undefined {
  return uri.scheme === SCHEME ? Number.parseInt(uri.query, 10) : undefined;
}

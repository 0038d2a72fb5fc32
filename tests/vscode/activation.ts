// What the extension's activation costs beyond the start of the server. Measured, not judged: times depend on the machine,
// so each stands beside what the same host needs for an extension that does nothing, and for the server alone.
import processes, { type ChildProcess } from 'node:child_process';
import modules from 'node:module';
import type * as vscode from 'vscode';

const ROUNDS = 5;

/** Moments of one start, in milliseconds, and what passed inside our code. */
interface Start {
  asked: number;
  /** Milliseconds to load the bundle, and in `activate`. */
  load: number;
  activate: number;
  /** VS Code goes on. */
  returned: number;
  /** The program was asked for its version, and has told it. */
  probed: number;
  told: number;
  /** Its process as a server was made. */
  spawned: number;
  /** `initialize` was sent, answered, and followed by `initialized`: from here on a request goes through. */
  opened: number;
  answered: number;
  ready: number;
  /** Processor time of the host's main thread from `probed` to `ready`; what other extensions do meanwhile counts, too. */
  busy: number;
}

/** Activates the extension, which must not be active yet, and says where the time went. */
export async function measureActivation(
  extension: vscode.Extension<unknown>,
  empty: vscode.Extension<unknown>,
): Promise<string[]> {
  await calm();
  const began = performance.now();
  await empty.activate();
  const nothing = performance.now() - began;
  const command = process.env['OPENDEVAGENT_BIN']!;
  await bareStart(command); // What a disk costs the first time is no part of the comparison.
  const start = await watch(command, () => extension.activate());
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    bare.push(await bareStart(command));
  }
  const server = bare.sort((a, b) => a - b)[ROUNDS >> 1]!;
  const ms = (time: number) => `${time.toFixed(1)} ms`;
  const beyond = start.load + start.activate + (start.ready - start.probed) - server;
  return [
    `activation: the bundle loads in ${ms(start.load)}, activate takes ${ms(start.activate)}; ` +
      `VS Code needs ${ms(start.returned - start.asked)} for it, and ${ms(nothing)} for an extension that does nothing`,
    `activation: ready ${ms(start.ready - start.probed)} later (version ${ms(start.told - start.probed)}, ` +
      `library ${ms(start.spawned - start.told)}, initialize sent ${ms(start.opened - start.spawned)}, ` +
      `answered ${ms(start.answered - start.opened)}, ready ${ms(start.ready - start.answered)}; the host computed for ${ms(start.busy)})`,
    `activation: ${ms(beyond)} beyond the server's bare start of ${ms(server)} (median of ${ROUNDS})`,
  ];
}

/** The host starts other extensions, too: waits until it has nothing to do. */
async function calm(): Promise<void> {
  for (let last = performance.eventLoopUtilization(); ; ) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const now = performance.eventLoopUtilization();
    if (performance.eventLoopUtilization(now, last).utilization < 0.05) {
      return;
    }
    last = now;
  }
}

/** Sees the client load and start its processes: it and this suite share Node's modules. */
async function watch(command: string, activate: () => PromiseLike<unknown>): Promise<Start> {
  const { execFile, spawn } = processes;
  const loader = modules as unknown as { _load: (...args: any[]) => any };
  const load = loader._load;
  const now = () => performance.now();
  const busy = () => {
    const { user, system } = (process as any).threadCpuUsage();
    return (user + system) / 1000;
  };
  const start: Partial<Start> = {};
  loader._load = function (this: unknown, ...args: any[]) {
    const began = now();
    const exports = load.apply(this, args);
    if (!/opendevagent|extension\.js/.test(String(args[0])) || !exports?.activate || start.load !== undefined) {
      return exports;
    }
    start.load = now() - began;
    const timed = (...given: unknown[]) => {
      const called = now();
      exports.activate(...given);
      start.activate = now() - called;
    };
    return { activate: timed, deactivate: exports.deactivate };
  };
  processes.execFile = ((file: string, args: string[], options: object, callback: (...answer: any[]) => void) => {
    if (file === command) {
      start.probed ??= now();
      start.busy ??= -busy();
    }
    return execFile(file, args, options, (...answer) => {
      if (file === command) {
        start.told ??= now();
      }
      callback(...answer);
    });
  }) as any;
  const ready = new Promise<void>((resolve) => {
    processes.spawn = ((file: string, ...rest: [any, any]) => {
      const child: ChildProcess = spawn(file, ...rest);
      if (file !== command) {
        return child; // Of another extension.
      }
      start.spawned = now();
      const write = child.stdin!.write.bind(child.stdin) as (...args: any[]) => boolean;
      child.stdin!.write = (...args: any[]) => {
        start.opened ??= now();
        if (start.answered !== undefined) {
          if (start.ready === undefined) {
            start.ready = now();
            start.busy! += busy();
          }
          resolve();
        }
        return write(...args);
      };
      child.stdout!.once('data', () => (start.answered = now()));
      return child;
    }) as any;
  });
  try {
    start.asked = now();
    await activate();
    start.returned = now();
    await ready;
  } finally {
    Object.assign(processes, { execFile, spawn });
    loader._load = load;
  }
  return start as Start;
}

/** What the server needs from nothing to its version, and from nothing to its answer to `initialize`. */
async function bareStart(command: string): Promise<number> {
  const began = performance.now();
  await new Promise((resolve) => processes.execFile(command, ['--version'], resolve));
  const child = processes.spawn(command, ['lsp'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const answered = new Promise((resolve) => child.stdout.once('data', resolve));
  const params = { processId: null, rootUri: null, capabilities: {} };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  child.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  await answered;
  const took = performance.now() - began;
  child.kill();
  return took;
}

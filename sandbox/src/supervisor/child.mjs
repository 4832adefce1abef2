import { fork } from 'node:child_process';
import { Channel } from '../common/ipc.mjs';

const KILL_AFTER_MS = 5_000;

/** A process of the sandbox: its streams go to log files, its events to a listener. */
export class Child {
  /**
   * @param {{name: string, module: URL, out: import('./log-file.mjs').LogFile, err: import('./log-file.mjs').LogFile,
   *   onEvent: (event: string, data: any) => void, onExit: (code: number | null, signal: string | null) => void, execArgv?: string[]}} options
   */
  constructor({ name, module, out, err, onEvent, onExit, execArgv = [] }) {
    this.name = name;
    this.stopping = false;
    this.process = fork(module, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv });
    this.process.stdout.on('data', chunk => out.write(chunk));
    this.process.stderr.on('data', chunk => err.write(chunk));
    this.channel = new Channel(this.process, {}, onEvent);
    this.closed = new Promise(resolve => {
      this.process.once('close', (code, signal) => {
        resolve();
        if (!this.stopping) onExit(code, signal);
      });
    });
  }

  request(method, params, timeoutMs) {
    return this.channel.request(method, params, timeoutMs);
  }

  async stop() {
    this.stopping = true;
    this.process.kill('SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), KILL_AFTER_MS);
    await this.closed;
    clearTimeout(timer);
  }
}

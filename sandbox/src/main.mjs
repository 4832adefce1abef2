/** The sandbox: `node src/main.mjs --config FILE.json`. See README.md. */
import { parseArgs } from 'node:util';
import { loadConfig } from './supervisor/config.mjs';
import { Supervisor } from './supervisor/supervisor.mjs';

let supervisor;
let isEnding = false;

async function end(code, reason) {
  if (isEnding) return;
  isEnding = true;
  if (reason) process.stderr.write(`sandbox: ${reason}\n`);
  await supervisor?.stop();
  process.exit(code);
}

process.on('SIGTERM', () => void end(0));
process.on('SIGINT', () => void end(0));
process.on('SIGUSR2', () => supervisor?.reopenLogs());

try {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  if (!values.config) throw new Error('say which configuration to use: --config FILE.json');
  supervisor = new Supervisor(loadConfig(values.config), reason => void end(1, reason));
  const urls = await supervisor.start();
  process.stdout.write(`READY ${JSON.stringify(urls)}\n`);
} catch (error) {
  await end(1, error.message);
}

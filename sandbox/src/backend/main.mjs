/**
 * The backend: many Baileys sessions in one process behind a Whaticket-like REST API. A child of the supervisor, which
 * sends the configuration over IPC and is told what happens (`api`, `socket`, `status`, `decrypted`, `failed`, `auth`).
 */
import { WA_CERT_DETAILS } from 'baileys';
import pino from 'pino';
import { Channel, withCode } from '../common/ipc.mjs';
import { peerNumbers } from '../common/numbers.mjs';
import { AuthStore } from './auth-store.mjs';
import { CredsTable } from './creds-table.mjs';
import { applyBackendFault } from './faults.mjs';
import { FileBacking } from './file-backing.mjs';
import { RedisBacking } from './redis-backing.mjs';
import { RestApi } from './rest.mjs';
import { Rows } from './rows.mjs';
import { WhatsAppSession } from './session.mjs';

const log = pino();
const sessions = new Map();
let api;
let context;

const channel = new Channel(process, { start, fault, state, crash, apiFault, history });
const report = (event, data) => channel.emit(event, data);

async function start(options) {
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(options.rootPublicKey, 'base64');
  const backing = options.store === 'redis' ? new RedisBacking(options.redisUrl) : new FileBacking(options.sessionPath);
  const store = new AuthStore(backing, (session, change, names) => report('auth', { session, change, names }));
  context = {
    log,
    report,
    store,
    baileysLogger: pino({ level: 'error' }),
    table: options.credsTable && new CredsTable(options.credsTable),
    rows: new Rows(options.rowsFile),
    words: options.words,
    waPort: options.waPort,
    defaultId: options.sessions[0],
  };
  for (const id of options.sessions) sessions.set(id, new WhatsAppSession(id, context));
  api = new RestApi(sessions, { ...options.auth, report });
  await api.listen(options.apiPort);
  log.info(`Server started on port: ${api.port}`);
  for (const session of sessions.values()) {
    if (options.startAll || session.phase !== 'disconnected') session.start();
  }
  return { port: api.port };
}

function sessionOf(id) {
  const session = sessions.get(id);
  if (!session) throw withCode(`no session ${id}`, 404);
  return session;
}

function state({ session: id }) {
  const session = sessionOf(id);
  return {
    phase: session.phase,
    status: session.status,
    sockets: session.liveRuns.length,
    lastStart: session.lastStart ?? 0,
    qr: session.qrcode,
  };
}

/** Whether every one of the first `peers` peers has an older state of its record. */
function history({ session: id, peers }) {
  const states = context.store.history(sessionOf(id).id);
  return Array.from({ length: peers }, (_, index) => Boolean(states.older(`${peerNumbers(id, index).lid}_1.0`)));
}

function fault({ session, ...options }) {
  return applyBackendFault(sessionOf(session), options);
}

async function apiFault({ kind, seconds }) {
  await api.faults.set(kind, seconds);
  return {};
}

function crash() {
  setTimeout(() => {
    throw new Error('write EPIPE (crash on request)');
  }, 10);
  return {};
}

async function stop() {
  await Promise.allSettled([...sessions.values()].flatMap(session => [...session.runs].map(run => run.stop())));
  await context?.table?.close();
  await context?.store.backing.close();
  process.exit(0);
}

process.on('SIGINT', () => {}); // Ctrl-C reaches the whole group; the supervisor ends this process
process.on('SIGTERM', () => void stop());
process.on('disconnect', () => process.exit(0));

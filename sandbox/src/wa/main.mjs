/**
 * The local stand-in for WhatsApp's socket and for the people who write to the accounts. A child of the supervisor;
 * answers its requests over IPC and says what happens: `sent`, `receipt`, `keys`.
 */
import { Curve } from 'baileys';
import { WebSocketServer } from 'ws';
import { Channel, withCode } from '../common/ipc.mjs';
import { groupOf, peerNumbers } from '../common/numbers.mjs';
import { Account, parseQr } from './accounts.mjs';
import { Connection } from './connection.mjs';
import { applyServerFault, clearFault } from './faults.mjs';
import { Line } from './line.mjs';
import { CertificateAuthority } from './noise.mjs';
import { askForPairing, completePairing } from './pairing.mjs';
import { Peer } from './peer.mjs';
import { Traffic } from './traffic.mjs';

// libsignal dumps session entries, keys included, on these
console.info = console.warn = () => {};

const log = text => console.log(`${new Date().toISOString()} ${text}`);
const authority = new CertificateAuthority();
const staticKey = Curve.generateKeyPair();
const identity = { staticKey, certificate: authority.issue(staticKey.public) };
const lines = new Map();
const pairing = new Map(); // QR reference -> connection
const traffic = new Traffic(lines, log);

const channel = new Channel(process, {
  start,
  scan,
  send,
  fault,
  clear,
  policy,
  areAnswered,
  newcomers,
  openGroup,
  traffic: setTraffic,
  inspect,
});

/** @param {{port: number, sessions: number[], peers: number, intervalMs: number}} options */
async function start({ port, sessions, peers, intervalMs }) {
  for (const session of sessions) {
    const people = Array.from({ length: peers }, (_, index) => new Peer(peerNumbers(session, index), groupOf(session)));
    const emit = (event, data) => channel.emit(event, data);
    lines.set(session, new Line({ session, account: new Account(session), peers: people, log, emit }));
    traffic.setInterval(session, intervalMs);
  }
  const server = new WebSocketServer({ host: '127.0.0.1', port });
  server.on('connection', accept);
  await new Promise((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  return { port: server.address().port, rootPublicKey: Buffer.from(authority.root.public).toString('base64') };
}

function accept(ws, request) {
  const query = new URL(request.url, 'http://127.0.0.1').searchParams;
  const label = { session: Number(query.get('session')), start: Number(query.get('start')) };
  const line = lines.get(label.session);
  if (!line) return ws.terminate();
  const connection = new Connection(ws, label, identity, log);
  const hang = line.stuck && label.start <= line.stuck.upToStart ? line.stuck.stage : undefined;
  connection.silent = hang === 'handshake';
  if (hang) line.hung++;
  connection.once('finish', ({ payload }) => {
    if (hang === 'login') return void (connection.silent = true);
    if (payload.devicePairingData) askForPairing(connection, pairing);
    else line.login(connection);
  });
}

function lineOf(session) {
  const line = lines.get(session);
  if (!line) throw withCode(`no session ${session}`, 404);
  return line;
}

function scan({ session, qr }) {
  const line = lineOf(session);
  if (line.account.banned) throw withCode('the account is banned and cannot link devices', 409);
  const parsed = parseQr(qr);
  const connection = pairing.get(parsed.ref);
  if (!connection) throw withCode('this QR is not valid any more', 409);
  completePairing(connection, line, parsed);
  return {};
}

async function send({ session, peer, count, group = false }) {
  const line = lineOf(session);
  let sent = 0;
  for (let index = 0; index < count; index++) {
    if (!(await line.sendFrom(peer ?? index % line.peers.length, group)))
      throw withCode('the account has no linked device', 409);
    sent++;
  }
  return { sent };
}

function setTraffic({ session, intervalMs }) {
  lineOf(session);
  traffic.setInterval(session, intervalMs);
  return { interval_ms: intervalMs };
}

function policy({ session, policy: name, peers }) {
  const line = lineOf(session);
  line.policies = line.policies.map((old, index) => (index < peers ? name : old));
  return {};
}

function areAnswered({ session, peers }) {
  const line = lineOf(session);
  return line.peers.slice(0, peers).every(peer => line.device && peer.isAnswered(line.device));
}

/** People who have never written to the account begin to. */
function newcomers({ session, policy: name, peers }) {
  const line = lineOf(session);
  for (let count = 0; count < peers; count++) {
    line.peers.push(new Peer(peerNumbers(session, line.peers.length), groupOf(session)));
    line.policies.push(name);
  }
  traffic.refresh(session);
  return {};
}

/** Peers begin to write to the group as well. @returns {Promise<{ids: string[]}>} their first messages there */
async function openGroup({ session, peers }) {
  const line = lineOf(session);
  const ids = [];
  for (let index = 0; index < peers; index++) {
    line.writesToGroup.add(index);
    ids.push(await line.sendFrom(index, true));
  }
  return { ids };
}

function fault({ session, ...rest }) {
  return applyServerFault(lineOf(session), rest);
}

function clear({ session }) {
  return clearFault(lineOf(session));
}

function inspect({ session }) {
  const line = lineOf(session);
  return {
    peers: line.peers.map(({ jid, lidJid }, index) => ({ jid, lid: lidJid, policy: line.policies[index] })),
    pre_keys: line.device?.preKeys.length ?? 0,
    held: line.held.length,
    hung: line.hung,
    device: line.device?.number ?? null,
  };
}

process.on('SIGINT', () => {}); // Ctrl-C reaches the whole group; the supervisor ends this process
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { serveJson } from '../common/http.mjs';
import { withCode } from '../common/ipc.mjs';
import { FAULTS, listFaults } from '../faults.mjs';

const now = () => Date.now() / 1000;

/** The control API: what demo and tests break and count with. */
export class ControlApi {
  /** @param {import('./supervisor.mjs').Supervisor} supervisor */
  constructor(supervisor) {
    this.supervisor = supervisor;
  }

  listen(port) {
    const one = handler => request => {
      const id = Number(request.params[0]);
      if (!this.supervisor.ledger.of(id)) throw withCode(`no session ${request.params[0]}`, 404);
      return handler(id, request);
    };
    return serveJson(
      [
        ['GET', /^\/control\/health$/, () => this.#health()],
        ['GET', /^\/control\/faults$/, () => listFaults()],
        ['GET', /^\/control\/sessions$/, () => this.#all()],
        ['GET', /^\/control\/sessions\/(\d+)$/, one(id => this.#show(id))],
        [
          'GET',
          /^\/control\/sessions\/(\d+)\/messages$/,
          one((id, { query }) => this.supervisor.ledger.of(id).since(Number(query.get('since') ?? 0))),
        ],
        [
          'GET',
          /^\/control\/sessions\/(\d+)\/peers$/,
          one(id => this.supervisor.wa.request('inspect', { session: id })),
        ],
        ['POST', /^\/control\/touched\/reset$/, () => this.#reset()],
        ['POST', /^\/control\/sessions\/(\d+)\/send$/, one((id, { body }) => this.#send(id, body))],
        ['POST', /^\/control\/sessions\/(\d+)\/newcomers$/, one((id, { body }) => this.#newcomers(id, body))],
        ['POST', /^\/control\/sessions\/(\d+)\/traffic$/, one((id, { body }) => this.#traffic(id, body))],
        ['POST', /^\/control\/sessions\/(\d+)\/scan$/, one(id => this.supervisor.scan(id))],
        ['POST', /^\/control\/sessions\/(\d+)\/fault$/, one((id, { body }) => this.#fault(id, body))],
        [
          'POST',
          /^\/control\/sessions\/(\d+)\/clear$/,
          one(id => this.supervisor.wa.request('clear', { session: id })),
        ],
        ['POST', /^\/control\/api\/fault$/, ({ body }) => this.#apiFault(body)],
        ['POST', /^\/control\/crash$/, () => this.#crash()],
      ],
      { port },
    );
  }

  #health() {
    const { backend, restarts } = this.supervisor;
    return { ready: this.supervisor.isReady, backend_pid: backend?.process.pid ?? null, backend_restarts: restarts };
  }

  async #all() {
    const { sessions } = this.supervisor.config;
    const shown = await Promise.all(sessions.map(id => this.#show(id)));
    return Object.fromEntries(sessions.map((id, index) => [id, shown[index]]));
  }

  async #show(id) {
    const { ledger, config } = this.supervisor;
    const [state] = await Promise.all([
      this.supervisor.backendState(id).catch(() => ({ status: 'unknown', sockets: 0 })),
      this.#compareStore(id),
    ]);
    const session = ledger.of(id);
    return {
      state: state.status,
      sockets_alive: state.sockets,
      messages: session.totals,
      last_decrypted_at: session.lastDecryptedAt,
      touched: session.touched(config.store),
    };
  }

  /** Counts what has vanished from the store and was not removed by the backend. */
  async #compareStore(id) {
    const expected = [...this.supervisor.ledger.of(id).names];
    const present = new Set(await this.supervisor.storeNames(id));
    const missing = expected.filter(name => !present.has(name));
    if (missing.length === 0) return;
    // the backend may have removed some a moment ago, with its word for it still on the way: an answer comes after it
    await this.supervisor.backendState(id).catch(() => {});
    this.supervisor.ledger.of(id).gone(missing);
  }

  async #reset() {
    const { ledger, config } = this.supervisor;
    await Promise.all(config.sessions.map(id => this.#compareStore(id)));
    ledger.reset();
    return { at: now() };
  }

  #send(session, { count = 1, peer, group = false }) {
    if (!Number.isInteger(count) || count < 1 || count > 10_000)
      throw withCode('count must be a whole number from 1 to 10000', 400);
    return this.supervisor.wa.request('send', { session, count, peer, group: group === true });
  }

  #newcomers(session, { count = 1 }) {
    if (!Number.isInteger(count) || count < 1 || count > 10)
      throw withCode('count must be a whole number from 1 to 10', 400);
    return this.supervisor.wa.request('newcomers', { session, policy: 'phone', peers: count });
  }

  #traffic(session, { interval_ms: intervalMs }) {
    if (!Number.isInteger(intervalMs) || intervalMs < 0)
      throw withCode('interval_ms must be 0 or a whole number of milliseconds', 400);
    return this.supervisor.wa.request('traffic', { session, intervalMs });
  }

  async #fault(session, { fault, peers = this.supervisor.config.peers_per_session, ...options }) {
    const entry = FAULTS[fault];
    if (!entry) throw withCode(`no such fault: ${fault}; there are ${Object.keys(FAULTS).join(', ')}`, 400);
    if (!Number.isInteger(peers) || peers < 1) throw withCode('peers must be a whole number from 1', 400);
    const at = now();
    await this.supervisor.applyFault(
      session,
      fault,
      { ...entry, peers: Math.min(peers, this.supervisor.config.peers_per_session) },
      options,
    );
    return { fault, session, at };
  }

  async #apiFault({ kind = null, seconds }) {
    await this.supervisor.backend.request('apiFault', { kind, seconds });
    return { kind, at: now() };
  }

  async #crash() {
    await this.supervisor.backend.request('crash');
    return { at: now() };
  }
}

/** @returns {Promise<string[]>} the names of a session's files; none when the folder is gone */
export async function fileNames(root, id) {
  return readdir(path.join(root, String(id))).catch(error => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

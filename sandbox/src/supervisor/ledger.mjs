const MESSAGES_KEPT = 100_000;

/** What happened to one session: messages by id, calls, sockets, and what its auth state consists of. */
class SessionLedger {
  constructor() {
    this.messages = new Map();
    this.totals = { sent: 0, decrypted: 0, failed: 0 };
    this.lastDecryptedAt = null;
    this.names = new Set();
    this.vanished = 0;
    this.calls = 0;
    this.sockets = 0;
    this.failures = 0;
    this.baseline = { calls: 0, sockets: 0, vanished: 0, failures: 0 };
  }

  sent({ id, peer, at }) {
    this.messages.set(id, { peer, at, state: 'sent' });
    this.totals.sent++;
    if (this.messages.size > MESSAGES_KEPT) this.messages.delete(this.messages.keys().next().value);
  }

  failed({ id }) {
    const message = this.messages.get(id);
    if (!message || message.hasFailed) return;
    message.hasFailed = true;
    this.failures++;
    if (message.state === 'decrypted') return;
    message.state = 'failed';
    this.totals.failed++;
  }

  decrypted({ id }) {
    this.lastDecryptedAt = Date.now() / 1000;
    const message = this.messages.get(id);
    if (!message || message.state === 'decrypted') return;
    if (message.state === 'failed') this.totals.failed--;
    message.state = 'decrypted';
    this.totals.decrypted++;
  }

  isDecrypted(id) {
    return this.messages.get(id)?.state === 'decrypted';
  }

  auth({ change, names }) {
    if (change === 'wrote') for (const name of names) this.names.add(name);
    if (change === 'removed') for (const name of names) this.names.delete(name);
    if (change === 'vanished') this.gone(names);
  }

  gone(names) {
    for (const name of names) if (this.names.delete(name)) this.vanished++;
  }

  reset() {
    this.baseline = { calls: this.calls, sockets: this.sockets, vanished: this.vanished, failures: this.failures };
  }

  touched(store) {
    const vanished = this.vanished - this.baseline.vanished;
    return {
      api_calls: this.calls - this.baseline.calls,
      socket_restarts: this.sockets - this.baseline.sockets,
      files_removed: store === 'files' ? vanished : 0,
      keys_removed: store === 'redis' ? vanished : 0,
      failed_messages: this.failures - this.baseline.failures,
    };
  }

  since(epoch) {
    const counts = { sent: 0, decrypted: 0, failed: 0, decrypted_by_peer: {} };
    for (const { peer, at, state } of this.messages.values()) {
      if (at < epoch * 1000) continue;
      counts.sent++;
      counts.decrypted_by_peer[peer] ??= 0;
      if (state === 'decrypted') {
        counts.decrypted++;
        counts.decrypted_by_peer[peer]++;
      } else if (state === 'failed') counts.failed++;
    }
    return counts;
  }
}

/** The supervisor's books on every session. They outlive a crash of the backend. */
export class Ledger {
  /** @param {number[]} sessions */
  constructor(sessions) {
    this.sessions = new Map(sessions.map(id => [id, new SessionLedger()]));
    this.statuses = new Map();
  }

  of(id) {
    return this.sessions.get(id);
  }

  /** Takes in an event of the backend or of the stand-in. */
  record(event, data) {
    const session = this.sessions.get(data.session);
    if (event === 'sent') session.sent(data);
    else if (event === 'failed') session.failed(data);
    else if (event === 'decrypted') session.decrypted(data);
    else if (event === 'auth') session.auth(data);
    else if (event === 'socket') session.sockets++;
    else if (event === 'api') session && session.calls++;
    else if (event === 'status') this.statuses.set(data.session, data);
  }

  reset() {
    for (const session of this.sessions.values()) session.reset();
  }
}

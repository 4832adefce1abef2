import { SocketRun } from './socket-run.mjs';

/** One row of the backend's `Whatsapps` table and what runs for it. */
export class WhatsAppSession {
  /** @param {number} id @param {object} context what all sessions share (store, table, logs, report, rows) */
  constructor(id, context) {
    this.id = id;
    this.name = `loja-${id}`;
    this.context = context;
    this.runs = new Set();
    this.conflicts = 0;
    this.leaked = [];
    const row = context.rows.get(id);
    this.phase = row?.phase ?? 'disconnected';
    this.updatedAt = row?.updatedAt ?? new Date().toISOString();
    this.qrcode = '';
    this.messageCounts = new Map();
    this.replies = new Set();
  }

  get status() {
    return this.context.words[this.phase];
  }

  /** @returns {object} the row as the API shows it, without creds */
  toJSON() {
    const { id, name, status, qrcode, updatedAt } = this;
    return {
      id,
      name,
      status,
      qrcode,
      isDefault: id === this.context.defaultId,
      updatedAt,
      companyId: 1,
      channel: 'whatsapp',
    };
  }

  /** @param {'opening'|'qrcode'|'connected'|'pending'|'disconnected'} phase */
  setStatus(phase, qrcode = '') {
    this.phase = phase;
    this.qrcode = qrcode;
    this.updatedAt = new Date().toISOString();
    this.context.rows.set(this.id, { phase, updatedAt: this.updatedAt });
    this.context.report('status', { session: this.id, phase, status: this.status, qr: qrcode });
    this.context.table
      ?.saveStatus(this.id, this.status, phase === 'connected')
      ?.catch(error =>
        this.context.log.error({ whatsappId: this.id, error: error.message }, 'status could not be saved'),
      );
  }

  /** Starts a socket beside whatever runs already: nothing here looks whether one is alive. */
  start() {
    const run = new SocketRun(this, Date.now());
    this.conflicts = 0;
    this.runs.add(run);
    this.lastStart = run.start;
    run.connect().catch(error => this.failed(error));
  }

  /** Closes every socket of the session; creds and keys stay. */
  async stop() {
    await this.#closeSockets();
    this.freeLeak();
    this.setStatus('disconnected');
  }

  /** WhatsApp says that this device is gone: so do its creds and keys. */
  async forgetDevice() {
    await this.#closeSockets();
    await this.context.store.wipe(this.id);
    this.context.store.history(this.id).clear();
    this.freeLeak();
    this.setStatus('disconnected');
    await this.context.table?.saveCreds(this.id, null);
  }

  async #closeSockets() {
    await Promise.all([...this.runs].map(run => run.stop()));
    await this.context.store.quiet(this.id);
  }

  failed(error) {
    this.context.log.error({ whatsappId: this.id, error: error.message }, 'StartWhatsAppSession failed');
    this.setStatus('disconnected');
  }

  freeLeak() {
    if (this.leaked.length === 0) return;
    this.leaked = [];
    globalThis.gc?.();
  }

  get liveRuns() {
    return [...this.runs].filter(run => run.alive);
  }
}

import crypto from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { RedisBacking } from '../backend/redis-backing.mjs';
import { withCode } from '../common/ipc.mjs';
import { Child } from './child.mjs';
import { ControlApi, fileNames } from './control-api.mjs';
import { Ledger } from './ledger.mjs';
import { LogFile } from './log-file.mjs';
import { seed } from './seeding.mjs';

const RESTART_MS = 1_000;
const CONDITION_MS = 15_000;
const WA = new URL('../wa/main.mjs', import.meta.url);
const BACKEND = new URL('../backend/main.mjs', import.meta.url);

/** Starts the stand-in and the backend, keeps their logs, starts the backend again when it dies. */
export class Supervisor {
  /** @param {object} config see config.mjs @param {(reason: string) => void} onFatal */
  constructor(config, onFatal) {
    this.config = config;
    this.onFatal = onFatal;
    this.ledger = new Ledger(config.sessions);
    this.secret = crypto.randomBytes(32).toString('hex');
    this.apiPort = config.api_port;
    this.restarts = 0;
    this.isReady = false;
    this.redis = config.store === 'redis' ? new RedisBacking(config.redis_url) : undefined;
  }

  /** @returns {Promise<{api: string, control: string}>} when every session receives messages from every peer */
  async start() {
    const { config } = this;
    await mkdir(config.log_dir, { recursive: true });
    await mkdir(config.data_dir, { recursive: true });
    await this.#refuseLeftovers();
    const log = name => new LogFile(path.join(config.log_dir, name));
    this.logs = { out: log('backend.out.log'), err: log('backend.err.log'), wa: log('wa-server.log') };
    this.wa = new Child({
      name: 'wa-server',
      module: WA,
      out: this.logs.wa,
      err: this.logs.wa,
      onEvent: (event, data) => this.ledger.record(event, data),
      onExit: (code, signal) => this.onFatal(`wa-server ended (${signal ?? code}); see ${this.logs.wa.file}`),
    });
    this.waInfo = await this.wa.request('start', {
      port: config.wa_port,
      sessions: config.sessions,
      peers: config.peers_per_session,
      intervalMs: config.message_interval_ms,
    });
    this.control = await new ControlApi(this).listen(config.control_port);
    await this.#startBackend(true);
    await seed(this);
    await this.#keepCopies();
    this.ledger.reset();
    this.isReady = true;
    return { api: `http://127.0.0.1:${this.apiPort}`, control: this.control.url };
  }

  async stop() {
    clearTimeout(this.restartTimer);
    this.stopping = true;
    this.control?.closeAllConnections();
    this.control?.close();
    await this.backend?.stop();
    await this.wa?.stop();
    await this.redis?.close();
    await Promise.all(Object.values(this.logs ?? {}).map(file => file.close()));
  }

  reopenLogs() {
    for (const file of Object.values(this.logs ?? {})) file.reopen();
  }

  storeNames(id) {
    return this.redis ? this.redis.names(id) : fileNames(this.config.session_path, id);
  }

  backendState(session) {
    return this.backend.request('state', { session });
  }

  /** A person scans the QR that the session shows. */
  async scan(session) {
    const { qr } = await this.backendState(session);
    if (!qr) throw withCode(`session ${session} shows no QR`, 409);
    await this.wa.request('scan', { session, qr });
    return { session, at: Date.now() / 1000 };
  }

  /** @param {object} entry of the catalogue, with the number of peers */
  async applyFault(
    session,
    fault,
    { side, policy, newcomers, inGroup, breaksRecords, peers },
    { until = 'restart', stage = 'handshake', mb },
  ) {
    if (!['restart', 'cleared'].includes(until)) throw withCode('until must be "restart" or "cleared"', 400);
    if (!['handshake', 'login'].includes(stage)) throw withCode('stage must be "handshake" or "login"', 400);
    if (side === 'process') return this.backend.request('crash');
    if (breaksRecords) await this.#untilAnswered(session, peers);
    // the peers' habits first: nothing must be mended between the two
    if (policy && !newcomers) await this.wa.request('policy', { session, policy, peers });
    if (side === 'server') {
      const { lastStart } = await this.backendState(session);
      return this.wa.request('fault', { session, fault, until, stage, start: lastStart, peers });
    }
    if (inGroup) await this.#openGroup(session, peers);
    await this.backend.request('fault', { session, fault, peers, mb });
    if (newcomers) await this.wa.request('newcomers', { session, policy, peers });
  }

  /**
   * Waits until each peer has had an answer in its session. Before that it sends pre-key messages, and a record that does
   * not know their session fails with Invalid PreKey ID.
   */
  #untilAnswered(session, peers) {
    return until(
      () => this.wa.request('areAnswered', { session, peers }),
      'the peers have had no answer yet; is the session well?',
    );
  }

  /** Waits until the backend has the sender keys of the group: before that there is nothing to break. */
  async #openGroup(session, peers) {
    const { ids } = await this.wa.request('openGroup', { session, peers });
    const isRead = () => ids.every(id => this.ledger.of(session).isDecrypted(id));
    await until(isRead, 'the messages to the group have not been read; is the session well?');
  }

  async #startBackend(startAll) {
    const { config } = this;
    this.backend = new Child({
      name: 'backend',
      module: BACKEND,
      out: this.logs.out,
      err: this.logs.err,
      execArgv: ['--expose-gc'],
      onEvent: (event, data) => this.#backendEvent(event, data),
      onExit: () => this.#backendDied(),
    });
    const { port } = await this.backend.request('start', {
      startAll,
      sessions: config.sessions,
      store: config.store,
      sessionPath: config.session_path,
      redisUrl: config.redis_url,
      credsTable: config.creds_table,
      rowsFile: path.join(config.data_dir, 'whatsapps.json'),
      words: config.status_words,
      waPort: this.waInfo.port,
      rootPublicKey: this.waInfo.rootPublicKey,
      apiPort: this.apiPort,
      auth: {
        secret: this.secret,
        tokenSeconds: config.token_seconds,
        adminEmail: config.admin_email,
        adminPassword: config.admin_password,
      },
    });
    this.apiPort = port;
  }

  #backendEvent(event, data) {
    this.ledger.record(event, data);
    const mayScan = !this.isReady || this.config.auto_scan;
    if (event === 'status' && data.phase === 'qrcode' && mayScan) {
      this.wa.request('scan', { session: data.session, qr: data.qr }).catch(() => {}); // the next QR gets its own scan
    }
  }

  #backendDied() {
    if (this.stopping) return;
    if (!this.isReady) return this.onFatal(`the backend died while it was being set up; see ${this.logs.err.file}`);
    this.restarts++;
    this.restartTimer = setTimeout(() => {
      this.#startBackend(false).catch(error => {
        this.logs.err.write(`start failed: ${error.message}\n`);
        this.backend.process.kill('SIGKILL'); // and so on to the next attempt
      });
    }, RESTART_MS);
  }

  /** A copy of each session's creds, as an operator's nightly job would keep it: `<data_dir>/creds-copies/<id>.json`. */
  async #keepCopies() {
    const { config } = this;
    const folder = path.join(config.data_dir, 'creds-copies');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const id of config.sessions) {
      const text = this.redis
        ? await this.redis.readText(id, 'creds')
        : await readFile(path.join(config.session_path, String(id), 'creds.json'));
      await writeFile(path.join(folder, `${id}.json`), text, { mode: 0o600 });
    }
  }

  /** The stand-in starts without accounts, so that sessions of an earlier run could only be refused by it. */
  async #refuseLeftovers() {
    for (const id of this.config.sessions) {
      const names = await this.storeNames(id).catch(error => {
        throw new Error(`the ${this.config.store} store cannot be read: ${error.message}`);
      });
      if (names.length === 0) continue;
      throw new Error(
        `session ${id} has auth state already in the ${this.config.store} store: use a new data_dir, or empty the store`,
      );
    }
  }
}

async function until(condition, complaint) {
  const deadline = Date.now() + CONDITION_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw withCode(complaint, 409);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

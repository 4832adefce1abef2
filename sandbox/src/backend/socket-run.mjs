import makeWASocket, { DisconnectReason } from 'baileys';
import { listenForMessages } from './messages.mjs';

const RECONNECT_MS = 2_000;
const CONFLICTS_BORNE = 3;
const WIPED_BY = new Set([DisconnectReason.loggedOut, DisconnectReason.forbidden]);

/** One start of a session: a socket, and after it closes the next one, until it is stopped. */
export class SocketRun {
  /** @param {import('./session.mjs').WhatsAppSession} session @param {number} start in ms since the epoch */
  constructor(session, start) {
    this.session = session;
    this.start = start;
    this.stopped = false;
    this.alive = false;
  }

  /** Opens a socket with the auth state as the store has it now. */
  async connect() {
    const { session } = this;
    const { context } = session;
    if (this.stopped) return;
    session.setStatus('opening');
    const auth = await context.store.open(session.id, context.baileysLogger);
    if (this.stopped) return;
    this.auth = auth;
    this.alive = true;
    context.report('socket', { session: session.id });
    this.socket = makeWASocket({
      auth: { creds: auth.creds, keys: auth.keys },
      logger: context.baileysLogger,
      waWebSocketUrl: `ws://127.0.0.1:${context.waPort}/ws/chat?session=${session.id}&start=${this.start}`,
      retryRequestDelayMs: 50,
      syncFullHistory: false,
      shouldSyncHistoryMessage: () => false,
    });
    const { socket } = this;
    socket.ev.on('creds.update', () => void this.#saveCreds(auth));
    socket.ev.on('connection.update', update => void this.#updated(update).catch(error => session.failed(error)));
    listenForMessages(this, socket);
  }

  /** Closes the socket for good, without a logout. */
  async stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.session.runs.delete(this);
    await this.socket?.end(undefined);
    this.alive = false;
  }

  async #saveCreds(auth) {
    const { context, id } = this.session;
    try {
      await auth.saveCreds();
      await context.table?.saveCreds(id, auth.creds);
    } catch (error) {
      context.log.error({ whatsappId: id, error: error.message }, 'creds could not be saved');
    }
  }

  async #updated({ connection, qr, lastDisconnect }) {
    const { session } = this;
    if (qr) session.setStatus('qrcode', qr);
    if (!connection) return;
    const statusCode = lastDisconnect?.error?.output?.statusCode;
    session.context.log.info(
      { whatsappId: session.id, ...(connection === 'close' && { statusCode }) },
      `Socket ${session.name} Connection Update ${connection}`,
    );
    if (connection === 'open') session.setStatus('connected');
    if (connection === 'close') await this.#closed(statusCode);
  }

  async #closed(statusCode) {
    const { session } = this;
    this.alive = false;
    if (this.stopped) return;
    if (WIPED_BY.has(statusCode)) return session.forgetDevice();
    if (statusCode === DisconnectReason.connectionReplaced && ++session.conflicts >= CONFLICTS_BORNE) {
      return session.stop();
    }
    session.setStatus('pending');
    this.timer = setTimeout(() => this.connect().catch(error => session.failed(error)), RECONNECT_MS);
  }
}

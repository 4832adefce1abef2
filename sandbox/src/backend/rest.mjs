import crypto from 'node:crypto';
import jwt from 'jsonwebtoken';
import { Reply, serveJson } from '../common/http.mjs';
import { ApiFaults } from './api-faults.mjs';

const REFRESH_SECONDS = 7 * 24 * 3600;

/** The Whaticket dialect. */
export class RestApi {
  /** @param {Map<number, import('./session.mjs').WhatsAppSession>} sessions @param {object} options secret, admin, tokenSeconds, report */
  constructor(sessions, options) {
    this.sessions = sessions;
    this.options = options;
    this.faults = new ApiFaults(this);
  }

  async listen(port) {
    const secured = handler => request => {
      this.#authorize(request.headers);
      return handler(request);
    };
    const routes = [
      ['POST', /^\/auth\/login\/?$/, request => this.#login(request.body)],
      ['POST', /^\/auth\/refresh_token\/?$/, request => this.#refresh(request.headers.cookie)],
      ['GET', /^\/whatsapp\/?$/, secured(() => [...this.sessions.values()])],
      ['GET', /^\/whatsapp\/([^/]+)\/?$/, secured(({ params }) => this.#session(params[0]))],
      ['PUT', /^\/whatsapp\/([^/]+)\/disconnect\/?$/, secured(({ params }) => this.#disconnect(params[0]))],
      ['PUT', /^\/whatsapp\/([^/]+)\/start-session\/?$/, secured(({ params }) => this.#start(params[0]))],
    ];
    this.routes = routes;
    this.port = port;
    await this.open();
  }

  /** Listens on the port that it had before, after `close`. */
  async open() {
    this.server = await serveJson(this.routes, {
      port: this.port,
      before: (request, response) => {
        const call = request.method === 'PUT' && /^\/whatsapp\/(\d+)\//.exec(request.url);
        if (call) this.options.report('api', { session: Number(call[1]) });
        return this.faults.answer(request, response);
      },
    });
    this.port = this.server.address().port;
  }

  async close() {
    const closed = new Promise(resolve => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  #login({ email, password }) {
    const { adminEmail, adminPassword } = this.options;
    if (!same(email, adminEmail) || !same(password, adminPassword)) throw refusal(401, 'ERR_INVALID_CREDENTIALS');
    return this.#tokens();
  }

  #tokens() {
    const { secret, tokenSeconds, adminEmail } = this.options;
    const user = { id: 1, name: 'Admin', email: adminEmail, profile: 'admin', companyId: 1, super: true };
    const token = jwt.sign({ username: user.name, profile: user.profile, id: user.id, companyId: 1 }, secret, {
      expiresIn: tokenSeconds,
    });
    const refresh = jwt.sign({ id: user.id, refresh: true }, secret, { expiresIn: REFRESH_SECONDS });
    return new Reply(
      200,
      { token, user },
      { 'set-cookie': `jrt=${refresh}; Path=/; HttpOnly; Max-Age=${REFRESH_SECONDS}` },
    );
  }

  #refresh(cookie = '') {
    const token = /(?:^|;\s*)jrt=([^;]+)/.exec(cookie)?.[1];
    try {
      if (jwt.verify(token, this.options.secret).refresh) return this.#tokens();
    } catch {
      // falls through to the one answer that a bad, an expired and a missing cookie get
    }
    throw refusal(401, 'ERR_SESSION_EXPIRED');
  }

  #authorize({ authorization }) {
    if (!authorization) throw refusal(401, 'ERR_UNAUTHORIZED');
    try {
      if (!jwt.verify(authorization.replace(/^Bearer\s+/i, ''), this.options.secret).refresh) return;
    } catch {
      // bad and expired tokens get the same answer
    }
    throw refusal(403, 'ERR_SESSION_EXPIRED');
  }

  #session(id) {
    const session = /^\d{1,9}$/.test(id) && this.sessions.get(Number(id));
    if (!session) throw refusal(404, 'ERR_NO_WAPP_FOUND');
    return session;
  }

  async #disconnect(id) {
    const session = this.#session(id);
    if (!this.faults.hasNoEffect) await session.stop();
    return { message: 'Session disconnected.' };
  }

  #start(id) {
    const session = this.#session(id);
    if (!this.faults.hasNoEffect) session.start();
    return { message: 'Starting session.' };
  }
}

function same(given, wanted) {
  const digest = text => crypto.createHash('sha256').update(String(text)).digest();
  return typeof given === 'string' && crypto.timingSafeEqual(digest(given), digest(wanted));
}

function refusal(code, message) {
  return Object.assign(new Error(message), { code });
}

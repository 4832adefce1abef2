import { BufferJSON, initAuthCreds, makeCacheableSignalKeyStore, proto } from 'baileys';
import { RatchetHistory } from './ratchet-history.mjs';

const QUIET_MS = 100;
const QUIET_AT_MOST_MS = 2_000;

/**
 * The auth state of the sessions, in files or in Redis, with a signal key cache in memory in front as backends have it.
 *
 * It says what it writes and removes (`report`), so that whatever else vanishes can be counted as somebody else's work.
 */
export class AuthStore {
  /**
   * @param {import('./file-backing.mjs').FileBacking | import('./redis-backing.mjs').RedisBacking} backing
   * @param {(session: number, change: 'wrote' | 'removed' | 'vanished', names: string[]) => void} report
   */
  constructor(backing, report) {
    this.backing = backing;
    this.report = report;
    this.known = new Map();
    this.histories = new Map();
    this.lastChange = new Map();
  }

  /** @param {number} session @returns {RatchetHistory} */
  history(session) {
    if (!this.histories.has(session)) this.histories.set(session, new RatchetHistory());
    return this.histories.get(session);
  }

  /**
   * Loads a session's state afresh.
   *
   * @returns {Promise<{creds: object, keys: object, cache: KeyCache, saveCreds: () => Promise<void>}>}
   */
  async open(session, logger) {
    await this.backing.prepare(session);
    this.#seen(session, await this.backing.names(session));
    const creds = (await this.backing.read(session, 'creds')) ?? initAuthCreds();
    const cache = new KeyCache();
    const keys = makeCacheableSignalKeyStore(this.#keyStore(session), logger, cache);
    return { creds, keys, cache, saveCreds: () => this.write(session, 'creds', creds) };
  }

  #keyStore(session) {
    return {
      get: async (type, ids) => {
        const found = await Promise.all(ids.map(id => this.backing.read(session, `${type}-${id}`)));
        const revive = value =>
          type === 'app-state-sync-key' && value ? proto.Message.AppStateSyncKeyData.fromObject(value) : value;
        return Object.fromEntries(ids.map((id, index) => [id, revive(found[index])]));
      },
      set: async data => {
        const written = [];
        const removed = [];
        for (const [type, entries] of Object.entries(data)) {
          for (const [id, value] of Object.entries(entries)) {
            if (type === 'session' && value) this.history(session).add(id, value);
            if (value) written.push([`${type}-${id}`, value]);
            else removed.push(`${type}-${id}`);
          }
        }
        await Promise.all([this.#writeAll(session, written), removed.length > 0 && this.remove(session, removed)]);
      },
    };
  }

  /** @param {string} item `creds` or `<type>-<id>` */
  write(session, item, value) {
    return this.#writeAll(session, [[item, value]]);
  }

  async #writeAll(session, entries) {
    const known = this.#names(session);
    const fresh = [];
    const vanished = [];
    this.lastChange.set(session, Date.now());
    await Promise.all(
      entries.map(async ([item, value]) => {
        const name = this.backing.nameOf(item);
        const wasKnown = known.has(name);
        const text = JSON.stringify(value, BufferJSON.replacer);
        const existed = await this.backing.write(session, item, text, wasKnown);
        if (wasKnown && !existed) vanished.push(name);
        if (!wasKnown || !existed) fresh.push(name);
        known.add(name);
      }),
    );
    if (vanished.length > 0) this.report(session, 'vanished', vanished);
    if (fresh.length > 0) this.report(session, 'wrote', fresh);
  }

  /** @param {string[]} items */
  async remove(session, items) {
    const names = items.map(item => this.backing.nameOf(item));
    const known = this.#names(session);
    names.forEach(name => known.delete(name));
    this.report(session, 'removed', names);
    await this.backing.remove(session, items);
  }

  /**
   * Waits until nothing has been written for a moment: a socket that has been closed still works off the messages that it
   * had received.
   */
  async quiet(session) {
    const deadline = Date.now() + QUIET_AT_MOST_MS;
    while (Date.now() - (this.lastChange.get(session) ?? 0) < QUIET_MS && Date.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, QUIET_MS / 4));
    }
  }

  /** Removes all of a session's state, as the backend does when WhatsApp says that the device is gone. */
  async wipe(session) {
    const names = await this.backing.names(session);
    await this.remove(
      session,
      names.map(name => this.backing.itemOf(name)),
    );
    await this.backing.finishWipe(session);
  }

  #names(session) {
    if (!this.known.has(session)) this.known.set(session, new Set());
    return this.known.get(session);
  }

  #seen(session, names) {
    const known = this.#names(session);
    const present = new Set(names);
    const vanished = [...known].filter(name => !present.has(name));
    if (vanished.length > 0) this.report(session, 'vanished', vanished);
    this.report(session, 'wrote', names);
    this.known.set(session, present);
  }
}

/** What stands in front of the store in memory. Entries stay until the socket is gone. */
class KeyCache {
  constructor() {
    this.entries = new Map();
  }

  get(key) {
    return this.entries.get(key);
  }

  set(key, value) {
    this.entries.set(key, value);
  }

  flushAll() {
    this.entries.clear();
  }
}

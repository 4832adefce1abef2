import { BufferJSON } from 'baileys';
import { Redis } from 'ioredis';

/** `sessions:<id>:creds`, `sessions:<id>:<type>-<key id>`: strings of BufferJSON, as the Whaticket forks keep them. */
export class RedisBacking {
  /** @param {string} url */
  constructor(url) {
    this.redis = new Redis(url, { maxRetriesPerRequest: 3 });
    this.redis.on('error', () => {}); // each command fails by itself; without a listener the process would end
  }

  #key(session, item) {
    return `sessions:${session}:${item}`;
  }

  nameOf(item) {
    return item;
  }

  itemOf(name) {
    return name;
  }

  async prepare() {}

  async names(session) {
    const prefix = this.#key(session, '');
    const names = [];
    for await (const keys of this.redis.scanStream({ match: `${prefix}*`, count: 500 })) {
      names.push(...keys.map(key => key.slice(prefix.length)));
    }
    return [...new Set(names)];
  }

  readText(session, item) {
    return this.redis.get(this.#key(session, item));
  }

  async read(session, item) {
    const text = await this.readText(session, item);
    try {
      return text === null ? undefined : JSON.parse(text, BufferJSON.reviver);
    } catch {
      return undefined;
    }
  }

  async write(session, item, text) {
    return (await this.redis.set(this.#key(session, item), text, 'GET')) !== null;
  }

  async remove(session, items) {
    for (let index = 0; index < items.length; index += 500) {
      await this.redis.unlink(items.slice(index, index + 500).map(item => this.#key(session, item)));
    }
  }

  async finishWipe() {}

  async truncateCreds(session, bytes) {
    const key = this.#key(session, 'creds');
    await this.redis.set(key, (await this.redis.get(key)).slice(0, bytes));
  }

  async close() {
    this.redis.disconnect();
  }
}

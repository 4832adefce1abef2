import { access, mkdir, readFile, readdir, rm, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BufferJSON } from 'baileys';

/** `<root>/<id>/creds.json`, `pre-key-1.json`, ...: the names and bytes of Baileys' useMultiFileAuthState. */
export class FileBacking {
  /** @param {string} root */
  constructor(root) {
    this.root = root;
    this.locks = new Map();
  }

  folder(session) {
    return path.join(this.root, String(session));
  }

  nameOf(item) {
    return `${item.replaceAll('/', '__').replaceAll(':', '-')}.json`;
  }

  itemOf(name) {
    return name.replace(/\.json$/, '');
  }

  async prepare(session) {
    await mkdir(this.folder(session), { recursive: true });
  }

  async names(session) {
    return readdir(this.folder(session)).catch(error => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
  }

  /** @returns {Promise<any>} undefined when it is missing or unreadable, as useMultiFileAuthState has it */
  async read(session, item) {
    const file = path.join(this.folder(session), this.nameOf(item));
    return this.#exclusive(file, async () => {
      try {
        return JSON.parse(await readFile(file, 'utf8'), BufferJSON.reviver);
      } catch {
        return undefined;
      }
    });
  }

  /** @returns {Promise<boolean>} whether the file was there before (looked up only when `expected`) */
  async write(session, item, text, expected) {
    const file = path.join(this.folder(session), this.nameOf(item));
    return this.#exclusive(file, async () => {
      const existed = expected
        ? await access(file).then(
            () => true,
            () => false,
          )
        : false;
      await writeFile(file, text);
      return existed;
    });
  }

  async remove(session, items) {
    await Promise.all(
      items.map(item => {
        const file = path.join(this.folder(session), this.nameOf(item));
        return this.#exclusive(file, () => unlink(file).catch(() => {}));
      }),
    );
  }

  async finishWipe(session) {
    await rm(this.folder(session), { recursive: true, force: true });
  }

  async truncateCreds(session, bytes) {
    const file = path.join(this.folder(session), 'creds.json');
    const text = await readFile(file);
    await writeFile(file, text.subarray(0, bytes));
  }

  async close() {}

  /** One reader or writer of a file at a time. */
  async #exclusive(file, work) {
    const previous = this.locks.get(file) ?? Promise.resolve();
    const run = previous.then(work);
    const settled = run.catch(() => {});
    this.locks.set(file, settled);
    try {
      return await run;
    } finally {
      if (this.locks.get(file) === settled) this.locks.delete(file);
    }
  }
}

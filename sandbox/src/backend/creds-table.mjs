import { BufferJSON } from 'baileys';
import pg from 'pg';

const quote = name =>
  name
    .split('.')
    .map(part => `"${part.replaceAll('"', '""')}"`)
    .join('.');

/** The table in which some backends keep a copy of each session's creds and its status. It is written, never read. */
export class CredsTable {
  /** @param {{database_url: string, table: string, id_column: string, creds_column: string, status_column?: string, last_connected_column?: string}} options */
  constructor(options) {
    this.options = options;
    this.pool = new pg.Pool({ connectionString: options.database_url, max: 2 });
    this.pool.on('error', () => {}); // an idle connection was lost; the next query opens another
    this.queue = Promise.resolve();
  }

  /** @param {number} session @param {object} creds */
  saveCreds(session, creds) {
    return this.#set(session, { [this.options.creds_column]: creds && JSON.stringify(creds, BufferJSON.replacer) });
  }

  /** @param {number} session @param {string} status @param {boolean} connected */
  saveStatus(session, status, connected) {
    const { status_column: statusColumn, last_connected_column: lastConnected } = this.options;
    const values = {};
    if (statusColumn) values[statusColumn] = status;
    if (connected && lastConnected) values[lastConnected] = new Date();
    return Object.keys(values).length > 0 ? this.#set(session, values) : undefined;
  }

  async close() {
    await this.queue.catch(() => {});
    await this.pool.end();
  }

  /** Updates the row, or makes it; in the order of the calls. */
  #set(session, values) {
    this.queue = this.queue
      .catch(() => {})
      .then(async () => {
        const { table, id_column: idColumn } = this.options;
        const columns = Object.keys(values);
        const sets = columns.map((column, index) => `${quote(column)} = $${index + 2}`).join(', ');
        const parameters = [session, ...Object.values(values)];
        const updated = await this.pool.query(
          `UPDATE ${quote(table)} SET ${sets} WHERE ${quote(idColumn)} = $1`,
          parameters,
        );
        if (updated.rowCount > 0) return;
        const places = columns.map((_, index) => `$${index + 2}`).join(', ');
        await this.pool.query(
          `INSERT INTO ${quote(table)} (${quote(idColumn)}, ${columns.map(quote).join(', ')}) VALUES ($1, ${places})`,
          parameters,
        );
      });
    return this.queue;
  }
}

import { readFileSync, writeFileSync } from 'node:fs';

/** The backend's own table of sessions: what is left of their states when the process dies. */
export class Rows {
  /** @param {string} file */
  constructor(file) {
    this.file = file;
    try {
      this.rows = JSON.parse(readFileSync(file, 'utf8'));
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      this.rows = {};
    }
  }

  get(id) {
    return this.rows[id];
  }

  set(id, row) {
    this.rows[id] = row;
    writeFileSync(this.file, JSON.stringify(this.rows));
  }
}

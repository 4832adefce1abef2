import { createWriteStream } from 'node:fs';

/** A log file in append mode; `reopen` after it has been moved away. */
export class LogFile {
  constructor(file) {
    this.file = file;
    this.reopen();
  }

  reopen() {
    this.stream?.end();
    this.stream = createWriteStream(this.file, { flags: 'a' });
    this.stream.on('error', error => process.stderr.write(`${this.file}: ${error.message}\n`));
  }

  write(chunk) {
    this.stream.write(chunk);
  }

  close() {
    return new Promise(resolve => this.stream.end(resolve));
  }
}

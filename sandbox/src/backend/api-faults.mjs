import { withCode } from '../common/ipc.mjs';

const SLOW_MS = 15_000;
const KINDS = ['html', '500', 'half_json', 'slow', 'down', 'no_effect'];

/** Faults of the REST API itself; one at a time. */
export class ApiFaults {
  /** @param {import('./rest.mjs').RestApi} api */
  constructor(api) {
    this.api = api;
    this.kind = null;
  }

  get hasNoEffect() {
    return this.kind === 'no_effect';
  }

  /** @param {string | null} kind null ends the fault @param {number} [seconds] until it ends by itself; none: until told */
  async set(kind, seconds) {
    if (kind !== null && !KINDS.includes(kind))
      throw withCode(`no such API fault: ${kind}; there are ${KINDS.join(', ')}`, 400);
    clearTimeout(this.timer);
    const wasDown = this.kind === 'down';
    this.kind = kind;
    if (wasDown && kind !== 'down') await this.api.open();
    if (!wasDown && kind === 'down') await this.api.close();
    if (kind !== null && seconds) this.timer = setTimeout(() => void this.set(null), seconds * 1000);
  }

  /** @returns {Promise<boolean>} whether the request has been answered */
  async answer(request, response) {
    switch (this.kind) {
      case 'html':
        response.writeHead(502, { 'content-type': 'text/html' });
        response.end(
          '<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n',
        );
        return true;
      case '500':
        response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"Internal server error"}');
        return true;
      case 'half_json':
        response.writeHead(200, { 'content-type': 'application/json' }).end('[{"id":2,"name":"loja-2","status":"CONN');
        return true;
      case 'slow':
        await new Promise(resolve => setTimeout(resolve, SLOW_MS));
        return false;
      default:
        return false;
    }
  }
}

import http from 'node:http';

const MAX_BODY_BYTES = 64 * 1024;

/** An answer with a status and headers of its own; everything else that a handler returns is the body of a 200. */
export class Reply {
  constructor(status, body, headers = {}) {
    Object.assign(this, { status, body, headers });
  }
}

/**
 * A JSON server on 127.0.0.1.
 *
 * @param {Array<[string, RegExp, (request: {params: string[], query: URLSearchParams, body: any, headers: object}) => any]>} routes
 *   a handler returns the body or a Reply; an error with a numeric `.code` becomes that status
 * @param {{port: number, before?: (request: http.IncomingMessage, response: http.ServerResponse) => Promise<boolean> | boolean}} options
 *   `before` returns true when it has answered by itself
 * @returns {Promise<http.Server & {url: string}>}
 */
export async function serveJson(routes, { port, before = () => false }) {
  const server = http.createServer((request, response) => {
    answer(routes, before, request, response).catch(error => {
      const status = Number.isInteger(error.code) && error.code >= 400 && error.code < 600 ? error.code : 500;
      write(response, status, { error: error.message });
    });
  });
  server.keepAliveTimeout = 5_000;
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  server.url = `http://127.0.0.1:${server.address().port}`;
  return server;
}

async function answer(routes, before, request, response) {
  if (await before(request, response)) return;
  const url = new URL(request.url, 'http://127.0.0.1');
  for (const [method, pattern, handler] of routes) {
    const match = method === request.method && pattern.exec(url.pathname);
    if (!match) continue;
    const body = await readJson(request);
    const result = await handler({ params: match.slice(1), query: url.searchParams, body, headers: request.headers });
    const { status, body: content, headers } = result instanceof Reply ? result : new Reply(200, result ?? {});
    return write(response, status, content, headers);
  }
  // Express answers an unknown route with a page, and clients have to cope with that
  const text = `<!DOCTYPE html>\n<html lang="en">\n<body>\n<pre>Cannot ${request.method} ${url.pathname.replace(/[<>&]/g, '')}</pre>\n</body>\n</html>\n`;
  response.writeHead(404, { 'content-type': 'text/html; charset=utf-8' }).end(text);
}

async function readJson(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw Object.assign(new Error('the body is too large'), { code: 413 });
    chunks.push(chunk);
  }
  if (size === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw Object.assign(new Error('the body is not JSON'), { code: 400 });
  }
}

function write(response, status, body, headers = {}) {
  if (response.headersSent) return response.end();
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
}

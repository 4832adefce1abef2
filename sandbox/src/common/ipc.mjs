/**
 * Requests and events between the supervisor and a child process over Node's IPC channel.
 *
 * A request is `{id, method, params}` and is answered by `{id, result}` or `{id, error}`; an event is `{event, data}`.
 */
export class Channel {
  /**
   * @param {NodeJS.Process | import('node:child_process').ChildProcess} end the side that has `send` and emits `message`
   * @param {Record<string, (params: any) => any>} methods what the other side may call
   * @param {(event: string, data: any) => void} [onEvent]
   */
  constructor(end, methods = {}, onEvent = () => {}) {
    this.end = end;
    this.waiting = new Map();
    this.nextId = 1;
    end.on('message', message => void this.#receive(message, methods, onEvent));
    end.once('disconnect', () => this.#failAll('the process went away'));
    end.once('exit', () => this.#failAll('the process ended'));
  }

  /** @param {string} method @param {object} [params] @returns {Promise<any>} rejects with an Error that carries `.code` */
  request(method, params = {}, timeoutMs = 20_000) {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(withCode(`no answer to ${method} within ${timeoutMs} ms`, 504));
      }, timeoutMs);
      this.waiting.set(id, { resolve, reject, timer });
      this.#send({ id, method, params }, reject);
    });
  }

  /** @param {string} event @param {object} data */
  emit(event, data) {
    this.#send({ event, data }, () => {});
  }

  #send(message, onError) {
    if (!this.end.connected) return onError(withCode('the process is not running', 503));
    this.end.send(message, error => error && onError(withCode('the process is not running', 503)));
  }

  async #receive(message, methods, onEvent) {
    if (message.event) return onEvent(message.event, message.data);
    if (!message.method) return this.#settle(message);
    try {
      const method = methods[message.method];
      if (!method) throw withCode(`no such method: ${message.method}`, 404);
      const result = await method(message.params);
      this.#send({ id: message.id, result }, () => {});
    } catch (error) {
      this.#send({ id: message.id, error: { message: error.message, code: error.code ?? 500 } }, () => {});
    }
  }

  #settle({ id, result, error }) {
    const waiter = this.waiting.get(id);
    if (!waiter) return;
    this.waiting.delete(id);
    clearTimeout(waiter.timer);
    if (error) waiter.reject(withCode(error.message, error.code));
    else waiter.resolve(result);
  }

  #failAll(reason) {
    for (const waiter of this.waiting.values()) {
      clearTimeout(waiter.timer);
      waiter.reject(withCode(reason, 503));
    }
    this.waiting.clear();
  }
}

/** @param {string} message @param {number} code HTTP status to answer with @returns {Error & {code: number}} */
export function withCode(message, code) {
  return Object.assign(new Error(message), { code });
}

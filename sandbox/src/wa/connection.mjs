import { EventEmitter } from 'node:events';
import { decodeBinaryNode, encodeBinaryNode } from 'baileys';
import { NoiseResponder } from './noise.mjs';

/**
 * One client connection: frames, handshake, binary nodes.
 *
 * Emits `finish` ({noiseKey, payload}) when the handshake is done, `node` (BinaryNode), `closed`.
 * `label` is what the sandbox writes into the URL: the session id and the number of the start that the socket belongs
 * to. The handshake does not carry them, and a fault may have to act before it.
 */
export class Connection extends EventEmitter {
  /** @param {import('ws').WebSocket} ws @param {{session: number, start: number}} label @param {object} identity {staticKey, certificate} */
  constructor(ws, label, identity, log) {
    super();
    this.ws = ws;
    this.label = label;
    this.log = log;
    this.noise = new NoiseResponder(identity.staticKey, identity.certificate);
    this.buffer = Buffer.alloc(0);
    this.stage = 'intro';
    this.silent = false; // hears, never answers
    this.mute = false; // answers keep-alive pings alone
    this.loggedIn = false;
    this.queue = Promise.resolve();
    ws.on('message', data => {
      this.queue = this.queue.then(() => this.#data(data)).catch(error => this.#fail(error));
    });
    ws.on('close', () => this.emit('closed'));
    ws.on('error', error => log(`socket error on session ${label.session}: ${error.message}`));
  }

  /** @param {import('baileys').BinaryNode} node */
  send(node) {
    if (this.ws.readyState !== this.ws.OPEN || this.silent || !this.noise.established) return false;
    this.#frame(this.noise.encrypt(encodeBinaryNode(node)));
    return true;
  }

  /** Sends a last node, then closes. */
  end(node) {
    this.send(node);
    setTimeout(() => this.ws.terminate(), 100);
  }

  terminate() {
    this.ws.terminate();
  }

  #frame(data) {
    const frame = Buffer.alloc(3 + data.length);
    frame.writeUInt8(data.length >> 16, 0);
    frame.writeUInt16BE(data.length & 0xffff, 1);
    frame.set(data, 3);
    this.ws.send(frame);
  }

  async #data(data) {
    this.buffer = Buffer.concat([this.buffer, data]);
    if (this.stage === 'intro') this.#skipIntro();
    while (this.buffer.length >= 3) {
      const size = (this.buffer[0] << 16) | this.buffer.readUInt16BE(1);
      if (this.buffer.length < size + 3) return;
      const frame = this.buffer.subarray(3, 3 + size);
      this.buffer = this.buffer.subarray(3 + size);
      await this.#received(frame);
    }
  }

  #skipIntro() {
    if (this.buffer.subarray(0, 2).toString() === 'ED') {
      const length = (this.buffer[4] << 16) | this.buffer.readUInt16BE(5);
      this.buffer = this.buffer.subarray(7 + length);
    }
    this.buffer = this.buffer.subarray(4);
    this.stage = 'hello';
  }

  async #received(frame) {
    if (this.stage === 'hello') {
      if (this.silent) return;
      this.#frame(this.noise.answerHello(frame));
      this.stage = 'finish';
    } else if (this.stage === 'finish') {
      const finish = this.noise.acceptFinish(frame);
      this.stage = 'nodes';
      this.noiseKey = finish.noiseKey;
      this.emit('finish', finish);
    } else {
      this.emit('node', await decodeBinaryNode(this.noise.decrypt(frame)));
    }
  }

  #fail(error) {
    this.log(`closing a connection of session ${this.label.session}: ${error.message}`);
    this.ws.terminate();
  }
}

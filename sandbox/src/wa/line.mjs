import { getBinaryNodeChild, getBinaryNodeChildren } from 'baileys';
import { userOf } from '../common/numbers.mjs';
import { withCode } from '../common/ipc.mjs';
import { answerQuery } from './iq.mjs';
import { SERVER } from './nodes.mjs';
import { handleRetryReceipt } from './retry.mjs';

const HELD_MESSAGES = 5_000;

/** Everything the server knows about one session: its account, its peers, its connections, what waits for it. */
export class Line {
  /** @param {{session: number, account: import('./accounts.mjs').Account, peers: import('./peer.mjs').Peer[]}} parts */
  constructor({ session, account, peers, log, emit }) {
    Object.assign(this, { session, account, peers, log, emit });
    this.connection = undefined;
    this.held = [];
    this.policies = peers.map(() => 'phone');
    this.stuck = undefined;
    this.writesToGroup = new Set(); // peers whose every second message goes to the group
    this.hung = 0; // sockets that a fault has left without an answer
  }

  get device() {
    return this.account.device;
  }

  /** @returns {{takeBundle: () => object} | undefined} whose keys the client asks for */
  ownerOf(user) {
    if (user === this.account.user || user === this.account.lid) return this.account.phone;
    return this.peers.find(peer => peer.user === user || peer.lid === user)?.keys;
  }

  /** A client has finished the handshake with the key of a linked device. */
  login(connection) {
    if (this.account.banned) return connection.end({ tag: 'failure', attrs: { reason: '403' } });
    const isLinked = this.device?.noiseKey === connection.noiseKey && this.device.state === 'linked';
    if (!isLinked) return connection.end({ tag: 'failure', attrs: { reason: '401' } });
    const older = this.connection;
    this.connection = connection;
    older?.end({ tag: 'stream:error', attrs: {}, content: [{ tag: 'conflict', attrs: { type: 'replaced' } }] });
    connection.once('closed', () => {
      if (this.connection === connection) this.connection = undefined;
    });
    connection.on(
      'node',
      node => void this.#node(connection, node).catch(error => this.log(`session ${this.session}: ${error.message}`)),
    );
    connection.send({
      tag: 'success',
      attrs: {
        t: String(Math.floor(Date.now() / 1000)),
        location: 'cln',
        lid: `${this.account.lid}:${this.device.number}@lid`,
      },
    });
    this.log(`session ${this.session} logged in, ${this.held.length} messages waiting`);
  }

  async #node(connection, node) {
    if (connection.silent) return;
    if (node.tag === 'iq' && (node.attrs.type === 'get' || node.attrs.type === 'set'))
      return this.#query(connection, node);
    if (connection.mute) return;
    if (node.tag === 'receipt' && node.attrs.type === 'retry') return handleRetryReceipt(this, node);
    if (node.tag === 'message') return this.#fromClient(connection, node);
  }

  #query(connection, node) {
    if (connection.mute && node.attrs.xmlns !== 'w:p') return;
    connection.send(answerQuery(node, this));
    // the client says "active" once it is ready for what has been waiting
    if (node.attrs.xmlns === 'passive' && getBinaryNodeChild(node, 'active')) this.#release(connection);
  }

  #release(connection) {
    const held = this.held.splice(0);
    for (const stanza of held) connection.send({ ...stanza, attrs: { ...stanza.attrs, offline: '0' } });
    connection.loggedIn = true;
    connection.send({
      tag: 'ib',
      attrs: { from: SERVER },
      content: [{ tag: 'offline', attrs: { count: String(held.length) } }],
    });
  }

  /** A message from the client goes to the peers among its recipients; the account's own phone does not read. */
  async #fromClient(connection, node) {
    connection.send({
      tag: 'ack',
      attrs: { class: 'message', id: node.attrs.id, from: node.attrs.to, t: String(Math.floor(Date.now() / 1000)) },
    });
    const participants = getBinaryNodeChild(node, 'participants');
    for (const to of getBinaryNodeChildren(participants, 'to')) {
      const user = userOf(to.attrs.jid);
      const peer = this.peers.find(one => one.user === user || one.lid === user);
      const enc = getBinaryNodeChild(to, 'enc');
      if (!peer || !enc) continue;
      await peer
        .exclusive(() => peer.receive(this.device, enc.attrs.type, enc.content))
        .catch(error => this.log(`session ${this.session}: ${peer.user} cannot read a reply: ${error.message}`));
    }
  }

  /** Called when the device's keys are on the server, so that peers can begin to write. */
  keysUploaded() {
    this.emit('keys', { session: this.session });
  }

  /**
   * @param {number} index of the peer
   * @param {boolean} [inGroup]
   * @returns {Promise<string | undefined>} the message's id; undefined when there is nobody to write to
   */
  async sendFrom(index, inGroup = false) {
    const peer = this.peers[index];
    if (!peer) throw withCode(`session ${this.session} has ${this.peers.length} peers`, 400);
    if (!this.device?.signedPreKey || this.device.state !== 'linked' || this.account.banned) return undefined;
    return peer.exclusive(async () => {
      if (!peer.hasSession(this.device)) await peer.startSession(this.device, this.device.takeBundle());
      const message = peer.compose(inGroup);
      const stanza = await peer.stanza(this.device, message);
      this.emit('sent', { session: this.session, peer: index, id: message.id, at: message.at });
      this.deliver(stanza);
      return message.id;
    });
  }

  /** Hands a stanza to the client, or keeps it until the client logs in again. */
  deliver(stanza) {
    const { connection } = this;
    if (connection?.loggedIn && !connection.mute && connection.send(stanza)) return;
    this.held.push(stanza);
    if (this.held.length > HELD_MESSAGES) this.held.shift();
  }
}

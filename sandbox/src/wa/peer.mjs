import crypto from 'node:crypto';
import { generateSignalPubKey, proto } from 'baileys';
import libsignal from 'libsignal';
import { GroupSender } from './group-sender.mjs';
import { PhoneKeys } from './own-phone.mjs';

const { ProtocolAddress, SessionBuilder, SessionCipher } = libsignal;
const MESSAGES_KEPT = 400;

/** Somebody who writes to an account: a phone with libsignal, one Signal session per linked device of the account. */
export class Peer {
  /** @param {{user: string, lid: string, jid: string, lidJid: string}} numbers @param {string} group jid */
  constructor(numbers, group) {
    Object.assign(this, numbers);
    this.group = new GroupSender(group, this.lid);
    this.keys = new PhoneKeys();
    this.records = new Map();
    this.recent = new Map();
    this.sessionSince = 0;
    this.queue = Promise.resolve();
    this.store = {
      loadSession: async id => this.records.get(id),
      storeSession: async (id, record) => void this.records.set(id, record),
      isTrustedIdentity: () => true,
      loadPreKey: async id => this.keys.preKeys.get(id),
      removePreKey: async id => void this.keys.preKeys.delete(id),
      loadSignedPreKey: async () => this.keys.signedPreKey.keyPair,
      getOurRegistrationId: () => this.keys.registrationId,
      getOurIdentity: () => this.keys.identity,
    };
  }

  /** Runs one step at a time: a ratchet must not be used twice at once. */
  exclusive(step) {
    const run = this.queue.then(step);
    this.queue = run.catch(() => {});
    return run;
  }

  /** @param {import('./accounts.mjs').Device} device */
  hasSession(device) {
    return this.records.get(address(device).toString())?.haveOpenSession() ?? false;
  }

  /** Whether the account has answered in the session that the peer writes in; until then it sends pre-key messages. */
  isAnswered(device) {
    const session = this.records.get(address(device).toString())?.getOpenSession();
    return Boolean(session && !session.pendingPreKey);
  }

  /** Starts a new Signal session from a key bundle. @param {object} bundle 32-byte public keys */
  async startSession(device, bundle) {
    await new SessionBuilder(this.store, address(device)).initOutgoing({
      registrationId: bundle.registrationId,
      identityKey: typed(bundle.identity),
      signedPreKey: { ...bundle.signedPreKey, publicKey: typed(bundle.signedPreKey.publicKey) },
      preKey: bundle.preKey && { ...bundle.preKey, publicKey: typed(bundle.preKey.publicKey) },
    });
    this.sessionSince = Date.now();
  }

  /** Forgets the sessions with an account, as a phone does when the account links a new device. */
  forget() {
    this.records.clear();
    this.recent.clear();
  }

  /** @returns {{id: string, text: string, at: number}} a new message, remembered for a while so that it can be sent again */
  compose(inGroup = false) {
    const message = {
      id: `3EB0${crypto.randomBytes(9).toString('hex').toUpperCase()}`,
      text: `secret message ${crypto.randomBytes(6).toString('hex')}`,
      at: Date.now(),
      inGroup,
    };
    this.recent.set(message.id, message);
    if (this.recent.size > MESSAGES_KEPT) this.recent.delete(this.recent.keys().next().value);
    return message;
  }

  /**
   * The stanza that carries a message, encrypted in the current session or with the group's sender key. The sender key
   * itself goes along with the first message to a device, and with whatever is sent again.
   *
   * @returns {Promise<import('baileys').BinaryNode>}
   */
  async stanza(device, message, retryCount) {
    const content = [];
    const padded = pad({ conversation: message.text });
    if (!message.inGroup) content.push(await this.#direct(device, padded, retryCount));
    else {
      if (retryCount || !this.group.known.has(device)) content.push(await this.#senderKey(device));
      this.group.known.add(device);
      content.push(enc('skmsg', await this.group.encrypt(padded), retryCount));
    }
    const from = message.inGroup
      ? { from: this.group.group, participant: this.lidJid, participant_pn: this.jid, addressing_mode: 'lid' }
      : { from: this.jid, sender_lid: this.lidJid };
    const t = String(Math.floor(message.at / 1000));
    const attrs = { id: message.id, ...from, type: 'text', t, notify: `Peer ${this.user.slice(-2)}` };
    return { tag: 'message', attrs, content };
  }

  /** Messages that are written and never arrive: the chain moves on without the reader. */
  async loseMessages(device, count) {
    for (let index = 0; index < count; index++) await this.#direct(device, pad({ conversation: 'lost' }));
  }

  async #senderKey(device) {
    const axolotlSenderKeyDistributionMessage = await this.group.distribution();
    return this.#direct(
      device,
      pad({ senderKeyDistributionMessage: { groupId: this.group.group, axolotlSenderKeyDistributionMessage } }),
    );
  }

  async #direct(device, padded, retryCount) {
    const { type, body } = await new SessionCipher(this.store, address(device)).encrypt(padded);
    return enc(type === 3 ? 'pkmsg' : 'msg', body, retryCount);
  }

  /** Reads what the account sent; that is what lets the ratchet step. @throws libsignal's errors */
  async receive(device, type, ciphertext) {
    const cipher = new SessionCipher(this.store, address(device));
    const data = Buffer.from(ciphertext);
    return type === 'pkmsg' ? cipher.decryptPreKeyWhisperMessage(data) : cipher.decryptWhisperMessage(data);
  }
}

function address(device) {
  return new ProtocolAddress(device.account.user, device.number);
}

function typed(key) {
  return Buffer.from(generateSignalPubKey(Buffer.from(key)));
}

function enc(type, body, retryCount) {
  return {
    tag: 'enc',
    attrs: { v: '2', type, ...(retryCount && { count: String(retryCount) }) },
    content: Buffer.from(body),
  };
}

function pad(message) {
  const size = crypto.randomInt(1, 16);
  return Buffer.concat([proto.Message.encode(message).finish(), Buffer.alloc(size, size)]);
}

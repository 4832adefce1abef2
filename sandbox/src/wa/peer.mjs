import crypto from 'node:crypto';
import { generateSignalPubKey, proto } from 'baileys';
import libsignal from 'libsignal';
import { PhoneKeys } from './own-phone.mjs';

const { ProtocolAddress, SessionBuilder, SessionCipher } = libsignal;
const MESSAGES_KEPT = 400;

/** Somebody who writes to an account: a phone with libsignal, one Signal session per linked device of the account. */
export class Peer {
  /** @param {{user: string, lid: string, jid: string, lidJid: string}} numbers */
  constructor(numbers) {
    Object.assign(this, numbers);
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
  compose() {
    const message = {
      id: `3EB0${crypto.randomBytes(9).toString('hex').toUpperCase()}`,
      text: `message ${crypto.randomBytes(6).toString('hex')}`,
      at: Date.now(),
    };
    this.recent.set(message.id, message);
    if (this.recent.size > MESSAGES_KEPT) this.recent.delete(this.recent.keys().next().value);
    return message;
  }

  /** @returns {Promise<import('baileys').BinaryNode>} the stanza that carries the message, encrypted in the current session */
  async stanza(device, message, retryCount) {
    const { type, body } = await new SessionCipher(this.store, address(device)).encrypt(pad(message.text));
    const enc = { v: '2', type: type === 3 ? 'pkmsg' : 'msg' };
    if (retryCount) enc.count = String(retryCount);
    return {
      tag: 'message',
      attrs: {
        id: message.id,
        from: this.jid,
        sender_lid: this.lidJid,
        type: 'text',
        t: String(Math.floor(message.at / 1000)),
        notify: `Peer ${this.user.slice(-2)}`,
      },
      content: [{ tag: 'enc', attrs: enc, content: Buffer.from(body) }],
    };
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

function pad(text) {
  const size = crypto.randomInt(1, 16);
  return Buffer.concat([proto.Message.encode({ conversation: text }).finish(), Buffer.alloc(size, size)]);
}

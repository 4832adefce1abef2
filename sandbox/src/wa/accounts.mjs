import crypto from 'node:crypto';
import { Curve, generateSignalPubKey, hmacSign, proto } from 'baileys';
import libsignal from 'libsignal';
import { accountNumbers } from '../common/numbers.mjs';
import { OwnPhone } from './own-phone.mjs';

const ACCOUNT_SIGNATURE_PREFIX = Buffer.from([6, 0]);

/** A linked device as the server knows it. */
export class Device {
  constructor({ session, number, noiseKey, identity, details, account }) {
    Object.assign(this, { session, number, noiseKey, identity, details, account });
    this.preKeys = [];
    this.state = 'linked'; // linked | removed | banned
  }

  /** @returns {object | undefined} what a phone gets when it asks the server for this device's keys; takes one pre-key */
  takeBundle() {
    if (!this.signedPreKey) return undefined;
    const { registrationId, identity, signedPreKey } = this;
    return { registrationId, identity, signedPreKey, preKey: this.preKeys.shift() };
  }

  /**
   * Only the identity that the account signed at linking is this device's: phones check that before they take keys.
   * (Not with Baileys' Curve.verify, which in 7.0.0-rc14 drops the result and says yes to every well-formed signature.)
   *
   * @param {Uint8Array} identity 32 bytes
   * @returns {boolean}
   */
  attests(identity) {
    const signed = Buffer.concat([ACCOUNT_SIGNATURE_PREFIX, this.details, identity]);
    const accountKey = Buffer.from(generateSignalPubKey(this.account.key.public));
    return libsignal.curve.verifySignature(accountKey, signed, this.account.signatureOf(this));
  }
}

/** One account (phone number): its own phone and the device that the backend is. */
export class Account {
  constructor(session) {
    this.session = session;
    this.key = Curve.generateKeyPair();
    Object.assign(this, accountNumbers(session));
    this.devices = 0;
    this.banned = false;
    this.signatures = new WeakMap();
    this.phone = new OwnPhone();
  }

  signatureOf(device) {
    return this.signatures.get(device);
  }

  /**
   * What the phone does when it scans a QR: signs the device's identity.
   *
   * @param {{noiseKey: string, identity: Buffer, advSecret: Buffer}} qr
   * @returns {{device: Device, jid: string, lid: string, signedIdentity: Uint8Array}}
   */
  link({ noiseKey, identity, advSecret }) {
    const number = ++this.devices;
    const details = proto.ADVDeviceIdentity.encode({
      rawId: crypto.randomInt(1, 2 ** 31),
      timestamp: Math.floor(Date.now() / 1000),
      keyIndex: number,
      accountType: 0,
      deviceType: 0,
    }).finish();
    const device = new Device({ session: this.session, number, noiseKey, identity, details, account: this });
    const accountSignature = Curve.sign(this.key.private, Buffer.concat([ACCOUNT_SIGNATURE_PREFIX, details, identity]));
    this.signatures.set(device, accountSignature);
    const signed = proto.ADVSignedDeviceIdentity.encode({
      details,
      accountSignatureKey: this.key.public,
      accountSignature,
    }).finish();
    const signedIdentity = proto.ADVSignedDeviceIdentityHMAC.encode({
      details: signed,
      hmac: hmacSign(signed, advSecret),
    }).finish();
    this.device = device;
    return {
      device,
      jid: `${this.user}:${number}@s.whatsapp.net`,
      lid: `${this.lid}:${number}@lid`,
      signedIdentity,
    };
  }
}

/** Parses the text of a Baileys QR. @param {string} qr @returns {{ref: string, noiseKey: string, identity: Buffer, advSecret: Buffer}} */
export function parseQr(qr) {
  const [ref, noiseKey, identity, advSecret] = qr
    .split(/[?#]/)
    .at(-1)
    .split(',')
    .map(part => part.trim());
  return { ref, noiseKey, identity: Buffer.from(identity, 'base64'), advSecret: Buffer.from(advSecret, 'base64') };
}

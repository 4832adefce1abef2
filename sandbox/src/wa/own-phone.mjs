import crypto from 'node:crypto';
import libsignal from 'libsignal';

const { curve, keyhelper } = libsignal;

/** Keys of one phone (identity, signed pre-key, pre-keys), made once and handed out as a bundle. */
export class PhoneKeys {
  constructor() {
    this.registrationId = keyhelper.generateRegistrationId();
    this.identity = curve.generateKeyPair();
    this.signedPreKey = keyhelper.generateSignedPreKey(this.identity, 1);
    this.preKeys = new Map();
    this.nextPreKey = crypto.randomInt(1, 1 << 20);
  }

  /** @returns {{registrationId: number, identity: Buffer, signedPreKey: object, preKey: object}} public halves, 32-byte keys */
  takeBundle() {
    const id = this.nextPreKey++;
    const preKey = curve.generateKeyPair();
    this.preKeys.set(id, preKey);
    return {
      registrationId: this.registrationId,
      identity: raw(this.identity.pubKey),
      signedPreKey: {
        keyId: this.signedPreKey.keyId,
        publicKey: raw(this.signedPreKey.keyPair.pubKey),
        signature: this.signedPreKey.signature,
      },
      preKey: { keyId: id, publicKey: raw(preKey.pubKey) },
    };
  }
}

/** The account's own phone: its keys can be asked for, and what is sent to it is not read. */
export class OwnPhone extends PhoneKeys {}

/** @param {Uint8Array} key 33 bytes, with the type byte @returns {Buffer} the 32 bytes that travel in nodes */
function raw(key) {
  return Buffer.from(key.length === 33 ? key.subarray(1) : key);
}

import { Curve, NOISE_MODE, NOISE_WA_HEADER, aesDecryptGCM, aesEncryptGCM, hkdf, proto, sha256 } from 'baileys';

const NONE = Buffer.alloc(0);

function nonce(counter) {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(counter, 8);
  return iv;
}

/** The signing root and the intermediate key; the client trusts the root through WA_CERT_DETAILS.PUBLIC_KEY. */
export class CertificateAuthority {
  constructor() {
    this.root = Curve.generateKeyPair();
    this.intermediate = Curve.generateKeyPair();
  }

  /** @param {Uint8Array} key the server's static public key @returns {Uint8Array} an encoded CertChain for it */
  issue(key) {
    const { Details } = proto.CertChain.NoiseCertificate;
    const leaf = Details.encode({ serial: 1, issuerSerial: 0, key }).finish();
    const middle = Details.encode({ serial: 0, issuerSerial: 0, key: this.intermediate.public }).finish();
    return proto.CertChain.encode({
      leaf: { details: leaf, signature: Curve.sign(this.intermediate.private, leaf) },
      intermediate: { details: middle, signature: Curve.sign(this.root.private, middle) },
    }).finish();
  }
}

/** The responder's side of Noise_XX_25519_AESGCM_SHA256, as WhatsApp speaks it. */
export class NoiseResponder {
  /** @param {{public: Uint8Array, private: Uint8Array}} staticKey @param {Uint8Array} certificate */
  constructor(staticKey, certificate) {
    this.staticKey = staticKey;
    this.certificate = certificate;
    this.ephemeral = Curve.generateKeyPair();
    const mode = Buffer.from(NOISE_MODE);
    this.hash = mode.length === 32 ? mode : sha256(mode);
    this.salt = this.encryptKey = this.decryptKey = this.hash;
    this.counter = 0;
    this.established = false;
    this.#mixHash(NOISE_WA_HEADER);
  }

  /** @param {Uint8Array} frame a ClientHello @returns {Buffer} the ServerHello to send */
  answerHello(frame) {
    const { clientHello } = proto.HandshakeMessage.decode(frame);
    this.clientEphemeral = Buffer.from(clientHello.ephemeral);
    this.#mixHash(this.clientEphemeral);
    this.#mixHash(this.ephemeral.public);
    this.#mixKey(Curve.sharedKey(this.ephemeral.private, this.clientEphemeral));
    const encryptedStatic = this.encrypt(this.staticKey.public);
    this.#mixKey(Curve.sharedKey(this.staticKey.private, this.clientEphemeral));
    const payload = this.encrypt(this.certificate);
    const hello = { serverHello: { ephemeral: this.ephemeral.public, static: encryptedStatic, payload } };
    return Buffer.from(proto.HandshakeMessage.encode(hello).finish());
  }

  /** @param {Uint8Array} frame a ClientFinish @returns {{noiseKey: string, payload: proto.ClientPayload}} noiseKey in base64 */
  acceptFinish(frame) {
    const { clientFinish } = proto.HandshakeMessage.decode(frame);
    const clientStatic = this.decrypt(Buffer.from(clientFinish.static));
    this.#mixKey(Curve.sharedKey(this.ephemeral.private, clientStatic));
    const payload = proto.ClientPayload.decode(this.decrypt(Buffer.from(clientFinish.payload)));
    const keys = Buffer.from(hkdf(NONE, 64, { salt: this.salt, info: '' }));
    this.decryptKey = keys.subarray(0, 32);
    this.encryptKey = keys.subarray(32);
    this.readCounter = this.writeCounter = 0;
    this.established = true;
    return { noiseKey: clientStatic.toString('base64'), payload };
  }

  /** @param {Uint8Array} plain @returns {Buffer} */
  encrypt(plain) {
    if (this.established) return aesEncryptGCM(plain, this.encryptKey, nonce(this.writeCounter++), NONE);
    const sealed = aesEncryptGCM(plain, this.encryptKey, nonce(this.counter++), this.hash);
    this.#mixHash(sealed);
    return sealed;
  }

  /** @param {Uint8Array} sealed @returns {Buffer} @throws when it was not sealed by the client of this handshake */
  decrypt(sealed) {
    if (this.established) return aesDecryptGCM(sealed, this.decryptKey, nonce(this.readCounter++), NONE);
    const plain = aesDecryptGCM(sealed, this.decryptKey, nonce(this.counter++), this.hash);
    this.#mixHash(sealed);
    return plain;
  }

  #mixHash(data) {
    if (!this.established) this.hash = sha256(Buffer.concat([this.hash, data]));
  }

  #mixKey(secret) {
    const keys = Buffer.from(hkdf(Buffer.from(secret), 64, { salt: this.salt, info: '' }));
    this.salt = keys.subarray(0, 32);
    this.encryptKey = this.decryptKey = keys.subarray(32);
    this.counter = 0;
  }
}

/** Building and reading the binary nodes of key bundles. */
import { getBinaryNodeChild, getBinaryNodeChildBuffer, getBinaryNodeChildren } from 'baileys';

/** The server's own address. */
export const SERVER = 's.whatsapp.net';

const number = (buffer, bytes) => buffer.readUIntBE(0, bytes);

function bigEndian(value, bytes) {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
}

function readKey(node) {
  const key = {
    keyId: number(Buffer.from(getBinaryNodeChildBuffer(node, 'id')), 3),
    publicKey: Buffer.from(getBinaryNodeChildBuffer(node, 'value')),
  };
  const signature = getBinaryNodeChildBuffer(node, 'signature');
  return signature ? { ...key, signature: Buffer.from(signature) } : key;
}

/** @param {import('baileys').BinaryNode} node an upload of keys (`iq` xmlns `encrypt` type `set`) */
export function readUpload(node) {
  return {
    registrationId: number(Buffer.from(getBinaryNodeChildBuffer(node, 'registration')), 4),
    identity: Buffer.from(getBinaryNodeChildBuffer(node, 'identity')),
    signedPreKey: readKey(getBinaryNodeChild(node, 'skey')),
    preKeys: getBinaryNodeChildren(getBinaryNodeChild(node, 'list'), 'key').map(readKey),
  };
}

/** @param {import('baileys').BinaryNode} receipt a retry receipt @returns {{count: number, id: string, bundle?: object}} */
export function readRetryReceipt(receipt) {
  const retry = getBinaryNodeChild(receipt, 'retry');
  const keys = getBinaryNodeChild(receipt, 'keys');
  const result = { count: Number(retry.attrs.count), id: retry.attrs.id };
  if (!keys) return result;
  const preKey = getBinaryNodeChild(keys, 'key');
  result.bundle = {
    registrationId: number(Buffer.from(getBinaryNodeChildBuffer(receipt, 'registration')), 4),
    identity: Buffer.from(getBinaryNodeChildBuffer(keys, 'identity')),
    signedPreKey: readKey(getBinaryNodeChild(keys, 'skey')),
    preKey: preKey && readKey(preKey),
  };
  return result;
}

/** @param {string} jid @param {object} bundle @returns {import('baileys').BinaryNode} one `user` of the answer to a key query */
export function bundleNode(jid, bundle) {
  const key = (tag, value) => ({
    tag,
    attrs: {},
    content: [
      { tag: 'id', attrs: {}, content: bigEndian(value.keyId, 3) },
      { tag: 'value', attrs: {}, content: Buffer.from(value.publicKey) },
      ...(value.signature ? [{ tag: 'signature', attrs: {}, content: Buffer.from(value.signature) }] : []),
    ],
  });
  return {
    tag: 'user',
    attrs: { jid },
    content: [
      { tag: 'registration', attrs: {}, content: bigEndian(bundle.registrationId, 4) },
      { tag: 'type', attrs: {}, content: Buffer.from([5]) },
      { tag: 'identity', attrs: {}, content: bundle.identity },
      key('skey', bundle.signedPreKey),
      ...(bundle.preKey ? [key('key', bundle.preKey)] : []),
    ],
  };
}

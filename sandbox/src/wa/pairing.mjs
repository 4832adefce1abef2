import crypto from 'node:crypto';
import { getBinaryNodeChild } from 'baileys';
import { SERVER } from './nodes.mjs';

const REFERENCES = 6;

/** Gives a new device the references for its QR codes. @param {Map<string, import('./connection.mjs').Connection>} pairing */
export function askForPairing(connection, pairing) {
  const references = Array.from({ length: REFERENCES }, () => `2@${crypto.randomBytes(24).toString('base64url')}`);
  for (const reference of references) pairing.set(reference, connection);
  connection.once('closed', () => references.forEach(reference => pairing.delete(reference)));
  connection.send({
    tag: 'iq',
    attrs: { from: SERVER, type: 'set', id: 'pair-device', xmlns: 'md' },
    content: [
      {
        tag: 'pair-device',
        attrs: {},
        content: references.map(reference => ({ tag: 'ref', attrs: {}, content: Buffer.from(reference) })),
      },
    ],
  });
}

/** The phone has scanned the QR: the account signs the device, its contacts learn of the new device. */
export function completePairing(connection, line, qr) {
  if (qr.noiseKey !== connection.noiseKey) throw new Error('the QR does not belong to this connection');
  const { jid, lid, signedIdentity } = line.account.link(qr);
  for (const peer of line.peers) peer.forget();
  line.policies.fill('phone');
  line.held.length = 0;
  connection.on('node', node => {
    if (!getBinaryNodeChild(node, 'pair-device-sign')) return;
    connection.end({ tag: 'stream:error', attrs: { code: '515' } });
  });
  connection.send({
    tag: 'iq',
    attrs: { from: SERVER, type: 'set', id: 'pair-success', xmlns: 'md' },
    content: [
      {
        tag: 'pair-success',
        attrs: {},
        content: [
          { tag: 'device-identity', attrs: {}, content: signedIdentity },
          { tag: 'device', attrs: { jid, lid } },
          { tag: 'platform', attrs: { name: 'android' } },
        ],
      },
    ],
  });
}

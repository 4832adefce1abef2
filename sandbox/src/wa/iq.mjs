import { getBinaryNodeChild, getBinaryNodeChildren } from 'baileys';
import { userOf } from '../common/numbers.mjs';
import { SERVER, bundleNode, readUpload } from './nodes.mjs';

/**
 * Answers the queries of a logged-in client.
 *
 * @param {import('baileys').BinaryNode} node an `iq` of type get or set
 * @param {import('./line.mjs').Line} line the session's line
 * @returns {import('baileys').BinaryNode} the answer; a query that the stand-in does not know gets an empty result
 */
export function answerQuery(node, line) {
  const child = Array.isArray(node.content) ? node.content[0] : undefined;
  const result = content => ({ tag: 'iq', attrs: { from: SERVER, type: 'result', id: node.attrs.id }, content });
  const topic = `${node.attrs.xmlns} ${node.attrs.type} ${child?.tag ?? ''}`;
  switch (topic) {
    case 'encrypt get count':
      return result([{ tag: 'count', attrs: { value: String(line.device.preKeys.length) } }]);
    case 'encrypt get digest':
      return result([{ tag: 'digest', attrs: {} }]);
    case 'encrypt get key':
      return result([{ tag: 'list', attrs: {}, content: bundles(child, line) }]);
    case 'usync get usync':
      return result([usync(child, line)]);
  }
  if (node.attrs.xmlns === 'encrypt' && node.attrs.type === 'set' && getBinaryNodeChild(node, 'list')) {
    return upload(node, line) ? result() : refusal(node, '406', 'not-acceptable');
  }
  return result();
}

/**
 * An upload replaces the pre-keys that the server held, as Signal's server does; WhatsApp does not publish what its own
 * does. Keys of an identity that the account never signed are refused.
 */
function upload(node, line) {
  const keys = readUpload(node);
  const { device } = line;
  if (!device.attests(keys.identity)) return false;
  device.registrationId = keys.registrationId;
  device.signedPreKey = keys.signedPreKey;
  device.preKeys = keys.preKeys;
  line.keysUploaded();
  return true;
}

function bundles(child, line) {
  return getBinaryNodeChildren(child, 'user').flatMap(({ attrs: { jid } }) => {
    const owner = line.ownerOf(userOf(jid));
    return owner ? [bundleNode(jid, owner.takeBundle())] : [];
  });
}

/**
 * The list of devices: everybody has one phone (device 0), the account the linked device too. The LID is given only to
 * who asks for it alone: in the answer about devices it would make Baileys renew the session before each first reply.
 */
function usync(child, line) {
  const asked = getBinaryNodeChildren(getBinaryNodeChild(child, 'query'), 'devices').length > 0 ? 'devices' : 'lid';
  const users = getBinaryNodeChildren(getBinaryNodeChild(child, 'list'), 'user').map(({ attrs: { jid } }) => ({
    tag: 'user',
    attrs: { jid },
    content: asked === 'devices' ? [deviceList(userOf(jid), line)] : lidOf(userOf(jid), line),
  }));
  return { tag: 'usync', attrs: {}, content: [{ tag: 'list', attrs: {}, content: users }] };
}

function deviceList(user, line) {
  const devices = [{ tag: 'device', attrs: { id: '0' } }];
  if (user === line.account.user || user === line.account.lid) {
    devices.push({ tag: 'device', attrs: { id: String(line.device.number), 'key-index': String(line.device.number) } });
  }
  return { tag: 'devices', attrs: {}, content: [{ tag: 'device-list', attrs: {}, content: devices }] };
}

function lidOf(user, line) {
  const lid = user === line.account.user ? line.account.lid : line.peers.find(peer => peer.user === user)?.lid;
  return lid ? [{ tag: 'lid', attrs: { val: `${lid}@lid` } }] : [];
}

function refusal(node, code, text) {
  return {
    tag: 'iq',
    attrs: { from: SERVER, type: 'error', id: node.attrs.id },
    content: [{ tag: 'error', attrs: { code, text } }],
  };
}

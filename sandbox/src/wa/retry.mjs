import { userOf } from '../common/numbers.mjs';
import { readRetryReceipt } from './nodes.mjs';

const MOST_RETRIES = 5;
const FRESH_KEYS_EVERY_MS = 5_000;

/*
 * Which retry receipts a peer honours. A phone sends a message again when it is asked to, and starts a new Signal
 * session with whoever asked when the receipt carries a key bundle; a peer with a narrower policy is a phone that no
 * longer does one or the other. Nothing else in the sandbox makes a peer start a new session with a device it knows.
 *
 * phone    a bare receipt: sends again in the session it has; with a bundle: starts a new session from it, sends again;
 *          in a group: sends again together with the sender key
 * bundles  bare receipts are ignored, those with a bundle honoured (in a group too)
 * bare     a bare receipt: starts a new session with keys from the server for what it writes next, at most every 5 s; the
 *          message itself is not there any more to be sent again, and bundles are ignored
 * none     none is honoured
 */

/** @param {import('./line.mjs').Line} line @param {import('baileys').BinaryNode} node a receipt of type `retry` */
export async function handleRetryReceipt(line, node) {
  const user = userOf(node.attrs.participant ?? node.attrs.to);
  const index = line.peers.findIndex(one => one.user === user || one.lid === user);
  if (index < 0) return;
  const peer = line.peers[index];
  const policy = line.policies[index];
  const { count, id, bundle } = readRetryReceipt(node);
  const message = peer.recent.get(id);
  line.emit('receipt', { session: line.session, peer: index, count, bundle: Boolean(bundle) });
  if (!message || count > MOST_RETRIES) return;
  await peer.exclusive(async () => {
    if (!(await prepare(line, peer, policy, message, bundle))) return;
    line.deliver(await peer.stanza(line.device, message, count));
  });
}

/** @returns {Promise<boolean>} whether the message is to be sent again */
async function prepare(line, peer, policy, message, bundle) {
  const { device } = line;
  if (policy === 'none') return false;
  if (message.inGroup) return policy === 'phone' || (policy === 'bundles' && Boolean(bundle)); // the sender key goes along
  if (bundle) {
    if (policy === 'bare') return false;
    if (!device.attests(bundle.identity)) {
      line.log(`session ${line.session}: ${peer.user} refuses keys of an identity that the account has not signed`);
      return false;
    }
    if (peer.sessionSince < message.at) await peer.startSession(device, bundle);
    return true;
  }
  if (policy === 'bundles') return false;
  if (policy === 'phone') return true;
  // not for every message: the server's store of pre-keys would be used up in minutes
  if (peer.sessionSince + FRESH_KEYS_EVERY_MS < Date.now()) await peer.startSession(device, device.takeBundle());
  return false;
}

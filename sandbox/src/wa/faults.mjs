const LOST_MESSAGES = 2_050; // libsignal gives up at 2000

/**
 * The faults that live on WhatsApp's side of the wire.
 *
 * @param {import('./line.mjs').Line} line
 * @param {{fault: string, until?: 'restart' | 'cleared', stage?: 'handshake' | 'login', start?: number, peers: number}} options
 */
export async function applyServerFault(line, { fault, until, stage, start, peers }) {
  const { connection } = line;
  switch (fault) {
    case 'stuck':
      line.stuck = { upToStart: until === 'cleared' ? Infinity : start, stage };
      connection?.terminate();
      break;
    case 'logged_out':
      if (line.device) line.device.state = 'removed';
      connection?.end({
        tag: 'stream:error',
        attrs: { code: '401' },
        content: [{ tag: 'conflict', attrs: { type: 'device_removed' } }],
      });
      break;
    case 'banned':
      line.account.banned = true;
      connection?.end({ tag: 'failure', attrs: { reason: '403' } });
      break;
    case 'zombie':
      if (connection) connection.mute = true;
      break;
    case 'message_gap':
      for (const peer of line.peers.slice(0, peers)) {
        await peer.exclusive(() => peer.loseMessages(line.device, LOST_MESSAGES));
      }
      break;
    default:
      throw new Error(`no such fault on the server: ${fault}`);
  }
  return {};
}

/** Ends what does not end by itself: a hang, a ban, what peers no longer honour. */
export function clearFault(line) {
  line.stuck = undefined;
  line.account.banned = false;
  if (line.connection) line.connection.mute = false;
  line.policies.fill('phone');
  return {};
}

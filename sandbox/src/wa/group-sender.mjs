import { GroupCipher, GroupSessionBuilder, SenderKeyName, SenderKeyRecord } from 'baileys/lib/Signal/Group/index.js';
import libsignal from 'libsignal';

/** A peer's sender key in one group. */
export class GroupSender {
  /** @param {string} group jid @param {string} lid of the peer */
  constructor(group, lid) {
    this.group = group;
    this.name = new SenderKeyName(group, new libsignal.ProtocolAddress(`${lid}_1`, 0));
    this.record = new SenderKeyRecord();
    this.store = {
      loadSenderKey: async () => this.record,
      storeSenderKey: async (_, record) => void (this.record = record),
    };
    this.known = new WeakSet(); // devices that have been given the key
  }

  /** @returns {Promise<Uint8Array>} what a member needs to read from here on */
  async distribution() {
    return (await new GroupSessionBuilder(this.store).create(this.name)).serialize();
  }

  /** @param {Uint8Array} padded @returns {Promise<Uint8Array>} */
  encrypt(padded) {
    return new GroupCipher(this.store, this.name).encrypt(padded);
  }
}

const STATES_KEPT = 8;

/**
 * Older states of session records, one for each step of the ratchet: what an old copy of the volume would hold. A
 * record that is a step behind cannot read what the peer has sent since.
 */
export class RatchetHistory {
  constructor() {
    this.states = new Map();
  }

  /** @param {string} id address of the record @param {object} record a serialized libsignal record */
  add(id, record) {
    const states = this.states.get(id) ?? [];
    const step = stepOf(record);
    if (!step || states.at(-1)?.step === step) return;
    states.push({ step, record: JSON.stringify(record) });
    if (states.length > STATES_KEPT) states.shift();
    this.states.set(id, states);
  }

  /** @param {string} id @returns {object | undefined} the oldest state kept, at least two steps back */
  older(id) {
    const states = this.states.get(id) ?? [];
    return states.length >= 3 ? JSON.parse(states[0].record) : undefined;
  }

  clear() {
    this.states.clear();
  }
}

function stepOf(record) {
  const open = Object.values(record._sessions ?? {}).find(session => session.indexInfo.closed === -1);
  return open?.currentRatchet.ephemeralKeyPair.pubKey;
}

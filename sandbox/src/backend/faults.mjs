import { BufferJSON, Curve, signedKeyPair } from 'baileys';
import { withCode } from '../common/ipc.mjs';
import { groupOf, peerNumbers } from '../common/numbers.mjs';

const PAGE_BYTES = 4096;
const TRUNCATED_BYTES = 40;
const TRIES = 10;
const SETTLE_MS = 100;
const REPLIES_MS = 3_000;

/**
 * The faults that live in the backend's process and in its store. Each changes state; what is printed afterwards is
 * Baileys' and libsignal's own doing.
 *
 * @param {import('./session.mjs').WhatsAppSession} session
 * @param {{fault: string, peers: number, mb?: number}} options peers: how many, from the first
 */
export async function applyBackendFault(session, { fault, peers, mb }) {
  const handler = HANDLERS[fault];
  if (!handler) throw withCode(`no such fault in the backend: ${fault}`, 400);
  await handler(session, { peers, mb });
  return {};
}

const HANDLERS = {
  stale_memory: (session, { peers }) =>
    eachRecord(session, peers, async (id, { cache }) => {
      const record = older(session, id);
      cache?.set(`session.${id}`, record);
      return record;
    }),

  rolled_back_records: (session, { peers }) =>
    eachRecord(session, peers, async (id, { put }) => put(older(session, id))),

  scribbled_records: (session, { peers }) =>
    eachRecord(session, peers, async (id, { record, put }) => put(scribbled(record))),

  lost_records: (session, { peers }) => eachRecord(session, peers, async (_, { put }) => put(null)),

  scribbled_sender_keys: (session, { peers }) => eachSenderKey(session, peers, scribbledSenderKey),

  lost_sender_keys: (session, { peers }) => eachSenderKey(session, peers, () => null),

  async dropped_prekeys(session) {
    const { store } = session.context;
    const names = await store.backing.names(session.id);
    const items = names.map(name => store.backing.itemOf(name)).filter(item => item.startsWith('pre-key-'));
    for (const { auth } of session.liveRuns)
      for (const item of items) auth.cache.set(item.replace('pre-key-', 'pre-key.'), null);
    await store.remove(session.id, items);
  },

  async reset_creds(session) {
    const signedIdentityKey = Curve.generateKeyPair();
    const change = creds =>
      Object.assign(creds, {
        signedIdentityKey,
        signedPreKey: signedKeyPair(signedIdentityKey, creds.signedPreKey.keyId),
      });
    const { store } = session.context;
    for (const { auth } of session.liveRuns) change(auth.creds);
    const stored = await store.backing.read(session.id, 'creds');
    if (!stored) throw withCode(`session ${session.id} has no creds`, 409);
    await store.write(session.id, 'creds', change(stored));
  },

  async creds_truncated(session) {
    await session.stop();
    await session.context.store.backing.truncateCreds(session.id, TRUNCATED_BYTES);
  },

  async creds_lost(session) {
    await session.stop();
    await session.context.store.wipe(session.id);
    session.start();
  },

  async memory(session, { mb }) {
    if (!(mb > 0 && mb <= 4096)) throw withCode('mb must be between 1 and 4096', 400);
    const block = Buffer.alloc(mb * 1024 * 1024);
    for (let offset = 0; offset < block.length; offset += PAGE_BYTES) block[offset] = 1;
    session.leaked.push(block);
  },
};

/** Runs `change` for the record of each peer, with no decryption of that peer's messages going on meanwhile. */
async function eachRecord(session, peers, change) {
  const { store } = session.context;
  for (let index = 0; index < peers; index++) {
    const { user, lid, jid, lidJid } = peerNumbers(session.id, index);
    for (const [id, lock] of [
      [`${lid}_1.0`, lidJid],
      [`${user}.0`, jid],
    ]) {
      if (!(await store.backing.read(session.id, `session-${id}`))) continue;
      // A reply that was being encrypted meanwhile writes the record that it had read: then it is broken again.
      for (let tries = 0; tries < TRIES; tries++) {
        await Promise.race([Promise.all(session.replies), new Promise(resolve => setTimeout(resolve, REPLIES_MS))]);
        let broken;
        let memory;
        await withoutDecryption(session, lock, async cache => {
          const record = await store.backing.read(session.id, `session-${id}`);
          memory = cache;
          broken = await change(id, { record, cache, put: value => put(session, 'session', id, value) });
        });
        await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
        if (!broken || !memory || rootKeys(await memory.get(`session.${id}`)) === rootKeys(broken)) break;
      }
    }
  }
}

async function eachSenderKey(session, peers, change) {
  const { store } = session.context;
  const group = groupOf(session.id);
  for (let index = 0; index < peers; index++) {
    const id = `${group}::${peerNumbers(session.id, index).lid}_1::0`;
    await withoutDecryption(session, group, async () => {
      const key = await store.backing.read(session.id, `sender-key-${id}`);
      if (!key) throw withCode(`there is no sender key ${id}`, 409);
      await put(session, 'sender-key', id, change(key));
    });
  }
}

/** Holds the lock under which Baileys decrypts what comes from `jid`. */
async function withoutDecryption(session, jid, work) {
  const [run] = session.liveRuns;
  return run ? run.socket.authState.keys.transaction(() => work(run.auth.cache), jid) : work();
}

/** Writes to the store and to every cache in memory; null removes. */
async function put(session, type, id, value) {
  const { store } = session.context;
  for (const { auth } of session.liveRuns) auth.cache.set(`${type}.${id}`, value);
  if (value) await store.write(session.id, `${type}-${id}`, value);
  else await store.remove(session.id, [`${type}-${id}`]);
  return value;
}

/** What tells one state of a record from another: sending moves the chains, only a step of the ratchet the root keys. */
function rootKeys(record) {
  return Object.values(record?._sessions ?? {})
    .map(entry => entry.currentRatchet.rootKey)
    .sort()
    .join();
}

function older(session, id) {
  const record = session.context.store.history(session.id).older(id);
  if (!record) throw withCode(`there is no older state of ${id} yet: let more messages and replies pass`, 409);
  return record;
}

/** Overwrites key material in place; the record still parses, as after a bad write in the middle of a block. */
function scribbled(record) {
  const copy = structuredClone(record);
  const spoil = text =>
    Buffer.from(text, 'base64')
      .map(byte => byte ^ 0x5a)
      .toString('base64');
  for (const entry of Object.values(copy._sessions)) {
    entry.currentRatchet.rootKey = spoil(entry.currentRatchet.rootKey);
    entry.currentRatchet.ephemeralKeyPair.privKey = spoil(entry.currentRatchet.ephemeralKeyPair.privKey);
    for (const chain of Object.values(entry._chains)) {
      if (chain.chainKey.key) chain.chainKey.key = spoil(chain.chainKey.key);
      for (const counter of Object.keys(chain.messageKeys))
        chain.messageKeys[counter] = spoil(chain.messageKeys[counter]);
    }
  }
  return copy;
}

/** @param {Buffer} key JSON of a sender key record, as Baileys stores it */
function scribbledSenderKey(key) {
  const states = JSON.parse(Buffer.from(key).toString('utf8'), BufferJSON.reviver);
  const spoil = bytes => Buffer.from(bytes).map(byte => byte ^ 0x5a);
  for (const state of states) {
    const signing = Buffer.from(state.senderSigningKey.public);
    // the type byte in front stays: a key without it is refused before anything is verified
    state.senderSigningKey.public = Buffer.concat([signing.subarray(0, -32), spoil(signing.subarray(-32))]);
    state.senderChainKey.seed = spoil(state.senderChainKey.seed);
  }
  return Buffer.from(JSON.stringify(states));
}

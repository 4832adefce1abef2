/**
 * The catalogue of faults: what each breaks, which retry receipts the peers then honour (see wa/retry.mjs), and the
 * mildest remedy that mends it.
 */
export const FAULTS = {
  stale_memory: {
    description: 'the signal key cache in memory holds older session records; the store is good',
    kind: 'bad_mac',
    side: 'backend',
    policy: 'none',
    breaksRecords: true,
    mended_by: 'restart',
  },
  rolled_back_records: {
    description:
      "the peers' session records are older ones, in the store and in memory, as after an old copy of the volume",
    kind: 'bad_mac',
    side: 'backend',
    policy: 'bundles',
    breaksRecords: true,
    mended_by: 'regenerate',
  },
  scribbled_records: {
    description: "key material in the peers' session records is overwritten, in the store and in memory",
    kind: 'bad_mac',
    side: 'backend',
    policy: 'bundles',
    breaksRecords: true,
    mended_by: 'regenerate',
  },
  lost_records: {
    description: "the peers' session records are gone; the backend asks again with its keys and recovers by itself",
    kind: 'no_session',
    side: 'backend',
    policy: 'bundles',
    mended_by: 'none',
  },
  dropped_prekeys: {
    description: 'all pre-keys are gone while the server still hands them out; new people write to the account',
    kind: 'invalid_prekey',
    side: 'backend',
    policy: 'bare',
    newcomers: true,
    mended_by: 'restart',
  },
  reset_creds: {
    description:
      'identity key and signed pre-key in the creds are replaced; the noise key, and with it the login, stays',
    kind: 'bad_mac',
    side: 'backend',
    policy: 'bundles',
    breaksRecords: true,
    mended_by: 'restore',
  },
  message_gap: {
    description: 'more than 2000 messages of each peer are lost on the way: libsignal refuses to go that far ahead',
    kind: 'session_error',
    side: 'server',
    policy: 'bundles',
    breaksRecords: true,
    mended_by: 'regenerate',
  },
  scribbled_sender_keys: {
    description: "the peers' sender keys in a group are overwritten, in the store and in memory",
    kind: 'sender_key',
    side: 'backend',
    policy: 'bundles',
    inGroup: true,
    mended_by: 'regenerate',
  },
  lost_sender_keys: {
    description: "the peers' sender keys in a group are gone; the phones send them again when asked",
    kind: 'sender_key',
    side: 'backend',
    policy: 'phone',
    inGroup: true,
    mended_by: 'none',
  },
  stuck: {
    description: 'the socket is accepted and the handshake (or, with "stage": "login", the login) is never answered',
    kind: 'stuck',
    side: 'server',
    mended_by: 'restart',
  },
  logged_out: {
    description: 'the phone has removed the linked device: 401',
    kind: 'logged_out',
    side: 'server',
    mended_by: 'recreate',
  },
  banned: {
    description: 'the account is banned: 403',
    kind: 'banned',
    side: 'server',
    mended_by: 'none',
  },
  zombie: {
    description: 'keep-alive pings are answered, and nothing else is answered or delivered any more',
    kind: 'zombie',
    side: 'server',
    mended_by: 'restart',
  },
  crash: {
    description: 'the backend process dies of an uncaught error; the supervisor starts it again',
    kind: 'crash',
    side: 'process',
    mended_by: 'none',
  },
  memory: {
    description: 'the process grows by "mb" megabytes on behalf of the session',
    kind: 'memory',
    side: 'backend',
    mended_by: 'restart',
  },
  creds_truncated: {
    description: 'the session is stopped and its creds are cut to 40 bytes',
    kind: 'creds',
    side: 'backend',
    mended_by: 'restore',
  },
  creds_lost: {
    description: 'creds and keys are gone, as with a container without a volume, and the session starts without them',
    kind: 'creds',
    side: 'backend',
    mended_by: 'restore',
  },
};

/** @returns {object[]} the catalogue as the control API shows it */
export function listFaults() {
  return Object.entries(FAULTS).map(([name, { description, kind, policy = 'phone', mended_by }]) => ({
    name,
    description,
    kind,
    receipts_honoured: policy,
    mended_by,
  }));
}

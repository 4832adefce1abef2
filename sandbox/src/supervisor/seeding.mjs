const DEADLINE_MS = 180_000;
const POLL_MS = 200;

/**
 * Waits until every session is connected, has read messages of each peer, and has enough of a past that records can be
 * rolled back.
 *
 * @param {import('./supervisor.mjs').Supervisor} supervisor
 * @throws {Error} that names the session which did not get there
 */
export async function seed(supervisor) {
  const deadline = Date.now() + DEADLINE_MS;
  await Promise.all(supervisor.config.sessions.map(id => seedOne(supervisor, id, deadline)));
}

async function seedOne(supervisor, id, deadline) {
  const { message_interval_ms: interval, peers_per_session: count, log_dir: logs } = supervisor.config;
  while (!(await isSeeded(supervisor, id))) {
    if (Date.now() > deadline) throw new Error(`session ${id} was not ready within ${DEADLINE_MS / 1000} s; see ${logs}`);
    // with the traffic off, the conversations still have to begin; there is nobody to write to before the login
    if (interval === 0) await supervisor.wa.request('send', { session: id, count }).catch(() => {});
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
}

async function isSeeded(supervisor, id) {
  const { peers_per_session: peers } = supervisor.config;
  const { phase } = await supervisor.backendState(id);
  if (phase !== 'connected') return false;
  const { decrypted_by_peer: read } = supervisor.ledger.of(id).since(0);
  if (Object.values(read).filter(Boolean).length < peers) return false;
  return (await supervisor.backend.request('history', { session: id, peers })).every(Boolean);
}

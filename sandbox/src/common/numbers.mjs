/**
 * Phone numbers and LIDs of the accounts and of the people who write to them. They are derived from the session id
 * alone, so that every process knows them without asking.
 */

const PN = 's.whatsapp.net';

/** @param {number} session @returns {{user: string, lid: string}} number and LID of the account behind a session */
export function accountNumbers(session) {
  return { user: `55119${String(session).padStart(8, '0')}`, lid: `1${String(session).padStart(13, '0')}` };
}

/** @param {number} session @param {number} peer index from 0 @returns {{user: string, lid: string, jid: string, lidJid: string}} */
export function peerNumbers(session, peer) {
  const tail = String(session).padStart(6, '0') + String(peer).padStart(2, '0');
  const user = `55219${tail}`;
  const lid = `2${tail.padStart(13, '0')}`;
  return { user, lid, jid: `${user}@${PN}`, lidJid: `${lid}@lid` };
}

/** @param {number} session @returns {string} jid of the group that a session and its peers are in */
export function groupOf(session) {
  return `120363${String(session).padStart(12, '0')}@g.us`;
}

/** @param {string} jid @returns {string} the user part, without device and server */
export function userOf(jid) {
  return jid.split('@')[0].split(':')[0];
}

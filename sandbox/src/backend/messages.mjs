import { proto } from 'baileys';

const { CIPHERTEXT } = proto.WebMessageInfo.StubType;
const NODES_KEPT = 200;
// what Baileys says when it has nothing at all to decrypt with, in a chat and in a group
const NO_RECORD = new Set(['No session record', 'No session found to decrypt message']);
const COUNT_EVERY = 20;
const COUNT_EVERY_MS = 10_000;

/** The application's part in receiving: log lines with the session's id, replies, asking again. */
export function listenForMessages(run, socket) {
  const nodes = new Map();
  socket.ws.on('CB:message', node => {
    nodes.set(node.attrs.id, node);
    if (nodes.size > NODES_KEPT) nodes.delete(nodes.keys().next().value);
  });
  const counter = new ReceivedCounter(run.session);
  const unread = new Map(); // id -> whether it has been asked for with keys
  socket.ev.on('messages.upsert', ({ messages }) => {
    for (const message of messages) {
      if (message.key.fromMe) continue;
      if (message.messageStubType === CIPHERTEXT) failed(run, socket, message, nodes, unread);
      else if (message.message) decrypted(run, socket, message, counter, unread.delete(message.key.id));
    }
  });
  socket.ev.on('connection.update', ({ connection }) => connection === 'close' && counter.stop());
}

function failed(run, socket, message, nodes, unread) {
  const { session } = run;
  const error = message.messageStubParameters?.[0];
  const { id, remoteJid } = message.key;
  session.context.log.error(
    { whatsappId: session.id, messageId: id, remoteJid, messageTimestamp: Number(message.messageTimestamp), error },
    '[wbotMessageListener] failed to decrypt message',
  );
  session.context.report('failed', { session: session.id, id, error });
  // Baileys' own first retry receipt carries no keys, and without a record only keys help: ask again with them
  const node = nodes.get(id);
  const isToBeAsked = NO_RECORD.has(error) && node && !unread.get(id) && socket.ws.isOpen;
  unread.set(id, isToBeAsked || unread.get(id));
  if (unread.size > NODES_KEPT) unread.delete(unread.keys().next().value);
  if (!isToBeAsked) return;
  socket.sendRetryRequest(node, true).catch(reason => {
    session.context.log.warn({ whatsappId: session.id, messageId: id, error: reason.message }, 'retry request failed');
  });
}

function decrypted(run, socket, message, counter, wasUnread) {
  const { session } = run;
  const { id, remoteJid } = message.key;
  counter.add();
  session.context.report('decrypted', { session: session.id, id });
  const count = (session.messageCounts.get(remoteJid) ?? 0) + 1;
  session.messageCounts.set(remoteJid, count);
  // an auto-reply: to the first messages of a conversation, to every tenth, and to what could not be read at first
  if (count > 3 && count % 10 !== 0 && !wasUnread) return;
  const reply = socket
    .sendMessage(remoteJid, { text: `Recebemos a sua mensagem (${count}).` })
    .catch(reason => session.context.log.warn({ whatsappId: session.id, error: reason.message }, 'auto-reply failed'))
    .finally(() => session.replies.delete(reply));
  session.replies.add(reply);
}

/** A log line for every 20th message received, or every 10 s. */
class ReceivedCounter {
  constructor(session) {
    this.session = session;
    this.received = 0;
    this.timer = setInterval(() => this.#write(), COUNT_EVERY_MS);
  }

  add() {
    this.received++;
    // what a closed socket still works off has no later line to be counted in
    if (this.received >= COUNT_EVERY || this.stopped) this.#write();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    this.#write();
  }

  #write() {
    if (this.received === 0) return;
    const { session, received } = this;
    session.context.log.info({ whatsappId: session.id, received }, '[wbotMessageListener] messages received');
    this.received = 0;
    if (!this.stopped) this.timer.refresh();
  }
}

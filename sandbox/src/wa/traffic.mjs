/** Peers that write at a steady pace, spread over the interval so that they do not all write at once. */
export class Traffic {
  /** @param {Map<number, import('./line.mjs').Line>} lines @param {(text: string) => void} log */
  constructor(lines, log) {
    this.lines = lines;
    this.log = log;
    this.stops = new Map();
    this.intervals = new Map();
    this.ticks = 0;
  }

  /** @param {number} session @param {number} intervalMs of each peer; 0 stops the session's traffic */
  setInterval(session, intervalMs) {
    this.stops.get(session)?.forEach(stop => stop());
    this.intervals.set(session, intervalMs);
    const { peers } = this.lines.get(session);
    this.stops.set(
      session,
      intervalMs ? peers.map((_, index) => this.#every(session, index, intervalMs, peers.length)) : [],
    );
  }

  /** Takes in peers that have come since. */
  refresh(session) {
    this.setInterval(session, this.intervals.get(session));
  }

  #every(session, index, intervalMs, peers) {
    let timer = setTimeout(
      () => {
        timer = setInterval(() => this.#tick(session, index), intervalMs);
      },
      (intervalMs * index) / peers,
    );
    return () => clearInterval(timer);
  }

  #tick(session, index) {
    const line = this.lines.get(session);
    const inGroup = line.writesToGroup.has(index) && (this.ticks = (this.ticks + 1) % 2) === 0;
    line.sendFrom(index, inGroup).catch(error => this.log(`session ${session}, peer ${index}: ${error.stack}`));
  }
}

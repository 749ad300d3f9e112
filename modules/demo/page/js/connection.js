// The one WebSocket to the simulated Discord: reconnects with growing pauses, tells its state, carries JSON.

import { Emitter } from './emitter.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;

/** Emits 'event' {t, d}, 'state' {state: 'connecting'|'open'|'waiting', retryAt?}. */
export class Connection extends Emitter {
  #socket = null;
  #opened = false;
  #userId = null;
  #failures = 0;
  #timer = null;

  /** Connects as this user (null: the server's first one), leaving an earlier connection. */
  connect(userId) {
    this.#userId = userId;
    this.#failures = 0;
    this.#open();
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** False when there is no connection; nothing is kept for later, because a nonce lives 3 seconds. */
  send(op, fields = {}) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify({ op, ...fields }));
    return true;
  }

  retryNow() {
    if (!this.open) this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    const old = this.#socket;
    this.#socket = null;
    old?.close();
    this.emit('state', { state: 'connecting', failures: this.#failures });
    const url = new URL('/client', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    if (this.#userId) url.searchParams.set('user', this.#userId);
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#opened = false;
    socket.addEventListener('open', () => {
      if (socket !== this.#socket) return;
      this.#opened = true;
      this.emit('state', { state: 'open' });
    });
    socket.addEventListener('message', ({ data }) => socket === this.#socket && this.#receive(data));
    socket.addEventListener('close', () => socket === this.#socket && this.#wait());
  }

  #receive(data) {
    this.#failures = 0;
    this.emit('event', JSON.parse(data));
  }

  #wait() {
    if (!this.#opened && this.#userId) this.#checkUser(this.#userId);
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#open(), pause);
    this.emit('state', { state: 'waiting', retryAt: Date.now() + pause, failures: this.#failures });
  }

  /** A restarted server has other people: then the next try connects as the server's first person. */
  async #checkUser(userId) {
    try {
      const { status } = await fetch(`/client?user=${encodeURIComponent(userId)}`, {
        signal: AbortSignal.timeout(5000),
      });
      if (status === 404 && this.#userId === userId) this.#userId = null;
    } catch {
      // nobody answers: the pause goes on
    }
  }
}

// Commands, clicks and forms under way: sent, deferred, answered or failed, and what stands in the list meanwhile.

const DEADLINE_MS = 6000; // the server says "failed" after Discord's 3 s; this is for a server that says nothing
const EPHEMERAL = 64;
const LOADING = 128;

const idOf = (message) => message.interaction_metadata?.id ?? message.interaction?.id;

/** Belongs to a store, whose lists it fills and through which it tells: 'interaction' {nonce, state, …} and 'modal'. */
export class Interactions {
  constructor(store) {
    this.store = store;
    this.pending = new Map(); // nonce → what was sent, and its state
    this.names = new Map(); // interaction id → the command's full name, which messages do not tell
  }

  clear() {
    for (const entry of this.pending.values()) clearTimeout(entry.timer);
    this.pending.clear();
  }

  /** Notes what was just sent. `entry`: {kind: 'command'|'component'|'modal', channelId, name?, messageId?, customId?}. */
  begin(nonce, entry) {
    const timer = setTimeout(() => this.settle({ nonce, state: 'failed' }), DEADLINE_MS);
    this.pending.set(nonce, { ...entry, nonce, timer, state: 'sent' });
    if (entry.kind === 'command') this.#standIn(nonce, entry, 'sent');
    this.store.emit('interaction', { nonce, state: 'sent', ...entry });
  }

  /** The connection broke: what was under way will not be answered here. */
  failAll() {
    for (const nonce of [...this.pending.keys()]) this.settle({ nonce, state: 'failed' });
  }

  /** The server's word on one of ours: {nonce, id, state, ephemeral, error?, modal?}. */
  settle(told) {
    const entry = this.pending.get(told.nonce);
    if (!entry) return;
    clearTimeout(entry.timer);
    if (told.id) {
      entry.id = told.id;
      if (entry.name) this.names.set(told.id, entry.name);
    }
    entry.state = told.state;
    if (entry.kind === 'command') this.#redraw(told, entry);
    if (told.state !== 'deferred') this.pending.delete(told.nonce);
    this.store.emit('interaction', { ...entry, ...told });
    if (told.state === 'modal') this.store.emit('modal', { ...told.modal, origin: entry });
  }

  /** A message of this interaction came: its stand-in is no longer needed. */
  answered(interactionId, channelId) {
    this.store
      .room(channelId)
      .list.filter(
        ({ local }) =>
          local && (local.interactionId === interactionId || this.pending.get(local.nonce)?.id === interactionId),
      )
      .forEach((message) => this.store.remove(channelId, message.id));
  }

  /** Custom ids of a message's components that wait for the bot. */
  busy(messageId) {
    return [...this.pending.values()]
      .filter((entry) => entry.messageId === messageId && entry.state === 'sent')
      .map((entry) => entry.customId);
  }

  #redraw(told, entry) {
    const { list } = this.store.room(entry.channelId);
    const mine = told.id ? list.filter((message) => idOf(message) === told.id) : [];
    if (told.state === 'deferred' && !mine.length)
      this.#standIn(told.nonce, { ...entry, interactionId: told.id }, 'deferred');
    else if (told.state === 'failed') {
      // "thinking" for 15 minutes, in vain
      mine
        .filter((message) => (message.flags ?? 0) & LOADING)
        .forEach((message) => this.store.remove(entry.channelId, message.id));
      this.#standIn(told.nonce, { ...entry, error: told.error }, 'failed');
    } else this.store.remove(entry.channelId, `local-${told.nonce}`);
  }

  /** In the list for an answer that is not there yet, or never came. */
  #standIn(nonce, entry, state) {
    this.store.putLocal({
      id: `local-${nonce}`,
      channel_id: entry.channelId,
      local: { ...entry, nonce, state },
      author: this.store.bot(),
      flags: EPHEMERAL,
      timestamp: new Date().toISOString(),
    });
  }
}

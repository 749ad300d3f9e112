// What the page knows: who I am, channels, messages, commands, interactions under way. Server events go in, changes come out.

import { Emitter } from './emitter.js';
import { Interactions } from './interactions.js';
import { byId } from './snowflake.js';

const VIEW_CHANNEL = 1n << 10n;
export const EPHEMERAL = 64;
export const LOADING = 128;
const TYPING_MS = 9000;
export const TEXT_CHANNELS = new Set([0, 1, 3, 5, 10, 11, 12]);

/**
 * Emits: 'ready', 'channels', 'current' {fresh}, 'message' {channelId, message, fresh}, 'message-gone' {channelId, id},
 * 'history' {channelId}, 'commands', 'unread', 'typing', 'interaction' {nonce, …}, 'modal', 'autocomplete', 'error' {message}, 'channel-opened', 'channel-gone'.
 */
export class Store extends Emitter {
  constructor() {
    super();
    this.interactions = new Interactions(this);
    this.#clear();
  }

  #clear() {
    this.ready = false;
    this.me = null;
    this.users = [];
    this.guild = null;
    this.botUser = null;
    this.locale = 'en-US';
    this.people = new Map();
    this.channels = new Map();
    this.commands = [];
    this.messages = new Map(); // channel id → {list, loaded, more, loading}
    this.unread = new Map(); // channel id → {pings, firstId}
    this.fresh = new Set(); // channels that opened while we watched
    this.typing = new Map(); // channel id → Map(user id → until)
    this.currentId = null;
  }

  /** Forgets everything; used when another user takes the page. */
  reset() {
    this.interactions.clear();
    this.#clear();
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────
  get current() {
    return this.channels.get(this.currentId) ?? null;
  }

  room(channelId) {
    if (!this.messages.has(channelId))
      this.messages.set(channelId, { list: [], loaded: false, more: false, loading: false });
    return this.messages.get(channelId);
  }

  /** Id of the oldest message that a history has, for asking what is before it. */
  oldest(channelId) {
    return this.room(channelId).list.find((message) => !message.local && !((message.flags ?? 0) & EPHEMERAL))?.id;
  }

  message(channelId, id) {
    return this.messages.get(channelId)?.list.find((message) => message.id === id) ?? null;
  }

  nameOf(userId) {
    const user = this.people.get(userId);
    return user ? displayName(user) : null;
  }

  /** The application whose commands these are. */
  bot() {
    const id = this.commands[0]?.application_id;
    return (
      this.botUser ??
      this.people.get(id) ??
      [...this.people.values()].find((user) => user.bot) ?? { id: id ?? '0', username: 'FuLLet', bot: true }
    );
  }

  isPrivate(channel) {
    if (!this.guild || channel.type === 1) return false;
    const everyone = (channel.permission_overwrites ?? []).find((one) => one.id === this.guild.id);
    return Boolean(everyone && BigInt(everyone.deny ?? 0) & VIEW_CHANNEL);
  }

  pingsMe(message) {
    if (!this.me || message.author?.id === this.me.id) return false;
    return Boolean(message.mention_everyone || (message.mentions ?? []).some((user) => user.id === this.me.id));
  }

  /** Text channels in the order of the list: [{category|null, channels}]. Categories without a visible channel are left out. */
  sections() {
    const order = (a, b) => (a.position ?? 0) - (b.position ?? 0) || byId(a.id, b.id);
    const text = [...this.channels.values()].filter((channel) => TEXT_CHANNELS.has(channel.type)).sort(order);
    const direct = text.filter((channel) => channel.type === 1 || channel.type === 3);
    const categories = [...this.channels.values()].filter((channel) => channel.type === 4).sort(order);
    const known = new Set(categories.map((category) => category.id));
    const loose = text.filter((channel) => !direct.includes(channel) && !known.has(channel.parent_id));
    return [
      { category: null, channels: loose },
      ...categories.map((category) => ({
        category,
        channels: text.filter((channel) => channel.parent_id === category.id),
      })),
      { category: { id: 'direct', name: 'DM' }, channels: direct },
    ].filter((section) => section.channels.length);
  }

  channelName(channel) {
    if (channel.name) return channel.name;
    return (channel.recipients ?? []).map(displayName).join(', ') || 'DM';
  }

  // ── acting ─────────────────────────────────────────────────────────────────────────────────────────────
  select(channelId) {
    if (!this.channels.has(channelId)) return false;
    const mark = this.unread.get(channelId);
    this.currentId = channelId;
    this.fresh.delete(channelId);
    this.emit('current', { unreadFrom: mark?.firstId ?? null });
    this.#read(channelId);
    return true;
  }

  #read(channelId) {
    if (this.unread.delete(channelId) || channelId === this.currentId) this.emit('unread');
  }

  /** Takes a message out of the page alone: a dismissed or deleted one. */
  remove(channelId, id) {
    const room = this.messages.get(channelId);
    if (!room) return;
    room.list = room.list.filter((message) => message.id !== id);
    this.emit('message-gone', { channelId, id });
  }

  /** Puts in a message that only this page knows, at the end; or again in its place. */
  putLocal(message) {
    const { list } = this.room(message.channel_id);
    const at = list.findIndex((one) => one.id === message.id);
    if (at >= 0) list[at] = message;
    else list.push(message);
    this.emit('message', { channelId: message.channel_id, message, fresh: at < 0 });
  }

  // ── the server's events ────────────────────────────────────────────────────────────────────────────────
  apply({ t: type, d: data }) {
    const handlers = {
      READY: () => this.#ready(data),
      CHANNEL_CREATE: () => this.#channel(data, true),
      CHANNEL_UPDATE: () => this.#channel(data, false),
      CHANNEL_DELETE: () => this.#channelGone(data.id),
      MESSAGE_CREATE: () => this.#message(data, true),
      MESSAGE_UPDATE: () => this.#message(data, false),
      MESSAGE_DELETE: () => this.remove(data.channel_id, data.id),
      COMMANDS: () => {
        this.commands = data;
        this.emit('commands');
      },
      TYPING: () => this.#typing(data),
      INTERACTION: () => this.interactions.settle(data),
      AUTOCOMPLETE: () => this.emit('autocomplete', data),
      HISTORY: () => this.#history(data),
      ERROR: () => this.emit('error', data),
    };
    handlers[type]?.(); // events that this page does not know are for newer versions of it
  }

  #ready(data) {
    const again = this.ready && this.me?.id === data.user.id;
    const current = again ? this.currentId : null;
    const messages = again ? this.messages : new Map();
    this.reset();
    Object.assign(this, {
      me: data.user,
      users: data.users ?? [data.user],
      guild: data.guild,
      commands: data.commands ?? [],
      locale: data.locale ?? 'en-US',
      ready: true,
    });
    this.botUser = data.bot ?? null;
    [...this.users, data.user, data.bot].filter(Boolean).forEach((user) => this.people.set(user.id, user));
    for (const channel of data.channels) this.channels.set(channel.id, channel);
    for (const [id, room] of messages) {
      if (this.channels.has(id))
        this.messages.set(id, {
          ...room,
          list: room.list.filter((message) => !message.local),
          loaded: false,
          loading: false,
        });
    }
    this.emit('ready', { again });
    if (this.channels.has(current)) this.select(current);
  }

  #channel(channel, created) {
    const known = this.channels.get(channel.id);
    this.channels.set(channel.id, { ...known, ...channel });
    if (created && !known && TEXT_CHANNELS.has(channel.type)) {
      this.fresh.add(channel.id);
      this.emit('channel-opened', this.channels.get(channel.id));
    }
    this.emit('channels');
  }

  #channelGone(id) {
    const channel = this.channels.get(id);
    this.channels.delete(id);
    this.messages.delete(id);
    this.unread.delete(id);
    this.fresh.delete(id);
    this.emit('channels');
    if (channel && id === this.currentId) this.emit('channel-gone', channel);
  }

  #learn(message) {
    [
      message.author,
      ...(message.mentions ?? []),
      message.interaction_metadata?.user,
      message.referenced_message?.author,
    ].forEach((user) => {
      if (user?.id && !(user.id === this.me?.id)) this.people.set(user.id, { ...this.people.get(user.id), ...user });
    });
  }

  #message(data, created) {
    const room = this.room(data.channel_id);
    const at = room.list.findIndex((message) => message.id === data.id);
    if (at < 0 && !created) return; // an edit of something older than what was loaded
    const message = at < 0 ? data : { ...room.list[at], ...data };
    this.#learn(message);
    if (at >= 0) room.list[at] = message;
    else this.#insert(room, message);
    const interaction = message.interaction_metadata?.id ?? message.interaction?.id;
    if (interaction) this.interactions.answered(interaction, data.channel_id);
    this.typing.get(data.channel_id)?.delete(message.author?.id);
    this.emit('message', { channelId: data.channel_id, message, fresh: at < 0 });
    if (at < 0) this.#markUnread(message);
  }

  #insert(room, message) {
    let at = room.list.length;
    while (at > 0 && (room.list[at - 1].local || byId(room.list[at - 1].id, message.id) > 0)) at -= 1;
    room.list.splice(at, 0, message);
  }

  #markUnread(message) {
    const channelId = message.channel_id;
    if (message.author?.id === this.me?.id || (channelId === this.currentId && !document.hidden)) return;
    const mark = this.unread.get(channelId) ?? { pings: 0, count: 0, firstId: message.id };
    mark.count += 1;
    if (this.pingsMe(message) || this.channels.get(channelId)?.type === 1) mark.pings += 1;
    this.unread.set(channelId, mark);
    this.emit('unread');
  }

  /** The reader came back to the window: what stands in the open channel has been seen. */
  seen() {
    if (this.currentId) this.#read(this.currentId);
  }

  #history({ channel_id: channelId, messages, more }) {
    const room = this.room(channelId);
    messages.forEach((message) => this.#learn(message));
    const fetched = new Map(messages.map((message) => [message.id, message]));
    const oldest = messages[0]?.id;
    const newest = messages[messages.length - 1]?.id;
    // Ephemeral messages are in no history. After a reconnect, what the fetched stretch lacks was deleted meanwhile, and
    // what stands before it is fetched again on scrolling up: between the two there may be a gap.
    const stays = ({ id, flags }) =>
      (flags ?? 0) & EPHEMERAL || !oldest || byId(id, newest) > 0 || (room.loaded && byId(id, oldest) < 0);
    const kept = room.list.filter((message) => message.local || (!fetched.has(message.id) && stays(message)));
    const real = [...kept.filter((message) => !message.local), ...fetched.values()].sort((a, b) => byId(a.id, b.id));
    room.list = [...real, ...kept.filter((message) => message.local)];
    Object.assign(room, { loaded: true, loading: false, more });
    this.emit('history', { channelId });
  }

  #typing({ channel_id: channelId, user_id: userId, user }) {
    if (user) this.people.set(user.id, user);
    if (userId === this.me?.id) return;
    if (!this.typing.has(channelId)) this.typing.set(channelId, new Map());
    this.typing.get(channelId).set(userId, Date.now() + TYPING_MS);
    this.emit('typing', { channelId });
    setTimeout(() => this.emit('typing', { channelId }), TYPING_MS + 50);
  }

  typingNames(channelId) {
    const now = Date.now();
    return [...(this.typing.get(channelId) ?? [])]
      .filter(([, until]) => until > now)
      .map(([id]) => this.nameOf(id) ?? '…');
  }
}

export function displayName(user) {
  return user?.global_name || user?.display_name || user?.username || '?';
}

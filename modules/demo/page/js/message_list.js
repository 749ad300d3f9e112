// The open channel: messages in order, days, the line above what is new, older ones on scrolling up, staying at the end.

import { h, icon } from './dom.js';
import { currentLocale, t } from './i18n.js';
import { MessageView, continues } from './messages.js';

const NEAR_END_PX = 60;
const OLDER_FROM_PX = 240;
const PAGE = 50;

export class MessageList {
  /** `env`: {store, context, actions, press, failedComponents, request(op, fields), greets(channel) → node|null}. */
  constructor(root, env) {
    this.env = env;
    this.views = new Map();
    this.atEnd = true;
    this.missed = 0;
    this.unreadFrom = null;
    this.list = h('ol.message-list', {
      'aria-label': t('message.list'),
      'aria-live': 'polite',
      'aria-relevant': 'additions',
    });
    this.intro = h('div.intro');
    this.scroller = h(
      'div.scroller',
      { tabindex: 0, 'data-testid': 'scroller' },
      h('div.scroll-body', null, this.intro, this.list),
    );
    this.typing = h('div.typing', { 'aria-live': 'polite', 'data-testid': 'typing' });
    this.jump = h('button.jump', { type: 'button', hidden: true, 'data-testid': 'jump', onclick: () => this.toEnd() });
    root.replaceChildren(this.scroller, this.jump, this.typing);
    this.scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#keepEnd()).observe(this.scroller.firstChild);
    new ResizeObserver(() => this.#keepEnd()).observe(this.scroller);
    this.list.addEventListener('contextmenu', (event) => this.#contextMenu(event));
    this.#listen();
  }

  #listen() {
    const { store } = this.env;
    const here = (channelId) => channelId === store.currentId;
    store.on('current', ({ unreadFrom }) => this.show(unreadFrom));
    store.on('history', ({ channelId }) => here(channelId) && this.#historyCame());
    store.on('message', ({ channelId, message, fresh }) => here(channelId) && this.#messageCame(message, fresh));
    store.on('message-gone', ({ channelId, id }) => {
      if (!here(channelId)) return;
      this.env.failedComponents.delete(id);
      this.draw();
    });
    store.on('typing', ({ channelId }) => here(channelId) && this.#drawTyping());
    store.on('interaction', (entry) => here(entry.channelId) && this.draw());
    store.on('channels', () => this.draw());
    store.on('commands', () => this.greetAgain());
  }

  show(unreadFrom = null) {
    this.views.clear();
    this.list.replaceChildren();
    this.atEnd = true;
    this.missed = 0;
    this.unreadFrom = unreadFrom;
    this.#load();
    this.draw();
    this.#drawTyping();
    this.toEnd();
  }

  #load(before) {
    const { store, request } = this.env;
    const room = store.currentId && store.room(store.currentId);
    if (!room || room.loading || (room.loaded && !before)) return;
    room.loading = request('history', { channel_id: store.currentId, limit: PAGE, ...(before ? { before } : {}) });
  }

  #historyCame() {
    const height = this.scroller.scrollHeight;
    const top = this.scroller.scrollTop;
    this.draw();
    if (!this.atEnd) this.scroller.scrollTop = top + this.scroller.scrollHeight - height;
    this.#keepEnd();
    this.#goToWanted();
  }

  #messageCame(message, fresh) {
    if (fresh && !this.atEnd) {
      this.missed += 1;
      this.#drawJump();
    }
    this.draw();
    if (fresh && message.author?.id === this.env.store.me?.id) this.toEnd();
    this.#keepEnd();
  }

  /** Brings the list in line with the store; what has not changed is left as it is. */
  draw() {
    const { store } = this.env;
    const channel = store.current;
    const messages = channel ? store.room(channel.id).list : [];
    this.#drawIntro(channel);
    const wanted = [];
    let before = null;
    for (const message of messages) {
      const day = new Date(message.timestamp).toDateString();
      const newDay = !before || new Date(before.timestamp).toDateString() !== day;
      const newLine = message.id === this.unreadFrom;
      if (newDay) wanted.push(this.#divider(`day-${day}`, () => dayName(message.timestamp)));
      if (newLine) wanted.push(this.#divider('new', () => t('message.newline')));
      wanted.push(this.#view(message, !newDay && !newLine && continues(before, message)));
      before = message;
    }
    this.#arrange(wanted);
  }

  #view(message, grouped) {
    let view = this.views.get(message.id);
    if (!view) {
      view = new MessageView(message, this.env);
      this.views.set(message.id, view);
    }
    view.update(message, { grouped });
    return view;
  }

  #divider(key, text) {
    let view = this.views.get(key);
    if (!view) {
      view = {
        message: { id: key },
        node: h(
          'li.divider',
          {
            class: key === 'new' ? 'divider-new' : '',
            'data-testid': key === 'new' ? 'unread-line' : 'day',
          },
          h('span'),
        ),
      };
      this.views.set(key, view);
    }
    if (view.node.textContent !== text()) view.node.firstChild.textContent = text();
    return view;
  }

  #arrange(wanted) {
    const keep = new Set(wanted.map((view) => view.message.id));
    for (const [id, view] of this.views) {
      if (keep.has(id)) continue;
      view.node.remove();
      this.views.delete(id);
    }
    let at = this.list.firstChild;
    for (const { node } of wanted) {
      if (node === at) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
  }

  #drawIntro(channel) {
    const room = channel && this.env.store.room(channel.id);
    const start = room?.loaded && !room.more;
    const key = JSON.stringify([channel?.id, channel?.name, channel?.topic, start, room?.more, currentLocale()]);
    if (this.introKey === key) return;
    this.introKey = key;
    this.intro.replaceChildren();
    if (!channel) return;
    if (room.more)
      this.intro.append(
        h(
          'button.button.secondary',
          { type: 'button', 'data-testid': 'older', onclick: () => this.#load(this.env.store.oldest(channel.id)) },
          t('message.older'),
        ),
      );
    if (start) {
      const name = this.env.store.channelName(channel);
      this.intro.append(
        h('div.intro-mark', null, icon(this.env.store.isPrivate(channel) ? 'lock' : 'hash', 30)),
        h('h2', null, name),
        h('p', null, t('message.start', { channel: name })),
        this.env.greets(channel) ?? '',
      );
    }
  }

  /** What a channel begins with may have become known, or possible to show, only now. */
  greetAgain() {
    this.introKey = null;
    this.draw();
    this.#keepEnd();
  }

  #drawTyping() {
    const names = this.env.store.typingNames(this.env.store.currentId);
    this.typing.textContent = names.length
      ? t(names.length > 1 ? 'message.typingmany' : 'message.typing', { names: names.join(', ') })
      : '';
  }

  #drawJump() {
    this.jump.hidden = this.atEnd;
    this.jump.replaceChildren(
      icon('down', 16),
      this.missed ? `${t('message.jump')} (${this.missed})` : t('message.end'),
    );
    this.jump.classList.toggle('quiet', !this.missed);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.atEnd) this.missed = 0;
    this.#drawJump();
    const room = this.env.store.currentId && this.env.store.room(this.env.store.currentId);
    if (room?.more && scrollTop < OLDER_FROM_PX && !this.atEnd)
      this.#load(this.env.store.oldest(this.env.store.currentId));
  }

  #keepEnd() {
    if (this.atEnd) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  toEnd() {
    this.atEnd = true;
    this.missed = 0;
    this.#keepEnd();
    this.#drawJump();
  }

  /** Scrolls to a message and lights it up; waits for the history when it is not there yet. */
  reveal(messageId) {
    this.wanted = messageId;
    this.#goToWanted();
  }

  #goToWanted() {
    const view = this.wanted && this.views.get(this.wanted);
    if (!view) return;
    this.wanted = null;
    this.atEnd = false;
    view.node.scrollIntoView({ block: 'center' });
    view.node.focus({ preventScroll: true });
    view.node.classList.add('lit');
    setTimeout(() => view.node.classList.remove('lit'), 2500);
  }

  #contextMenu(event) {
    const node = event.target.closest('.message');
    const view = node && this.views.get(node.dataset.id);
    if (!view || view.message.local || event.target.closest('a, .lightbox') || getSelection().toString()) return;
    event.preventDefault();
    this.env.actions.menu(node, view.message, { x: event.clientX, y: event.clientY });
  }
}

function dayName(timestamp) {
  const date = new Date(timestamp);
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (date.toDateString() === today.toDateString()) return t('message.today');
  if (date.toDateString() === yesterday.toDateString()) return t('message.yesterday');
  return new Intl.DateTimeFormat(currentLocale(), { dateStyle: 'long' }).format(date);
}

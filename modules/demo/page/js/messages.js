// One message as DOM. Each part is redrawn only when its own data changed, so that a button under the finger stays.

import { avatar, accentOf } from './avatars.js';
import { components } from './components.js';
import { h, icon } from './dom.js';
import { embed } from './embeds.js';
import { CATALOGUES, currentLocale, t } from './i18n.js';
import { markdown } from './markdown.js';
import { attachments } from './media.js';
import { textOf } from './message_parts.js';
import { EPHEMERAL, LOADING, displayName } from './store.js';

const GROUP_MS = 7 * 60 * 1000;
const SWAP_MS = 1500; // how long an old picture may stand while the new one loads
const KNOWN_TYPES = new Set([0, 19, 20, 23]);

export const clock = (date) => new Intl.DateTimeFormat(currentLocale(), { timeStyle: 'short' }).format(date);
const isEphemeral = (message) => Boolean((message.flags ?? 0) & EPHEMERAL);

/** Whether `message` goes under `before` without a head of its own. */
export function continues(before, message) {
  if (!before || before.author?.id !== message.author?.id || before.local || message.local) return false;
  if (message.type === 19 || hasHeader(message) || isEphemeral(before) !== isEphemeral(message)) return false;
  return (
    Date.parse(message.timestamp) - Date.parse(before.timestamp) < GROUP_MS &&
    new Date(message.timestamp).getDate() === new Date(before.timestamp).getDate()
  );
}

/** A further answer of the same interaction has no head of its own: the first one says who asked. */
const hasHeader = (message) =>
  Boolean(
    message.local ||
    message.type === 19 ||
    message.referenced_message ||
    ((message.type === 20 || message.type === 23) && !message.interaction_metadata?.original_response_message_id),
  );

export class MessageView {
  /** `env`: {store, context, actions, press(message, component, values)}. */
  constructor(message, env) {
    this.env = env;
    this.node = h('li.message', { 'data-testid': 'message', 'data-id': message.id, tabindex: -1 });
    this.parts = new Map();
    this.message = message;
  }

  update(message, { grouped }) {
    this.message = message;
    const { store } = this.env;
    const mine = store.pingsMe(message);
    this.node.className = `message${grouped ? ' grouped' : ''}${isEphemeral(message) ? ' ephemeral' : ''}${mine ? ' pinged' : ''}${message.local?.state === 'failed' ? ' failed' : ''}`;
    this.node.dataset.author = message.author?.id ?? '';
    if (message.local) this.node.dataset.state = message.local.state;
    const locale = currentLocale();
    this.#part(
      'header',
      hasHeader(message) && [
        message.type,
        message.interaction_metadata,
        message.interaction,
        message.local,
        textOf(this.#origin()),
        this.env.store.interactions.names.get(message.interaction_metadata?.id),
        locale,
      ],
      () => header(message, this.#origin(), this.env),
    );
    this.#part('head', [grouped, message.author, message.timestamp, message.local?.state, locale], () =>
      this.#head(grouped),
    );
    const thinking = Boolean((message.flags ?? 0) & LOADING) || Boolean(message.local);
    this.#part(
      'content',
      (message.content || thinking || !KNOWN_TYPES.has(message.type ?? 0)) && [
        message.content,
        thinking,
        message.local,
        message.edited_timestamp,
        message.type,
        locale,
        this.#names(message),
      ],
      () => content(message, thinking, this.env),
    );
    this.#part(
      'attachments',
      message.attachments?.length &&
        !v2(message) &&
        message.attachments.map((file) => [file.id, file.filename, file.description]),
      () => attachments(message.attachments),
    );
    this.#part('embeds', message.embeds?.length && [message.embeds, locale, this.#names(message)], () =>
      h(
        'div.embeds',
        null,
        message.embeds.map((one) => embed(one, this.env.context)),
      ),
    );
    const edited = v2(message) && message.edited_timestamp;
    this.#part(
      'components',
      message.components?.length && [message.components, this.#busy(), locale, this.#names(message), edited],
      () =>
        h(
          'div.components',
          null,
          components(message.components, this.#componentEnv()),
          edited && editedMark(message),
        ),
    );
    this.#part('failed', this.env.failedComponents.has(message.id) && [locale], () =>
      h(
        'p.component-error',
        { role: 'alert', 'data-testid': 'component-error' },
        icon('warn', 15),
        whyFailed(this.env.failedComponents.get(message.id), 'message.failedcomponent'),
      ),
    );
    this.#part('foot', isEphemeral(message) && (!message.local || message.local.state === 'failed') && [locale], () =>
      this.#ephemeralFoot(),
    );
    this.#part('tools', !message.local && [locale], () => this.#tools());
  }

  /** The message that this one answers, as far as it is known here. */
  #origin() {
    const { message } = this;
    return (
      message.referenced_message ??
      (message.message_reference
        ? this.env.store.message(message.channel_id, message.message_reference.message_id)
        : null)
    );
  }

  /** Names shown in the text may become known, or a channel open, after the text was drawn. */
  #names(message) {
    const text = JSON.stringify([message.content, message.embeds, message.components]);
    return [...text.matchAll(/<(?:@!?|#)(\d+)>/g)].map(
      ([, id]) => this.env.context.user(id) ?? this.env.context.channel(id),
    );
  }

  #busy() {
    return this.env.store.interactions.busy(this.message.id);
  }

  #componentEnv() {
    const { env } = this;
    return {
      context: env.context,
      store: env.store,
      press: (component, values) => env.press(this.message, component, values),
      busy: (customId) => this.#busy().includes(customId),
      attachment: (name) => (this.message.attachments ?? []).find((file) => file.filename === name) ?? null,
    };
  }

  #part(name, data, draw) {
    const key = data ? JSON.stringify(data) : null;
    const old = this.parts.get(name);
    if (old?.key === key) return;
    if (!key) {
      old?.node.remove();
      this.parts.delete(name);
      return;
    }
    const node = draw();
    node.dataset.part = name;
    this.parts.set(name, { key, node: old?.node ?? node, next: node });
    if (old) this.#swap(name, old.node, node);
    else this.#insert(name, node);
  }

  #insert(name, node) {
    const order = ['header', 'head', 'content', 'embeds', 'attachments', 'components', 'failed', 'foot', 'tools'];
    const after = [...this.node.children].find((child) => order.indexOf(child.dataset.part) > order.indexOf(name));
    this.node.insertBefore(node, after ?? null);
  }

  /** Puts the new part in place of the old; where both have pictures, once the new ones can be painted: a preview does not blink. */
  #swap(name, old, node) {
    const replace = () => {
      const part = this.parts.get(name);
      if (part?.next !== node) return; // overtaken
      const focused = old.contains(document.activeElement) ? document.activeElement.dataset.customId : null;
      part.node.replaceWith(node);
      part.node = node;
      if (focused)
        [...node.querySelectorAll('[data-custom-id]')]
          .find((one) => one.dataset.customId === focused)
          ?.focus({ preventScroll: true });
    };
    const images = old.querySelector('img') ? [...node.querySelectorAll('img')] : [];
    if (!images.length) {
      replace();
      return;
    }
    images.forEach((image) => image.removeAttribute('loading'));
    const late = new Promise((resolve) => setTimeout(resolve, SWAP_MS));
    Promise.race([late, Promise.allSettled(images.map((image) => image.decode()))]).then(replace);
  }

  #head(grouped) {
    const { message } = this;
    const date = new Date(message.timestamp);
    const full = new Intl.DateTimeFormat(currentLocale(), { dateStyle: 'full', timeStyle: 'short' }).format(date);
    const time = h('time.message-time', { datetime: message.timestamp, title: full }, clock(date));
    if (grouped) return h('div.message-head.message-head-grouped', null, time);
    const name = h('span.author', { 'data-testid': 'author' }, displayName(message.author));
    name.style.setProperty('--accent-of', accentOf(message.author));
    return h(
      'div.message-head',
      null,
      avatar(message.author, 40),
      name,
      message.author?.bot && h('span.tag', { 'data-testid': 'bot-tag' }, t('message.bot')),
      time,
    );
  }

  #ephemeralFoot() {
    return h(
      'div.ephemeral-foot',
      { 'data-testid': 'ephemeral' },
      icon('eye', 15),
      h('span', null, t('message.only')),
      h('span', { 'aria-hidden': 'true' }, '•'),
      h(
        'button.link-button',
        {
          type: 'button',
          'data-testid': 'dismiss',
          onclick: () => this.env.store.remove(this.message.channel_id, this.message.id),
        },
        t('message.dismiss'),
      ),
    );
  }

  #tools() {
    return h(
      'div.message-tools',
      null,
      h(
        'button.icon-button',
        {
          type: 'button',
          'aria-label': t('message.more'),
          'aria-haspopup': 'menu',
          'data-testid': 'message-more',
          onclick: (event) => this.env.actions.menu(event.currentTarget, this.message),
        },
        icon('more', 18),
      ),
    );
  }
}

/** The server's general words for no answer, in the reader's language; its other words as they are. */
const whyFailed = (error, key = 'message.failed') =>
  !error || error === CATALOGUES.en['message.failed'] ? t(key) : error;
const v2 = (message) => Boolean((message.flags ?? 0) & (1 << 15));

function header(message, origin, { store, context, actions }) {
  if (message.type === 19 || message.referenced_message) return replyHeader(message, origin, context, actions);
  const meta = message.interaction_metadata;
  const user = message.local ? store.me : (meta?.user ?? message.interaction?.user);
  const name = message.local?.name ?? store.interactions.names.get(meta?.id) ?? meta?.name ?? message.interaction?.name;
  if (message.local && !name) return h('div.message-header.nothing');
  const isSlash = message.type !== 23 && !message.local?.targetName;
  return h(
    'div.message-header',
    { 'data-testid': 'invocation' },
    avatar(user, 18),
    h('span.header-name', null, displayName(user)),
    ` ${t('message.used')} `,
    name && h('span.header-command', null, isSlash ? `/${name}` : name),
  );
}

function replyHeader(message, origin, context, actions) {
  if (!origin)
    return message.referenced_message === null
      ? h('div.message-header', null, icon('reply', 15), h('em', null, t('message.deletedref')))
      : h('div.message-header.nothing');
  const shown = h('div', null, markdown(textOf(origin), context));
  shown.querySelectorAll('br, blockquote, li, pre, small, h2').forEach((node) => node.before(' '));
  const text = shown.textContent.replace(/\s+/g, ' ').trim().slice(0, 120) || '…';
  return h(
    'button.message-header.reply',
    {
      type: 'button',
      'aria-label': t('message.reply', { name: displayName(origin.author) }),
      onclick: () => actions.openChannel(message.channel_id, origin.id),
    },
    icon('reply', 15),
    avatar(origin.author, 18),
    h('span.header-name', null, displayName(origin.author)),
    h('span.reply-text', null, text),
  );
}

function content(message, thinking, { context, store }) {
  if (message.local?.state === 'failed') {
    return h(
      'div.content.content-failed',
      { role: 'alert', 'data-testid': 'failed' },
      icon('warn', 16),
      whyFailed(message.local.error),
    );
  }
  if (message.local?.state === 'sent')
    return h('div.content.thinking', { 'data-testid': 'sending' }, dots(), t('message.sending'));
  if (thinking)
    return h(
      'div.content.thinking',
      { 'data-testid': 'thinking' },
      dots(),
      t('message.thinking', { name: message.author?.bot ? displayName(message.author) : displayName(store.bot()) }),
    );
  const node = h('div.content.markdown', { 'data-testid': 'content' }, markdown(message.content, context));
  if (message.edited_timestamp) node.append(' ', editedMark(message));
  return node;
}

const editedMark = (message) => h('span.edited', { title: message.edited_timestamp }, t('message.edited'));

const dots = () => h('span.dots', { 'aria-hidden': 'true' }, h('i'), h('i'), h('i'));

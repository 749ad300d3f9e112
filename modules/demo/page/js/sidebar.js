// The left side: server, channels as they open and close, who I am, language and theme.

import { avatar } from './avatars.js';
import { h, icon } from './dom.js';
import { LOCALES, currentLocale, t } from './i18n.js';
import { popup, roving } from './popup.js';
import { displayName } from './store.js';

export class Sidebar {
  /** `actions`: {openChannel, switchUser, setLocale, toggleTheme, openHelp, closeDrawer}. */
  constructor(root, store, actions) {
    this.root = root;
    this.store = store;
    this.actions = actions;
    this.collapsed = new Set();
    this.statusPage = null; // its address, once it is known
    this.head = h('div.guild');
    this.list = h('div.channels', { 'data-testid': 'channels' });
    this.foot = h('div.me');
    root.append(this.head, this.list, this.foot);
    for (const name of ['channels', 'unread', 'current']) store.on(name, () => this.drawChannels());
  }

  draw() {
    this.root.setAttribute('aria-label', t('nav.channels'));
    this.#drawHead();
    this.drawChannels();
    this.#drawFoot();
  }

  #drawHead() {
    const name = this.store.guild?.name ?? 'FuLLet';
    this.head.replaceChildren(
      h('span.guild-mark', { 'aria-hidden': 'true' }, [...name][0]?.toUpperCase()),
      h('strong.guild-name', { 'data-testid': 'guild' }, name),
      h(
        'button.icon-button',
        {
          type: 'button',
          'aria-label': t('help.open'),
          title: t('help.open'),
          'data-testid': 'help-open',
          onclick: () => this.actions.openHelp(),
        },
        icon('help', 20),
      ),
      h(
        'button.icon-button.drawer-close',
        { type: 'button', 'aria-label': t('nav.close'), onclick: () => this.actions.closeDrawer() },
        icon('close', 20),
      ),
    );
  }

  drawChannels() {
    const focused = document.activeElement?.dataset?.channel;
    this.list.replaceChildren(...this.store.sections().map((section) => this.#section(section)));
    if (focused) this.list.querySelector(`[data-channel="${CSS.escape(focused)}"]`)?.focus();
  }

  #section({ category, channels }) {
    const closed = category && this.collapsed.has(category.id);
    const shown = closed
      ? channels.filter((channel) => channel.id === this.store.currentId || this.store.unread.has(channel.id))
      : channels;
    return h(
      'div.category',
      null,
      category &&
        h(
          'button.category-name',
          {
            type: 'button',
            'aria-expanded': !closed,
            'data-testid': 'category',
            onclick: () => {
              if (!this.collapsed.delete(category.id)) this.collapsed.add(category.id);
              this.drawChannels();
            },
          },
          icon(closed ? 'right' : 'down', 12),
          category.name,
        ),
      h(
        'ul',
        null,
        shown.map((channel) => h('li', null, this.#channel(channel))),
      ),
    );
  }

  #channel(channel) {
    const { store } = this;
    const mark = store.unread.get(channel.id);
    const locked = store.isPrivate(channel);
    const current = channel.id === store.currentId;
    const name = store.channelName(channel);
    return h(
      'button.channel',
      {
        type: 'button',
        'data-channel': channel.id,
        'data-testid': 'channel',
        'aria-current': current ? 'page' : null,
        class: `${current ? 'current' : ''}${mark ? ' unread' : ''}${store.fresh.has(channel.id) ? ' fresh' : ''}`,
        onclick: () => this.actions.openChannel(channel.id),
      },
      channel.type === 1 ? avatar(channel.recipients?.[0], 20) : icon(locked ? 'lock' : 'hash', 18),
      h('span.channel-name', null, name),
      locked && h('span.sr', { 'data-testid': 'private' }, t('nav.private')),
      channel.nsfw && h('span.age', null, '18+'),
      store.fresh.has(channel.id) && h('span.fresh-tag', null, t('nav.new')),
      mark && h('span.sr', null, t('nav.unread')),
      mark?.pings > 0 && h('span.badge', { 'data-testid': 'ping-badge' }, mark.pings),
    );
  }

  #drawFoot() {
    const { store } = this;
    if (!store.me) return;
    const locale = h(
      'select.locale',
      {
        'aria-label': t('locale.label'),
        'data-testid': 'locale',
        onchange: (event) => this.actions.setLocale(event.target.value),
      },
      LOCALES.map(([code, label]) => h('option', { value: code }, label)),
    );
    locale.value = currentLocale();
    this.foot.replaceChildren(
      this.statusPage
        ? h(
            'a.status-link',
            { href: this.statusPage, target: '_blank', rel: 'noopener', 'data-testid': 'status-link' },
            icon('chart', 17),
            h('span', null, t('status.link')),
            icon('external', 13),
          )
        : '',
      h(
        'div.me-row',
        null,
        h(
          'button.me-button',
          {
            type: 'button',
            'aria-haspopup': 'listbox',
            'aria-label': `${t('user.switch')}: ${t('user.you')} ${displayName(store.me)}`,
            'data-testid': 'user-switch',
            onclick: (event) => this.#users(event.currentTarget),
          },
          avatar(store.me, 34),
          h(
            'span.me-text',
            null,
            h('strong', { 'data-testid': 'me' }, displayName(store.me)),
            h('span.me-sub', null, this.#isAdmin(store.me) && adminTag(), h('small', null, t('user.switch'))),
          ),
          icon('down', 16),
        ),
      ),
      h(
        'div.me-row',
        null,
        h('label.locale-row', null, icon('globe', 17), locale),
        h(
          'button.icon-button',
          {
            type: 'button',
            'aria-label': t('theme.toggle'),
            title: t('theme.toggle'),
            'data-testid': 'theme',
            onclick: () => this.actions.toggleTheme(),
          },
          icon('theme', 18),
        ),
      ),
    );
  }

  #isAdmin = (user) => Boolean(this.store.users.find((one) => one.id === user.id)?.administrator);

  #users(anchor) {
    const list = h(
      'div.user-list',
      { role: 'listbox', 'aria-label': t('user.switch'), 'data-testid': 'user-list' },
      h('p.user-hint', null, t('user.switching')),
      this.store.users.map((user) =>
        h(
          'button.user-option',
          {
            type: 'button',
            role: 'option',
            'aria-selected': user.id === this.store.me.id,
            'data-testid': 'user-option',
            'data-user': user.id,
            onclick: () => {
              handle.close();
              if (user.id !== this.store.me.id) this.actions.switchUser(user.id);
            },
          },
          avatar(user, 30),
          h('span.me-text', null, h('strong', null, displayName(user)), h('small', null, `@${user.username}`)),
          user.administrator && adminTag(),
          icon('check', 16),
        ),
      ),
    );
    const handle = popup(anchor, list, { matchWidth: true });
    roving(list, '[role=option]');
    list.querySelector('[aria-selected=true]')?.focus({ preventScroll: true });
  }
}

const adminTag = () => h('span.tag.tag-admin', { 'data-testid': 'admin-tag' }, t('user.admin'));

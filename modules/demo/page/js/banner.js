// The strip that says the connection is gone, when it is tried again, and that it is back.

import { h, icon } from './dom.js';
import { t } from './i18n.js';

const BACK_MS = 2500;

export class Banner {
  constructor(root, connection) {
    this.root = root;
    this.connection = connection;
    this.lost = false;
    connection.on('state', (state) => this.#draw(state));
  }

  #draw(state) {
    clearInterval(this.timer);
    clearTimeout(this.away);
    if (state.state === 'waiting') {
      this.lost = true;
      const count = () =>
        this.#say('lost', t('banner.retry', { n: Math.max(1, Math.ceil((state.retryAt - Date.now()) / 1000)) }), true);
      count();
      this.timer = setInterval(count, 500);
    } else if (this.lost && state.state === 'connecting') this.#say('lost', t('banner.lost'));
  }

  /** READY came: said only to someone who saw the loss. */
  ready() {
    if (!this.lost) return;
    this.lost = false;
    clearInterval(this.timer);
    this.#say('back', t('banner.back'));
    this.away = setTimeout(() => {
      this.root.hidden = true;
    }, BACK_MS);
  }

  #say(kind, text, retry = false) {
    this.root.hidden = false;
    this.root.className = `banner ${kind}`;
    if (this.root.firstChild?.dataset?.kind === `${kind}${retry}`) {
      this.root.firstChild.lastChild.textContent = text;
      return;
    }
    this.root.replaceChildren(
      h(
        'span',
        { 'data-kind': `${kind}${retry}` },
        icon(kind === 'back' ? 'check' : 'warn', 16),
        h('span', null, text),
      ),
      (retry &&
        h(
          'button.link-button',
          { type: 'button', 'data-testid': 'retry', onclick: () => this.connection.retryNow() },
          t('banner.now'),
        )) ||
        '',
    );
  }
}

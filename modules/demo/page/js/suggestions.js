// The list above the composer: commands, or choices of an option. The text field keeps the focus; arrows move here.

import { h } from './dom.js';

export class Suggestions {
  constructor(root) {
    this.root = root;
    this.items = [];
    this.at = 0;
    this.moved = false; // by arrow key, since the list was last filled
    this.onpick = null;
    root.classList.add('suggestions');
    root.hidden = true;
  }

  get open() {
    return !this.root.hidden && this.items.length > 0;
  }

  /** items: [{label, detail?, tag?, testid, value}]. `note` stands in place of an empty list. */
  show({ title, items, note, onpick, input, foot }) {
    const before = this.items[this.at]?.label;
    this.items = items;
    this.moved = false;
    this.onpick = onpick;
    this.input = input;
    this.at = Math.max(
      0,
      items.findIndex((item) => item.label === before),
    );
    if (!items.length && !note) {
      this.hide();
      return;
    }
    const list = h(
      'ul',
      { role: 'listbox', id: 'suggestion-list', tabindex: 0, 'aria-label': title, 'data-testid': 'suggestions' },
      items.map((item, index) => this.#row(item, index)),
    );
    this.root.replaceChildren(
      h('div.suggestions-title', null, title),
      items.length ? list : h('p.suggestions-note', { 'data-testid': 'suggestions-note' }, note),
      foot && items.length ? h('div.suggestions-foot', null, foot) : '',
    );
    this.root.hidden = false;
    input?.setAttribute('aria-controls', 'suggestion-list');
    this.#mark();
  }

  #row(item, index) {
    return h(
      'li',
      {
        role: 'option',
        id: `suggestion-${index}`,
        'data-testid': item.testid ?? 'suggestion',
        'data-value': item.value ?? null,
        onpointerdown: (event) => event.preventDefault(), // the field keeps the focus
        onclick: () => this.pick(index),
        onpointermove: () => this.#moveTo(index),
      },
      h('span.suggestion-label', null, item.label, item.tag && h('span.suggestion-tag', null, item.tag)),
      item.detail && h('span.suggestion-detail', null, item.detail),
    );
  }

  hide() {
    if (this.root.hidden) return;
    this.root.hidden = true;
    this.items = [];
    this.input?.removeAttribute('aria-controls');
    this.input?.removeAttribute('aria-activedescendant');
  }

  move(by) {
    this.moved = true;
    if (this.items.length) this.#moveTo((this.at + by + this.items.length) % this.items.length, true);
  }

  #moveTo(index, scroll = false) {
    if (index === this.at) return;
    this.at = index;
    this.#mark(scroll);
  }

  #mark(scroll = true) {
    this.root.querySelectorAll('[role=option]').forEach((row, index) => {
      row.setAttribute('aria-selected', index === this.at);
      if (index === this.at && scroll) row.scrollIntoView({ block: 'nearest' });
    });
    if (this.items.length) this.input?.setAttribute('aria-activedescendant', `suggestion-${this.at}`);
  }

  pick(index = this.at) {
    const item = this.items[index];
    if (item) this.onpick(item);
    return Boolean(item);
  }
}

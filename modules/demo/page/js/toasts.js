// Short notices that go away by themselves.

import { h } from './dom.js';

export function toast(text, { action, run, bad = false, ms = 5000 } = {}) {
  const node = h(
    'div.toast',
    { class: bad ? 'bad' : '', 'data-testid': 'toast' },
    h('span', null, text),
    action &&
      h(
        'button.link-button',
        {
          type: 'button',
          onclick: () => {
            node.remove();
            run();
          },
        },
        action,
      ),
  );
  const shelf = document.getElementById('toasts');
  shelf.append(node);
  while (shelf.children.length > 3) shelf.firstChild.remove();
  setTimeout(() => node.remove(), ms);
  return node;
}

// One picture, as large as the window allows.

import { h, icon } from './dom.js';
import { t } from './i18n.js';

export function openLightbox({ url, alt, name }) {
  const dialog = h(
    'dialog.lightbox',
    { 'data-testid': 'lightbox', 'aria-label': alt || name || t('image.none') },
    h(
      'button.icon-button.lightbox-close',
      { type: 'button', 'aria-label': t('image.close'), onclick: () => dialog.close() },
      icon('close', 24),
    ),
    h(
      'figure',
      null,
      h('img', { src: url, alt: alt || name || '' }),
      h(
        'figcaption',
        null,
        h('span.lightbox-alt', null, alt),
        h('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, icon('external', 15), t('image.original')),
      ),
    ),
  );
  dialog.addEventListener('click', (event) => event.target.closest('img, a, button, .lightbox-alt') || dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// Pictures as large as the window allows, one after the other: by the arrow keys or the buttons beside them.

import { h, icon } from './dom.js';
import { t } from './i18n.js';

/** `pictures`: [{url, alt, name}]; the one at `index` is shown first. */
export function openLightbox(pictures, index = 0) {
  let at = index;
  const image = h('img', { 'data-testid': 'lightbox-picture' });
  const alt = h('span.lightbox-alt');
  const link = h(
    'a',
    { target: '_blank', rel: 'noopener noreferrer' },
    icon('external', 15),
    t('image.original'),
  );
  const count = h('span.lightbox-count', { role: 'status', 'data-testid': 'lightbox-count' });
  const several = pictures.length > 1;
  const step = (by) => {
    at = (at + by + pictures.length) % pictures.length;
    draw();
  };
  const turn = (name, label, by) =>
    several &&
    h(
      'button.icon-button.lightbox-turn',
      {
        type: 'button',
        class: name,
        'aria-label': label,
        'data-testid': `lightbox-${name}`,
        onclick: () => step(by),
      },
      icon(name === 'next' ? 'right' : 'left', 26),
    );
  const dialog = h(
    'dialog.lightbox',
    { 'data-testid': 'lightbox' },
    h(
      'button.icon-button.lightbox-close',
      { type: 'button', 'aria-label': t('image.close'), onclick: () => dialog.close() },
      icon('close', 24),
    ),
    h('figure', null, image, h('figcaption', null, several && count, alt, link)),
    turn('previous', t('image.previous'), -1),
    turn('next', t('image.next'), 1),
  );
  const draw = () => {
    const one = pictures[at];
    const words = one.alt || one.name || t('image.none');
    image.src = one.url;
    image.alt = words;
    alt.textContent = one.alt;
    link.href = one.url;
    count.textContent = t('image.count', { n: at + 1, total: pictures.length });
    dialog.setAttribute('aria-label', words);
  };
  dialog.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && several) step(by);
  });
  dialog.addEventListener('click', (event) => event.target.closest('img, a, button, figcaption') || dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  draw();
  document.body.append(dialog);
  dialog.showModal();
}

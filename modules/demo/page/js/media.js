// Pictures and files of a message: sized before they load, opened large on a click, with their alt text.

import { h, icon, mediaUrl } from './dom.js';
import { t } from './i18n.js';
import { openLightbox } from './lightbox.js';

const isPicture = (file) =>
  /^image\//.test(file.content_type ?? '') ||
  (!file.content_type && /\.(png|jpe?g|gif|webp)$/i.test(file.filename ?? ''));

/** A message's attachments: pictures as a gallery, the rest as links. */
export function attachments(files) {
  const pictures = files.filter(isPicture);
  const others = files.filter((file) => !isPicture(file));
  return h(
    'div.attachments',
    { 'data-testid': 'attachments' },
    pictures.length > 0 &&
      gallery(pictures.map((media) => ({ media, spoiler: /^SPOILER_/.test(media.filename ?? '') }))),
    others.map(fileLink),
  );
}

/** 1 to 10 pictures, laid out as Discord does; `items`: [{media, spoiler?}]. From an opened one, the others can be reached. */
export function gallery(items) {
  const group = [];
  const only = items.length === 1;
  return h(
    'div.gallery',
    { 'data-count': items.length, 'data-testid': 'gallery' },
    items.map(({ media, spoiler }) => picture(media, { spoiler, group, cell: !only })),
  );
}

/** What hides itself behind a click: a container or a file that is marked as a spoiler. */
export function spoilerBox(node) {
  const box = h(
    'div.spoiler-box',
    null,
    node,
    h(
      'button.spoiler-veil',
      {
        type: 'button',
        'data-testid': 'spoiler-veil',
        onclick: (event) => {
          node.inert = false;
          event.currentTarget.remove();
          box.className = 'spoiler-box shown';
        },
      },
      h('span', null, t('spoiler.show')),
    ),
  );
  node.inert = true;
  return box;
}

export function fileLink(file) {
  const href = mediaUrl(file.url);
  return h(
    'div.file',
    { 'data-testid': 'file' },
    icon('file', 26),
    h(
      'div.file-text',
      null,
      href
        ? h(
            'a.file-name',
            { href, target: '_blank', rel: 'noopener noreferrer', download: file.filename },
            file.filename ?? 'file',
          )
        : h('span.file-name', null, file.filename ?? 'file'),
      file.size ? h('span.file-size', null, t('file.size', { n: Math.max(1, Math.round(file.size / 1024)) })) : null,
    ),
  );
}

/**
 * `media`: {url, description?, width?, height?, filename?}. The button keeps its place while the picture loads. A
 * `cell` is as large as its place in a gallery; `group` gathers the pictures that are opened together.
 */
export function picture(
  media,
  { spoiler = false, testid = 'picture', maxWidth = 520, maxHeight = 420, cell = false, group = [] } = {},
) {
  const url = mediaUrl(media.url ?? media.proxy_url);
  if (!url) return null;
  const alt = media.description ?? '';
  const label = t('image.open', { alt: alt || media.filename || t('image.none') });
  const image = h('img', { src: url, alt, loading: 'lazy', decoding: 'async', title: alt || null });
  const button = h(
    'button.picture',
    {
      type: 'button',
      class: `${spoiler ? 'picture-spoiler' : ''}${cell ? ' cell' : ''}`,
      'aria-label': spoiler ? t('spoiler.show') : label,
      'data-testid': testid,
    },
    image,
    alt && h('span.picture-alt', { 'aria-hidden': 'true' }, t('image.alt')),
  );
  if (cell) {
    // its size is the gallery's
  } else if (media.width && media.height) {
    const scale = Math.min(1, maxWidth / media.width, maxHeight / media.height);
    button.style.setProperty('width', `${Math.max(48, Math.round(media.width * scale))}px`);
    image.width = media.width;
    image.height = media.height;
  } else button.classList.add('unsized');
  image.addEventListener(
    'error',
    () => {
      button.classList.add('picture-failed');
      button.append(h('span.picture-note', null, t('image.failed')));
    },
    { once: true },
  );
  group.push({ button, url, alt, name: media.filename });
  button.addEventListener('click', () => {
    if (button.classList.contains('picture-spoiler')) {
      button.classList.remove('picture-spoiler');
      button.setAttribute('aria-label', label);
      return;
    }
    const shown = group.filter((one) => !one.button.classList.contains('picture-spoiler'));
    openLightbox(
      shown,
      shown.findIndex((one) => one.button === button),
    );
  });
  return button;
}

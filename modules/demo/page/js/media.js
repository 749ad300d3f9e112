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
      h(
        'div.gallery',
        { 'data-count': Math.min(pictures.length, 4) },
        pictures.map((file) => picture(file, { spoiler: /^SPOILER_/.test(file.filename ?? '') })),
      ),
    others.map(fileLink),
  );
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

/** `media`: {url, description?, width?, height?, filename?}. The button keeps its place while the picture loads. */
export function picture(media, { spoiler = false, testid = 'picture', maxWidth = 520, maxHeight = 420 } = {}) {
  const url = mediaUrl(media.url ?? media.proxy_url);
  if (!url) return null;
  const alt = media.description ?? '';
  const image = h('img', { src: url, alt, loading: 'lazy', decoding: 'async', title: alt || null });
  const button = h(
    'button.picture',
    {
      type: 'button',
      class: spoiler ? 'picture-spoiler' : '',
      'aria-label': t('image.open', { alt: alt || media.filename || t('image.none') }),
      'data-testid': testid,
    },
    image,
    alt && h('span.picture-alt', { 'aria-hidden': 'true' }, t('image.alt')),
  );
  if (media.width && media.height) {
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
  button.addEventListener('click', () => {
    if (button.classList.contains('picture-spoiler')) button.classList.remove('picture-spoiler');
    else openLightbox({ url, alt, name: media.filename });
  });
  return button;
}

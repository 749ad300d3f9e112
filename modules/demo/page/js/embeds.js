// Embeds: title, text, fields in rows, pictures, author and footer.

import { h, mediaUrl, safeUrl } from './dom.js';
import { markdown } from './markdown.js';
import { picture } from './media.js';
import { format } from './timestamps.js';

export function embed(data, context) {
  const title =
    data.title && h('div.embed-title', null, linkIf(data.url, markdown(data.title, context, { block: false })));
  const node = h(
    'article.embed',
    { 'data-testid': 'embed' },
    h(
      'div.embed-main',
      null,
      h(
        'div.embed-text',
        null,
        data.author?.name &&
          h('div.embed-author', null, smallIcon(data.author.icon_url), linkIf(data.author.url, data.author.name)),
        title,
        data.description && h('div.embed-description.markdown', null, markdown(data.description, context)),
        data.fields?.length > 0 && fields(data.fields, context),
      ),
      data.thumbnail?.url &&
        h(
          'div.embed-thumbnail',
          null,
          picture(data.thumbnail, { maxWidth: 80, maxHeight: 80, testid: 'embed-thumbnail' }),
        ),
    ),
    data.image?.url &&
      h('div.embed-image', null, picture({ description: data.title, ...data.image }, { testid: 'embed-image' })),
    (data.footer?.text || data.timestamp) && footer(data),
  );
  if (Number.isInteger(data.color))
    node.style.setProperty('--embed-color', `#${data.color.toString(16).padStart(6, '0')}`);
  return node;
}

function linkIf(url, content) {
  const href = url && safeUrl(url);
  return href ? h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, content) : content;
}

function smallIcon(url) {
  const src = url && mediaUrl(url);
  return src ? h('img.embed-icon', { src, alt: '' }) : null;
}

function fields(list, context) {
  return h(
    'dl.embed-fields',
    null,
    list.map((field) =>
      h(
        'div.embed-field',
        { class: field.inline ? 'inline' : '' },
        h('dt', null, markdown(field.name, context, { block: false })),
        h('dd.markdown', null, markdown(field.value, context)),
      ),
    ),
  );
}

function footer({ footer: foot, timestamp }) {
  const time = timestamp ? format(Date.parse(timestamp) / 1000, 'f') : null;
  return h('div.embed-footer', null, smallIcon(foot?.icon_url), [foot?.text, time].filter(Boolean).join(' • '));
}

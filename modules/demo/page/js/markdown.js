// Discord's markdown as DOM: what `markdown_parser.js` made of a text, with names, links and clicks.

import { h } from './dom.js';
import { t } from './i18n.js';
import { parse } from './markdown_parser.js';
import { timeElement } from './timestamps.js';

/**
 * tree → DocumentFragment. `context` gives names and acts on clicks:
 * {user(id) → name|null, channel(id) → name|null, role(id) → {name, color}|null, openChannel(id), runCommand(name), me}
 */
export function render(tree, context) {
  const fragment = document.createDocumentFragment();
  for (const node of tree) fragment.append(...[].concat(RENDER[node.type](node, context)));
  return fragment;
}

const wrap = (tag) => (node, context) => h(tag, null, render(node.children, context));

const RENDER = {
  text: (node) => node.text.split('\n').flatMap((line, i) => (i ? [document.createElement('br'), line] : [line])),
  strong: wrap('strong'),
  em: wrap('em'),
  underline: wrap('u'),
  strike: wrap('s'),
  quote: wrap('blockquote.md-quote'),
  subtext: wrap('small.md-subtext'),
  heading: (node, context) => h(`h2.md-h${node.level}`, null, render(node.children, context)),
  list: (node, context) =>
    h(
      node.ordered ? 'ol.md-list' : 'ul.md-list',
      node.ordered ? { start: node.start } : null,
      node.items.map((item) => h('li', null, render(item, context))),
    ),
  code: (node) => h('code.md-code', null, node.text),
  codeBlock: (node) => h('pre.md-pre', { tabindex: 0 }, h('code', { 'data-language': node.language }, node.text)),
  spoiler: (node, context) => spoiler(render(node.children, context)),
  link: (node, context) =>
    jumpTo(node, context) ??
    h(
      'a.md-link',
      { href: node.href, target: '_blank', rel: 'noopener noreferrer nofollow', title: node.href },
      render(node.children, context),
    ),
  time: (node) => timeElement(node.unix, node.style) ?? node.text,
  user: (node, context) =>
    h(
      'span.mention',
      { class: node.id === context.me ? 'mention-me' : '', 'data-user': node.id, 'data-testid': 'mention' },
      `@${context.user(node.id) ?? t('unknown.user')}`,
    ),
  role: (node, context) => h('span.mention', null, `@${context.role(node.id)?.name ?? t('unknown.user')}`),
  everyone: (node) => h('span.mention.mention-plain', null, node.text),
  emoji: (node) => h('span.emoji', null, `:${node.name}:`),
  command: (node, context) =>
    h('button.mention.mention-link', { type: 'button', onclick: () => context.runCommand(node.name) }, `/${node.name}`),
  channel: (node, context) => {
    const name = context.channel(node.id);
    if (!name) return h('span.mention.mention-plain', null, `#${t('unknown.channel')}`);
    return h(
      'button.mention.mention-link',
      { type: 'button', 'data-testid': 'channel-mention', onclick: () => context.openChannel(node.id) },
      `#${name}`,
    );
  },
};

/** A link to a message or channel of Discord itself goes there in this page, when the reader may see it. */
function jumpTo({ href, masked, children }, context) {
  const found = /^https:\/\/(?:\w+\.)?discord(?:app)?\.com\/channels\/(?:\d+|@me)\/(\d+)(?:\/(\d+))?$/.exec(href);
  const name = found && context.channel(found[1]);
  if (!name) return null;
  return h(
    'button.mention.mention-link',
    { type: 'button', onclick: () => context.openChannel(found[1], found[2]) },
    ...(masked ? [render(children, context)] : [`#${name}`, found[2] ? ' › ✉' : '']),
  );
}

function spoiler(content) {
  const node = h(
    'span.spoiler',
    {
      role: 'button',
      tabindex: 0,
      'aria-expanded': 'false',
      'aria-label': t('spoiler.show'),
      'data-testid': 'spoiler',
    },
    h('span', { 'aria-hidden': 'true' }, content),
  );
  const show = (event) => {
    if (node.classList.contains('shown') || (event.type === 'keydown' && !['Enter', ' '].includes(event.key))) return;
    event.preventDefault();
    node.classList.add('shown');
    node.setAttribute('aria-expanded', 'true');
    node.removeAttribute('aria-label');
    node.firstChild.removeAttribute('aria-hidden');
  };
  node.addEventListener('click', show);
  node.addEventListener('keydown', show);
  return node;
}

/** Message text straight to DOM. */
export const markdown = (text, context, options) => render(parse(text, options), context);

// Buttons, selects and the layout parts of messages, as Discord numbers them. A part of unknown number shows its text.

import { h, icon, safeUrl } from './dom.js';
import { markdown } from './markdown.js';
import { fileLink, gallery, picture, spoilerBox } from './media.js';
import { selectMenu } from './select.js';

const BUTTON_STYLES = { 1: 'primary', 2: 'secondary', 3: 'success', 4: 'danger', 5: 'link', 6: 'secondary' };

/**
 * `env`: {context, store, press(component, values?), busy(customId) → bool, attachment(name) → file|null}.
 * A component with children that this page does not know still shows them.
 */
export function components(list, env) {
  return (list ?? []).map((one) => (RENDER[one.type] ?? unknown)(one, env));
}

const RENDER = {
  1: (row, env) => h('div.action-row', { role: 'group', 'data-testid': 'action-row' }, components(row.components, env)),
  2: button,
  3: (data, env) => selectMenu(data, data.options ?? [], env),
  5: (data, env) =>
    selectMenu(
      data,
      env.store.users.map((user) => ({ label: user.global_name ?? user.username, value: user.id, user })),
      env,
    ),
  6: (data, env) => selectMenu(data, roles(env), env),
  7: (data, env) => selectMenu(data, [...users(env), ...roles(env)], env),
  8: (data, env) =>
    selectMenu(
      data,
      [...env.store.channels.values()]
        .filter((channel) => !data.channel_types?.length || data.channel_types.includes(channel.type))
        .map((channel) => ({ label: `#${channel.name}`, value: channel.id })),
      env,
    ),
  9: (data, env) =>
    h(
      'div.section',
      null,
      h('div.section-text', null, components(data.components, env)),
      data.accessory && components([data.accessory], env),
    ),
  10: (data, env) => h('div.text-display.markdown', null, markdown(data.content, env.context)),
  11: (data, env) =>
    h('div.thumbnail', null, picture(fromMedia(data, env), { spoiler: data.spoiler, testid: 'thumbnail', cell: true })),
  12: (data, env) =>
    gallery((data.items ?? []).map((one) => ({ media: fromMedia(one, env), spoiler: one.spoiler }))),
  13: (data, env) => {
    const media = fromMedia({ media: data.file }, env);
    const node = fileLink({ ...media, filename: data.name ?? media.filename, size: data.size });
    return data.spoiler ? spoilerBox(node) : node;
  },
  14: (data) =>
    h(data.divider === false ? 'div.separator' : 'hr.separator', {
      class: `${data.spacing === 2 ? 'large' : ''} ${data.divider === false ? 'invisible' : ''}`,
      'data-testid': 'separator',
    }),
  17: (data, env) => container(data, env),
  18: (data, env) =>
    h(
      'div.section-text',
      null,
      data.label && h('strong', null, data.label),
      components([data.component].filter(Boolean), env),
    ),
};

const users = (env) =>
  env.store.users.map((user) => ({ label: `@${user.global_name ?? user.username}`, value: user.id }));
const roles = (env) =>
  (env.store.guild?.roles ?? []).map((role) => ({ label: `@${role.name.replace(/^@/, '')}`, value: role.id }));

function unknown(data, env) {
  return h('div.markdown', null, data.content && markdown(data.content, env.context), components(data.components, env));
}

function fromMedia({ media, description }, env) {
  const name = /^attachment:\/\/(.+)$/.exec(media?.url ?? '')?.[1];
  const filename = decodeURIComponent(/([^/?]*)(?:\?|$)/.exec(media?.url ?? '')?.[1] ?? '');
  return { filename, ...media, ...(name ? env.attachment(name) : null), ...(description ? { description } : null) };
}

function container(data, env) {
  const accent = Number.isInteger(data.accent_color);
  const node = h(
    'div.container',
    { class: accent ? 'accented' : '', 'data-testid': 'container' },
    components(data.components, env),
  );
  if (accent) node.style.setProperty('--embed-color', `#${data.accent_color.toString(16).padStart(6, '0')}`);
  return data.spoiler ? spoilerBox(node) : node;
}

function button(data, env) {
  const style = BUTTON_STYLES[data.style] ?? 'secondary';
  const label = [
    data.emoji?.name && !data.emoji.id ? h('span.button-emoji', { 'aria-hidden': 'true' }, data.emoji.name) : null,
    data.label && h('span', null, data.label),
  ];
  if (data.style === 5) {
    const href = safeUrl(data.url);
    const jump = /^https:\/\/(?:\w+\.)?discord(?:app)?\.com\/channels\/(?:\d+|@me)\/(\d+)(?:\/(\d+))?$/.exec(
      href ?? '',
    );
    if (jump && env.store.channels.has(jump[1]))
      return h(
        'button.button.link',
        { type: 'button', 'data-testid': 'link-button', onclick: () => env.context.openChannel(jump[1], jump[2]) },
        label,
        icon('right', 14),
      );
    return href && !data.disabled
      ? h(
          'a.button.link',
          { href, target: '_blank', rel: 'noopener noreferrer nofollow', 'data-testid': 'link-button' },
          label,
          icon('external', 14),
        )
      : h('button.button.link', { type: 'button', disabled: true }, label);
  }
  const busy = env.busy(data.custom_id);
  return h(
    'button.button',
    {
      type: 'button',
      class: `${style}${busy ? ' busy' : ''}`,
      disabled: data.disabled,
      'aria-busy': busy || null,
      'aria-label': data.label ? null : data.emoji?.name,
      'data-testid': 'button',
      'data-custom-id': data.custom_id,
      onclick: () => busy || env.press(data),
    },
    label,
  );
}

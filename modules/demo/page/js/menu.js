// The menu of a message: the bot's message commands, copying, deleting one's own.

import { h, icon } from './dom.js';
import { localized, t } from './i18n.js';
import { filesOf, textOf } from './message_parts.js';
import { popup, roving } from './popup.js';
import { toast } from './toasts.js';

/** entries: [{label, icon?, danger?, run, testid?} | {heading} | 'rule']; null entries are left out. */
export function showMenu(anchor, entries, { at, align = 'end', label } = {}) {
  const list = h('div.menu', { role: 'menu', 'aria-label': label, 'data-testid': 'menu' });
  for (const entry of entries.filter(Boolean)) {
    if (entry === 'rule') list.append(h('hr'));
    else if (entry.heading) list.append(h('div.menu-heading', { role: 'presentation' }, entry.heading));
    else list.append(item(entry));
  }
  const handle = popup(anchor, list, { at, align });
  roving(list, '[role=menuitem]');
  list.querySelector('[role=menuitem]')?.focus({ preventScroll: true });
  return handle;

  function item(entry) {
    return h(
      'button.menu-item',
      {
        type: 'button',
        role: 'menuitem',
        class: entry.danger ? 'danger' : '',
        'data-testid': entry.testid,
        onclick: () => {
          handle.close();
          entry.run();
        },
      },
      h('span', null, entry.label),
      entry.icon && icon(entry.icon, 16),
    );
  }
}

export function messageMenu({ anchor, at, message, store, actions }) {
  const commands = store.commands.filter((command) => command.type === 3);
  const userCommands = store.commands.filter((command) => command.type === 2);
  const ephemeral = Boolean((message.flags ?? 0) & 64);
  const mayDelete = !ephemeral && (message.author?.id === store.me?.id || store.guild?.administrator);
  const file = filesOf(message)[0];
  const text = textOf(message);
  const link = `${location.origin}/#/${message.channel_id}/${message.id}`;
  showMenu(
    anchor,
    [
      commands.length > 0 && { heading: t('menu.apps') },
      ...commands.map((command) => ({
        label: localized(command),
        icon: 'app',
        testid: `app-${command.name}`,
        run: () => actions.messageCommand(command, message),
      })),
      userCommands.length > 0 && { heading: t('menu.userapps') },
      ...userCommands.map((command) => ({
        label: localized(command),
        icon: 'app',
        testid: `app-${command.name}`,
        run: () => actions.userCommand(command, message),
      })),
      (commands.length > 0 || userCommands.length > 0) && 'rule',
      text && {
        label: t('menu.copytext'),
        icon: 'copy',
        testid: 'copy-text',
        run: () => copy(text),
      },
      !ephemeral && { label: t('menu.copylink'), icon: 'copy', testid: 'copy-link', run: () => copy(link) },
      file && { label: t('menu.copyimage'), icon: 'copy', testid: 'copy-image', run: () => copy(file.url) },
      { label: t('menu.copyid'), icon: 'copy', testid: 'copy-id', run: () => copy(message.id) },
      mayDelete && 'rule',
      mayDelete && {
        label: t('menu.delete'),
        icon: 'trash',
        danger: true,
        testid: 'delete-message',
        run: () => actions.deleteMessage(message),
      },
      ephemeral && {
        label: t('message.dismiss'),
        icon: 'eye',
        testid: 'menu-dismiss',
        run: () => store.remove(message.channel_id, message.id),
      },
    ],
    { at, align: at ? 'start' : 'end', label: t('menu.label') },
  );
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // no permission, or the page came by plain HTTP from another machine
    const area = h('textarea', { value: text });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(t('menu.copied'));
}

// Puts the parts together: server events into the store, the person's acts to the server.

import { Banner } from './banner.js';
import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { markdownContext } from './context.js';
import { h, icon } from './dom.js';
import { greeting, information, openHelp } from './help.js';
import { nearest, setLocale, t } from './i18n.js';
import { markdown } from './markdown.js';
import { messageMenu } from './menu.js';
import { MessageList } from './message_list.js';
import { Modal } from './modal.js';
import { Sidebar } from './sidebar.js';
import { Store } from './store.js';
import { startClock } from './timestamps.js';
import { toast } from './toasts.js';

const byId = (id) => document.getElementById(id);
const store = new Store();
const connection = new Connection();
const failedComponents = new Map(); // message id → why its last click failed
let modal = null;
let about = {};
let sequence = 0;

const nonce = () => `${Date.now().toString(36)}-${(sequence += 1).toString(36)}`;
const request = (op, fields) => connection.send(op, fields);

/** Sends an interaction and notes it as under way; false when there is no connection. */
function interact(op, fields, entry) {
  const id = nonce();
  if (!request(op, { nonce: id, ...fields })) return null;
  store.interactions.begin(id, entry);
  return id;
}

const actions = {
  openChannel(channelId, messageId) {
    if (channelId !== store.currentId && !store.select(channelId)) return;
    closeDrawer();
    if (messageId) list.reveal(messageId);
  },
  runCommand: (name) => composer.startByName(name),
  menu: (anchor, message, at) => messageMenu({ anchor, at, message, store, actions }),
  deleteMessage: (message) => request('delete', { channel_id: message.channel_id, message_id: message.id }),
  messageCommand: (command, message) => contextCommand(command, message.id),
  userCommand: (command, message) => contextCommand(command, message.author.id),
  switchUser(userId) {
    modal?.close();
    failedComponents.clear();
    store.reset();
    composer.reset();
    list.show();
    sessionStorage.setItem('fullet.user', userId);
    connection.connect(userId);
    closeDrawer();
  },
  setLocale(locale) {
    localStorage.setItem(`fullet.locale.${store.me.id}`, locale);
    request('locale', { locale });
    store.locale = locale;
    useLocale(locale);
  },
  toggleTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === 'dark'
      : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    localStorage.setItem('fullet.theme', root.dataset.theme);
  },
  openHelp: () => showHelp(),
  closeDrawer: () => closeDrawer(),
};

function contextCommand(command, targetId) {
  const sent = interact(
    'command',
    { channel_id: store.currentId, name: command.name, type: command.type, options: [], target_id: targetId },
    { kind: 'command', channelId: store.currentId, name: command.name, targetName: true },
  );
  if (!sent) toast(t('composer.offline'), { bad: true });
}

function press(message, component, values) {
  failedComponents.delete(message.id);
  const fields = {
    channel_id: message.channel_id,
    message_id: message.id,
    custom_id: component.custom_id,
    component_type: component.type,
    ...(values ? { values } : {}),
  };
  if (
    !interact('component', fields, {
      kind: 'component',
      channelId: message.channel_id,
      messageId: message.id,
      customId: component.custom_id,
    })
  )
    toast(t('composer.offline'), { bad: true });
}

const context = markdownContext(store, actions);
const banner = new Banner(byId('banner'), connection);
const sidebar = new Sidebar(byId('sidebar'), store, actions);
const list = new MessageList(byId('messages'), {
  store,
  context,
  actions,
  press,
  failedComponents,
  request,
  greets: (channel) => greets(channel),
});
const composer = new Composer(byId('composer'), {
  store,
  request,
  nonce,
  online: () => connection.open,
  command: ({ shown, ...fields }) =>
    interact(
      'command',
      { channel_id: store.currentId, ...fields },
      { kind: 'command', channelId: store.currentId, name: shown },
    ),
});

// ── around the channel ───────────────────────────────────────────────────────────────────────────────────
function drawTopbar() {
  const channel = store.current;
  byId('topbar').replaceChildren(
    h(
      'button.icon-button.drawer-open',
      { type: 'button', 'aria-label': t('nav.open'), 'data-testid': 'drawer-open', onclick: openDrawer },
      icon('menu', 22),
      store.unread.size > 0 && h('span.dot'),
    ),
    channel
      ? h(
          'h1.topbar-name',
          { 'data-testid': 'channel-title' },
          icon(store.isPrivate(channel) ? 'lock' : 'hash', 20),
          h('span', null, store.channelName(channel)),
        )
      : '',
    channel?.topic ? h('span.topic', null, markdown(channel.topic, context, { block: false })) : '',
  );
}

function drawTitle() {
  const pings = [...store.unread.values()].reduce((sum, mark) => sum + mark.pings, 0);
  const name = store.current ? `#${store.channelName(store.current)} · ` : '';
  document.title = `${pings ? `(${pings}) ` : store.unread.size ? '• ' : ''}${name}FuLLet`;
  byId('topbar')
    .querySelector('.drawer-open')
    ?.classList.toggle('has-unread', store.unread.size > 0);
}

function openDrawer() {
  byId('app').classList.add('drawer');
  byId('scrim').hidden = false;
  byId('sidebar').querySelector('.channel.current, .channel')?.focus();
}

function closeDrawer() {
  byId('app').classList.remove('drawer');
  byId('scrim').hidden = true;
}

function useLocale(locale) {
  setLocale(locale);
  sidebar.draw();
  list.draw();
  composer.localeChanged();
  drawTopbar();
}

/** Anybody who has not chosen a language yet gets the browser's. */
function speakAsTheBrowser() {
  const wanted = nearest(navigator.language);
  const chosen = store.locale !== 'en-US' || localStorage.getItem(`fullet.locale.${store.me.id}`);
  if (!chosen && wanted !== store.locale) actions.setLocale(wanted);
}

function firstChannel() {
  const [, channelId, messageId] = /^#\/(\d+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
  const remembered = sessionStorage.getItem(`fullet.channel.${store.me.id}`);
  const wanted = [channelId, remembered].find((id) => store.channels.has(id)) ?? firstOpen()?.id;
  if (wanted) actions.openChannel(wanted, wanted === channelId ? messageId : undefined);
}

const imagine = () => store.commands.find((command) => command.name === 'imagine');
const nameOfImagine = () => imagine()?.name_localizations?.[store.locale] ?? 'imagine';

/** The first channel that everybody sees. */
const firstOpen = () => {
  const all = store.sections().flatMap((section) => section.channels);
  return all.find((channel) => !store.isPrivate(channel)) ?? all[0];
};

/** What a channel begins with besides its name: the first one greets, once the bot can be asked. */
function greets(channel) {
  if (!imagine() || channel.id !== firstOpen()?.id) return null;
  const prompt = t('greet.prompt');
  const tryIt = () => composer.startByName('imagine', { prompt: { text: prompt } });
  return greeting({ gpus: about.simulated_gpus, command: nameOfImagine(), prompt, tryIt });
}

function showHelp() {
  openHelp({
    gpus: about.simulated_gpus,
    command: nameOfImagine(),
    tryIt: () => matchMedia('(hover: hover)').matches && composer.focus(),
  });
}

// ── wiring ───────────────────────────────────────────────────────────────────────────────────────────────
connection.on('event', (event) => store.apply(event));
connection.on('state', ({ state }) => state !== 'open' && state !== 'connecting' && store.interactions.failAll());
store.on('ready', ({ again }) => {
  banner.ready();
  useLocale(store.locale);
  speakAsTheBrowser();
  if (!again || !store.currentId) firstChannel();
  drawTopbar();
  drawTitle();
  byId('app').dataset.ready = store.me.id;
});
store.on('current', () => sessionStorage.setItem(`fullet.channel.${store.me.id}`, store.currentId));
for (const name of ['current', 'channels']) store.on(name, drawTopbar);
for (const name of ['current', 'channels', 'unread']) store.on(name, drawTitle);
store.on('channel-opened', (channel) => {
  const words = store.isPrivate(channel) ? `${t('toast.channel')}: #${channel.name}` : `#${channel.name}`;
  const notice = toast(words, { action: t('toast.go'), run: () => actions.openChannel(channel.id) });
  const stop = store.on('current', () => {
    if (store.currentId !== channel.id) return;
    notice.remove();
    stop();
  });
});
store.on('channel-gone', (channel) => {
  toast(t('toast.gone', { channel: store.channelName(channel) }));
  store.currentId = null;
  firstChannel();
});
store.on('error', ({ message }) => toast(message, { bad: true }));
store.on('modal', (data) => {
  modal?.close();
  modal = new Modal(data, {
    store,
    context,
    request,
    nonce,
    submit: (form, components) =>
      interact(
        'modal',
        { custom_id: form.custom_id, components, channel_id: data.origin.channelId },
        { kind: 'modal', channelId: data.origin.channelId },
      ),
  });
});
store.on('interaction', (entry) => {
  if (entry.kind === 'modal' && entry.nonce === modal?.nonce && entry.state !== 'sent')
    modal.settled(entry.state, entry.error);
  if (entry.kind === 'component' && entry.state === 'failed') {
    failedComponents.set(entry.messageId, entry.error ?? '');
    list.draw();
  }
});
byId('scrim').addEventListener('click', closeDrawer);
document.addEventListener('keydown', (event) => event.key === 'Escape' && closeDrawer());
document.addEventListener('visibilitychange', () => document.hidden || store.seen());
window.addEventListener('hashchange', () => store.ready && firstChannel());
window.addEventListener('online', () => connection.retryNow());

const theme = localStorage.getItem('fullet.theme');
if (theme) document.documentElement.dataset.theme = theme;
setLocale(nearest(navigator.language));
startClock();
sidebar.draw();
information().then((told) => {
  about = told;
  sidebar.statusPage = told.status_page;
  sidebar.draw();
  list.greetAgain();
});
connection.connect(new URLSearchParams(location.search).get('user') ?? sessionStorage.getItem('fullet.user'));

// The panel that a newcomer sees first: three steps, and which side of this is simulated.

import { h, icon } from './dom.js';
import { t } from './i18n.js';

const SEEN = 'fullet.help.seen';

/** How many of the GPUs behind the bot are simulated; null if the server does not say. */
export async function simulatedGpus() {
  try {
    const response = await fetch('/client/info', { signal: AbortSignal.timeout(3000) });
    return response.ok ? (await response.json()).simulated_gpus : null;
  } catch {
    return null;
  }
}

/** Which side is simulated, in the reader's language. */
export function noteOn(gpus) {
  if (typeof gpus !== 'number') return t('help.note');
  const behind = gpus ? t('help.gpus', { n: gpus }) : t('help.real');
  return `${t('help.note')} ${behind}`;
}

export const helpWasSeen = () => Boolean(localStorage.getItem(SEEN));

/** `tryIt` starts the first command in the composer. */
export function openHelp({ gpus, command, tryIt }) {
  document.querySelector('dialog.help')?.remove();
  const touch = matchMedia('(hover: none)').matches;
  const [before, after] = t(touch ? 'help.step1touch' : 'help.step1').split('{cmd}');
  const dialog = h(
    'dialog.help',
    { 'data-testid': 'help', 'aria-labelledby': 'help-title' },
    h(
      'button.icon-button.help-close',
      { type: 'button', 'aria-label': t('help.close'), onclick: () => dialog.close() },
      icon('close', 20),
    ),
    h('h2', { id: 'help-title' }, t('help.title')),
    h(
      'ol.steps',
      null,
      h('li', null, h('span', null, before, h('kbd', null, `/${command}`), after)),
      h('li', null, h('span', null, t('help.step2'))),
      h('li', null, h('span', null, t('help.step3'))),
    ),
    h('p.help-more', null, t(touch ? 'help.moretouch' : 'help.more')),
    h('p.help-note', { 'data-testid': 'client-note' }, icon('app', 17), h('span', null, noteOn(gpus))),
    h(
      'button.button.primary',
      { type: 'button', autofocus: true, 'data-testid': 'help-close', onclick: () => dialog.close() },
      t('help.close'),
    ),
  );
  dialog.addEventListener('close', () => {
    localStorage.setItem(SEEN, '1');
    dialog.remove();
    tryIt();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

// How it works: what stands in the first channel, the panel behind the question mark, which side of this is simulated.

import { h, icon } from './dom.js';
import { t } from './i18n.js';

/** What stands behind the page: {simulated_gpus, status_page}, each null if the server does not say. */
export async function information() {
  try {
    const response = await fetch('/client/info', { signal: AbortSignal.timeout(3000) });
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

/** Which side is simulated, in the reader's language. */
export function noteOn(gpus) {
  if (typeof gpus !== 'number') return t('help.note');
  const behind = gpus ? t('help.gpus', { n: gpus }) : t('help.real');
  return `${t('help.note')} ${behind}`;
}

/** What the first channel begins with; `tryIt` fills in the first command, with `prompt`. */
export function greeting({ gpus, command, prompt, tryIt }) {
  const [before, after] = t('greet.text').split('{cmd}');
  return h(
    'section.greeting',
    { 'aria-labelledby': 'greeting-title', 'data-testid': 'greeting' },
    h('h3', { id: 'greeting-title' }, t('greet.title')),
    h('p', null, before, h('kbd', null, `/${command}`), after),
    h(
      'button.button.primary',
      { type: 'button', 'data-testid': 'try-it', onclick: tryIt },
      `${t('greet.try')}: ${prompt}`,
    ),
    h('p.help-note', { 'data-testid': 'client-note' }, icon('app', 17), h('span', null, noteOn(gpus))),
  );
}

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
      { type: 'button', 'aria-label': t('modal.close'), onclick: () => dialog.close() },
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
    h('p.help-note', null, icon('app', 17), h('span', null, noteOn(gpus))),
    h(
      'button.button.primary',
      { type: 'button', autofocus: true, 'data-testid': 'help-close', onclick: () => dialog.close() },
      t('help.close'),
    ),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    tryIt();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

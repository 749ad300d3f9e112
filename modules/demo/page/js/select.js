// A select menu: one choice is sent at once, several are sent with Done (or on leaving).

import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { popup, roving } from './popup.js';

const SEARCH_FROM = 8;

export function selectMenu(data, options, env) {
  const defaults = new Set([
    ...options.filter((option) => option.default).map((option) => option.value),
    ...(data.default_values ?? []).map((one) => one.id),
  ]);
  const chosen = options.filter((option) => defaults.has(option.value));
  const busy = env.busy(data.custom_id);
  const trigger = h(
    'button.select',
    {
      type: 'button',
      disabled: data.disabled,
      class: busy ? 'busy' : '',
      'aria-haspopup': 'listbox',
      'aria-expanded': 'false',
      'data-testid': 'select',
      'data-custom-id': data.custom_id,
      onclick: () =>
        busy ||
        openSelect(
          trigger,
          data,
          options,
          chosen.map((one) => one.value),
          (values) => env.press(data, values),
        ),
    },
    h(
      'span.select-text',
      { class: chosen.length ? '' : 'placeholder' },
      chosen.length ? chosen.map((one) => one.label).join(', ') : data.placeholder || t('select.placeholder'),
    ),
    icon('down', 16),
  );
  return trigger;
}

/** Opens the list under `trigger`; `send(values)` is called when the choice is made. */
export function openSelect(trigger, data, options, initial, send) {
  const min = data.min_values ?? 1;
  const max = data.max_values ?? 1;
  const { placeholder } = data;
  const picked = new Set(initial);
  const several = max > 1 || min === 0;
  let done = false;
  const finish = () => {
    const values = options.filter((option) => picked.has(option.value)).map((option) => option.value);
    if (values.length < min || values.length > max) return;
    done = true;
    handle.close();
    if (!several || values.join() !== initial.join()) send(values);
  };
  const list = h('div.select-list', {
    role: 'listbox',
    'aria-multiselectable': several,
    'aria-label': placeholder || t('select.placeholder'),
  });
  const draw = (filter = '') => {
    list.replaceChildren(
      ...options.filter((option) => option.label.toLowerCase().includes(filter)).map((option) => optionButton(option)),
    );
  };
  const optionButton = (option) =>
    h(
      'button.select-option',
      {
        type: 'button',
        role: 'option',
        'aria-selected': picked.has(option.value),
        'data-testid': 'select-option',
        'data-value': option.value,
        onclick: (event) => {
          if (!several) {
            picked.clear();
            picked.add(option.value);
            finish();
            return;
          }
          if (picked.has(option.value)) picked.delete(option.value);
          else if (picked.size < max) picked.add(option.value);
          event.currentTarget.setAttribute('aria-selected', picked.has(option.value));
        },
      },
      option.emoji?.name && !option.emoji.id ? h('span', null, option.emoji.name) : null,
      h('span.select-label', null, option.label, option.description && h('small', null, option.description)),
      icon('check', 16),
    );
  const search =
    options.length >= SEARCH_FROM &&
    h('input.select-search', {
      type: 'search',
      placeholder: t('select.search'),
      'aria-label': t('select.search'),
      oninput: (event) => draw(event.target.value.toLowerCase()),
    });
  draw();
  const body = h(
    'div.select-body',
    { 'data-testid': 'select-body' },
    search,
    list,
    several &&
      h(
        'div.select-foot',
        null,
        h('span', null, t('select.pick', { min, max: Math.min(max, options.length) })),
        h('button.button.primary', { type: 'button', 'data-testid': 'select-done', onclick: finish }, t('select.done')),
      ),
  );
  trigger.setAttribute('aria-expanded', 'true');
  const handle = popup(trigger, body, {
    matchWidth: true,
    onclose: () => {
      trigger.setAttribute('aria-expanded', 'false');
      if (several && !done && picked.size >= min && [...picked].join() !== initial.join()) {
        done = true;
        send(options.filter((option) => picked.has(option.value)).map((option) => option.value));
      }
    },
  });
  roving(body, 'input, [role=option], .select-foot button');
  (search || list.querySelector('[role=option]'))?.focus({ preventScroll: true });
}

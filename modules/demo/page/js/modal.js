// A form that the bot asks for: texts, choices and files under their labels, checked here, kept open with its words until the bot has taken it.

import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { markdown } from './markdown.js';
import { openSelect } from './select.js';
import { Upload } from './uploads.js';

const SHORT = 1;
const CHECKBOX = 23;

export class Modal {
  /** `env`: {store, context, request, nonce, submit(modal, components) → nonce|null}. */
  constructor(data, env) {
    this.data = data;
    this.env = env;
    this.fields = [];
    this.error = h('p.modal-error', { role: 'alert', hidden: true, 'data-testid': 'modal-error' });
    this.submitButton = h(
      'button.button.primary',
      { type: 'submit', 'data-testid': 'modal-submit' },
      t('modal.submit'),
    );
    const form = h(
      'form',
      {
        novalidate: true,
        onsubmit: (event) => {
          event.preventDefault();
          this.#submit();
        },
      },
      h(
        'header.modal-head',
        null,
        h('h2', { id: 'modal-title', 'data-testid': 'modal-title' }, data.title),
        h(
          'button.icon-button',
          { type: 'button', 'aria-label': t('modal.close'), onclick: () => this.close() },
          icon('close', 20),
        ),
      ),
      h(
        'div.modal-body',
        null,
        (data.components ?? []).map((one) => this.#component(one)),
        this.error,
      ),
      h(
        'footer.modal-foot',
        null,
        h(
          'button.button.plain',
          { type: 'button', 'data-testid': 'modal-cancel', onclick: () => this.close() },
          t('modal.cancel'),
        ),
        this.submitButton,
      ),
    );
    this.dialog = h(
      'dialog.modal',
      { 'aria-labelledby': 'modal-title', 'data-testid': 'modal', 'data-custom-id': data.custom_id },
      form,
    );
    this.dialog.addEventListener('close', () => this.dialog.remove());
    document.body.append(this.dialog);
    this.dialog.showModal();
    (this.fields[0]?.first ?? this.submitButton).focus();
  }

  close() {
    this.closed = true;
    this.dialog.close();
  }

  /** The bot's answer to what was sent: any but a failure closes the form. */
  settled(state, message) {
    this.nonce = null;
    if (state !== 'failed') {
      this.close();
      return;
    }
    this.submitButton.disabled = false;
    this.submitButton.textContent = t('modal.submit');
    this.#say(message || t('modal.failed'));
  }

  #say(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }

  // ── parts ──────────────────────────────────────────────────────────────────────────────────────────────
  #component(data) {
    if (data.type === 10) return h('div.markdown.modal-text', null, markdown(data.content, this.env.context));
    if (data.type === 1)
      return h(
        'div',
        null,
        (data.components ?? []).map((one) => this.#field(one, one.label, null, { type: 1 })),
      );
    if (data.type === 18) return this.#field(data.component ?? {}, data.label, data.description, { type: 18 });
    return null;
  }

  #field(data, label, description, parent) {
    const id = `modal-${this.fields.length}`;
    const build =
      {
        3: () => this.#select(data, data.options ?? []),
        4: () => this.#text(data),
        19: () => this.#file(data),
        21: () => this.#group(data, 'radio', id),
        22: () => this.#group(data, 'checkbox', id),
        23: () => this.#checkbox(data),
      }[data.type] ?? (() => this.#select(data, this.#entities(data.type)));
    const field = { data, parent, ...build() };
    const { control } = field;
    field.first = control.querySelector('input') ?? control;
    control.id = id;
    field.note = h('span.field-note', { id: `${id}-note`, role: 'alert' });
    control.setAttribute('aria-describedby', `${description ? `${id}-about ` : ''}${id}-note`);
    if (control.tagName === 'BUTTON') control.setAttribute('aria-labelledby', `${id}-label ${id}`); // what it is, and what is chosen
    else control.setAttribute('aria-labelledby', `${id}-label`);
    this.fields.push(field);
    return h(
      `div.field${data.type === CHECKBOX ? '.field-check' : ''}`,
      { 'data-testid': `modal-field-${data.custom_id}` },
      h(
        control.tagName === 'DIV' ? 'span.field-label' : 'label.field-label',
        { for: control.tagName === 'DIV' ? null : id, id: `${id}-label` },
        label,
        required(data) ? h('span.field-star', { 'aria-hidden': 'true' }, ' *') : null,
      ),
      description && h('small.field-description', { id: `${id}-about` }, description),
      field.node ?? control,
      field.note,
    );
  }

  /** One or several of a list, each with its own words. */
  #group(data, type, id) {
    const inputs = (data.options ?? []).map((option) =>
      h('input', { type, name: id, value: option.value, checked: Boolean(option.default) }),
    );
    const control = h(
      'div.choices',
      { role: type === 'radio' ? 'radiogroup' : 'group', 'data-testid': `modal-input-${data.custom_id}` },
      (data.options ?? []).map((option, i) =>
        h(
          'label.choice',
          null,
          inputs[i],
          h('span', null, option.label, option.description && h('small', null, option.description)),
        ),
      ),
    );
    const values = () => inputs.filter((input) => input.checked).map((input) => input.value);
    const most = type === 'radio' ? 1 : (data.max_values ?? inputs.length);
    return {
      control,
      problem: () => wrongCount(data, values().length, most),
      read: () => (type === 'radio' ? { value: values()[0] ?? null } : { values: values() }),
    };
  }

  #checkbox(data) {
    const control = h('input', {
      type: 'checkbox',
      checked: Boolean(data.default),
      'data-testid': `modal-input-${data.custom_id}`,
    });
    return { control, problem: () => null, read: () => ({ value: control.checked }) };
  }

  #text(data) {
    const props = {
      value: data.value ?? '',
      placeholder: data.placeholder,
      'data-testid': `modal-input-${data.custom_id}`,
      'aria-required': required(data),
      maxlength: data.max_length ?? 4000,
      autocomplete: 'off',
    };
    const control =
      data.style === SHORT
        ? h('input.field-input', { type: 'text', ...props })
        : h('textarea.field-input', { rows: 4, ...props });
    const problem = () => {
      const length = [...control.value].length;
      if (required(data) && !control.value.trim()) return t('modal.required');
      if (length && data.min_length && length < data.min_length) return t('modal.short', { n: data.min_length });
      return length > (data.max_length ?? 4000) ? t('modal.long', { n: data.max_length ?? 4000 }) : null;
    };
    return { control, problem, read: () => ({ value: control.value }) };
  }

  #select(data, options) {
    const chosen = new Set((data.default_values ?? []).map((one) => one.id));
    let values = options.filter((one) => one.default || chosen.has(one.value)).map((one) => one.value);
    const words = () =>
      options
        .filter((option) => values.includes(option.value))
        .map((option) => option.label)
        .join(', ') ||
      data.placeholder ||
      t('select.placeholder');
    const text = h('span.select-text', null, words());
    const control = h(
      'button.select',
      {
        type: 'button',
        'aria-haspopup': 'listbox',
        'data-testid': `modal-input-${data.custom_id}`,
        onclick: () =>
          openSelect(control, data, options, values, (next) => {
            values = next;
            text.textContent = words();
          }),
      },
      text,
      icon('down', 16),
    );
    return {
      control,
      problem: () => wrongCount(data, values.length, data.max_values ?? 1),
      read: () => ({ values }),
    };
  }

  #entities(type) {
    const { store } = this.env;
    const users = store.users.map((user) => ({ label: `@${user.global_name ?? user.username}`, value: user.id }));
    const roles = (store.guild?.roles ?? []).map((role) => ({
      label: `@${role.name.replace(/^@/, '')}`,
      value: role.id,
    }));
    return (
      {
        5: users,
        6: roles,
        7: [...users, ...roles],
        8: [...store.channels.values()].map((channel) => ({ label: `#${channel.name}`, value: channel.id })),
      }[type] ?? []
    );
  }

  #file(data) {
    const most = data.max_values ?? 1;
    let uploads = [];
    const list = h('ul.file-list');
    const draw = () => {
      list.replaceChildren(...uploads.map((one) => this.#fileLine(one, () => remove(one))));
      control.disabled = uploads.length >= most;
    };
    const remove = (upload) => {
      upload.drop();
      uploads = uploads.filter((one) => one !== upload);
      draw();
      control.focus();
    };
    const input = h('input', {
      type: 'file',
      multiple: most > 1,
      hidden: true,
      'data-testid': `modal-file-${data.custom_id}`,
      onchange: () => {
        const added = [...input.files].slice(0, most - uploads.length);
        uploads.push(...added.map((file) => new Upload(file, this.env.store.me.id, draw)));
        input.value = '';
        draw();
      },
    });
    const control = h(
      'button.select',
      { type: 'button', 'data-testid': `modal-input-${data.custom_id}`, onclick: () => input.click() },
      h('span.select-text', null, most > 1 ? t('modal.files', { n: most }) : t('composer.choose')),
      icon('file', 16),
    );
    return {
      control,
      node: h('div', null, control, input, list),
      wait: () => Promise.all(uploads.map((one) => one.done)),
      problem: () => {
        const failed = uploads.find((one) => one.state === 'failed');
        return failed
          ? t('composer.uploadfailed', { why: failed.error })
          : wrongCount(data, uploads.length, most);
      },
      read: () => ({ values: uploads.map((one) => one.result.id) }),
    };
  }

  #fileLine(upload, remove) {
    return h(
      'li.file-line',
      { 'data-testid': 'modal-chosen-file', 'data-state': upload.state },
      upload.previewUrl ? h('img', { src: upload.previewUrl, alt: '' }) : icon('file', 20),
      h('span', null, upload.file.name),
      upload.state === 'uploading' && h('span.spinner'),
      h(
        'button.icon-button',
        { type: 'button', 'aria-label': t('composer.remove', { name: upload.file.name }), onclick: remove },
        icon('close', 14),
      ),
    );
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────────────
  async #submit() {
    if (this.nonce) return;
    await Promise.all(this.fields.map((field) => field.wait?.()));
    let first = null;
    for (const field of this.fields) {
      const problem = field.problem();
      field.note.textContent = problem ?? '';
      field.control.setAttribute('aria-invalid', String(Boolean(problem)));
      if (problem) first ??= field;
    }
    if (first) {
      first.first.focus();
      return;
    }
    this.#say('');
    this.nonce = this.env.submit(
      this.data,
      this.fields.map((field) => wrapped(field)),
    );
    if (!this.nonce) {
      this.#say(t('composer.offline'));
      return;
    }
    this.submitButton.disabled = true;
    this.submitButton.textContent = t('modal.sending');
  }
}

const required = (data) => data.required !== false && data.type !== CHECKBOX;

/** What is wrong with so many choices, in words. */
function wrongCount(data, count, most) {
  const min = data.min_values ?? 1;
  if (!count) return required(data) ? t('modal.required') : null;
  return count < min || count > most ? t('select.pick', { min, max: most }) : null;
}

/** A field's value as Discord sends it: inside its row or label. */
function wrapped({ data, parent, read }) {
  const inner = { type: data.type, custom_id: data.custom_id, ...read() };
  return parent.type === 18 ? { type: 18, component: inner } : { type: 1, components: [inner] };
}

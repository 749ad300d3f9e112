// A form that the bot asks for: text inputs, selects and file uploads, checked here, kept open with its words until the bot took it.

import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { markdown } from './markdown.js';
import { openSelect } from './select.js';
import { Upload } from './uploads.js';

const SHORT = 1;

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
          { type: 'button', 'aria-label': t('modal.cancel'), onclick: () => this.close() },
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
    (this.fields[0]?.control ?? this.submitButton).focus();
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
    const build =
      { 4: () => this.#text(data), 19: () => this.#file(data), 3: () => this.#select(data, data.options ?? []) }[
        data.type
      ] ?? (() => this.#select(data, this.#entities(data.type)));
    const field = { data, parent, ...build() };
    const id = `modal-${this.fields.length}`;
    field.control.id = id;
    field.note = h('span.field-note', { id: `${id}-note`, role: 'alert' });
    field.control.setAttribute('aria-describedby', `${id}-note`);
    if (field.control.tagName === 'BUTTON') field.control.setAttribute('aria-labelledby', `${id}-label ${id}`); // what it is, and what is chosen
    this.fields.push(field);
    return h(
      'div.field',
      { 'data-testid': `modal-field-${data.custom_id}` },
      h(
        'label.field-label',
        { for: id, id: `${id}-label` },
        label,
        required(data) ? h('span.field-star', { 'aria-hidden': 'true' }, ' *') : null,
      ),
      description && h('small.field-description', null, description),
      field.node ?? field.control,
      field.note,
    );
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
    let values = options.filter((option) => option.default).map((option) => option.value);
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
      problem: () => (required(data) && values.length < (data.min_values ?? 1) ? t('modal.required') : null),
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
    let uploads = [];
    const names = h('span.select-text', null, t('composer.choose'));
    const draw = () => {
      names.textContent =
        uploads
          .map((one) => (one.state === 'failed' ? t('composer.uploadfailed', { why: one.error }) : one.file.name))
          .join(', ') || t('composer.choose');
    };
    const input = h('input', {
      type: 'file',
      multiple: (data.max_values ?? 1) > 1,
      hidden: true,
      'data-testid': `modal-file-${data.custom_id}`,
      onchange: () => {
        uploads = [...input.files]
          .slice(0, data.max_values ?? 1)
          .map((file) => new Upload(file, this.env.store.me.id, draw));
        draw();
      },
    });
    const control = h(
      'button.select',
      { type: 'button', 'data-testid': `modal-input-${data.custom_id}`, onclick: () => input.click() },
      names,
      icon('file', 16),
    );
    return {
      control,
      node: h('div', null, control, input),
      wait: () => Promise.all(uploads.map((one) => one.done)),
      problem: () =>
        uploads.some((one) => one.state === 'failed') || (required(data) && uploads.length < (data.min_values ?? 1))
          ? t('modal.required')
          : null,
      read: () => ({ values: uploads.filter((one) => one.result).map((one) => one.result.id) }),
    };
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
      first.control.focus();
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

const required = (data) => data.required !== false;

/** A field's value as Discord sends it: inside its row or label. */
function wrapped({ data, parent, read }) {
  const inner = { type: data.type, custom_id: data.custom_id, ...read() };
  return parent.type === 18 ? { type: 18, component: inner } : { type: 1, components: [inner] };
}

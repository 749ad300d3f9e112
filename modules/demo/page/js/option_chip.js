// One option of a command as a chip: its name, and a field for text or for a file.

import { OPTION, read } from './commands.js';
import { h, icon } from './dom.js';
import { localized, t } from './i18n.js';
import { Upload } from './uploads.js';

const INPUT_MODES = { [OPTION.integer]: 'numeric', [OPTION.number]: 'decimal' };

export class OptionChip {
  /** `on`: {focus(chip), blur(chip), key(event, chip), input(chip), remove(chip), file(chip)}; `store`: for whom and what is known. */
  constructor(option, store, on) {
    this.option = option;
    this.store = store;
    this.on = on;
    this.text = '';
    this.picked = null; // {name, value} that was chosen, as long as the text is its name
    this.seen = []; // what the bot proposed last
    this.upload = null;
    this.field = this.isFile ? this.#fileField() : this.#textField();
    this.node = this.#node();
  }

  get isFile() {
    return this.option.type === OPTION.attachment;
  }

  get empty() {
    return !this.text && !this.upload;
  }

  /** {value} | {empty} | {error}, see `read`. */
  outcome() {
    if (this.upload?.state === 'failed') return { error: t('composer.uploadfailed', { why: this.upload.error }) };
    const known = this.seen.find((choice) => localized(choice) === this.text);
    const picked = this.picked ?? (known ? { name: this.text, value: known.value } : null);
    return read(this.option, { text: this.text, picked, upload: this.upload?.result }, this.store);
  }

  setText(text, picked = null) {
    this.text = text;
    this.picked = picked;
    this.field.value = text;
  }

  setFile(file) {
    this.upload?.drop();
    this.upload = new Upload(file, this.store.me.id, () => this.#drawFile());
    this.#drawFile();
  }

  clearFile() {
    this.upload?.drop();
    this.upload = null;
    this.picker.value = '';
    delete this.field.dataset.state;
    this.field.replaceChildren(t('composer.choose'), this.picker);
  }

  markInvalid(invalid) {
    this.node.classList.toggle('invalid', invalid);
    this.field.setAttribute('aria-invalid', String(invalid));
  }

  drop() {
    this.upload?.drop();
    this.node.remove();
  }

  #node() {
    const { option } = this;
    const remove = h(
      'button.chip-remove',
      {
        type: 'button',
        tabindex: -1,
        'aria-label': t('composer.remove', { name: localized(option) }),
        onclick: () => this.on.remove(this),
      },
      icon('close', 12),
    );
    return h(
      'div.chip',
      { 'data-testid': `option-${option.name}`, onclick: () => this.field.focus() },
      h('span.chip-name', null, localized(option)),
      this.field,
      !option.required && remove,
    );
  }

  #textField() {
    const { option } = this;
    return h('textarea.chip-field', {
      rows: 1,
      'aria-haspopup': 'listbox',
      'aria-autocomplete': 'list',
      'aria-label': `${localized(option)}: ${localized(option, 'description')}`,
      'aria-required': Boolean(option.required),
      autocomplete: 'off',
      autocapitalize: 'off',
      spellcheck: 'false',
      enterkeyhint: 'send',
      inputmode: INPUT_MODES[option.type],
      'data-testid': `field-${option.name}`,
      oninput: (event) => {
        this.text = event.target.value;
        if (this.picked?.name !== this.text) this.picked = null;
        this.on.input(this);
      },
      onfocus: () => this.on.focus(this),
      onblur: () => this.on.blur(this),
      onkeydown: (event) => this.on.key(event, this),
    });
  }

  #fileField() {
    const { option } = this;
    this.picker = h('input', {
      type: 'file',
      hidden: true,
      tabindex: -1,
      'data-testid': `file-${option.name}`,
      onclick: (event) => event.stopPropagation(),
      onchange: () => this.picker.files[0] && this.on.file(this, this.picker.files[0]),
    });
    const field = h('button.chip-file', {
      type: 'button',
      'aria-label': `${localized(option)}: ${t('composer.choose')}`,
      'data-testid': `field-${option.name}`,
      onclick: () => this.picker.click(),
      onfocus: () => this.on.focus(this),
      onkeydown: (event) => this.on.key(event, this),
    });
    field.append(t('composer.choose'), this.picker);
    return field;
  }

  #drawFile() {
    const { upload, field } = this;
    field.dataset.state = upload.state;
    field.replaceChildren(
      upload.previewUrl ? h('img', { src: upload.previewUrl, alt: '' }) : icon('file', 16),
      h('span.chip-file-name', null, upload.file.name || 'pasted.png'),
      upload.state === 'uploading' ? h('span.spinner', { role: 'img', 'aria-label': t('composer.uploading') }) : '',
      this.picker,
    );
    this.on.input(this);
  }
}

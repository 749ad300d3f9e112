// A command being filled in: its options as chips in a row, required ones first, completed as one types.

import { OPTION, filterChoices, fixedChoices, payload, read } from './commands.js';
import { h, icon } from './dom.js';
import { localized, t } from './i18n.js';
import { Upload } from './uploads.js';

const DEBOUNCE_MS = 180;
const AUTOCOMPLETE_LIMIT_MS = 4000;

export class CommandForm {
  /** `env`: {store, suggestions, request(op, fields), nonce(), submit(leaf, options, values), leave(), hint(node)}. `values`: what options start with, by name. */
  constructor(root, leaf, env, values = {}) {
    this.root = root;
    this.leaf = leaf;
    this.env = env;
    this.chips = [];
    this.row = h('div.command-row', { role: 'group', 'aria-label': `/${leaf.label}`, 'data-testid': 'command-form', 'data-command': leaf.name },
      h('span.command-name', { 'data-testid': 'command-name' }, `/${leaf.label}`));
    root.replaceChildren(this.row);
    leaf.options.filter((option) => option.required).forEach((option) => this.#add(option));
    if (!this.chips.length && leaf.options.length === 1) this.#add(leaf.options[0]);
    this.stopListening = env.store.on('autocomplete', (data) => this.#autocompleteCame(data));
    this.#drawHint();
    this.focus(this.chips[0]);
    for (const option of leaf.options.filter((one) => values[one.name])) {
      this.#setText(this.chips.find((chip) => chip.option === option) ?? this.#add(option), values[option.name].text, values[option.name].picked);
    }
  }

  /** What was typed, to begin the same command with once more. */
  #values() {
    return Object.fromEntries(this.chips.filter((chip) => chip.text).map((chip) => [chip.option.name, { text: chip.text, picked: chip.picked }]));
  }

  close() {
    clearTimeout(this.timer);
    this.stopListening();
    this.env.suggestions.hide();
    this.env.hint(null);
    this.chips.forEach((chip) => chip.upload?.drop());
  }

  focus(chip) {
    if (chip) chip.field.focus();
    else this.row.querySelector('.command-name').focus();
  }

  // ── chips ──────────────────────────────────────────────────────────────────────────────────────────────
  #add(option) {
    const chip = { option, text: '', picked: null, upload: null, error: null };
    chip.field = option.type === OPTION.attachment ? this.#fileField(chip) : this.#textField(chip);
    chip.node = h('div.chip', { 'data-testid': `option-${option.name}`, class: option.required ? 'required' : '', onclick: () => chip.field.focus() },
      h('span.chip-name', null, localized(option)), chip.field,
      !option.required && h('button.chip-remove', { type: 'button', tabindex: -1, 'aria-label': t('composer.remove', { name: localized(option) }), onclick: () => this.#remove(chip) }, icon('close', 12)));
    this.chips.push(chip);
    this.row.append(chip.node);
    return chip;
  }

  add(name) {
    const option = this.leaf.options.find((one) => one.name === name);
    const chip = this.chips.find((one) => one.option === option) ?? this.#add(option);
    this.#drawHint(chip);
    this.focus(chip);
    return chip;
  }

  #remove(chip) {
    const at = this.chips.indexOf(chip);
    chip.upload?.drop();
    chip.node.remove();
    this.chips.splice(at, 1);
    this.focus(this.chips[Math.max(0, at - 1)] ?? null);
    if (!this.chips.length) this.#drawHint();
  }

  #textField(chip) {
    const { option } = chip;
    return h('textarea.chip-field', {
      rows: 1, role: 'combobox', 'aria-expanded': 'false', 'aria-autocomplete': 'list', 'aria-label': `${localized(option)}: ${localized(option, 'description')}`, 'aria-required': Boolean(option.required),
      autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', enterkeyhint: 'send', inputmode: option.type === OPTION.integer ? 'numeric' : option.type === OPTION.number ? 'decimal' : null,
      'data-testid': `field-${option.name}`, placeholder: ' ',
      oninput: (event) => {
        chip.text = event.target.value;
        if (chip.picked?.name !== chip.text) chip.picked = null;
        this.#clearError(chip);
        this.#suggest(chip, DEBOUNCE_MS);
      },
      onfocus: () => this.#focused(chip), onblur: () => this.#blurred(chip), onkeydown: (event) => this.#key(event, chip),
    });
  }

  #fileField(chip) {
    const input = h('input', { type: 'file', hidden: true, tabindex: -1, 'data-testid': `file-${chip.option.name}`, onchange: () => input.files[0] && this.setFile(chip, input.files[0]) });
    const field = h('button.chip-file', { type: 'button', 'aria-label': `${localized(chip.option)}: ${t('composer.choose')}`, 'data-testid': `field-${chip.option.name}`, onclick: () => input.click(), onfocus: () => this.#focused(chip), onkeydown: (event) => this.#key(event, chip) }, t('composer.choose'));
    field.append(input);
    input.addEventListener('click', (event) => event.stopPropagation());
    return field;
  }

  setFile(chip, file) {
    chip.upload?.drop();
    chip.upload = new Upload(file, this.env.store.me.id, () => this.#drawFile(chip));
    this.#clearError(chip);
    this.#drawFile(chip);
    const next = this.chips.find((one) => one.option.required && !one.text && !one.upload);
    (next ?? chip).field.focus();
  }

  #drawFile(chip) {
    const { upload, field } = chip;
    const input = field.querySelector('input');
    field.dataset.state = upload.state;
    field.replaceChildren(upload.previewUrl ? h('img', { src: upload.previewUrl, alt: '' }) : icon('file', 16), h('span.chip-file-name', null, upload.file.name || 'pasted.png'),
      upload.state === 'uploading' && h('span.spinner', { role: 'img', 'aria-label': t('composer.uploading') }) || '', input);
    if (upload.state === 'failed') this.#fail(chip, t('composer.uploadfailed', { why: upload.error }));
    else this.#drawHint(this.focusedChip);
  }

  /** A dropped or pasted file goes to the focused file option, else the first empty one, else an optional one that is added. */
  takeFile(file) {
    const isFile = (one) => one.option.type === OPTION.attachment;
    const spare = this.leaf.options.find((option) => option.type === OPTION.attachment && !this.chips.some((chip) => chip.option === option));
    const chip = (this.focusedChip && isFile(this.focusedChip) && this.focusedChip) || this.chips.find((one) => isFile(one) && !one.upload) || (spare && this.#add(spare)) || this.chips.find(isFile);
    if (chip) this.setFile(chip, file);
    return Boolean(chip);
  }

  fileTarget() {
    return this.leaf.options.find((option) => option.type === OPTION.attachment && !this.chips.some((chip) => chip.option === option && chip.upload)) ?? null;
  }

  // ── suggestions ────────────────────────────────────────────────────────────────────────────────────────
  #focused(chip) {
    this.focusedChip = chip;
    this.#drawHint(chip);
    this.#suggest(chip, 0);
  }

  #blurred(chip) {
    if (this.focusedChip === chip) this.env.suggestions.hide();
  }

  #suggest(chip, pause) {
    clearTimeout(this.timer);
    this.asked = null;
    const fixed = fixedChoices(chip.option, this.env.store);
    if (fixed) this.#showChoices(chip, filterChoices(fixed, chip.picked ? '' : chip.text));
    else if (chip.option.autocomplete) this.timer = setTimeout(() => this.#ask(chip), pause);
    else this.env.suggestions.hide();
  }

  #ask(chip) {
    const nonce = this.env.nonce();
    const filled = this.chips.filter((one) => one !== chip).map((one) => ({ option: one.option, ...read(one.option, this.#entry(one), this.env.store) })).filter((one) => 'value' in one);
    const options = payload(this.leaf, [...filled, { option: chip.option, value: chip.picked ? '' : chip.text }], chip.option);
    this.asked = { nonce, chip };
    const shown = this.env.suggestions.open && this.shownFor === chip;
    if (!shown && !chip.text) this.#note(chip, t('composer.searching'));
    this.env.request('autocomplete', { nonce, channel_id: this.env.store.currentId, name: this.leaf.command.name, options });
    this.timer = setTimeout(() => this.asked?.nonce === nonce && this.env.suggestions.hide(), AUTOCOMPLETE_LIMIT_MS);
  }

  #autocompleteCame({ nonce, choices }) {
    if (this.asked?.nonce !== nonce) return; // answered too late, or for another option
    const { chip } = this.asked;
    clearTimeout(this.timer);
    this.asked = null;
    chip.seen = choices;
    chip.ids ||= choices.some((choice) => String(choice.value) !== choice.name);
    if (document.activeElement !== chip.field) return;
    if (choices.length) this.#showChoices(chip, choices.map((choice) => ({ name: localized(choice), value: choice.value })));
    else if (chip.ids) this.#note(chip, t('composer.nochoices'));
    else this.env.suggestions.hide(); // free text that resembles nothing earlier
  }

  #note(chip, note) {
    this.shownFor = chip;
    this.env.suggestions.show({ title: localized(chip.option), items: [], note, input: chip.field });
  }

  #showChoices(chip, choices) {
    this.shownFor = chip;
    this.env.suggestions.show({
      title: localized(chip.option), input: chip.field, note: t('composer.nochoices'), foot: t('composer.keys'),
      items: choices.map((choice) => ({ label: choice.name, value: String(choice.value), testid: 'choice', choice })),
      onpick: ({ choice }) => {
        this.#setText(chip, choice.name, choice);
        this.env.suggestions.hide();
        this.#next(chip);
      },
    });
  }

  #setText(chip, text, picked = null) {
    chip.text = text;
    chip.picked = picked;
    chip.field.value = text;
    this.#clearError(chip);
  }

  /** On to the next option that still wants something. */
  #next(chip) {
    const at = this.chips.indexOf(chip);
    const later = [...this.chips.slice(at + 1), ...this.chips.slice(0, at)].find((one) => one.option.required && !one.text && !one.upload);
    if (later) this.focus(later);
    else this.#drawHint(chip);
  }

  // ── keys ───────────────────────────────────────────────────────────────────────────────────────────────
  #key(event, chip) {
    const { suggestions } = this.env;
    if (event.isComposing) return;
    const atStart = event.target.selectionStart === 0 && event.target.selectionEnd === 0;
    if (suggestions.open && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) suggestions.move(event.key === 'ArrowDown' ? 1 : -1);
    else if ((event.key === 'Tab' || event.key === 'Enter') && !event.shiftKey && suggestions.open && this.#takes(chip)) suggestions.pick();
    else if (event.key === 'Enter' && !event.shiftKey && chip.option.type === OPTION.attachment && !chip.upload) return; // opens the file picker
    else if (event.key === 'Enter' && !event.shiftKey) this.submit();
    else if (event.key === 'Escape' && suggestions.open) suggestions.hide();
    else if (event.key === 'Escape') this.env.leave();
    else if (event.key === 'Backspace' && (atStart || chip.option.type === OPTION.attachment) && !chip.text && !chip.upload) this.#back(chip);
    else if (event.key === 'Backspace' && chip.option.type === OPTION.attachment) this.#clearFile(chip);
    else return;
    event.preventDefault();
  }

  /**
   * Whether Enter and Tab take the marked choice. Always when it was gone to by arrow, or when only a choice will do;
   * never over a prompt typed by hand: completed prose is a proposal, completed ids (a model's) are the answer.
   */
  #takes(chip) {
    if (this.env.suggestions.moved) return true;
    if (chip.picked) return false;
    if (!chip.text) return Boolean(chip.option.required || fixedChoices(chip.option, this.env.store));
    if (chip.option.autocomplete) return (chip.seen ?? []).some((choice) => String(choice.value) !== choice.name) && (chip.seen ?? []).every((choice) => /^\S{1,60}$/.test(choice.value));
    return !('value' in read(chip.option, this.#entry(chip), this.env.store));
  }

  #back(chip) {
    const at = this.chips.indexOf(chip);
    if (!chip.option.required) this.#remove(chip);
    else if (at > 0) this.focus(this.chips[at - 1]);
    else this.env.leave();
  }

  #clearFile(chip) {
    chip.upload?.drop();
    chip.upload = null;
    delete chip.field.dataset.state;
    const input = chip.field.querySelector('input');
    input.value = '';
    chip.field.replaceChildren(t('composer.choose'), input);
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────────────
  #entry(chip) {
    const known = (chip.seen ?? []).find((choice) => localized(choice) === chip.text);
    return { text: chip.text, picked: chip.picked ?? (known ? { name: chip.text, value: known.value } : null), upload: chip.upload?.result };
  }

  async submit() {
    await Promise.all(this.chips.map((chip) => chip.upload?.done));
    const filled = [];
    const missing = [];
    let broken = null;
    for (const chip of this.chips) {
      const outcome = chip.upload?.state === 'failed' ? { error: t('composer.uploadfailed', { why: chip.upload.error }) } : read(chip.option, this.#entry(chip), this.env.store);
      if ('value' in outcome) filled.push({ option: chip.option, value: outcome.value });
      else if (outcome.error) broken ??= this.#fail(chip, outcome.error);
      else if (chip.option.required) missing.push(chip);
    }
    if (missing.length) missing.forEach((chip) => this.#mark(chip));
    const first = missing[0] ?? broken;
    if (!first) {
      this.env.submit(this.leaf, payload(this.leaf, filled), this.#values());
      return;
    }
    this.focus(first);
    this.error = missing.length ? t('composer.required', { names: missing.map((chip) => localized(chip.option)).join(', ') }) : first.error;
    this.#drawHint(first);
  }

  #mark(chip) {
    chip.node.classList.add('invalid');
    chip.field.setAttribute('aria-invalid', 'true');
  }

  #fail(chip, message) {
    chip.error = message;
    this.error = message;
    this.#mark(chip);
    this.#drawHint(chip);
    return chip;
  }

  #clearError(chip) {
    if (!chip.error && !chip.node?.classList.contains('invalid') && !this.error) return;
    chip.error = null;
    this.error = null;
    chip.node.classList.remove('invalid');
    chip.field.removeAttribute('aria-invalid');
    this.#drawHint(chip);
  }

  #drawHint(chip = this.focusedChip) {
    const open = this.leaf.options.filter((option) => !this.chips.some((one) => one.option === option));
    const text = this.error ? h('span.hint-error', { role: 'alert', 'data-testid': 'hint-error' }, icon('warn', 15), this.error)
      : chip ? h('span.hint-text', null, h('strong', null, localized(chip.option)), ' ', localized(chip.option, 'description')) : h('span.hint-text', null, this.leaf.description);
    this.env.hint(h('div.hint', { 'data-testid': 'hint' }, text,
      open.length > 0 && h('div.hint-options', { role: 'group', 'aria-label': t('composer.optional') }, h('span.hint-label', null, t('composer.optional')),
        open.map((option) => h('button.hint-option', { type: 'button', 'data-testid': `add-${option.name}`, title: localized(option, 'description'), onpointerdown: (event) => event.preventDefault(), onclick: () => this.add(option.name) }, icon('plus', 11), localized(option))))));
  }
}

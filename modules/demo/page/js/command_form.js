// A command being filled in: its options as chips in a row, required ones first, checked before it is sent.

import { OPTION, payload } from './commands.js';
import { Completion } from './completion.js';
import { h, icon } from './dom.js';
import { localized, t } from './i18n.js';
import { OptionChip } from './option_chip.js';

export class CommandForm {
  /**
   * `env`: {store, suggestions, request(op, fields), nonce(), submit(leaf, options, values), leave(), hint(node)}.
   * `values`: what options start with, by name: {text, picked}.
   */
  constructor(root, leaf, env, values = {}) {
    this.leaf = leaf;
    this.env = env;
    this.chips = [];
    this.completion = new Completion(leaf, env, {
      filled: (chip) => this.#filled(this.chips.filter((one) => one !== chip)),
      take: (chip, choice) => this.#take(chip, choice),
    });
    this.row = h(
      'div.command-row',
      { role: 'group', 'aria-label': `/${leaf.label}`, 'data-testid': 'command-form', 'data-command': leaf.name },
      h('span.command-name', { 'data-testid': 'command-name' }, `/${leaf.label}`),
    );
    root.replaceChildren(this.row);
    const first = leaf.options.filter((option) => option.required || leaf.options.length === 1 || values[option.name]);
    for (const option of first) {
      const chip = this.#add(option);
      if (values[option.name]) chip.setText(values[option.name].text, values[option.name].picked);
    }
    this.#drawHint();
    this.chips[0]?.field.focus();
  }

  close() {
    this.completion.close();
    this.env.hint(null);
    this.chips.forEach((chip) => chip.drop());
  }

  focus() {
    this.chips[0]?.field.focus();
  }

  // ── chips ──────────────────────────────────────────────────────────────────────────────────────────────
  #add(option) {
    const chip = new OptionChip(option, this.env.store, {
      focus: (one) => this.#focused(one),
      blur: (one) => this.current === one && this.env.suggestions.hide(),
      key: (event, one) => this.#key(event, one),
      input: (one) => this.#changed(one),
      remove: (one) => this.#remove(one),
      file: (one, file) => this.#setFile(one, file),
    });
    this.chips.push(chip);
    this.row.append(chip.node);
    return chip;
  }

  /** Puts an optional option into the row, or goes to it. */
  add(option) {
    const chip = this.chips.find((one) => one.option === option) ?? this.#add(option);
    chip.field.focus();
  }

  #remove(chip) {
    const at = this.chips.indexOf(chip);
    this.chips.splice(at, 1);
    chip.drop();
    this.error = null;
    this.current = null;
    this.#drawHint();
    this.chips[Math.max(0, at - 1)]?.field.focus();
  }

  #focused(chip) {
    this.current = chip;
    this.#drawHint();
    this.completion.suggest(chip, { now: true });
  }

  #changed(chip) {
    this.error = chip.upload?.state === 'failed' ? chip.outcome().error : null;
    chip.markInvalid(Boolean(this.error));
    this.#drawHint();
    if (!chip.isFile) this.completion.suggest(chip);
  }

  #take(chip, choice) {
    const name = short(choice.name);
    chip.setText(name, { name, value: choice.value });
    chip.markInvalid(false);
    this.error = null;
    this.env.suggestions.hide();
    this.#next(chip);
  }

  /** On to the next option that still wants something. */
  #next(chip) {
    const at = this.chips.indexOf(chip);
    const later = [...this.chips.slice(at + 1), ...this.chips.slice(0, at)].find(
      (one) => one.option.required && one.empty,
    );
    if (later) later.field.focus();
    else this.#drawHint();
  }

  // ── files ──────────────────────────────────────────────────────────────────────────────────────────────
  #setFile(chip, file) {
    chip.setFile(file);
    chip.field.focus();
    this.#next(chip);
  }

  /** The option that a dropped file would go to, though it may not be in the row yet. */
  fileTarget() {
    if (this.current?.isFile) return this.current.option;
    const free = (option) =>
      option.type === OPTION.attachment && !this.chips.some((chip) => chip.option === option && chip.upload);
    return this.leaf.options.find(free) ?? null;
  }

  /** Takes a dropped or pasted file; false when this command has no place for one. */
  takeFile(file) {
    const option = this.fileTarget();
    if (!option) return false;
    this.#setFile(this.chips.find((chip) => chip.option === option) ?? this.#add(option), file);
    return true;
  }

  // ── keys ───────────────────────────────────────────────────────────────────────────────────────────────
  #key(event, chip) {
    if (event.isComposing) return;
    const done = event.key === 'Backspace' ? this.#backspace(event, chip) : this.#otherKey(event, chip);
    if (done) event.preventDefault();
  }

  #otherKey({ key, shiftKey }, chip) {
    const { suggestions } = this.env;
    const plain = !shiftKey;
    if (suggestions.open && (key === 'ArrowDown' || key === 'ArrowUp')) suggestions.move(key === 'ArrowDown' ? 1 : -1);
    else if (plain && (key === 'Tab' || key === 'Enter') && suggestions.open && this.completion.takesKey(chip))
      suggestions.pick();
    else if (plain && key === 'Enter' && !(chip.isFile && !chip.upload))
      this.submit(); // an empty file field opens its picker
    else if (key === 'Escape' && suggestions.open) suggestions.hide();
    else if (key === 'Escape') this.env.leave();
    else return false;
    return true;
  }

  #backspace({ target }, chip) {
    if (chip.isFile && chip.upload) chip.clearFile();
    else if (!chip.empty || target.selectionEnd > 0) return false;
    else if (!chip.option.required) this.#remove(chip);
    else if (chip === this.chips[0]) this.env.leave();
    else this.chips[this.chips.indexOf(chip) - 1].field.focus();
    return true;
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────────────
  #filled(chips) {
    return chips.map((chip) => ({ option: chip.option, ...chip.outcome() })).filter((one) => 'value' in one);
  }

  /** Sends what is filled in; else says what is missing or wrong, and goes there. */
  async submit() {
    await Promise.all(this.chips.map((chip) => chip.upload?.done));
    const missing = this.chips.filter((chip) => chip.option.required && chip.outcome().empty);
    const wrong = this.chips.filter((chip) => chip.outcome().error);
    const first = missing[0] ?? wrong[0];
    if (!first) {
      const typed = this.chips
        .filter((chip) => chip.text)
        .map((chip) => [chip.option.name, { text: chip.text, picked: chip.picked }]);
      this.env.submit(this.leaf, payload(this.leaf, this.#filled(this.chips)), Object.fromEntries(typed));
      return;
    }
    [...missing, ...wrong].forEach((chip) => chip.markInvalid(true));
    const names = missing.map((chip) => localized(chip.option)).join(', ');
    this.error = missing.length ? t('composer.required', { names }) : first.outcome().error;
    first.field.focus();
    this.#drawHint();
  }

  // ── the line above ─────────────────────────────────────────────────────────────────────────────────────
  #drawHint() {
    const about = this.current?.option;
    const words = about
      ? h('span.hint-text', null, h('strong', null, localized(about)), ' ', localized(about, 'description'))
      : h('span.hint-text', null, this.leaf.description);
    const error =
      this.error && h('span.hint-error', { role: 'alert', 'data-testid': 'hint-error' }, icon('warn', 15), this.error);
    this.env.hint(h('div.hint', { 'data-testid': 'hint' }, error || words, this.#optional()));
  }

  #optional() {
    const open = this.leaf.options.filter((option) => !this.chips.some((chip) => chip.option === option));
    if (!open.length) return null;
    const button = (option) =>
      h(
        'button.hint-option',
        {
          type: 'button',
          'data-testid': `add-${option.name}`,
          title: localized(option, 'description'),
          onpointerdown: (event) => event.preventDefault(), // the focus stays where it is until the new chip takes it
          onclick: () => this.add(option),
        },
        icon('plus', 11),
        localized(option),
      );
    const label = h('span.hint-label', { 'aria-hidden': true }, t('composer.optional'));
    return h('div.hint-options', { role: 'group', 'aria-label': t('composer.optional') }, label, open.map(button));
  }
}

/** What a chip shows of a choice: of a long line, such as a model's with its speed and its strengths, the name. */
const short = (name) => (name.length > 30 ? name.split(' · ')[0] : name);

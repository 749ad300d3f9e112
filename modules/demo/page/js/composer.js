// The box at the bottom: plain messages, or a command from the palette. Takes files by button, paste and drop.

import { CommandForm } from './command_form.js';
import { leaves, matching } from './commands.js';
import { h, icon } from './dom.js';
import { FileTray, dropzone } from './file_tray.js';
import { localized, t } from './i18n.js';
import { Suggestions } from './suggestions.js';
import { toast } from './toasts.js';
import { filesOf } from './uploads.js';

const LONGEST = 2000;

export class Composer {
  /** `env`: {store, request(op, fields) → bool, nonce(), online()}. */
  constructor(root, env) {
    this.env = env;
    this.form = null;
    this.tray = new FileTray(env.store);
    this.drafts = new Map();
    this.hintSlot = h('div.hint-slot');
    this.body = h('div.composer-body');
    this.picker = h('input', {
      type: 'file',
      multiple: true,
      hidden: true,
      'data-testid': 'file-picker',
      onchange: () => this.#addFiles([...this.picker.files]),
    });
    this.attach = h(
      'button.icon-button',
      { type: 'button', 'data-testid': 'attach', onclick: () => this.picker.click() },
      icon('plus', 22),
    );
    this.leaveButton = h(
      'button.icon-button',
      { type: 'button', hidden: true, 'data-testid': 'command-leave', onclick: () => this.leave() },
      icon('close', 20),
    );
    this.sendButton = h(
      'button.icon-button.send',
      { type: 'button', 'data-testid': 'send', onclick: () => this.#send() },
      icon('send', 20),
    );
    this.text = this.#textarea();
    const list = h('div');
    root.replaceChildren(
      list,
      this.hintSlot,
      this.tray.node,
      h('div.composer-box', null, this.attach, this.leaveButton, this.body, this.sendButton, this.picker),
    );
    this.suggestions = new Suggestions(list);
    this.body.replaceChildren(this.text);
    this.#listen();
    this.draw();
  }

  #listen() {
    const { store } = this.env;
    store.on('current', () => this.#channelChanged());
    store.on('channels', () => this.draw());
    store.on('commands', () => document.activeElement === this.text && this.#typed());
    document.addEventListener('keydown', (event) => this.#globalKey(event));
    document.addEventListener('paste', (event) => this.#paste(event));
    dropzone(document.getElementById('main'), {
      words: () => this.#onVeil(),
      take: (files) => this.#addFiles(files),
    });
  }

  draw() {
    const { store } = this.env;
    const channel = store.current;
    const words = channel
      ? t(innerWidth < 520 ? 'composer.short' : 'composer.placeholder', { channel: store.channelName(channel) })
      : t('composer.none');
    this.text.placeholder = words;
    this.text.disabled = !channel;
    this.text.setAttribute('aria-label', t('composer.label'));
    for (const [button, key] of [
      [this.attach, 'composer.attach'],
      [this.sendButton, 'composer.send'],
      [this.leaveButton, 'composer.cancel'],
    ]) {
      button.setAttribute('aria-label', t(key));
      button.title = t(key);
    }
  }

  /** A new language has new command names and words: a half-filled command is closed. */
  localeChanged() {
    this.leave();
    this.draw();
  }

  #channelChanged() {
    if (this.draftOf) this.drafts.set(this.draftOf, this.text.value);
    this.draftOf = this.env.store.currentId;
    if (!this.form) this.text.value = this.drafts.get(this.draftOf) ?? '';
    this.suggestions.hide();
    this.draw();
  }

  reset() {
    this.drafts.clear();
    this.draftOf = null;
    this.text.value = '';
    this.tray.clear();
    this.leave();
  }

  focus() {
    if (this.form) this.form.focus();
    else this.text.focus();
  }

  // ── plain text ─────────────────────────────────────────────────────────────────────────────────────────
  #textarea() {
    return h('textarea.composer-text', {
      rows: 1,
      'aria-haspopup': 'listbox',
      'aria-autocomplete': 'list',
      autocomplete: 'off',
      enterkeyhint: 'send',
      'data-testid': 'text',
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#key(event),
      onblur: () => this.suggestions.hide(),
      onfocus: () => this.#typed(),
    });
  }

  #typed() {
    const { value } = this.text;
    this.#countHint(value);
    const typed = /^\/([^\n]{0,100})$/.exec(value)?.[1];
    if (typed === undefined) {
      this.suggestions.hide();
      return;
    }
    const exact =
      / $/.test(typed) &&
      leaves(this.env.store.commands).find((leaf) => [leaf.name, leaf.label].includes(typed.trim().toLowerCase()));
    if (exact) this.start(exact);
    else this.#palette(typed);
  }

  #palette(typed) {
    const { commands } = this.env.store;
    const found = matching(commands, typed);
    this.suggestions.show({
      title: t('composer.commands'),
      input: this.text,
      foot: t('composer.keys'),
      note: t(commands.length ? 'composer.nocommand' : 'composer.nocommands'),
      items: found.map((leaf) => ({
        label: `/${leaf.label}`,
        tag: leaf.options
          .filter((option) => option.required)
          .map((option) => localized(option))
          .join(' '),
        detail: leaf.description,
        testid: `command-${leaf.name.replaceAll(' ', '-')}`,
        leaf,
      })),
      onpick: ({ leaf }) => this.start(leaf),
    });
  }

  #countHint(value) {
    this.hintSlot.replaceChildren(
      value.length > LONGEST - 200
        ? h(
            'div.hint',
            null,
            h(
              'span',
              { class: value.length > LONGEST ? 'hint-error' : 'hint-text' },
              t('composer.toolong', { n: value.length }),
            ),
          )
        : '',
    );
  }

  #key(event) {
    if (event.isComposing) return;
    const { suggestions } = this;
    if (suggestions.open && (event.key === 'ArrowDown' || event.key === 'ArrowUp'))
      suggestions.move(event.key === 'ArrowDown' ? 1 : -1);
    else if (suggestions.open && (event.key === 'Tab' || event.key === 'Enter') && !event.shiftKey) suggestions.pick();
    else if (event.key === 'Escape' && !suggestions.root.hidden) suggestions.hide();
    else if (event.key === 'Enter' && !event.shiftKey) this.#send();
    else if (event.key === 'ArrowUp' && !this.text.value && this.lastCommand)
      this.startByName(this.lastCommand.name, this.lastCommand.values);
    else return;
    event.preventDefault();
  }

  /** Typing anywhere on the page goes into the box, as in every chat; `/` too. */
  #globalKey(event) {
    const busy =
      event.target.closest?.('input, textarea, select, [contenteditable], dialog[open], .popup, [role=menu]') ||
      document.querySelector('dialog[open], .popup');
    if (
      busy ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.key.length !== 1 ||
      (event.key === ' ' && event.target !== document.body)
    )
      return;
    this.focus();
  }

  async #send() {
    if (this.form) {
      await this.form.submit();
      return;
    }
    const content = this.text.value.trim();
    if (/^\/\S/.test(content) && !this.suggestions.root.hidden) return; // no such command: the list says so
    if ((!content && this.tray.empty) || content.length > LONGEST) return;
    if (!this.env.online()) {
      toast(t('composer.offline'), { bad: true });
      return;
    }
    const attachments = await this.tray.ids();
    if (!content && !attachments.length) return;
    this.env.request('message', {
      channel_id: this.env.store.currentId,
      content,
      ...(attachments.length ? { attachments } : {}),
    });
    this.text.value = '';
    this.#countHint('');
    this.tray.clear();
  }

  // ── commands ───────────────────────────────────────────────────────────────────────────────────────────
  /** Opens the form of a command, with `values` in its options. */
  start(leaf, values = {}) {
    if (!this.env.store.current) return;
    this.form?.close();
    this.text.value = '';
    this.suggestions.hide();
    this.#showForm(true);
    this.form = new CommandForm(
      this.body,
      leaf,
      {
        store: this.env.store,
        suggestions: this.suggestions,
        request: this.env.request,
        nonce: this.env.nonce,
        submit: (chosen, options, typed) => this.#submit(chosen, options, typed),
        leave: () => this.leave(),
        hint: (node) => this.hintSlot.replaceChildren(node ?? ''),
      },
      values,
    );
    const [upload] = this.tray.uploads;
    if (upload && this.form.takeFile(upload.file)) this.tray.clear();
    if (!this.form.chips.length) this.sendButton.focus();
  }

  startByName(name, values) {
    const leaf = leaves(this.env.store.commands).find((one) => one.name === name || one.label === name);
    if (leaf) this.start(leaf, values);
    return Boolean(leaf);
  }

  leave() {
    if (!this.form) return;
    this.form.close();
    this.form = null;
    this.#showForm(false);
    this.body.replaceChildren(this.text);
    if (!matchMedia('(pointer: coarse)').matches) this.text.focus(); // there it would raise the keyboard over the answer
  }

  #showForm(shown) {
    this.attach.hidden = shown;
    this.leaveButton.hidden = !shown;
  }

  #submit(leaf, options, values) {
    if (this.env.command({ name: leaf.command.name, type: 1, options, shown: leaf.label })) {
      this.lastCommand = { name: leaf.name, values };
      this.leave();
    } else toast(t('composer.offline'), { bad: true });
  }

  // ── files ──────────────────────────────────────────────────────────────────────────────────────────────
  #addFiles(files) {
    this.picker.value = '';
    if (!files.length || !this.env.store.me) return;
    if (!this.form) {
      this.tray.add(files);
      this.text.focus();
    } else if (!this.form.takeFile(files[0])) toast(t('composer.nofile'), { bad: true });
    else files.slice(1).forEach((file) => this.form.takeFile(file));
  }

  #onVeil() {
    const option = this.form?.fileTarget();
    if (this.form && !option) return t('composer.nofile');
    const where = option ? `/${this.form.leaf.label} ${localized(option)}` : t('composer.dropmessage');
    return t('composer.drop', { where });
  }

  #paste(event) {
    const files = filesOf(event.clipboardData);
    if (!files.length || event.target.closest?.('dialog')) return;
    event.preventDefault();
    this.#addFiles(files);
  }
}

// Files that will go with the next plain message, and the overlay that says where a dragged file would go.

import { h, icon } from './dom.js';
import { t } from './i18n.js';
import { toast } from './toasts.js';
import { Upload, filesOf } from './uploads.js';

const MOST = 10; // attachments a message may have

export class FileTray {
  constructor(store) {
    this.store = store;
    this.uploads = [];
    this.node = h('div.file-row', { hidden: true });
  }

  get empty() {
    return !this.uploads.length;
  }

  add(files) {
    const settled = (upload) => {
      if (upload.state === 'failed') {
        toast(t('composer.uploadfailed', { why: upload.error }), { bad: true });
        this.#remove(upload);
      } else this.#draw();
    };
    this.uploads.push(
      ...files.slice(0, MOST - this.uploads.length).map((file) => new Upload(file, this.store.me.id, settled)),
    );
    this.#draw();
  }

  /** Ids of the files, once all are on the server. */
  async ids() {
    await Promise.all(this.uploads.map((upload) => upload.done));
    return this.uploads.filter((upload) => upload.result).map((upload) => upload.result.id);
  }

  clear() {
    this.uploads.forEach((upload) => upload.drop());
    this.uploads = [];
    this.#draw();
  }

  #remove(upload) {
    upload.drop();
    this.uploads = this.uploads.filter((one) => one !== upload);
    this.#draw();
  }

  #draw() {
    this.node.hidden = this.empty;
    this.node.replaceChildren(...this.uploads.map((upload) => this.#card(upload)));
  }

  #card(upload) {
    return h(
      'div.file-card',
      { 'data-testid': 'pending-file', 'data-state': upload.state },
      upload.previewUrl ? h('img', { src: upload.previewUrl, alt: '' }) : icon('file', 30),
      h('span', null, upload.file.name),
      upload.state === 'uploading' && h('span.spinner'),
      h(
        'button.icon-button',
        {
          type: 'button',
          'aria-label': t('composer.remove', { name: upload.file.name }),
          onclick: () => this.#remove(upload),
        },
        icon('close', 14),
      ),
    );
  }
}

/** Files dragged over the window: an overlay over `main` shows `words()`, `take(files)` gets what is dropped. */
export function dropzone(main, { words, take }) {
  const veil = h('div.veil', { hidden: true, 'data-testid': 'drop-veil' });
  main.append(veil);
  const carriesFiles = (event) =>
    [...(event.dataTransfer?.types ?? [])].includes('Files') && !document.querySelector('dialog[open]');
  document.addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    veil.textContent = words();
    veil.hidden = false;
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    veil.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(filesOf(event.dataTransfer));
  });
}

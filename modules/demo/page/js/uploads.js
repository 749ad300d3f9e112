// Files on their way to the server.

import { t } from './i18n.js';

const LIMIT_MS = 60000;
const TOO_LARGE = 413;

/** Uploads one file as this user; resolves to {id, filename, size, url, content_type}; rejects with a sentence. */
export async function upload(file, userId) {
  const form = new FormData();
  form.append('file', file, file.name || 'pasted.png');
  const response = await fetch(`/client/upload?user=${encodeURIComponent(userId)}`, {
    method: 'POST',
    body: form,
    signal: AbortSignal.timeout(LIMIT_MS),
  }).catch(() => {
    throw new Error(t('composer.noanswer'));
  });
  if (response.status === TOO_LARGE) throw new Error(t('composer.toolarge'));
  const text = await response.text();
  if (!response.ok) throw new Error(explain(text) || `HTTP ${response.status}`);
  return JSON.parse(text);
}

function explain(text) {
  try {
    return JSON.parse(text).message ?? '';
  } catch {
    return text.length < 200 ? text : '';
  }
}

/** A chip's or message's file: starts at once; `changed` is called whenever its state changes. */
export class Upload {
  constructor(file, userId, changed) {
    this.file = file;
    this.state = 'uploading';
    this.result = null;
    this.error = null;
    this.previewUrl = /^image\//.test(file.type) ? URL.createObjectURL(file) : null;
    this.done = upload(file, userId)
      .then(
        (result) => {
          this.result = result;
          this.state = 'done';
        },
        (error) => {
          this.error = error.message;
          this.state = 'failed';
        },
      )
      .then(() => changed(this));
  }

  drop() {
    if (this.previewUrl) URL.revokeObjectURL(this.previewUrl);
  }
}

/** Files of a paste or drop, else an empty list. */
export const filesOf = (transfer) => [...(transfer?.files ?? [])];

// Discord's markdown as a tree of plain objects. Text stays text.

import { safeUrl } from './dom.js';

const DEPTH = 12; // deeper nesting is shown as it was written

/** text → [{type, …}]. `options.block` false (embed titles, fields' names) leaves headings, lists and quotes alone. */
export function parse(text, { block = true } = {}) {
  return block ? parseBlocks(String(text ?? '').replace(/\r\n?/g, '\n'), 0) : parseInline(String(text ?? ''), 0);
}

function parseBlocks(text, depth) {
  const out = [];
  let at = 0;
  let plain = '';
  const flush = () => {
    if (plain) out.push(...parseInline(plain, depth));
    plain = '';
  };
  while (at < text.length) {
    const fence = /```(?:([\w+#.-]{1,20})\n)?\n?([\s\S]*?)\n*```/y;
    if (text.startsWith('```', at)) {
      fence.lastIndex = at;
      const found = fence.exec(text);
      if (found && found[2].trim()) {
        flush();
        out.push({ type: 'codeBlock', language: found[1] ?? '', text: found[2] });
        at = fence.lastIndex;
        if (text[at] === '\n') at += 1;
        continue;
      }
    }
    if (at === 0 || text[at - 1] === '\n') {
      const taken = depth < DEPTH && blockAt(text, at, depth);
      if (taken) {
        flush();
        out.push(taken.node);
        at = taken.end;
        continue;
      }
    }
    const next = nextStop(text, at);
    plain += text.slice(at, next);
    at = next;
  }
  flush();
  return out;
}

/** Where the next block could begin: after a line's end, or at a fence. Inline code spans are passed over whole. */
function nextStop(text, at) {
  const newline = text.indexOf('\n', at);
  const fence = text.indexOf('```', at + (text.startsWith('```', at) ? 3 : 0));
  const end = newline < 0 ? text.length : newline + 1;
  return fence > at && fence < end ? fence : end;
}

function blockAt(text, at, depth) {
  const lineEnd = (text.indexOf('\n', at) + 1 || text.length + 1) - 1;
  const line = text.slice(at, lineEnd);
  const after = Math.min(lineEnd + 1, text.length);
  let found = /^(#{1,3}) +(\S.*)$/.exec(line);
  if (found)
    return {
      node: { type: 'heading', level: found[1].length, children: parseInline(found[2], depth + 1) },
      end: after,
    };
  found = /^-# +(\S.*)$/.exec(line);
  if (found) return { node: { type: 'subtext', children: parseInline(found[1], depth + 1) }, end: after };
  if (line.startsWith('>>> ')) {
    return { node: { type: 'quote', children: parseBlocks(text.slice(at + 4), depth + 1) }, end: text.length };
  }
  if (/^> /.test(line) || line === '>') return quoteAt(text, at, depth);
  if (/^ *([-*]|\d{1,9}\.) +\S/.test(line)) return listAt(text, at, depth);
  return null;
}

function quoteAt(text, at, depth) {
  const lines = [];
  let end = at;
  while (end < text.length) {
    const stop = text.indexOf('\n', end) < 0 ? text.length : text.indexOf('\n', end);
    const line = text.slice(end, stop);
    if (!line.startsWith('> ') && line !== '>') break;
    lines.push(line.slice(2));
    end = Math.min(stop + 1, text.length);
  }
  return { node: { type: 'quote', children: parseBlocks(lines.join('\n'), depth + 1) }, end };
}

function listAt(text, at, depth) {
  const items = [];
  let end = at;
  while (end < text.length) {
    const stop = text.indexOf('\n', end) < 0 ? text.length : text.indexOf('\n', end);
    const found = /^( *)([-*]|\d{1,9}\.) +(\S.*)$/.exec(text.slice(end, stop));
    if (!found) break;
    items.push({
      indent: found[1].length,
      ordered: /\d/.test(found[2]),
      start: parseInt(found[2], 10) || 1,
      text: found[3],
    });
    end = Math.min(stop + 1, text.length);
  }
  return { node: nestList(items, depth + 1), end };
}

function nestList(items, depth) {
  const first = items[0];
  const list = { type: 'list', ordered: first.ordered, start: first.start, items: [] };
  for (let i = 0; i < items.length;) {
    let next = i + 1;
    while (next < items.length && items[next].indent > items[i].indent) next += 1;
    const deeper = items.slice(i + 1, next);
    const children = parseInline(items[i].text, depth);
    if (deeper.length)
      children.push(
        depth < DEPTH ? nestList(deeper, depth + 1) : { type: 'text', text: deeper.map((d) => `\n${d.text}`).join('') },
      );
    list.items.push(children);
    i = next;
  }
  return list;
}

// Each rule is tried where its first character stands: [first characters, pattern, node maker].
const ATOMS = [
  [
    '<',
    /<t:(-?\d{1,13})(?::([tTdDfFRsS]))?>/y,
    (m) => ({ type: 'time', unix: Number(m[1]), style: m[2] ?? 'f', text: m[0] }),
  ],
  ['<', /<@!?(\d{1,20})>/y, (m) => ({ type: 'user', id: m[1] })],
  ['<', /<@&(\d{1,20})>/y, (m) => ({ type: 'role', id: m[1] })],
  ['<', /<#(\d{1,20})>/y, (m) => ({ type: 'channel', id: m[1] })],
  ['<', /<\/([-_'\p{L}\p{N} ]{1,100}):(\d{1,20})>/uy, (m) => ({ type: 'command', name: m[1] })],
  ['<', /<a?:(\w{2,32}):\d{1,20}>/y, (m) => ({ type: 'emoji', name: m[1] })],
  ['<', /<(https?:\/\/[^\s<>]+)>/y, (m) => link(m[1], [{ type: 'text', text: m[1] }], m[0])],
  ['@', /@(everyone|here)/y, (m) => ({ type: 'everyone', text: m[0] })],
  ['h', /https?:\/\/[^\s<>]*[^\s<>.,:;"'\])}!?*_~|]/y, (m) => link(m[0], [{ type: 'text', text: m[0] }], m[0])],
];
const STYLES = [
  ['**', 'strong'],
  ['__', 'underline'],
  ['~~', 'strike'],
  ['||', 'spoiler'],
  ['*', 'em'],
  ['_', 'em'],
];
const SPECIAL = /[\\`<@h[*_~|]/g;

function link(url, children, raw) {
  const href = safeUrl(url);
  return href ? { type: 'link', href, children } : { type: 'text', text: raw };
}

function parseInline(text, depth, insideLink = false) {
  const out = [];
  const unclosed = new Set(); // marks with no partner further on: looked for once, so that a wall of ** stays quick
  const push = (piece) => {
    const last = out[out.length - 1];
    if (last?.type === 'text') last.text += piece;
    else if (piece) out.push({ type: 'text', text: piece });
  };
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const stop = SPECIAL.exec(text)?.index ?? text.length;
    if (stop > at) push(text.slice(at, stop));
    at = stop;
    if (at >= text.length) break;
    const taken = depth < DEPTH ? inlineAt(text, at, depth, insideLink, unclosed) : null;
    if (taken) {
      if (taken.node.type === 'text') push(taken.node.text);
      else out.push(taken.node);
      at = taken.end;
    } else {
      push(text[at]);
      at += 1;
    }
  }
  return out;
}

function inlineAt(text, at, depth, insideLink, unclosed) {
  const first = text[at];
  if (first === '\\') {
    return /[^\w\s]|_/.test(text[at + 1] ?? ' ') ? { node: { type: 'text', text: text[at + 1] }, end: at + 2 } : null;
  }
  if (first === '`') return codeAt(text, at);
  if (first === '[' && !insideLink) return maskedLinkAt(text, at, depth);
  for (const [start, pattern, make] of ATOMS) {
    if (start !== first || (start === 'h' && /\w/.test(text[at - 1] ?? ''))) continue;
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found && !(insideLink && found[0].includes('://'))) return { node: make(found), end: at + found[0].length };
  }
  for (const [mark, type] of STYLES) {
    if (!text.startsWith(mark, at) || unclosed.has(mark) || !mayOpen(text, at, mark)) continue;
    const end = closing(text, at, mark);
    if (end < 0) unclosed.add(mark);
    if (end < 0) continue;
    const inner = text.slice(at + mark.length, end);
    return { node: { type, children: parseInline(inner, depth + 1, insideLink) }, end: end + mark.length };
  }
  return null;
}

function codeAt(text, at) {
  const ticks = /`+/y;
  ticks.lastIndex = at;
  const mark = ticks.exec(text)[0];
  let end = at + mark.length;
  for (;;) {
    end = text.indexOf(mark, end);
    if (end < 0) return { node: { type: 'text', text: mark }, end: at + mark.length };
    if (text[end + mark.length] !== '`' && text[end - 1] !== '`') break;
    end += 1;
  }
  const inner = text.slice(at + mark.length, end);
  return {
    node: { type: 'code', text: mark.length > 1 ? inner.replace(/^ (?=`)|(?<=`) $/g, '') : inner },
    end: end + mark.length,
  };
}

function maskedLinkAt(text, at, depth) {
  const pattern =
    /\[([^[\]\n]{1,1024})\]\(\s*<?(https?:\/\/[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+"[^"\n]*")?\s*\)/y;
  pattern.lastIndex = at;
  const found = pattern.exec(text);
  if (!found) return null;
  const node = link(found[2], parseInline(found[1], depth + 1, true), found[0]);
  return { node: { ...node, masked: true }, end: at + found[0].length };
}

function mayOpen(text, at, mark) {
  if (mark === '*') return /\S/.test(text[at + 1] ?? ' ');
  return mark !== '_' || !/\w/.test(text[at - 1] ?? '');
}

/** Index of the mark that closes the one at `at`, or -1. Escapes and code inside are passed over. */
function closing(text, at, mark) {
  const single = mark.length === 1;
  const from = at + mark.length;
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === '`') i = codeAt(text, i).end - 1;
    else if (text.startsWith(mark, i) && i > from) {
      const doubled = text[i + mark.length] === mark[0];
      if (single && doubled)
        i += 1; // a ** inside *…*
      else if (!single && doubled && mark !== '||')
        continue; // ***: the last two close
      else if (mark === '*' && /\s/.test(text[i - 1])) continue;
      else if (mark === '_' && /\w/.test(text[i + 1] ?? '')) continue;
      else return i;
    } else if (single && text.startsWith(mark + mark, i)) i += 1;
  }
  return -1;
}

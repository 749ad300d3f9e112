// Makes DOM nodes. Text only ever enters as text nodes, so no message can become markup.

const SVG = 'http://www.w3.org/2000/svg';

/** h('button.primary', {onclick, 'data-x': 1}, 'text', node, [more]) → element. Null children are left out. */
export function h(spec, props, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag || 'div');
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(props ?? {})) setProp(node, key, value);
  append(node, children);
  return node;
}

function setProp(node, key, value) {
  if (value === undefined || value === null) return;
  if (key.startsWith('aria-')) {
    node.setAttribute(key, String(value)); // ARIA wants "false" spelled out
    return;
  }
  if (value === false) return;
  if (key.startsWith('on') && typeof value === 'function') node.addEventListener(key.slice(2), value);
  else if (key === 'class') node.className += ` ${value}`;
  else if (key === 'style') Object.entries(value).forEach(([k, v]) => node.style.setProperty(k, v));
  else if (key === 'value' || key === 'checked' || key === 'indeterminate') node[key] = value;
  else node.setAttribute(key, value === true ? '' : String(value));
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, String(value));
  children.flat().forEach((child) => child && node.append(child));
  return node;
}

// 24×24 stroke paths, drawn for this page.
const ICONS = {
  hash: 'M9 4 7 20M17 4l-2 16M4.5 9h16M3.5 15h16',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M5 11h14v9H5zM12 15v2',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6 6 18',
  plus: 'M12 5v14M5 12h14',
  send: 'M4 12 20 4l-5 16-4-6-7-2zM11 14l9-10',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z',
  down: 'M6 9l6 6 6-6',
  right: 'M9 6l6 6-6 6',
  left: 'M15 6l-6 6 6 6',
  reply: 'M10 7 4 12l6 5M4 12h10a6 6 0 0 1 6 6',
  slash: 'M5 4h14v16H5zM10 16l4-8',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  external: 'M13 5h6v6M19 5l-9 9M17 14v5H5V7h5',
  help: 'M9 9a3 3 0 1 1 4.2 2.8c-.9.4-1.2 1-1.2 2.2M12 17.5h.01M12 2.8a9.2 9.2 0 1 0 0 18.4 9.2 9.2 0 0 0 0-18.4z',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  app: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM16.5 13v7M13 16.5h7',
  theme: 'M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  warn: 'M12 4 2.5 20h19zM12 10v5M12 17.5h.01',
  globe: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  chart: 'M4 5h9v4H4zM4 15h16v4H4zM16 5h4v4h-4z',
  crown: 'M4 18h16l1-10-5 4-4-7-4 7-5-4z',
};

export function icon(name, size = 18) {
  const path = svg('path', {
    d: ICONS[name],
    fill: 'none',
    stroke: 'currentColor',
    'stroke-width': 2,
    'stroke-linecap': 'round',
    'stroke-linejoin': 'round',
  });
  return svg('svg', { viewBox: '0 0 24 24', width: size, height: size, 'aria-hidden': 'true', class: 'icon' }, path);
}

/** Fields of a message may be anything; this is what may be followed: http and https, else null. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/** Address of a picture or file. Loopback ones are requested from the host that this page came from, so that a tunnel works. */
export function mediaUrl(text) {
  const safe = safeUrl(new URL(text ?? '', location.href).href);
  if (!safe) return null;
  const url = new URL(safe);
  const loopback = ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  return loopback ? location.origin + url.pathname + url.search : safe;
}

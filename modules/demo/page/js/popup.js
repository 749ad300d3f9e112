// A floating panel beside an anchor; closed by Escape, by a click elsewhere, or when its anchor goes.

import { h } from './dom.js';

let openPopup = null;

/** Shows `content`; returns {close, node}. `onclose` runs once. `align`: 'start' | 'end'; `at`: {x, y} instead of the anchor's edges. */
export function popup(anchor, content, { onclose, at, align = 'start', className = '', matchWidth = false } = {}) {
  openPopup?.close();
  const node = h('div.popup', { class: className }, content);
  const back = document.activeElement;
  (anchor?.closest?.('dialog') ?? document.getElementById('layer')).append(node); // an open dialog lies over all else
  place(node, anchor, at, align, matchWidth);
  const onPointer = (event) => {
    if (!node.contains(event.target) && !anchor?.contains?.(event.target)) handle.close(false);
  };
  const onKey = (event) => {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    event.preventDefault();
    handle.close();
  };
  const onResize = () => handle.close(false);
  const handle = {
    node,
    close(refocus = true) {
      if (openPopup !== handle) return;
      openPopup = null;
      node.remove();
      document.removeEventListener('pointerdown', onPointer, true);
      document.removeEventListener('keydown', onKey, true);
      window.removeEventListener('resize', onResize);
      onclose?.();
      if (refocus && back?.isConnected) back.focus({ preventScroll: true });
    },
  };
  document.addEventListener('pointerdown', onPointer, true);
  document.addEventListener('keydown', onKey, true);
  window.addEventListener('resize', onResize);
  openPopup = handle;
  return handle;
}

function place(node, anchor, at, align, matchWidth) {
  const edge = 8;
  const box = at ? { left: at.x, right: at.x, top: at.y, bottom: at.y, width: 0 } : anchor.getBoundingClientRect();
  if (matchWidth) node.style.setProperty('min-width', `${Math.min(box.width, innerWidth - 2 * edge)}px`);
  const width = node.offsetWidth;
  const height = node.offsetHeight;
  const left = align === 'end' ? box.right - width : box.left;
  const below = innerHeight - box.bottom - edge;
  const top = height <= below || below >= box.top - edge ? box.bottom + 4 : box.top - height - 4;
  node.style.setProperty('left', `${Math.max(edge, Math.min(left, innerWidth - width - edge))}px`);
  node.style.setProperty('top', `${Math.max(edge, Math.min(top, innerHeight - height - edge))}px`);
}

/** Arrow keys, Home, End and first letters move the focus among the items of a menu or list. */
export function roving(container, selector) {
  container.addEventListener('keydown', (event) => {
    const items = [...container.querySelectorAll(selector)].filter((item) => !item.disabled && item.offsetParent);
    const at = items.indexOf(document.activeElement);
    const moves = { ArrowDown: at + 1, ArrowUp: at < 0 ? items.length - 1 : at - 1, Home: 0, End: items.length - 1 };
    if (
      !(event.key in moves) ||
      !items.length ||
      (event.target.matches?.('input') && ['Home', 'End'].includes(event.key))
    )
      return;
    event.preventDefault();
    event.stopPropagation();
    items[(moves[event.key] + items.length) % items.length].focus();
  });
}

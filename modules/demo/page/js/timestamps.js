// Discord's <t:UNIX:STYLE> timestamps; those of style R are updated on the page, twice a second.

import { h } from './dom.js';
import { currentLocale } from './i18n.js';

const STYLES = {
  t: { timeStyle: 'short' },
  T: { timeStyle: 'medium' },
  d: { dateStyle: 'short' },
  D: { dateStyle: 'long' },
  f: { dateStyle: 'long', timeStyle: 'short' },
  F: { dateStyle: 'full', timeStyle: 'short' },
  s: { dateStyle: 'short', timeStyle: 'short' },
  S: { dateStyle: 'short', timeStyle: 'medium' },
};
const STEPS = [
  ['second', 1, 60],
  ['minute', 60, 3600],
  ['hour', 3600, 86400],
  ['day', 86400, 2629800],
  ['month', 2629800, 31557600],
  ['year', 31557600, Infinity],
];

export function relative(unix, nowMs = Date.now(), locale = currentLocale()) {
  const seconds = Math.round(unix - nowMs / 1000);
  const [unit, size] = STEPS.find(([, , below]) => Math.abs(seconds) < below);
  return new Intl.RelativeTimeFormat(locale, { numeric: 'always' }).format(Math.trunc(seconds / size), unit);
}

export function format(unix, style = 'f', locale = currentLocale()) {
  if (style === 'R') return relative(unix, Date.now(), locale);
  return new Intl.DateTimeFormat(locale, STYLES[style] ?? STYLES.f).format(new Date(unix * 1000));
}

/** A <time> element; unix seconds outside of what a Date can hold give null. */
export function timeElement(unix, style) {
  const date = new Date(unix * 1000);
  if (Number.isNaN(date.getTime())) return null;
  return h(
    'time.stamp',
    {
      datetime: date.toISOString(),
      title: format(unix, 'F'),
      'data-unix': unix,
      'data-style': style,
      'data-testid': 'timestamp',
    },
    format(unix, style),
  );
}

/** Rewrites every countdown on the page; call once. */
export function startClock() {
  setInterval(() => {
    for (const node of document.querySelectorAll('time[data-style="R"]')) {
      const text = relative(Number(node.dataset.unix));
      if (node.textContent !== text) node.textContent = text;
    }
  }, 500);
}

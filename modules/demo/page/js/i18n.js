// The page's own words in the reader's language; each language is a file. What the bot says is the bot's.

import en from './words_en.js';
import es from './words_es.js';

export const CATALOGUES = { en, es };
export const LOCALES = [
  ['en-US', 'English (US)'],
  ['es-ES', 'Español (España)'],
  ['es-419', 'Español (Latinoamérica)'],
];

/** The nearest of LOCALES to a browser's language. */
export function nearest(language) {
  if (LOCALES.some(([code]) => code === language)) return language;
  if (language.split('-')[0] !== 'es') return 'en-US';
  return language === 'es' ? 'es-ES' : 'es-419';
}

let locale = 'en-US';

export function setLocale(next) {
  locale = LOCALES.some(([code]) => code === next) ? next : 'en-US';
  document.documentElement.lang = locale;
}

export const currentLocale = () => locale;

/** The sentence of a key, with {names} filled in. Values are plain text. */
export function t(key, values = {}) {
  const words = (CATALOGUES[locale.split('-')[0]] ?? en)[key] ?? en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A command's, option's or choice's own word in the reader's language: `field` is 'name' or 'description'. */
export function localized(thing, field = 'name') {
  return thing?.[`${field}_localizations`]?.[locale] ?? thing?.[`${field}_localized`] ?? thing?.[field] ?? '';
}

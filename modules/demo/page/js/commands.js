// Commands as data: which match what was typed, what an option takes, whether it is filled in correctly, what is sent. No DOM here.

import { localized, t } from './i18n.js';

export const OPTION = {
  subcommand: 1,
  group: 2,
  string: 3,
  integer: 4,
  boolean: 5,
  user: 6,
  channel: 7,
  role: 8,
  mentionable: 9,
  number: 10,
  attachment: 11,
};
const SUGGESTIONS = 25;

/** Slash commands, each subcommand as its own entry: [{command, path: [group?, subcommand?], name, label, description, options}]. */
export function leaves(commands) {
  return commands
    .filter((command) => (command.type ?? 1) === 1)
    .flatMap((command) => unfold(command, command, [], [localized(command)]));
}

function unfold(command, node, path, labels) {
  const children = (node.options ?? []).filter((option) => option.type <= OPTION.group);
  if (children.length)
    return children.flatMap((child) => unfold(command, child, [...path, child], [...labels, localized(child)]));
  return [
    {
      command,
      path,
      name: [command, ...path].map((one) => one.name).join(' '),
      label: labels.join(' '),
      description: localized(node, 'description'),
      options: [...(node.options ?? [])].sort((a, b) => Boolean(b.required) - Boolean(a.required)),
    },
  ];
}

/**
 * The leaves that fit what stands after the slash, best first: by start of the name, then by any part of name or description.
 * Among equals, plain commands come before subcommands, then those that ask for most: they are what the bot is for.
 */
export function matching(commands, typed) {
  const want = fold(typed.trim());
  const score = (leaf) => {
    const names = [leaf.name, leaf.label].map(fold);
    if (names.includes(want)) return 0;
    if (names.some((name) => name.startsWith(want))) return 1;
    if (names.some((name) => name.includes(want))) return 2;
    return want.length > 2 && fold(leaf.description).includes(want) ? 3 : 9;
  };
  return leaves(commands)
    .map((leaf) => ({ leaf, score: score(leaf) }))
    .filter((one) => one.score < 9)
    .sort(
      (a, b) =>
        a.score - b.score ||
        a.leaf.path.length - b.leaf.path.length ||
        asks(b.leaf) - asks(a.leaf) ||
        a.leaf.label.localeCompare(b.leaf.label),
    )
    .map((one) => one.leaf);
}

const asks = (leaf) => leaf.options.filter((option) => option.required).length;

export const fold = (text) => String(text).normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

/** What may be picked for an option without asking the bot: [{name, value}], or null when anything may be typed. */
export function fixedChoices(option, store) {
  const byName = (list) => list.map(([name, value]) => ({ name, value }));
  if (option.choices?.length) return option.choices.map((choice) => ({ name: localized(choice), value: choice.value }));
  const people = () => store.users.map((user) => [user.global_name ?? user.username, user.id]);
  const roles = () => (store.guild?.roles ?? []).map((role) => [role.name.replace(/^@?/, '@'), role.id]);
  switch (option.type) {
    case OPTION.boolean:
      return byName([
        [t('option.true'), true],
        [t('option.false'), false],
      ]);
    case OPTION.user:
      return byName(people());
    case OPTION.role:
      return byName(roles());
    case OPTION.mentionable:
      return byName([...people(), ...roles()]);
    case OPTION.channel:
      return byName(
        [...store.channels.values()]
          .filter((channel) => !option.channel_types?.length || option.channel_types.includes(channel.type))
          .map((channel) => [`#${channel.name}`, channel.id]),
      );
    default:
      return null;
  }
}

export function filterChoices(choices, typed) {
  const want = fold(typed);
  const hits = choices.filter((choice) => fold(choice.name).includes(want));
  return hits.sort((a, b) => fold(b.name).startsWith(want) - fold(a.name).startsWith(want)).slice(0, SUGGESTIONS);
}

/**
 * What was filled in → {value} to send, {empty: true}, or {error}. `entry`: {text, picked?: {name, value}, upload?: {id}}.
 * Bounds are Discord's: min/max for numbers, min_length/max_length (6000) for text.
 */
export function read(option, entry, store) {
  const name = localized(option);
  if (option.type === OPTION.attachment) return entry.upload ? { value: entry.upload.id } : { empty: true };
  const text = entry.text ?? '';
  if (entry.picked && entry.picked.name === text) return { value: entry.picked.value };
  if (!text.trim()) return { empty: true };
  const choices = fixedChoices(option, store);
  if (choices) {
    const hit = choices.find(
      (choice) => fold(choice.name) === fold(text.trim()) || String(choice.value) === text.trim(),
    );
    return hit ? { value: hit.value } : { error: t('composer.badchoice', { name }) };
  }
  if (option.type === OPTION.integer || option.type === OPTION.number) return readNumber(option, text, name);
  const length = [...text].length;
  if (option.min_length && length < option.min_length)
    return { error: t('composer.minlength', { name, n: option.min_length }) };
  if (length > (option.max_length ?? 6000))
    return { error: t('composer.maxlength', { name, n: option.max_length ?? 6000 }) };
  return { value: text };
}

function readNumber(option, text, name) {
  const value = Number(text.trim().replace(',', '.'));
  if (option.type === OPTION.integer && !Number.isSafeInteger(value))
    return { error: t('composer.badinteger', { name }) };
  if (!Number.isFinite(value)) return { error: t('composer.badnumber', { name }) };
  if (option.min_value != null && value < option.min_value)
    return { error: t('composer.min', { name, n: option.min_value }) };
  if (option.max_value != null && value > option.max_value)
    return { error: t('composer.max', { name, n: option.max_value }) };
  return { value };
}

/** Values by option → Discord's `data.options`, inside their subcommand and group. `focused`: the option being completed. */
export function payload(leaf, filled, focused) {
  const options = filled.map(({ option, value }) => ({
    name: option.name,
    type: option.type,
    value,
    ...(option === focused ? { focused: true } : {}),
  }));
  return [...leaf.path]
    .reverse()
    .reduce((inner, node) => [{ name: node.name, type: node.type, options: inner }], options);
}

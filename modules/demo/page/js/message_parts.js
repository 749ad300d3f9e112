// What a message says and shows, whether in its own fields or in the components of a layout.

/** Each component, parents first. */
function* walk(components) {
  for (const one of components ?? []) {
    yield one;
    yield* walk(one.components);
    yield* walk([one.component, one.accessory].filter(Boolean));
  }
}

/** The text that a person would copy: the content, or all text displays one below the other. */
export const textOf = (message) =>
  message?.content ||
  [...walk(message?.components)]
    .filter((one) => one.type === 10)
    .map((one) => one.content)
    .join('\n');

/** Files that are attached, then those that components show: [{url, filename?, …}]. */
export const filesOf = (message) => [
  ...(message?.attachments ?? []),
  ...[...walk(message?.components)].flatMap((one) =>
    [...(one.items ?? []).map((item) => item.media), one.media, one.file].filter(Boolean),
  ),
];

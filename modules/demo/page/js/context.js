// What the markdown needs to know and do, from the store and the page's actions.

export function markdownContext(store, actions) {
  return {
    get me() {
      return store.me?.id;
    },
    user: (id) => store.nameOf(id),
    channel: (id) => (store.channels.has(id) ? store.channelName(store.channels.get(id)) : null),
    role: (id) => store.guild?.roles?.find((role) => role.id === id) ?? null,
    openChannel: (id, messageId) => actions.openChannel(id, messageId),
    runCommand: (name) => actions.runCommand(name),
  };
}

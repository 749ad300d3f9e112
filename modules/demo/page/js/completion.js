// What may be chosen for the option under the cursor: from its fixed choices, or asked of the bot as one types.

import { filterChoices, fixedChoices, payload } from './commands.js';
import { localized, t } from './i18n.js';

const DEBOUNCE_MS = 180;
const LIMIT_MS = 4000; // the bot has 3 s to answer
const ID = /^\S{1,60}$/;

export class Completion {
  /** `env`: {store, suggestions, request(op, fields), nonce()}; `filled(chip)`: the other options' values; `take(chip, choice)`. */
  constructor(leaf, env, { filled, take }) {
    this.leaf = leaf;
    this.env = env;
    this.filled = filled;
    this.take = take;
    this.stopListening = env.store.on('autocomplete', (data) => this.#came(data));
  }

  close() {
    clearTimeout(this.timer);
    this.stopListening();
    this.env.suggestions.hide();
  }

  /** Shows what there is for `chip`; the bot is asked after a pause, at once with `now`. */
  suggest(chip, { now = false } = {}) {
    clearTimeout(this.timer);
    this.asked = null;
    const fixed = fixedChoices(chip.option, this.env.store);
    if (fixed) this.#show(chip, filterChoices(fixed, chip.picked ? '' : chip.text));
    else if (chip.option.autocomplete) this.timer = setTimeout(() => this.#ask(chip), now ? 0 : DEBOUNCE_MS);
    else this.env.suggestions.hide();
  }

  /**
   * Whether Enter and Tab take the marked choice. Always when it was reached with an arrow key, or when only a choice will do;
   * never over a prompt typed by hand: completed prose is a proposal, completed ids (a model's) are the answer.
   */
  takesKey(chip) {
    if (this.env.suggestions.moved) return true;
    if (chip.picked) return false;
    if (!chip.text) return Boolean(chip.option.required || fixedChoices(chip.option, this.env.store));
    if (!chip.option.autocomplete) return !('value' in chip.outcome());
    return (
      chip.seen.some((choice) => String(choice.value) !== choice.name) &&
      chip.seen.every((choice) => ID.test(choice.value))
    );
  }

  #ask(chip) {
    const { suggestions, request, store } = this.env;
    const nonce = this.env.nonce();
    const options = payload(
      this.leaf,
      [...this.filled(chip), { option: chip.option, value: chip.picked ? '' : chip.text }],
      chip.option,
    );
    this.asked = { nonce, chip };
    if (!chip.text && !(suggestions.open && this.shownFor === chip)) this.#note(chip, t('composer.searching'));
    request('autocomplete', { nonce, channel_id: store.currentId, name: this.leaf.command.name, options });
    this.timer = setTimeout(() => this.asked?.nonce === nonce && suggestions.hide(), LIMIT_MS);
  }

  #came({ nonce, choices }) {
    if (this.asked?.nonce !== nonce) return; // answered too late, or for another option
    const { chip } = this.asked;
    clearTimeout(this.timer);
    this.asked = null;
    chip.seen = choices;
    this.givesIds ||= choices.some((choice) => String(choice.value) !== choice.name) && chip.option.name;
    if (document.activeElement !== chip.field) return;
    if (choices.length)
      this.#show(
        chip,
        choices.map((choice) => ({ name: localized(choice), value: choice.value })),
      );
    else if (this.givesIds === chip.option.name) this.#note(chip, t('composer.nochoices'));
    else this.env.suggestions.hide(); // free text that resembles nothing earlier
  }

  #note(chip, note) {
    this.shownFor = chip;
    this.env.suggestions.show({ title: localized(chip.option), items: [], note, input: chip.field });
  }

  #show(chip, choices) {
    this.shownFor = chip;
    this.env.suggestions.show({
      title: localized(chip.option),
      input: chip.field,
      note: t('composer.nochoices'),
      foot: t('composer.keys'),
      items: choices.map((choice) => ({ label: choice.name, value: String(choice.value), testid: 'choice', choice })),
      onpick: ({ choice }) => this.take(chip, choice),
    });
  }
}

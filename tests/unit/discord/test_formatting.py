"""Pure pieces of the room for Discord: texts made harmless, aspect ratios, nonces, names, menus, charts."""

from __future__ import annotations

import re

import pytest
from discord import Object, PermissionOverwrite, Role
from hypothesis import given
from hypothesis import strategies as st

from modules.discord.delivery.status_text import worth_telling
from modules.discord.interactions.autocomplete import Choices
from modules.discord.interactions.history_view import WORD_BYTES, HistoryQuery
from modules.discord.interactions.settings_view import changed
from modules.discord.rejections import NotANumber
from modules.discord.requests.guild_guard import GuildGuard
from modules.discord.requests.requester import Requester
from modules.discord.requests.submission import find_offer
from modules.discord.sessions.rules import (
    closing_time,
    is_private_to,
    longest_idle,
    next_step,
    owner_of,
)
from modules.discord.transport.api_address import redirect
from modules.discord.ui.aspect_ratios import choose_size, shape_of, sizes_by_shape
from modules.discord.ui.components import TEMPLATE, custom_id
from modules.discord.ui.formatting import bar, channel_name, fitting, message_ids, nonce, plain, quoted
from modules.discord.ui.modals import seed_of, uploads_of, values_of
from modules.discord.ui.translations import Translations
from modules.queue_manager.errors import BadSettings, BadSize, NoModelFor, UnknownModel
from modules.queue_manager.jobs import JobId, Size
from modules.queue_manager.offers import Offers
from modules.queue_manager.status import QueuePosition
from modules.utils.database.rows import SessionRecord, UserPreferences
from tests.fakes import offer

JOB = JobId("0123456789abcdef" * 2)
EVERYONE, ANA, BEN, BOT, STAFF = 1, 2, 3, 4, 5


@given(st.text(max_size=600))
def test_a_quoted_prompt_is_one_short_line_that_pings_nobody(prompt: str) -> None:
    shown = quoted(prompt)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"@(everyone|here)", shown)
    assert not re.search(r"(?<!\\)<[@#:t]", shown)
    assert "://" not in shown.replace(":\u200b//", "")
    assert len(shown) <= 2 * 300 + 2


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("a fox", "a fox"),
        ("**bold** _it_ `code`", r"\*\*bold\*\* \_it\_ \`code\`"),
        ("# title\nnext", r"\# title next"),
        ("mail me@example.org", "mail me@\u200bexample.org"),
    ],
)
def test_markdown_is_shown_as_it_was_typed(prompt: str, shown: str) -> None:
    assert quoted(prompt) == shown


@given(st.text(min_size=1), st.integers(2, 100))
def test_plain_text_fits(prompt: str, limit: int) -> None:
    assert len(plain(prompt, limit)) <= limit


@given(st.lists(st.text("abc ", min_size=1), max_size=30), st.integers(1, 200))
def test_of_many_lines_the_first_are_shown_and_none_is_cut(lines: list[str], limit: int) -> None:
    text = fitting(lines, limit)
    shown = len(text.split("\n")) if text else 0
    assert text == "\n".join(lines[:shown])
    assert len(text) <= limit
    assert shown == len(lines) or len("\n".join(lines[: shown + 1])) > limit


@given(st.integers(0, 2**63), st.sampled_from(["result", "second"]))
def test_a_nonce_fits_discord_and_differs_by_destination(channel: int, part: str) -> None:
    assert len(nonce(JOB, channel, part)) <= 25
    assert nonce(JOB, channel, part) == nonce(JOB, channel, part)
    assert nonce(JOB, channel, part) != nonce(JOB, channel + 1, part)


@given(st.integers(-5, 200), st.integers(0, 100))
def test_a_bar_has_always_its_width(step: int, steps: int) -> None:
    assert len(bar(step, steps)) == 10


@given(st.text(max_size=200))
def test_a_channels_name_is_one_that_discord_takes(name: str) -> None:
    made = channel_name(name, "42")
    assert 1 <= len(made) <= 90
    assert not re.search(r"\s", made)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Ana María", "ana-maría"),
        ("हिन्दी नाम", "हिन्दी-नाम"),
        ("İbrahim IŞIK", "ibrahim-işik"),
        ("e\u0301lodie", "élodie"),
        ("می\u200cخواهم", "میخواهم"),
        ("ไทยแลนด์", "ไทยแลนด์"),
        ("__x__", "x"),
        ("🦊", "42"),
    ],
)
def test_a_channels_name_keeps_the_letters_of_every_script(name: str, made: str) -> None:
    assert channel_name(name, "42") == made


@pytest.mark.parametrize(
    "invitation", ["discord.gg/abc", "Discord.GG/abc", "discord.com/invite/abc", "discordapp.com/invite/abc"]
)
def test_an_invitation_in_a_prompt_invites_nobody(invitation: str) -> None:
    shown = quoted(f"join {invitation} now")
    assert invitation not in shown
    assert shown.replace("\u200b", "") == f"join {invitation} now"


def test_custom_ids_fit_and_are_read_back() -> None:
    made = custom_id("form", f"prompt:{JOB}")
    assert len(made) <= 100
    match = TEMPLATE.fullmatch(made)
    assert match is not None
    assert (match["what"], match["about"]) == ("form", f"prompt:{JOB}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "https://discord.com/channels/123456789012345/223456789012345/323456789012345",
            (223456789012345, 323456789012345),
        ),
        ("323456789012345", (None, 323456789012345)),
        ("nonsense", None),
    ],
)
def test_a_message_is_named_by_link_or_id(text: str, found: tuple[int | None, int] | None) -> None:
    assert message_ids(text) == found


# ── aspect ratios ──────────────────────────────────────────────────────────────────────────────────

SIZES = tuple(
    Size(width=w, height=h) for w, h in ((1024, 1024), (832, 1216), (1216, 832), (1536, 640), (640, 1536))
)
CARD = offer(sizes=SIZES, default_size=SIZES[0])


def test_each_shape_has_a_size_and_sizes_can_be_typed() -> None:
    assert list(sizes_by_shape(CARD)) == ["square", "portrait", "landscape", "wide", "tall"]
    assert choose_size(CARD, "Wide") == Size(width=1536, height=640)
    assert choose_size(CARD, "832 x 1216") == choose_size(CARD, "832×1216") == SIZES[1]
    assert choose_size(CARD, None) == choose_size(CARD, " ") == SIZES[0]


@given(st.text(max_size=30))
def test_any_text_is_a_size_of_the_card_or_refused(text: str) -> None:
    try:
        chosen = choose_size(CARD, text)
    except BadSize as refused:
        chosen = SIZES[0] if "1024×1024" in str(refused.fields["allowed"]) else None
    assert chosen in SIZES


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_turning_a_picture_turns_its_shape(width: int, height: int) -> None:
    turned = {
        "wide": "tall",
        "landscape": "portrait",
        "square": "square",
        "portrait": "landscape",
        "tall": "wide",
    }
    assert shape_of(Size(width=height, height=width)) == turned[shape_of(Size(width=width, height=height))]


def test_a_model_is_found_by_name_or_label() -> None:
    offers = [offer("flux"), offer("flux_edit", kind="edit")]
    assert find_offer(offers, "imagine", "FLUX").name == "flux"
    assert find_offer(offers, "edit", None).name == "flux_edit"
    with pytest.raises(UnknownModel):
        find_offer(offers, "edit", "flux")


def test_where_no_model_edits_that_is_said_and_not_that_one_is_called_edit() -> None:
    with pytest.raises(NoModelFor) as refused:
        find_offer([offer("flux")], "edit", "")
    assert Translations.load().error("en-US", refused.value) == "No model here can change a picture."


@pytest.mark.parametrize(
    ("locale", "seconds", "speed"),
    [("en", None, "1 step"), ("es-419", None, "1 paso"), ("en", 0.2, "~1 s"), ("es-ES", 61.6, "~62 s")],
)
def test_a_choice_tells_the_models_speed_however_much_it_is_good_at(
    locale: str, seconds: float | None, speed: str
) -> None:
    wordy = offer("flux", steps=1, description=(("en", "good " * 40), ("es", "bueno " * 40)))
    person = Requester(user_id=ANA, name="Ana", guild_id=9, locale=locale)
    choices = Choices(
        offers=Offers([wordy]), messages=Translations.load(), seconds=lambda _: seconds, has=lambda *_: True
    )
    (choice,) = choices.models("imagine", "", person)
    assert choice.name.startswith(f"Flux · {speed} · {'good' if locale == 'en' else 'bueno'} ")
    assert len(choice.name) <= 100


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────


def record(user: int = ANA, last: float = 0.0, *, warned: bool = False) -> SessionRecord:
    return SessionRecord(guild_id=9, user_id=user, channel_id=user, last_used_at=last, warned=warned)


def test_a_session_is_warned_before_it_is_closed() -> None:
    steps = [
        next_step(record(warned=now > 1500), now=now, busy=False, idle=1800, notice=300)
        for now in (0, 1499, 1500, 1501, 1800)
    ]
    assert steps == ["keep", "keep", "warn", "keep", "close"]


def test_time_that_ran_out_while_the_bot_was_away_still_gives_notice() -> None:
    assert next_step(record(), now=10_000, busy=False, idle=1800, notice=300) == "warn"
    assert closing_time(record(), now=10_000, idle=1800, notice=300) == 10_300


@given(st.floats(0, 1e6), st.booleans())
def test_nobody_who_has_a_job_is_closed(now: float, warned: bool) -> None:
    assert next_step(record(warned=warned), now=now, busy=True, idle=1800, notice=300) == "keep"


def test_the_longest_unused_gives_way_but_not_who_has_a_job() -> None:
    found = longest_idle([record(1, 5), record(2, 3), record(3, 4)], frozenset({2}))
    assert found is not None
    assert found.user_id == 3


def test_a_channel_is_known_by_id_in_its_topic_never_by_name() -> None:
    assert owner_of("art-ana", f"Pictures of <@{ANA}>.") == ANA
    assert owner_of("art-ana", f"Private. fullet:{ANA}") == ANA  # made by an earlier version
    assert owner_of("art-ana", "Private.") is None
    assert owner_of("general", f"<@{ANA}>") is None


@pytest.mark.parametrize(
    ("shown", "private"),
    [
        ({EVERYONE: False, ANA: True, BOT: True}, True),
        ({EVERYONE: False, ANA: True, BOT: True, STAFF: True}, True),
        ({EVERYONE: False, ANA: True, BOT: True, BEN: True}, False),
        ({EVERYONE: None, ANA: True, BOT: True}, False),
        ({EVERYONE: False, BOT: True}, False),
        ({}, False),
    ],
)
def test_a_channel_is_handed_out_only_if_it_is_theirs_alone(
    shown: dict[int, bool | None], private: bool
) -> None:
    overwrites = {
        Object(target, type=Role if target in (EVERYONE, STAFF) else Object): PermissionOverwrite(
            view_channel=may
        )
        for target, may in shown.items()
    }
    assert is_private_to(overwrites, user_id=ANA, bot_id=BOT, everyone_id=EVERYONE) is private


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_allowed_guild_is_served_and_nothing_left_by_mistake() -> None:
    def judged(allowed: int | None, present: list[int]) -> tuple[str, frozenset[int]]:
        guard = GuildGuard(allowed)
        leave = guard.look(present)
        return guard.mode, leave

    assert judged(None, [1, 2]) == ("set-up", frozenset())
    assert judged(3, [1, 2]) == ("wrong-guild", frozenset())
    assert judged(2, [1, 2, 3]) == ("serving", {1, 3})


@pytest.mark.parametrize("host", ["discord.com", "10.0.0.1", "127.0.0.1.example.org", "[::2]"])
def test_a_token_never_goes_elsewhere(host: str) -> None:
    with pytest.raises(BadSettings):
        redirect(api_base=f"http://{host}/api", gateway_url="ws://127.0.0.1:1/gw")
    with pytest.raises(BadSettings):
        redirect(api_base="http://127.0.0.1:1/api", gateway_url=f"ws://{host}/gw")


def test_a_place_is_told_when_it_changes_and_a_countdown_when_it_was_wrong() -> None:
    old = QueuePosition(state="waiting", ahead=3, waiting=9, expected_at=1100.0)
    near = QueuePosition(state="waiting", ahead=3, waiting=8, expected_at=1110.0)
    far = QueuePosition(state="waiting", ahead=3, waiting=8, expected_at=1200.0)
    ahead = QueuePosition(state="waiting", ahead=1, waiting=9, expected_at=1100.0)
    assert not worth_telling(old, near, now=1000)
    assert worth_telling(old, far, now=1000)
    assert worth_telling(old, ahead, now=1000)
    assert worth_telling(old, None, now=1000)


def test_what_a_form_holds_is_read_in_both_of_discords_shapes() -> None:
    row = {"type": 1, "components": [{"type": 4, "custom_id": "prompt", "value": "a"}]}
    label = {"type": 18, "component": {"type": 4, "custom_id": "seed", "value": None}}
    menu = {"type": 18, "component": {"type": 3, "custom_id": "model", "values": ["flux"]}}
    empty = {"type": 18, "component": {"type": 3, "custom_id": "size", "values": []}}
    files = {"type": 18, "component": {"type": 19, "custom_id": "pictures", "values": ["7", "5"]}}
    data = {
        "components": [row, label, menu, empty, files],
        "resolved": {"attachments": {"5": {"url": "https://five"}, "7": {"url": "https://seven"}}},
    }
    assert values_of(data) == {"prompt": "a", "seed": "", "model": "flux", "size": ""}
    assert uploads_of(data) == ["https://seven", "https://five"]
    assert uploads_of({"components": [row]}) == []


def test_a_seed_in_a_form_is_a_number_or_nothing() -> None:
    assert seed_of(" 42 ") == 42
    assert seed_of("") is None
    for wrong in ("-1", "1.5", "many", "٣"):
        with pytest.raises(NotANumber):
            seed_of(wrong)


def test_choices_change_their_setting_alone() -> None:
    before = UserPreferences(model="flux", locale="es")
    assert changed(before, "model", ["auto"]).model is None
    assert changed(before, "aspect", ["wide"]).aspect == "wide"
    assert changed(before, "switches", ["direct"]) == UserPreferences(
        model="flux", locale="es", previews=False, notify=False, direct_message=True
    )
    assert changed(before, "notify:off", []) == UserPreferences(model="flux", locale="es", notify=False)
    assert changed(before, "direct:on", []).direct_message
    assert changed(before, "locale:on", []) == changed(before, "unknown", ["x"]) == before


@given(
    st.integers(0, 10**12),
    st.sampled_from(["", "0123abcd"]),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_a_page_of_the_history_is_named_by_a_custom_id(before: int, model: str, typed: str) -> None:
    word = typed.encode()[:WORD_BYTES].decode(errors="ignore")
    query = HistoryQuery(before=before, model=model, word=word)
    assert HistoryQuery.of(str(query)) == query
    named = custom_id("filter", f"{2**63}:{query}")
    assert len(named) <= 100
    assert TEMPLATE.fullmatch(named)


def test_pages_of_older_histories_go_on_working() -> None:
    assert HistoryQuery.of("12") == HistoryQuery(before=12)

"""Laws of the vault, of client keys and of their limits, whatever is put in, presented, or done to the files."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.secret import Secret
from gateway.errors import BadRequest
from gateway.file_errors import VaultLocked, VaultUnreadable
from gateway.vault.client_key import ClientKey, Refusal, Scope
from gateway.vault.client_keys import ClientKeys
from gateway.vault.limiter import Limiter
from gateway.vault.vault import MOST_KEY_BYTES, Opener, Vault
from vault_builders import KEYS, data_of, filled, key_file, new_vault, passphrase, revealed

names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
phrases = st.text(min_size=8, max_size=40).filter(lambda text: len(text.strip()) >= 8)


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, str, str]]:
    """What may be done to a vault, in any order: (``set``, name, value), (``remove``, name, -), (``rotate``, source, -)."""
    few = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    one = st.one_of(
        st.tuples(st.just("set"), st.sampled_from(few), values),
        st.tuples(st.just("remove"), st.sampled_from(few), st.just("")),
        st.tuples(st.just("rotate"), st.sampled_from(["passphrase", "another passphrase", "key file"]), st.just("")),
    )
    return draw(st.lists(one, max_size=12))


@given(edits())
@settings(max_examples=60)
def test_a_vault_holds_what_was_put_in_and_not_taken_out_whatever_it_is_locked_with(
    done: Sequence[tuple[str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = new_vault(Path(folder))
        sources: Mapping[str, Opener] = {
            "passphrase": passphrase("passphrase"),
            "another passphrase": passphrase("another passphrase"),
            "key file": key_file(Path(folder)),
        }
        source, held = "key file", dict[str, str]()
        revision = 0
        for what, name, value in done:
            if what == "set":
                vault.set(name, Secret(value), unlock=sources[source])
                held[name] = value
            elif what == "remove" and name in held:
                vault.remove(name, unlock=sources[source])
                del held[name]
            elif what == "rotate" and revision:
                vault.rotate(unlock=sources[source], to=sources[name])
                source = name
            else:
                continue
            revision += 1
            opened = vault.open(sources[source])
            assert ({one: key.reveal() for one, key in opened.keys.items()}, opened.revision) == (held, revision)


@given(st.data())
@settings(max_examples=300)
def test_whatever_is_done_to_the_bytes_of_a_vault_it_stays_shut_or_holds_the_same(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = filled(Path(folder), passphrase())
        content = vault.path.read_bytes()
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 40)))
        vault.path.write_bytes(content[:begin] + data.draw(st.binary(max_size=40)) + content[end:])
        assert shut_or_holds(vault, KEYS)


@given(st.lists(st.sampled_from(range(4)), min_size=10, max_size=10))
@settings(max_examples=300)
def test_no_mixture_of_vaults_and_revisions_opens_to_anything_but_one_of_them(choice: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = filled(Path(folder), passphrase())
        states: list[dict[str, Any]] = [data_of(vault)]
        vault.set("openai", Secret("sk-newer"), unlock=passphrase())
        states.append(data_of(vault))
        vault.rotate(unlock=passphrase())
        states.append(data_of(vault))
        states.append(data_of(filled(Path(folder) / "other", passphrase(), keys={"openai": "a", "anthropic": "b"})))
        pick = iter(choice)
        mixed = {part: states[next(pick)][part] for part in states[0] if part != "entries"}
        mixed["entries"] = {name: states[next(pick)]["entries"][name] for name in ("openai", "anthropic")}
        vault.path.write_text(json.dumps(mixed), encoding="utf-8")
        if mixed in states:
            revealed(vault, passphrase())
        else:
            assert shut_or_holds(vault, None)


def shut_or_holds(vault: Vault, keys: Mapping[str, str] | None) -> bool:
    """Whether a vault does not open, or has exactly these keys."""
    try:
        return revealed(vault, passphrase()) == keys
    except (VaultLocked, VaultUnreadable):
        return True


@given(phrases, phrases)
@settings(max_examples=100)
def test_a_passphrase_opens_what_it_locked_or_is_refused_and_no_other_opens_it(one: str, two: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            vault = filled(Path(folder), passphrase(one))
        except BadRequest:
            return
        assert revealed(vault, passphrase(f" {one}\n")) == KEYS
        try:
            same = revealed(vault, passphrase(two)) == KEYS
        except VaultLocked:
            same = False
        assert not same or normalize("NFC", one.strip()) == normalize("NFC", two.strip())


@given(st.text(max_size=40), st.text(max_size=MOST_KEY_BYTES // 100))
def test_whatever_is_put_in_is_kept_as_it_is_or_refused_without_being_repeated(name: str, value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault, told = new_vault(Path(folder)), ""
        try:
            vault.set(name, Secret(value), unlock=passphrase())
        except BadRequest as exc:
            told = f"{exc} {exc.hint}"
        assert revealed(vault, passphrase()) == ({} if told else {name: value})
        assert len(value) < 8 or value not in told


@given(st.data())
@settings(max_examples=200)
def test_nothing_but_the_key_itself_is_let_in(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keys = ClientKeys(Path(folder) / "client_keys.json", client_key=Secret("environment"))
        text = keys.create("ci", now_s=1.0).text.reveal()
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, len(text)))
        presented = text[:begin] + data.draw(st.text(max_size=8)) + text[end:]
        verdict = keys.verify(presented, now_s=2.0)
        assert (verdict.refusal is None) == (presented in {text, "environment"})
        assert verdict.refusal in {None, Refusal.UNKNOWN}


@given(
    per_minute=st.integers(1, 600),
    steps_s=st.lists(st.floats(0, 30, allow_nan=False) | st.just(0.0), min_size=1, max_size=80),
)
def test_no_stretch_of_time_sees_more_than_a_minutes_worth_and_what_trickles_in_meanwhile(
    per_minute: int, steps_s: Sequence[float]
) -> None:
    key = ClientKey(id="ci", name="ci", scope=Scope.CLIENT, requests_per_minute=per_minute)
    limiter, now_s, went_in = Limiter(), 0.0, list[float]()
    for step_s in steps_s:
        now_s += step_s
        told = limiter.enter(key, now_s=now_s)
        if told is None:
            went_in.append(now_s)
        else:
            assert 0 < told.retry_after_s <= 60 / per_minute + 1e-6
    for first, begin_s in enumerate(went_in):
        for last in range(first, len(went_in)):
            length_s = went_in[last] - begin_s
            assert last - first + 1 <= per_minute + length_s * per_minute / 60 + 1e-6


@given(per_minute=st.integers(1, 10_000), begin_s=st.floats(0, 1e9), spent=st.integers(0, 30))
def test_who_waits_as_long_as_told_is_let_in(per_minute: int, begin_s: float, spent: int) -> None:
    key = ClientKey(id="ci", name="ci", scope=Scope.CLIENT, requests_per_minute=per_minute)
    limiter = Limiter()
    for _ in range(spent):
        told = limiter.enter(key, now_s=begin_s)
        if told is not None:
            # A microsecond more, for clocks whose floats are coarse.
            assert limiter.enter(key, now_s=begin_s + told.retry_after_s + 1e-6) is None
            return


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_there_are_never_more_under_way_than_allowed(asked: Sequence[bool], concurrency: int) -> None:
    key = ClientKey(id="ci", name="ci", scope=Scope.CLIENT, concurrency=concurrency)
    limiter, under_way = Limiter(), 0
    for enters in asked:
        if enters:
            refused = limiter.enter(key, now_s=0.0) is not None
            assert refused == (under_way == concurrency)
            under_way += not refused
        elif under_way:
            limiter.leave(key)
            under_way -= 1
        assert limiter.under_way(key) == under_way <= concurrency

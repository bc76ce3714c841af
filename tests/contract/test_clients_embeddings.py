"""Embeddings of the official OpenAI client over each lane that gives them."""

import base64
import struct
from typing import Any

import openai
import pytest

from client_builders import World, done
from fakes.faults import status

EMBEDDERS = ("local-embed", "wire-embed", "cloud-embed")
ROUTES = {"local-embed": "/api/embed", "wire-embed": "/v1/embeddings", "cloud-embed": "/v1/embeddings"}
WIDTHS = {"local-embed": 768, "wire-embed": 8, "cloud-embed": 8}


@pytest.mark.parametrize("lane", EMBEDDERS)
async def test_one_text_has_one_vector(world: World, client: Any, lane: str) -> None:
    raw = await done(client.embeddings.with_raw_response.create(model=lane, input="One two three."))
    assert raw.headers["x-rolegate-role"] == lane
    answer = raw.parse()
    assert (answer.object, answer.model) == ("list", world.model(lane))
    (entry,) = answer.data
    assert (entry.object, entry.index) == ("embedding", 0)
    assert len(entry.embedding) == WIDTHS[lane]
    assert all(isinstance(one, float) for one in entry.embedding)
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.total_tokens == 3


@pytest.mark.parametrize("lane", EMBEDDERS)
async def test_several_texts_have_a_vector_each_in_order(client: Any, lane: str) -> None:
    texts = ["one", "two two", "three three three"]
    together = await done(client.embeddings.create(model=lane, input=texts))
    assert [one.index for one in together.data] == [0, 1, 2]
    assert together.usage.prompt_tokens == 6
    alone = await done(client.embeddings.create(model=lane, input="one"))
    assert together.data[0].embedding == pytest.approx(alone.data[0].embedding, abs=1e-6)
    assert together.data[1].embedding != pytest.approx(together.data[0].embedding, abs=1e-6)


@pytest.mark.parametrize("lane", EMBEDDERS)
async def test_the_clients_own_encoding_and_plain_numbers_are_the_same_vector(client: Any, lane: str) -> None:
    packed = await done(client.embeddings.create(model=lane, input="One two."))
    plain = await done(client.embeddings.create(model=lane, input="One two.", encoding_format="float"))
    coded = await done(client.embeddings.create(model=lane, input="One two.", encoding_format="base64"))
    text = coded.data[0].embedding
    assert isinstance(text, str)
    numbers = base64.b64decode(text, validate=True)
    unpacked = list(struct.unpack(f"<{len(numbers) // 4}f", numbers))
    assert unpacked == packed.data[0].embedding
    assert plain.data[0].embedding == pytest.approx(unpacked, abs=1e-6)


@pytest.mark.parametrize("lane", EMBEDDERS)
async def test_a_width_that_is_asked_for_is_given(world: World, client: Any, lane: str) -> None:
    answer = await done(client.embeddings.create(model=lane, input="One.", dimensions=4))
    assert len(answer.data[0].embedding) == 4
    assert world.sent(lane, route=ROUTES[lane])["dimensions"] == 4


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2, 3], [4]]])
@pytest.mark.parametrize("lane", ["wire-embed", "cloud-embed"])
async def test_token_numbers_reach_a_server_that_takes_them(
    world: World, client: Any, lane: str, tokens: list[Any]
) -> None:
    answer = await done(client.embeddings.create(model=lane, input=tokens))
    several = tokens if isinstance(tokens[0], list) else [tokens]
    assert len(answer.data) == len(several)
    assert world.sent(lane, route=ROUTES[lane])["input"] in (tokens, several)


async def test_token_numbers_rule_ollama_out_with_the_reason(world: World, client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="takes texts only, not token arrays") as refused:
        await done(client.embeddings.create(model="local-embed", input=[1, 2, 3]))
    assert refused.value.code == "no_capable_deployment"
    assert not world.asked("local-embed", route="/api/embed")


@pytest.mark.parametrize(
    ("given", "field"), [("", "input"), ([], "input"), (["a", ""], "input[1]"), ([1, "a"], "input[1]")]
)
async def test_an_input_that_is_none_is_refused_by_place(client: Any, given: Any, field: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.embeddings.create(model="wire-embed", input=given))
    assert (refused.value.code, refused.value.param) == ("invalid_request", field)


async def test_a_role_that_chats_does_not_embed_and_the_other_way_round(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match='"local" is for chats; it does not embed'):
        await done(client.embeddings.create(model="local", input="One."))
    with pytest.raises(openai.BadRequestError, match='"local-embed" is for embeddings; it does not chat'):
        await done(client.chat.completions.create(model="local-embed", messages=[{"role": "user", "content": "Hi."}]))


@pytest.mark.parametrize("lane", EMBEDDERS)
async def test_a_server_that_fails_is_the_clients_own_exception(world: World, client: Any, lane: str) -> None:
    world.fake(lane).fail(status(500, '{"error": {"message": "broken"}}'), route=ROUTES[lane])
    with pytest.raises(openai.InternalServerError) as refused:
        await done(client.embeddings.create(model=lane, input="One."))
    assert (refused.value.status_code, refused.value.code) == (502, "upstream_error")


async def test_a_text_that_is_too_long_is_refused_with_its_length(world: World, client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="is too small for a prompt of about") as refused:
        await done(client.embeddings.create(model="local-embed", input="word " * 9000))
    assert refused.value.code == "no_capable_deployment"

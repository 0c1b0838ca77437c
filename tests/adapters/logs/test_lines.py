"""What happens to a line on its way into a chunk."""

from __future__ import annotations

from devflow.adapters.logs.masking import Mask
from devflow.adapters.logs.render import Entry, Row, decode, encode
from devflow.adapters.logs.text import LINE_BYTES, cut, lines_of


def test_progress_is_folded_and_control_characters_go() -> None:
    assert lines_of("10%\r50%\r100%") == ["100%"]
    assert lines_of("100%\r\ndone\r\r\n") == ["100%", "done"]
    assert lines_of("\x1b[2K\x1b[1Aup \x1b]0;title\x07\x1b[1;31mred\x1b[0m\x07\x00\x9b!") == [
        "up \x1b[1;31mred\x1b[0m!"
    ]
    assert lines_of("torn \udcff byte") == ["torn \ufffd byte"]
    assert lines_of("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == ["link"]


def test_an_endless_line_is_cut_and_says_so() -> None:
    assert cut("x" * LINE_BYTES) == "x" * LINE_BYTES
    assert cut("x" * (LINE_BYTES + 5)) == "x" * LINE_BYTES + " … [5 more bytes cut]"
    assert len(cut("ü" * 100_000).encode()) < LINE_BYTES + 60
    torn = "x" * (LINE_BYTES - 3) + "\x1b[31mred"
    assert "\x1b" not in cut(torn)


def test_secrets_that_overlap_go_as_one() -> None:
    mask = Mask(["abcdef", "defghi", "abcd"])
    assert mask("-abcdefghi-") == "-***-"
    assert mask("-abcdefabcd-") == "-******-"
    assert mask("-abcd-") == "-***-"
    assert Mask([])("anything") == "anything"


def test_a_chunk_is_packed_when_that_pays() -> None:
    short = [Entry(1000, "info", "system", "", "hello")]
    long = [Entry(1000 + n, "error", "stderr", f"step {n % 3}", f"collecting package number {n}") for n in range(500)]
    assert encode(short).startswith(b"[")
    assert len(encode(long)) * 3 < sum(len(entry.message) for entry in long)
    for entries in (short, long):
        lines = decode(Row(11, 10 + len(entries), encode(entries)))
        assert [(x.at, x.level, x.stream, x.step, x.message) for x in lines] == [tuple(e) for e in entries]
        assert [x.seq for x in lines] == list(range(11, 11 + len(entries)))

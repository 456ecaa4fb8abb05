"""Streams for terminals: one for each thing that a picture must not lose, and random ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.sessions.recording import VECTORS, Stream, load

# Name -> what came before the cut, what came after it.
SHORT: dict[str, tuple[str, str]] = {
    "plain text": ("hello\r\nworld", "!\r\n"),
    "sixteen colours": ("\x1b[31;42ma\x1b[91;102mb\x1b[39;49mc", "d\r\n"),
    "palette and true colours": ("\x1b[38;5;200;48;5;17ma\x1b[38;2;1;2;3;48;2;250;9;8mb", "c"),
    "every attribute": ("\x1b[1;2;3;5;7;8;9;53mA\x1b[0;4mB\x1b[0;1mC", "D\x1b[22mE"),
    "kinds of underlines": (
        "\x1b[4:2ma\x1b[4:3mb\x1b[4:4mc\x1b[4:5;58:2::1:2:3md\x1b[58:5:9me",
        "f",
    ),
    "wide characters": ("\u5bbd\u5b57a\u5bbd\r\n\x1b[2C\u65e5\u672c", "\u8a9e\r\n"),
    "emoji": ("ok \U0001f600 \U0001f680\r\n", "\U0001f600"),
    "combining characters": ("e\u0301a\u0308 n\u0303", "\u0301x"),
    "a mark after the cut": ("cafe", "\u0301!"),
    "a wide character that wraps": ("x" * 19 + "\u5bbd", "y"),
    "a wide character alone at the margin": ("\x1b[20G\u5bbda\r\n\x1b[20G\U0001f680b", "y"),
    "a wide character behind a gap": ("ab\x1b[20G\u5bbd\r\n\x1b[44m\x1b[K\x1b[20G\u65e5", "y"),
    "a long line": ("abcdefghij" * 5, "k\x1b[Aup"),
    "the last column": ("x" * 20, "y"),
    "the last column, in colour": ("x" * 19 + "\x1b[41mZ\x1b[0m", "y"),
    "erased with a background": ("ab\x1b[44m\x1b[K\r\n\x1b[48;2;9;8;7m\x1b[2Kx\x1b[0m", "y\x1b[J"),
    "scrolled with a background": ("1\r\n2\r\n3\r\n4\r\n5\x1b[45m\r\n6\r\n\x1b[0m", "7"),
    "history": ("".join(f"\x1b[3{n % 8}mline {n}\x1b[0m\r\n" for n in range(50)), "more\r\n"),
    "wrapped history": ("".join(f"{n} " + "w" * 30 + "\r\n" for n in range(30)), "more\r\n"),
    "margins": ("a\r\nb\r\nc\r\nd\x1b[2;4r\x1b[4;1H", "x\r\ny\r\nz\x1b[r"),
    "origin mode": ("\x1b[2;4r\x1b[?6hAB", "\x1b[Hx\x1b[3;1Hy\x1b[?6l"),
    "tab stops": ("\x1b[3g\x1b[5G\x1bH\x1b[12G\x1bH\r", "\tx\ty\tz"),
    "saved cursor": ("ab\x1b[1;31m\x1b(0\x1b7\x1b(B\x1b[0m\x1b[4;4Hzz", "\x1b8qq"),
    "line drawing": ("\x1b(0lqqk\r\nx  x\r\n", "mqqj\x1b(B-"),
    "the second character set": ("\x1b)0\x0eqq", "q\x0fq"),
    "alternate screen": ("first\r\nsecond\x1b[?1049h\x1b[2J\x1b[Hfull\r\n\x1b[7mscreen", "x"),
    "leaving the alternate screen": ("one\r\ntwo \x1b[?1049h\x1b[Hfull", "\x1b[m\x1b[?1049lthree"),
    "alternate screen over history": (
        "".join(f"line {n}\r\n" for n in range(20)) + "$ vi\x1b[?1049h\x1b[H~\r\n~",
        "\x1b[?1049l\r\n$ ",
    ),
    "an editor's colours": (
        "\x1b[?1049h\x1b[44m\x1b[2J\x1b[2;3Htext\x1b[30;46m\x1b[5;1Hbar\x1b[K",
        "!",
    ),
    "hyperlinks": (
        "\x1b]8;;http://a.b/c\x1b\\link\x1b]8;;\x1b\\ \x1b]8;id=x;http://d\x07two",
        "rest",
    ),
    "title": ("\x1b]0;a title\x07$ ", "\x1b]2;other\x07"),
    "paste, mouse, focus, keypad": (
        "\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?1004h\x1b[?1h\x1b=x",
        "y",
    ),
    "pixel mouse": ("\x1b[?1003h\x1b[?1016hx", "\x1b[?1003ly"),
    "hidden cursor and its shape": ("\x1b[?25l\x1b[4 qx", "\x1b[?25h"),
    "insert mode": ("abcdef\x1b[3G\x1b[4h", "XY\x1b[4lZ"),
    "no wrapping": ("\x1b[?7l" + "x" * 30, "end\x1b[?7h"),
    "synchronized output": ("\x1b[?2026hhalf", " whole\x1b[?2026l"),
    "protected cells": ('\x1b[1"qkeep\x1b[0"q lose', "\x1b[?2J"),
    "repetition": ("abcZ", "\x1b[5bx"),
    "changed colours": ("\x1b]4;1;rgb:11/22/33\x07\x1b]11;rgb:00/00/20\x07x", "y"),
    "inserted and deleted": (
        "abcdefghij\x1b[5D\x1b[42m\x1b[2P\x1b[3@\x1b[2X\x1b[m\r\n1\r\n2\x1b[L",
        "x\x1b[M",
    ),
    "a cut sequence": ("a\x1b[3", "1mred"),
    "a cut title": ("a\x1b]0;half a ti", "tle\x07b"),
    "a cut character": ("a\udce5\udcae", "\udcbdb"),
    "shell marks": (
        "\x1b]133;A\x07$ \x1b]133;B\x07ls\r\n\x1b]133;C\x07a b\r\n\x1b]133;D;0\x07\x1b]133;A\x07$ ",
        "x",
    ),
    "cleared at a marked prompt": (
        "\x1b]133;A\x07$ \x1b]133;B\x07ls\r\na\r\nb\r\n\x1b]133;A\x07$ "
        "\x1b[H\x1b[2J\x1b]133;A\x07$ ",
        "x",
    ),
    "a cut mark": ("a\x1b]13", "3;A\x07$ "),
    "a shape left by the alternate screen": ("a\x1b[?1049h\x1b[6 qx\x1b[?1049lb", "c"),
    "scrolled up by a command": ("1\r\n2\r\n3\x1b[2S", "x"),
    "saved, then scrolled": ("a\x1b7\r\n" + "b\r\n" * 8, "\x1b8x"),
    "margins and another screen": ("\x1b[2;4ra\x1b[?1049h\x1b[Hx", "\x1b[5;1Hy\r\nz"),
}
COLUMNS, ROWS = 20, 5


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate stands for a byte of a cut character."""
    return text.encode("utf-8", "surrogateescape")


def recorded() -> list[Stream]:
    """What real programs wrote."""
    return [load(path) for path in sorted(VECTORS.glob("*.json"))]


def torture(seed: int, steps: int = 400, columns: int = 60, rows: int = 16) -> bytes:
    """Anything that a program may send, in any order: the same for the same seed."""
    chance = random.Random(seed)
    pieces = _anything(chance, columns, rows)
    weights = [weight for weight, _ in pieces]
    makers = [maker for _, maker in pieces]
    made = [chance.choices(makers, weights)[0]() for _ in range(steps)]
    return "".join(made).encode()


def usual(seed: int, steps: int = 150, columns: int = 60, rows: int = 16) -> bytes:
    """As `torture`, but without what xterm.js and the engine are known to read differently."""
    chance = random.Random(seed)
    made = []
    for _ in range(steps):
        made.append(chance.choice(_WORDS))
        made.append(
            chance.choice(
                (
                    "\r\n", "\r\n", _style(chance), _style(chance), "\x1b[0m", "\t", "\b",
                    f"\x1b[{chance.randint(1, rows)};{chance.randint(1, columns)}H",
                    f"\x1b[{chance.randint(1, 5)}{chance.choice('ABCDG')}",
                    f"\x1b[{chance.choice(('', '1', '2'))}K", f"\x1b[{chance.randint(1, 4)}P",
                    f"\x1b[{chance.randint(1, 4)}X", f"\x1b[{chance.randint(1, 4)}@", "\x1b[J",
                    f"\x1b[3;9r\x1b[{chance.randint(3, 9)};1H\x1bM\n\x1b[r\x1b[{rows};1H",
                    "\x1b]8;;http://e.x/1\x07link\x1b]8;;\x07", "\x1b(0lqk\x1b(B",
                )
            )
        )  # fmt: skip
    return "".join(made).encode()


_WORDS = (
    "hello", "world ", "  ", "x", "foo_bar", "\u5bbd\u5b57", "\u00e9", "e\u0301", "---",
    "\u65e5\u672c\u8a9e\u30c6\u30ad\u30b9\u30c8", "0123456789" * 3, "\U0001f600", "\u2500\u2502",
    "the quick brown fox jumps over the lazy dog ",
)  # fmt: skip


def _style(chance: random.Random) -> str:
    colour = chance.randint
    choices = (
        "1", "3", "4", "7", "9", "22", "24", "27", str(colour(30, 37)), str(colour(40, 47)),
        str(colour(90, 97)), f"38;5;{colour(16, 255)}", f"48;5;{colour(16, 255)}",
        f"48;2;{colour(0, 255)};{colour(0, 255)};{colour(0, 255)}",
    )  # fmt: skip
    return f"\x1b[{';'.join(chance.choices(choices, k=2))}m"


def _anything(
    chance: random.Random, columns: int, rows: int
) -> list[tuple[int, Callable[[], str]]]:
    number = chance.randint
    return [
        (30, lambda: chance.choice(_WORDS)),
        (12, lambda: _style(chance)),
        (8, lambda: "\r\n"),
        (6, lambda: chance.choice("\n\r\b\t")),
        (8, lambda: f"\x1b[{number(1, rows)};{number(1, columns)}H"),
        (6, lambda: f"\x1b[{number(1, 5)}{chance.choice('ABCDEFGdSTLMP@Xb')}"),
        (6, lambda: f"\x1b[{number(0, 2)}{chance.choice('KJ')}"),
        (2, lambda: "\x1b[{};{}r".format(*sorted(chance.sample(range(1, rows + 1), 2)))),
        (6, lambda: "\x1b" + chance.choice("78MDEH=>c")),
        (3, lambda: f"\x1b[?{chance.choice((1, 6, 7, 25, 47, 1049, 2004))}{chance.choice('hl')}"),
        (2, lambda: f"\x1b[?{chance.choice((9, 1000, 1002, 1003, 1006))}{chance.choice('hl')}"),
        (2, lambda: f"\x1b[{chance.choice((4, 20))}{chance.choice('hl')}"),
        (2, lambda: f"\x1b{chance.choice('()')}{chance.choice('0AB')}"),
        (1, lambda: chance.choice("\x0e\x0f")),
        (2, lambda: f"\x1b]8;;{chance.choice(('', 'http://e.x/1', 'http://e.x/2'))}\x07"),
        (1, lambda: f"\x1b]0;t{number(0, 9)}\x07"),
        (1, lambda: f'\x1b[{number(0, 2)}"q'),
    ]  # fmt: skip

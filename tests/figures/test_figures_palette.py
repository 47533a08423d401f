from __future__ import annotations

import itertools

from retrain_equivalence.figures.palette import DASHES, SERIES, SHAPES, TOKENS, Token, series_of

PAGES = {"light": "#ffffff", "dark": "#14181d"}
TEXT = {"ink", "muted", "margin", "equivalent", "different", "inconclusive", "series-1"}
EITHER_SIDE_OF_A_LINE = {"rule", "surface"}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_formula_gives_the_extremes_of_wcag() -> None:
    assert round(contrast("#000000", "#ffffff"), 6) == 21 and contrast("#777777", "#777777") == 1


def test_every_mark_stands_out_from_both_pages_and_text_is_readable() -> None:
    for token, scheme in itertools.product(TOKENS, PAGES):
        if token.name in EITHER_SIDE_OF_A_LINE:
            continue
        needed = 4.5 if token.name in TEXT else 3.0
        assert contrast(getattr(token, scheme), PAGES[scheme]) >= needed, (token.name, scheme)


def test_light_values_are_unique_since_charts_are_rewritten_by_them() -> None:
    assert len({token.light for token in TOKENS}) == len(TOKENS) == len({token.name for token in TOKENS})


def test_eight_series_differ_in_colour_and_dash_and_shape() -> None:
    series = series_of([(str(i), str(i)) for i in range(8)])
    assert len({s.colour for s in series}) == len({s.dash for s in series}) == len({s.shape for s in series}) == 8
    assert len(SERIES) == len(DASHES) == len(SHAPES) == 8


def test_twenty_four_series_still_have_looks_of_their_own() -> None:
    series = series_of([(str(i), str(i)) for i in range(24)])
    assert len({(s.colour, s.dash, s.shape) for s in series}) == 24


def test_colours_are_told_apart_without_red_green_vision() -> None:
    """First four series under deuteranopia (Vienot et al. 1999, simplified to one dichromat matrix in linear light)."""

    def seen(token: Token) -> tuple[float, float]:
        r, g, b = (int(token.light[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return 0.29 * r + 0.71 * g, b

    for one, other in itertools.combinations(SERIES[:4], 2):
        (y1, b1), (y2, b2) = seen(one), seen(other)
        assert ((y1 - y2) ** 2 + (b1 - b2) ** 2) ** 0.5 > 0.08, (one.name, other.name)

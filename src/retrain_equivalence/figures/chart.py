"""From an Altair chart to one static, accessible, theme-following SVG.

Design. A picture is drawn once by vl-convert (no browser, no network, fonts of its own) and then cleaned: colours
become CSS custom properties, clip paths get names of their own (several pictures share one page), coordinates are
rounded, invisible elements and inner roles go, and the root becomes a single labelled image. The same chart always
gives the same bytes, whatever was drawn before it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from retrain_equivalence.core.errors import visible
from retrain_equivalence.figures.palette import INK, MUTED, RULE, TOKENS

if TYPE_CHECKING:
    import altair as alt

FONT = "Arial, Liberation Sans, Helvetica, sans-serif"
"""Arial and Liberation Sans have equal widths, so labels measured here fit wherever the page is read."""
SVG = "http://www.w3.org/2000/svg"

_ROUNDED = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_CLIP = re.compile(r"clip\d+")
_VARIABLES = {token.light: f"var(--{token.name}, {token.light})" for token in TOKENS}
_DROPPED = ("role", "aria-roledescription", "aria-label", "aria-hidden", "pointer-events", "class")


def theme() -> dict[str, Any]:
    """Return the Vega-Lite configuration that every chart of the package shares."""
    text = {"labelColor": MUTED.light, "titleColor": INK.light, "labelFontSize": 11, "titleFontSize": 11.5}
    return {
        "background": None,
        "font": FONT,
        "padding": {"left": 4, "right": 10, "top": 4, "bottom": 4},
        "view": {"stroke": None},
        "axis": {
            **text, "titleFontWeight": "normal", "gridColor": RULE.light, "gridOpacity": 0.7, "labelLimit": 220,
            "domainColor": MUTED.light, "tickColor": MUTED.light, "tickSize": 4, "tickCount": 5, "labelPadding": 7,
            "titlePadding": 6,
        },
        "axisX": {"grid": False, "labelPadding": 3},
        "axisY": {"domain": False, "ticks": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "start",
                  "titleBaseline": "bottom", "titleX": 0, "titleY": -6, "titleLimit": 320},
        "title": {"color": INK.light, "fontSize": 13, "fontWeight": "bold", "anchor": "start", "frame": "bounds",
                  "offset": 8, "limit": 340, "subtitleColor": MUTED.light, "subtitleFontSize": 11},
        "text": {"color": INK.light, "fontSize": 11},
        "line": {"strokeWidth": 2, "strokeCap": "butt", "strokeJoin": "round"},
        "point": {"filled": True, "size": 46},
        "aria": False,
    }  # fmt: skip


def shown(text: object, limit: int = 60) -> str:
    """Return foreign text as a chart may show it: nothing unprintable, at most `limit` characters."""
    return visible(str(text), limit=limit)


def to_svg(chart: alt.TopLevelMixin, *, name: str, label: str) -> str:
    """Draw `chart` as an `<svg>` element that can stand inside a page.

    Args:
        chart: any top-level Altair chart; its colours must be light values of `palette.TOKENS`.
        name: letters, digits and dashes; unique within the page, it prefixes the ids.
        label: what a screen reader says instead of the picture; also its tool tip.

    Returns:
        The element's text: `role="img"`, labelled, without script, style element, inline style or outer reference.
    """
    import altair as alt
    import vl_convert

    # Altair's limit guards pages that carry their data; a drawing carries none, and lines were thinned before.
    with alt.data_transformers.enable("default", max_rows=None):
        # Parts are validated when they are made; validating the whole again takes as long as drawing it.
        specification = chart.to_dict(validate=False)
    specification["config"] = theme()
    drawn = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    # The text is vl-convert's own, without a document type: no entity can be declared in it.
    root = ET.fromstring(drawn)  # noqa: S314
    _clean(root, f"{name}-")
    for attribute in ("class", "version", "width", "height"):
        root.attrib.pop(attribute, None)
    box = [float(number) for number in root.get("viewBox", "0 0 0 0").split()]
    width, height = round(box[2]), round(box[3])
    root.attrib.update(
        {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}", "role": "img",
         "aria-label": visible(label, limit=600)}
    )  # fmt: skip
    title = ET.Element(f"{{{SVG}}}title")
    title.text = visible(label, limit=600)
    root.insert(0, title)
    ET.register_namespace("", SVG)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _clean(root: ET.Element, prefix: str) -> None:
    names: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        return names.setdefault(match.group(), f"{prefix}c{len(names)}")

    for parent in root.iter():
        for child in list(parent):
            if _is_invisible(child):
                parent.remove(child)
    for element in root.iter():
        for attribute in _DROPPED:
            element.attrib.pop(attribute, None)
        for attribute, value in element.attrib.items():
            if attribute in ("fill", "stroke"):
                element.set(attribute, _VARIABLES.get(value, value))
            elif attribute in ("d", "transform", "x", "y", "x2", "y2", "width", "height"):
                element.set(attribute, _ROUNDED.sub(_round, value))
            elif attribute == "font-size":
                element.set(attribute, value.removesuffix("px"))
            elif attribute == "opacity" and value == "1":
                element.set(attribute, "")
            if attribute in ("id", "clip-path"):
                element.set(attribute, _CLIP.sub(renamed, value))
        for attribute in [a for a, value in element.attrib.items() if value == ""]:
            del element.attrib[attribute]
    _unwrap(root)


def _is_invisible(element: ET.Element) -> bool:
    if not element.tag.endswith("path"):
        return False
    painted = any(element.get(a) not in (None, "none", "transparent") for a in ("fill", "stroke"))
    return not painted or element.get("d") in (None, "")


def _unwrap(element: ET.Element) -> None:
    """Drop groups that hold nothing, and those that only wrap: Vega nests some six of them around each mark."""
    for child in list(element):
        _unwrap(child)
        if not child.tag.endswith("}g"):
            continue
        if len(child) == 0:
            element.remove(child)
        elif not child.attrib or child.attrib == {"transform": "translate(0,0)"}:
            at = list(element).index(child)
            element.remove(child)
            for offset, grandchild in enumerate(child):
                element.insert(at + offset, grandchild)


def _round(match: re.Match[str]) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{round(float(match.group()), 1) + 0.0:g}"

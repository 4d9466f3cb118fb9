"""What an SVG of loss curves shows, read back from its XML."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class SvgPlot:
    """A parsed SVG."""

    root: ET.Element

    @property
    def texts(self) -> list[str]:
        """Every text in it."""
        return ["".join(text.itertext()) for text in self.root.iter(f"{_SVG}text")]

    @property
    def names(self) -> set[str]:
        """Names of its curves and marks, such as `val-1`."""
        names = {group.get("id", "") for group in self.root.iter(f"{_SVG}g")}
        return {name for name in names if re.fullmatch(r"(train|val|best|breaks)-.*|ngram", name)}

    def group(self, name: str) -> ET.Element:
        """The element of a curve or mark."""
        (found,) = [each for each in self.root.iter(f"{_SVG}g") if each.get("id") == name]
        return found

    def vertices(self, name: str) -> list[tuple[float, float]]:
        """Corners of a curve in the plot's units, y downwards; (nan, nan) parts stretches."""
        path = next(each for each in self.group(name).iter(f"{_SVG}path") if not each.get("id"))
        points: list[tuple[float, float]] = []
        for command, x, y in re.findall(r"([ML]) (\S+) (\S+)", path.get("d", "")):
            if command == "M" and points:
                points.append((math.nan, math.nan))
            points.append((float(x), float(y)))
        return points

    def symbol(self, name: str) -> str | None:
        """Outline of a curve's symbol."""
        paths = self.group(name).iter(f"{_SVG}path")
        return next(each.get("d") for each in paths if each.get("id"))

    def marks(self, name: str) -> list[tuple[float, float]]:
        """Places of the symbols of a curve or mark."""
        uses = self.group(name).iter(f"{_SVG}use")
        return [(float(use.get("x", "nan")), float(use.get("y", "nan"))) for use in uses]


def read_svg(path: Path) -> SvgPlot:
    """Parse a plot; it must be well-formed XML."""
    return SvgPlot(ET.fromstring(path.read_bytes()))


def is_linear(positions: list[float], values: list[float]) -> bool:
    """Whether positions in a plot are a straight-line function of the values."""
    slope, offset = np.polyfit(values, positions, 1)
    return bool(np.allclose(np.polyval([slope, offset], values), positions, atol=0.01))

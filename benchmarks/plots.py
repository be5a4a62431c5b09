"""Draws the plots of a report as SVG files, the same bytes for the same figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib import pyplot

from benchmarks.report import Plot

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
_INCHES = (8.0, 4.0)


def draw(plot: Plot, path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=_INCHES, layout="constrained")
    if plot.kind == "bars":
        width = 0.8 / len(plot.values)
        for number, (name, values) in enumerate(plot.values.items()):
            places = [index + (number - (len(plot.values) - 1) / 2) * width for index in range(len(values))]
            axes.bar(places, [value or 0.0 for value in values], width, label=name)
        turned = sum(map(len, plot.labels)) > 70
        axes.set_xticks(range(len(plot.labels)), plot.labels, rotation=40 if turned else 0,
                        ha="right" if turned else "center")  # fmt: skip
    else:
        for name, values in plot.values.items():
            axes.plot(plot.labels, [float("nan") if value is None else value for value in values],
                      marker="o", label=name)  # fmt: skip
    if plot.is_logarithmic:
        axes.set_yscale("log")
    axes.set_ylabel(plot.unit)
    axes.set_title(plot.title)
    axes.grid(axis="y", alpha=0.3)
    if len(plot.values) > 1:
        axes.legend()
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)

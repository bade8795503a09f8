"""What the plots of a report share: panels side by side, readable on white and on black."""

import io
from pathlib import Path

from cirtorch.utils.files import atomic_write

COLOUR = "#2f7ed8"
PALETTE = (COLOUR, "#e4572e", "#3aa655", "#8e6bbf", "#c99a2e", "#5b6470", "#d6559b", "#2aa7a7")
MARKERS = "o^sDvP"
INK = "#8a8f98"
COLUMNS, WIDTH = 3, 9  # panels in a row, and inches
LEFT, RIGHT, ABOVE, BELOW = 0.6, 0.1, 0.3, 0.4  # inches around a panel, for its words


def panels(count: int, height: float, legends_outside: bool = False):
    """A figure and so many axes of ``height`` inches, three in a row.

    Args:
        legends_outside: find room for legends beside the panels, which takes twice as long.
    """
    # imported late: a report without plots needs no matplotlib
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    lines = -(-count // COLUMNS)
    size = WIDTH, height * lines + 0.2
    if legends_outside:
        figure, room = Figure(figsize=size, layout="constrained"), {}
    else:
        figure, room = Figure(figsize=size), _room(*size, lines)
    grid = figure.add_gridspec(lines, COLUMNS, **room)
    return figure, [figure.add_subplot(grid[divmod(n, COLUMNS)]) for n in range(count)]


def _room(width, height, lines):
    """Margins and gaps of a grid of panels, as shares of the figure and of a panel."""
    return {
        "left": LEFT / width,
        "right": 1 - RIGHT / width,
        "bottom": BELOW / height,
        "top": 1 - ABOVE / height,
        "wspace": (LEFT + RIGHT) / (width / COLUMNS - LEFT - RIGHT),
        "hspace": (ABOVE + BELOW) / (height / lines - ABOVE - BELOW),
    }


def set_title(axis, name: str) -> None:
    """Name a panel and take away what distracts."""
    axis.set_title(name, color=INK, fontsize=8)
    axis.tick_params(colors=INK, labelsize=7)
    axis.yaxis.get_offset_text().set(color=INK, fontsize=7)
    axis.patch.set_alpha(0)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def without_ticks(axis) -> None:
    """Positions in this panel mean nothing by themselves."""
    axis.set_xticks([])
    axis.set_yticks([])


def scatter_groups(axis, points: list, groups: list, titles: dict) -> None:
    """Draw points of a plane, each group in a colour and, where these run out, another shape.

    Args:
        groups: of each point. titles: of each group, in the order of colours.
    """
    for number, (group, title) in enumerate(titles.items()):
        chosen = [point for point, of in zip(points, groups, strict=True) if of == group]
        round_of_colours, colour = divmod(number, len(PALETTE))
        look = {"color": PALETTE[colour], "marker": MARKERS[round_of_colours % len(MARKERS)]}
        axis.scatter(*zip(*chosen, strict=True), s=9, linewidths=0, label=title, zorder=2, **look)


def save_svg(figure, path: Path) -> None:
    """Write a figure; the same figure gives the same file."""
    import matplotlib

    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "mdir"}):
        figure.savefig(picture, format="svg", transparent=True, metadata={"Date": None})
    with atomic_write(path) as file:
        file.write(picture.getvalue())

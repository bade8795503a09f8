"""Kinds of buildings in the toy world. Each function draws one onto a canvas from its style."""

import numpy as np

from mdir.toy_world.canvas import arc
from mdir.toy_world.walls import Style, door, rows, wall


def clock_tower(canvas, style, x):
    """A slim tower with a clock above a low hall."""
    w, h = 0.2 * style.wide, 0.68 * style.size
    wall(canvas, style, x - 0.34, 0, 0.68, 0.24)
    rows(canvas, style, x - 0.34, 0.02, 0.68, 0.22, 1, style.bays + 2)
    canvas.polygon(
        [(x - 0.37, 0.24), (x + 0.37, 0.24), (x + 0.3, 0.32), (x - 0.3, 0.32)], style.roof
    )
    wall(canvas, style, x - w / 2, 0, w, h)
    rows(canvas, style, x - w / 2, 0.26, w, h - 0.46, max(style.floors - 1, 1), 2)
    canvas.box(x - w * 0.6, h - 0.19, w * 1.2, 0.02, style.trim)
    canvas.box(x - w * 0.6, h, w * 1.2, 0.025, style.trim)
    canvas.disc(x, h - 0.085, w * 0.4, (40, 36, 40))
    canvas.pane(arc(x, h - 0.085, w * 0.34, w * 0.34), (246, 240, 220))
    canvas.line((x, h - 0.085), (x, h - 0.085 + w * 0.26), (20, 20, 20), 0.01)
    canvas.line((x, h - 0.085), (x + w * 0.2, h - 0.1), (20, 20, 20), 0.01)
    canvas.polygon([(x - w * 0.62, h + 0.02), (x + w * 0.62, h + 0.02), (x, h + 0.22)], style.roof)
    door(canvas, x, 0.08, 0.15)


def domed_church(canvas, style, x):
    """A drum with a large dome over a portico."""
    w, h = 0.62 * style.wide, 0.34 * style.size
    wall(canvas, style, x - w / 2, 0, w, h)
    rows(canvas, style, x - w / 2, 0.04, w, h - 0.04, 2, style.bays)
    canvas.box(x - w * 0.53, h, w * 1.06, 0.025, style.trim)
    drum = w * 0.27
    wall(canvas, style, x - drum, h, 2 * drum, 0.15)
    rows(canvas, style, x - drum, h + 0.02, 2 * drum, 0.14, 1, 5)
    canvas.box(x - drum * 1.1, h + 0.15, drum * 2.2, 0.02, style.trim)
    canvas.disc(x, h + 0.17, drum, style.roof, 1.1, (0, 180))
    for angle in (60, 90, 120):
        tip = (x + drum * 0.95 * np.cos(np.radians(angle)), h + 0.17)
        canvas.line(tip, (x, h + 0.17 + drum * 1.08), np.array(style.roof) * 0.75, 0.007)
    top = h + 0.17 + drum * 1.1
    canvas.box(x - 0.022, top - 0.01, 0.044, 0.06, style.trim)
    canvas.line((x, top + 0.04), (x, top + 0.13), (220, 190, 90), 0.012)
    canvas.line((x - 0.025, top + 0.1), (x + 0.025, top + 0.1), (220, 190, 90), 0.012)
    door(canvas, x, 0.1, 0.19)


def gothic_church(canvas, style, x):
    """A gabled front with a rose window between two spires."""
    w, h = 0.3 * style.wide, 0.42 * style.size
    wall(canvas, style, x - w / 2, 0, w, h)
    canvas.polygon([(x - w / 2, h), (x + w / 2, h), (x, h + 0.2)], style.wall)
    canvas.window(x, h - 0.14, 0.15, 0.15, "rose", style.trim)
    for spoke in np.radians(np.arange(0, 180, 45)):
        dx, dy = 0.07 * np.cos(spoke), 0.07 * np.sin(spoke)
        canvas.line((x - dx, h - 0.056 - dy), (x + dx, h - 0.056 + dy), style.trim, 0.007)
    for side in (-1, 1):
        tower = x + side * (w / 2 + 0.07)
        top = h + 0.1
        wall(canvas, style, tower - 0.075, 0, 0.15, top)
        for y in np.linspace(0.08, top - 0.14, max(style.floors - 1, 2)):
            canvas.window(tower, y, 0.05, 0.1, "pointed", style.trim)
        canvas.box(tower - 0.085, top, 0.17, 0.02, style.trim)
        canvas.polygon(
            [
                (tower - 0.08, top + 0.02),
                (tower + 0.08, top + 0.02),
                (tower, top + 0.34 * style.size),
            ],
            style.roof,
        )
    for side in (-1, 0, 1):
        door(canvas, x + side * w * 0.3, 0.065, 0.15 if side else 0.19)


def palace(canvas, style, x):
    """A long front with a pediment on columns."""
    w, h = 0.98 * style.wide, 0.36 * style.size
    wall(canvas, style, x - w / 2, 0, w, h)
    rows(canvas, style, x - w / 2, 0.02, w, h - 0.02, 3, style.bays + 5)
    canvas.polygon(
        [(x - w * 0.52, h), (x + w * 0.52, h), (x + w * 0.46, h + 0.12), (x - w * 0.46, h + 0.12)],
        style.roof,
    )
    centre = 0.17
    canvas.box(x - centre, 0, 2 * centre, h + 0.03, style.wall)
    for column in np.linspace(x - centre + 0.02, x + centre - 0.02, 6):
        canvas.box(column - 0.013, 0.05, 0.026, h - 0.05, style.trim)
    canvas.box(x - centre - 0.02, h, 2 * centre + 0.04, 0.03, style.trim)
    canvas.polygon(
        [(x - centre - 0.03, h + 0.03), (x + centre + 0.03, h + 0.03), (x, h + 0.16)], style.trim
    )
    canvas.polygon(
        [(x - centre + 0.02, h + 0.045), (x + centre - 0.02, h + 0.045), (x, h + 0.135)], style.wall
    )
    canvas.line((x, h + 0.15), (x, h + 0.32), (90, 90, 90), 0.008)
    canvas.box(x, h + 0.24, 0.1, 0.07, style.roof)
    door(canvas, x, 0.09, 0.18)


def castle(canvas, style, x):
    """Battlements between round towers with pointed caps."""
    w, h = 0.56 * style.wide, 0.32 * style.size
    wall(canvas, style, x - w / 2, 0, w, h)
    for k in range(9):
        if k % 2 == 0:
            canvas.box(x - w / 2 + k * w / 9, h, w / 9, 0.045, style.wall)
    rows(canvas, style, x - w / 2, 0.14, w, h - 0.14, 1, style.bays)
    for side, height in ((-1, 0.5), (1, 0.62)):
        tower, top = x + side * (w / 2 + 0.02), height * style.size
        wall(canvas, style, tower - 0.085, 0, 0.17, top)
        for y in np.linspace(0.1, top - 0.13, style.floors):
            canvas.window(tower, y, 0.04, 0.075, style.window, style.trim)
        canvas.box(tower - 0.1, top, 0.2, 0.03, style.trim)
        canvas.polygon(
            [(tower - 0.105, top + 0.03), (tower + 0.105, top + 0.03), (tower, top + 0.25)],
            style.roof,
        )
    door(canvas, x, 0.14, 0.2)


def skyscraper(canvas, style, x):
    """Set-back storeys under an antenna."""
    w, bottom = 0.36 * style.wide, 0.0
    for share, height in ((1, 0.36), (0.72, 0.26), (0.44, 0.16)):
        height *= style.size
        wall(canvas, style, x - w * share / 2, bottom, w * share, height)
        floors = max(int(height / 0.052), 1)
        rows(
            canvas,
            style,
            x - w * share / 2,
            bottom,
            w * share,
            height,
            floors,
            max(round(7 * share), 2),
        )
        bottom += height
        canvas.box(x - w * share * 0.52, bottom - 0.01, w * share * 1.04, 0.02, style.trim)
    canvas.polygon([(x - 0.03, bottom), (x + 0.03, bottom), (x, bottom + 0.2)], style.roof)
    door(canvas, x, 0.09, 0.08)


def bridge(canvas, style, x):
    """A stone bridge on arches with a gate tower at either end."""
    w, deck = 1.3 * style.wide, 0.25 * style.size
    arches = min(style.bays, 5)
    wall(canvas, style, x - w / 2, 0, w, deck)
    for k in range(arches):
        middle, radius = x - w / 2 + (k + 0.5) * w / arches, w / arches * 0.4
        canvas.disc(middle, 0, radius, (66, 100, 122), min(deck * 0.8 / radius, 1.2), (0, 180))
    canvas.box(x - w / 2, deck, w, 0.03, style.trim)
    for side in (-1, 1):
        tower, top = x + side * w * 0.33, deck + 0.34 * style.size
        wall(canvas, style, tower - 0.08, deck, 0.16, top - deck)
        rows(canvas, style, tower - 0.08, deck + 0.1, 0.16, top - deck - 0.1, 2, 2)
        canvas.disc(tower, deck + 0.03, 0.04, (40, 34, 34), 2, (0, 180))
        canvas.polygon([(tower - 0.1, top), (tower + 0.1, top), (tower, top + 0.2)], style.roof)


def town_houses(canvas, style, x):
    """A row of narrow houses with stepped gables."""
    count = 4
    w = 0.9 * style.wide / count
    for k in range(count):
        left = x - count * w / 2 + k * w
        tint = np.clip(np.roll(style.wall, k) * (1.05 - 0.1 * (k % 3)), 30, 245)
        house = Style(**{**vars(style), "wall": tuple(tint)})
        h = (0.4 + 0.07 * ((k * style.bays) % 3)) * style.size
        wall(canvas, house, left, 0, w, h)
        rows(canvas, house, left, 0.12, w, h - 0.12, style.floors, 2)
        for step in range(3):
            canvas.box(left + step * w / 7, h + step * 0.06, w - 2 * step * w / 7, 0.06, tint)
        canvas.window(left + w / 2, h + 0.03, 0.05, 0.07, "round", style.trim)
        door(canvas, left + w / 2, 0.06, 0.11)


def temple(canvas, style, x):
    """Columns on steps under a wide gable."""
    w, h = 0.84 * style.wide, 0.36 * style.size
    for step in range(3):
        canvas.box(
            x - w / 2 - 0.06 + step * 0.02, step * 0.025, w + 0.12 - step * 0.04, 0.025, style.trim
        )
    canvas.box(x - w / 2, 0.075, w, h, np.array(style.wall) * 0.62)
    rows(canvas, style, x - w / 2, 0.1, w, h - 0.05, 1, style.bays + 1)
    for column in np.linspace(x - w / 2 + 0.03, x + w / 2 - 0.03, style.bays + 3):
        canvas.box(column - 0.024, 0.075, 0.048, h, style.wall)
        canvas.box(column - 0.033, 0.06 + h, 0.066, 0.025, style.trim)
    top = h + 0.085
    canvas.box(x - w / 2 - 0.03, top, w + 0.06, 0.045, style.wall)
    canvas.polygon(
        [(x - w / 2 - 0.05, top + 0.045), (x + w / 2 + 0.05, top + 0.045), (x, top + 0.25)],
        style.roof,
    )
    canvas.polygon(
        [(x - w / 2 + 0.04, top + 0.06), (x + w / 2 - 0.04, top + 0.06), (x, top + 0.2)], style.trim
    )


def pagoda(canvas, style, x):
    """Tiers under upturned eaves."""
    bottom, w = 0.0, 0.4 * style.wide
    for _ in range(style.floors):
        height = 0.62 * style.size / style.floors
        wall(canvas, style, x - w / 2, bottom, w, height)
        rows(canvas, style, x - w / 2, bottom, w, height * 0.9, 1, 4)
        eave, y = w * 0.5 + 0.1, bottom + height
        canvas.polygon(
            [
                (x - eave, y + 0.02),
                (x - eave * 0.75, y - 0.03),
                (x + eave * 0.75, y - 0.03),
                (x + eave, y + 0.02),
                (x + w * 0.36, y + 0.055),
                (x - w * 0.36, y + 0.055),
            ],
            style.roof,
        )
        bottom, w = y + 0.03, w * 0.84
    canvas.line((x, bottom), (x, bottom + 0.14), (200, 170, 80), 0.016)
    door(canvas, x, 0.08, 0.1)


def lighthouse(canvas, style, x):
    """A tapering tower in broad bands with a lantern and a keeper's house."""
    w, h, bands = 0.28 * style.wide, 0.66 * style.size, style.floors + 2
    wall(canvas, style, x + 0.08, 0, 0.34, 0.17)
    rows(canvas, style, x + 0.16, 0.02, 0.26, 0.14, 1, 3)
    canvas.polygon([(x + 0.06, 0.17), (x + 0.44, 0.17), (x + 0.25, 0.29)], style.roof)
    for k in range(bands):
        low, high = k / bands, (k + 1) / bands
        left, right = w / 2 * (1 - 0.42 * low), w / 2 * (1 - 0.42 * high)
        colour = style.wall if k % 2 else style.roof
        canvas.polygon(
            [
                (x - left, low * h),
                (x + left, low * h),
                (x + right, high * h),
                (x - right, high * h),
            ],
            colour,
        )
    for y in np.linspace(0.12, h - 0.15, 3):
        canvas.window(x, y, 0.035, 0.06, style.window, style.trim)
    canvas.box(x - w * 0.36, h, w * 0.72, 0.02, style.trim)
    canvas.window(x, h + 0.02, w * 0.42, 0.09, "square", style.trim, (240, 226, 150))
    canvas.disc(x, h + 0.12, w * 0.3, style.roof, 0.9, (0, 180))


def minarets(canvas, style, x):
    """A wide dome between slim towers."""
    w, h = 0.5 * style.wide, 0.26 * style.size
    for side in (-1, 1):
        tower, top = x + side * (w / 2 + 0.09), 0.66 * style.size
        canvas.box(tower - 0.03, 0, 0.06, top, style.wall)
        for y in (0.36, 0.7):
            canvas.box(tower - 0.045, top * y, 0.09, 0.025, style.trim)
        canvas.polygon(
            [(tower - 0.038, top), (tower + 0.038, top), (tower, top + 0.16)], style.roof
        )
    wall(canvas, style, x - w / 2, 0, w, h)
    rows(canvas, style, x - w / 2, 0.04, w, h - 0.04, 1, style.bays + 1)
    for side in (-1, 1):
        canvas.disc(x + side * w * 0.34, h, w * 0.15, style.roof, 1.0, (0, 180))
    canvas.disc(x, h, w * 0.33, style.roof, 1.15, (0, 180))
    canvas.line((x, h + w * 0.37), (x, h + w * 0.37 + 0.1), (220, 190, 90), 0.012)
    canvas.disc(x, h + w * 0.37 + 0.11, 0.022, (220, 190, 90))
    door(canvas, x, 0.11, 0.2)


KINDS = (
    clock_tower,
    domed_church,
    gothic_church,
    palace,
    castle,
    skyscraper,
    bridge,
    town_houses,
    temple,
    pagoda,
    lighthouse,
    minarets,
)

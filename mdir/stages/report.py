"""Step: a table of scores and a static HTML page of a whole scenario."""

from collections import Counter
from pathlib import Path
from typing import NotRequired, TypedDict

from cirtorch.utils.errors import nearest
from mdir.artifacts import produced, steps_before, used
from mdir.data.image_lists import listed_images
from mdir.metric_names import heading
from mdir.paths import resolve_path
from mdir.registry import Problem, is_unresolved, unknown
from mdir.report.cost import cost_notes, cost_section, read_costs
from mdir.report.curves import draw_series, read_events, read_series
from mdir.report.galleries import gallery, read_rankings, worst_gallery
from mdir.report.page import PageSection, Picture, write_page
from mdir.report.pictures import PictureFolder
from mdir.report.protocols import conditions_section, measure_table, read_protocols
from mdir.report.scores import score_table, score_values
from mdir.report.sections.classes import classes_section, results_of_rankings
from mdir.report.sections.clusters import clusters_section
from mdir.report.sections.embeddings import draw_maps, draw_recalls, read_embeddings, recall_table
from mdir.report.sections.identities import identities_section
from mdir.report.sections.origin import origin_sections
from mdir.report.sections.places import places_section
from mdir.report.tables import write_table
from mdir.report.translations import translation_strips
from mdir.report.uncertainty import seed_means
from mdir.stages.fine_grained.data_base import read_data_base
from mdir.stages.fine_grained.summary import class_rankings, class_results, score_data_base
from mdir.stages.step import step
from mdir.stages.uncertainty import check_rows, uncertainty_sections


class Measured(TypedDict):
    """Metadata of a validate step, and its folder of rankings."""

    eval: dict
    rankings: str


class RealPictures(TypedDict):
    """Images of the domain that a generator translates into.

    Args:
        names: text file with a name per line, or a folder.
        image_dir: folder (or pattern) of the images of a text file.
    """

    names: str
    image_dir: NotRequired[str]


class Translated(TypedDict):
    """Folders of the images before and after, and what the translations should look like."""

    input: str
    output: str
    real: NotRequired[RealPictures]


def _check(params):
    """Rows that differences, seeds and protocols name, and the table has not."""
    scores = params.get("scores")
    if not isinstance(scores, dict) or any(map(is_unresolved, scores)):
        return
    protocols = params.get("protocols")
    seeds = params.get("seeds") if isinstance(params.get("seeds"), dict) else {}
    named = _named(seeds, params.get("differences"), protocols)
    for right, wrong in _misspelt(scores, seeds, named):
        message = f"no other section names the row {wrong!r}. Did you mean {right!r}?"
        yield Problem(("scores", wrong), message)
        scores = {**scores, right: None}
    for name, members in seeds.items():
        if name in scores:
            yield Problem(("seeds", name), f"{name!r} is a row of its own; take another name")
        if not members:
            yield Problem(("seeds", name), "names no rows")
        yield from check_rows(members, scores, ("seeds", name))
    yield from check_rows(params.get("differences"), [*scores, *seeds], ("differences",))
    for row in protocols if isinstance(protocols, dict) else ():
        if row not in scores and not is_unresolved(row):
            yield Problem(("protocols", row), unknown("row", row, scores, protocols))


def _named(seeds, differences, protocols):
    """How often other sections name each row."""
    pairs = differences if isinstance(differences, list) else ()
    lists = [*seeds.values(), *pairs, protocols if isinstance(protocols, dict) else ()]
    known = [rows for rows in lists if rows and not isinstance(rows, str)]  # of a variable: text
    return Counter(row for rows in known for row in rows if isinstance(row, str))


def _misspelt(scores, seeds, named):
    """``(right, wrong)`` of the rows whose right name several places have, and the table not."""
    for right, count in named.items():
        if count > 1 and right not in scores and right not in seeds and not is_unresolved(right):
            wrong = nearest(right, [row for row in scores if row not in named])
            if wrong is not None:
                yield right, wrong


@step(check=_check)
def report(
    _inputs,
    *,
    title: str,
    directory: str,
    subtitle: str = "",
    scores: dict[str, dict] | None = None,
    differences: list[tuple[str, str]] | None = None,
    seeds: dict[str, list[str]] | None = None,
    notes: list[str] | None = None,
    protocols: dict[str, str] | None = None,
    measures: dict[str, Measured] | None = None,
    losses: dict[str, str] | None = None,
    translations: dict[str, Translated] | None = None,
    galleries: dict[str, str] | None = None,
    embeddings: dict[str, str] | None = None,
    data_bases: dict[str, str] | None = None,
    data_path: str = "data",
    pictures: int = 8,
    found: int = 8,
):
    """Print a table of scores and write it, losses, translations and galleries as a web page.

    Args:
        title, subtitle: heading of the page.
        directory: folder of the page (``index.html``, ``files/``) and of the table
            (``scores.txt``, ``.md``, ``.csv``, and likewise ``intervals``, ``differences`` and
            ``seeds``); relative to CIRTORCH_ROOT.
        scores: row name -> metadata of a validate step; its ``intervals`` are shown where it has
            them.
        differences: pairs of names of rows, or of ``seeds``; each gives a row of points gained from
            one to the other and, where ``protocols`` has both, tests query by query.
        seeds: name -> rows of one system that was trained with different seeds; its mean is a row,
            too, and a table tells the spread. Tests take the mean over seeds of each query.
        notes: sentences under the table.
        protocols: row name -> folder of rankings of the validate step, which tell the conditions
            of its scores.
        measures: name -> ``{eval: metadata of a validate step, rankings: its folder}``: losses and
            scores as they are, such as FID, with the conditions under which they hold.
        losses: name -> folder of a training run; of pseudo labels, the largest clusters, too.
        translations: name -> ``{input: folder, output: folder}``; pictures of ``real`` stand beside
            them, whatever scenes they show.
        galleries: name -> rankings file of a step ``validate`` or ``search``; of the score
            ``reid``, its CMC and t-SNE maps, too; of ``class_recall``, recalls and a map; of
            ``place_recall``, a table of conditions.
        embeddings: name -> embedding file of the step ``recall``: recall curves and t-SNE maps.
        data_bases: name -> ``NAME_data_base.pth`` of a training by proxies: recalls over ranks and,
            where ``NAME_statistics.csv`` stands beside it, over epochs, t-SNE maps with the
            proxies, queries from the best to the worst, and the worst ones.
        data_path: folder of the sets that names in databases begin with, as of the step
            ``retrieve``.
        pictures: how many translations, queries and clusters of each are shown.
        found: how many answers of a query, or pictures of a cluster, are shown.

    Returns:
        Metadata: ``page``, ``scores`` {row: {column: value}} and ``table`` (as text).
    """
    folder = Path(resolve_path(directory))
    copies = PictureFolder(folder)
    values = score_values(scores or {})
    seeds = seeds or {}
    table = score_table(values | seed_means(values, seeds), differences or [])
    table.notes += [f"{name}: the mean over {len(rows)} seeds." for name, rows in seeds.items()]
    table.notes += notes or []
    sections = []
    if scores:
        sections.append(PageSection("Scores", "In percent.", table))
        write_table(table, folder, "scores")
        print(f"\n{table.as_text()}\n", flush=True)
        sections += uncertainty_sections(scores, differences or [], protocols or {}, folder, seeds)
    for name, place in (measures or {}).items():
        rankings = Path(resolve_path(place["rankings"]))
        measured = measure_table(place["eval"], read_protocols(rankings))
        measured.notes += cost_notes(read_costs(rankings))
        sections.append(PageSection(name, table=measured))
    for name, run in (losses or {}).items():
        epochs = Path(resolve_path(run)) / "epochs"
        section, rows = _losses(name, epochs, folder)
        sections.append(section)
        clusters, head = epochs / "clusters.json", f"{name}: clusters"
        if clusters.exists():
            used(clusters)
            sections.append(clusters_section(head, clusters, copies, pictures, found))
        elif any("clusters" in row["data"] for row in rows):
            gone = f"{clusters} is gone; the step of the training, run again, restores it."
            sections.append(PageSection(head, gone))
    if embeddings:
        sections.append(_embeddings(embeddings, folder))
    for name, place in (translations or {}).items():
        before, after = resolve_path(place["input"]), Path(resolve_path(place["output"]))
        used(after)
        real = _real_pictures(**place.get("real", {}))
        strips = translation_strips(before, after, copies, pictures, real)
        sections.append(PageSection(name, strips=strips))
    rankings = {name: _rankings(path) for name, path in (galleries or {}).items()}
    if places := places_section(rankings):
        sections.append(places)
    if identities := identities_section(rankings, folder):
        sections.append(identities)
    sections += _classes(rankings, data_bases or {}, data_path, folder, copies, pictures, found)
    for name, read in rankings.items():
        sections.append(gallery(name, read, copies, pictures, found))
    if protocols:
        folders = {row: Path(resolve_path(path)) for row, path in protocols.items()}
        read = {row: read_protocols(path) for row, path in folders.items()}
        sections.append(conditions_section(read))
        costs = {row: read_costs(path) for row, path in folders.items()}
    else:
        files = {name: Path(resolve_path(path)) for name, path in (galleries or {}).items()}
        costs = {name: read_costs(path.parent, {path.stem}) for name, path in files.items()}
    if cost := cost_section(costs):
        sections.append(cost)
    sections += origin_sections(steps_before())
    page = folder / "index.html"
    write_page(page, title, sections, subtitle)
    produced(page)
    print(f"Report: {page}", flush=True)
    return {"page": str(page), "scores": values, "table": table.as_text() if scores else ""}


def _real_pictures(names=None, image_dir=None):
    return listed_images(names, image_dir or names) if names else []


def _rankings(path):
    path = Path(resolve_path(path))
    used(path)
    return read_rankings(path)


def _losses(name, epochs, folder):
    """A section, and the rows of the run's events; none of one of 0 epochs."""
    events = epochs / "events.jsonl"
    if not events.exists() and (untrained := sorted(epochs.glob("*_notrain.pth"))):
        used(untrained[0])
        return PageSection(name, "A run of 0 epochs: the networks are as they began."), []
    used(events)
    section, rows = PageSection(name), read_events(events)
    for number, (key, names) in enumerate(read_series(rows).items()):
        stem = "".join(c if c.isalnum() else "_" for c in name)
        path = f"files/losses_{stem}_{number}.svg"
        draw_series(names, folder / path)
        section.plots.append(Picture(path, heading(key)))
    return section, rows


def _classes(rankings, data_bases, data_path, folder, copies, pictures, found):
    results = {name: results_of_rankings(read) for name, read in rankings.items()}
    results, galleries = {name: one for name, one in results.items() if one}, []
    for name, path in data_bases.items():
        base = read_data_base(resolve_path(path))
        scores = score_data_base(base, found)
        results[name] = class_results(base, scores)
        read = class_rankings(base, scores, data_path)
        galleries += [
            gallery(name, read, copies, pictures, found),
            worst_gallery(f"{name}: worst queries", read, copies, pictures, found),
        ]
    return [classes_section(results, folder), *galleries] if results else []


def _embeddings(embeddings, folder):
    paths = {name: Path(resolve_path(path)) for name, path in embeddings.items()}
    for path in paths.values():
        used(path)
    read = read_embeddings(paths)
    draw_recalls(read, folder / "files" / "recalls.svg")
    text = "Recall of each picture's counterpart; t-SNE of the features, pairs joined by a line."
    unmapped = [name for name, embedding in read.items() if embedding["points"] is None]
    if unmapped:
        text += f" No map of {', '.join(unmapped)}: the features are all alike."
    section = PageSection("Two domains", text, recall_table(read))
    section.plots = [Picture("files/recalls.svg", "")]
    if draw_maps(read, folder / "files" / "maps.svg"):
        section.plots.append(Picture("files/maps.svg", ""))
    return section

"""Step plugins. This table is all the engine knows of them until one runs; it imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepEntry:
    """What the engine must know of a step before it imports it.

    An entry point ``mdir.steps`` of another package names such a record or, where the defaults
    fit, the function itself.

    Attributes:
        place: ``module:function``.
        stdin: True for a step whose data are the lines of standard input; the name of the
            parameter that takes their place where it is given.
        always: never skipped: it only shows something, or sees for itself what is left to do.
        divided: shares its work among the processes of one launch (torchrun), so it runs in all
            of them; other steps run in the first.
        makes: dotted parameters that name folders which the step fills.
        reads: keys, at any depth, that name files which the step reads.
        writes: dotted parameters that name other folders and files which it writes.
        measures: its metadata has numbers under ``eval``. Of a step of another package that is seen
            once it ran.
    """

    place: str
    stdin: str | bool | None = None
    always: bool = False
    divided: bool = False
    makes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("path",)
    writes: tuple[str, ...] = ("directory",)
    measures: bool = False

    def reads_stdin(self, parameters: dict) -> bool:
        """Whether the step, given these parameters, takes the lines of standard input."""
        return self.stdin is True or (bool(self.stdin) and parameters.get(self.stdin) is None)


STEPS = {
    "mdir.stages.train.train": StepEntry(
        "mdir.stages.train:train", divided=True, makes=("learning.checkpoints.directory",)
    ),
    "mdir.stages.validate.validate": StepEntry(
        "mdir.stages.validate:validate", divided=True, writes=("rankings",), measures=True
    ),
    "mdir.stages.infer.infer": StepEntry(
        "mdir.stages.infer:infer",
        stdin="names",
        divided=True,
        writes=("output.inference.image_dir",),
    ),
    "mdir.stages.multistep.infer_and_learn_whitening": StepEntry(
        "mdir.stages.whiten:infer_and_learn_whitening",
        divided=True,
        writes=("whitening.directory",),
    ),
    "print_scores": StepEntry("mdir.stages.print_scores:print_scores", always=True),
    "mdir.stages.settings.settings": StepEntry("mdir.stages.settings:settings"),
    "mdir.stages.toy_world.toy_world": StepEntry("mdir.stages.toy_world:toy_world"),
    "mdir.stages.toy_world.toy_reid": StepEntry("mdir.stages.toy_world:toy_reid"),
    "mdir.stages.toy_world.toy_fine_grained": StepEntry("mdir.stages.toy_world:toy_fine_grained"),
    "mdir.stages.toy_world.toy_places": StepEntry("mdir.stages.toy_world:toy_places"),
    "mdir.stages.photos.photos": StepEntry("mdir.stages.photos.photos:photos"),
    "mdir.stages.photos.backbone": StepEntry("mdir.stages.photos.backbone:backbone", always=True),
    "mdir.stages.photos.views": StepEntry("mdir.stages.photos.views:views"),
    "mdir.stages.pairs.check_pairs": StepEntry("mdir.stages.check_pairs:check_pairs"),
    "mdir.stages.prepare_reid.prepare_reid": StepEntry("mdir.stages.prepare_reid:prepare_reid"),
    "mdir.stages.fine_grained.prepare_fine_grained": StepEntry(
        "mdir.stages.fine_grained.prepare:prepare_fine_grained"
    ),
    "mdir.stages.fine_grained.retrieve": StepEntry("mdir.stages.fine_grained.retrieve:retrieve"),
    "mdir.stages.recall.recall": StepEntry("mdir.stages.recall:recall", measures=True),
    "mdir.stages.report.report": StepEntry("mdir.stages.report:report"),
    "mdir.stages.compare.compare": StepEntry("mdir.stages.compare:compare"),
    "mdir.stages.extract.extract": StepEntry(
        "mdir.stages.extract:extract", divided=True, makes=("directory",)
    ),
    "mdir.stages.index.index": StepEntry(
        "mdir.stages.index:index", makes=("directory",), reads=("database",)
    ),
    "mdir.stages.search.search": StepEntry(
        "mdir.stages.search:search", reads=("database", "queries")
    ),
    "mdir.stages.export.export": StepEntry("mdir.stages.export:export", writes=("target",)),
    "mdir.stages.convert.convert": StepEntry("mdir.stages.convert:convert", writes=("target",)),
    "cirtorch.utils.download.download_train": StepEntry(
        "mdir.stages.download:download_train", always=True
    ),
    "cirtorch.utils.download.download_test": StepEntry(
        "mdir.stages.download:download_test", always=True
    ),
    "mdir.utils.download.rsfm120k": StepEntry("mdir.stages.download:rsfm120k", always=True),
    "mdir.utils.download.roxf5k_rpar6k_247tokyo1k": StepEntry(
        "mdir.stages.download:roxf5k_rpar6k_247tokyo1k", always=True
    ),
}

"""Step plugins. This table is all the engine knows of them until one runs; it imports nothing."""

STEPS = {
    "mdir.stages.train.train": "mdir.stages.train:train",
    "mdir.stages.validate.validate": "mdir.stages.validate:validate",
    "mdir.stages.infer.infer": "mdir.stages.infer:infer",
    "mdir.stages.multistep.infer_and_learn_whitening": (
        "mdir.stages.multistep:infer_and_learn_whitening"
    ),
    "print_scores": "mdir.stages.print_scores:print_scores",
    "mdir.stages.settings.settings": "mdir.stages.settings:settings",
    "mdir.stages.toy_world.toy_world": "mdir.stages.toy_world:toy_world",
    "mdir.stages.photos.photos": "mdir.stages.photos:photos",
    "mdir.stages.pairs.check_pairs": "mdir.stages.pairs:check_pairs",
    "mdir.stages.recall.recall": "mdir.stages.recall:recall",
    "mdir.stages.report.report": "mdir.stages.report:report",
    "mdir.stages.compare.compare": "mdir.stages.compare:compare",
    "mdir.stages.extract.extract": "mdir.stages.extract:extract",
    "mdir.stages.export.export": "mdir.stages.export:export",
    "mdir.stages.convert.convert": "mdir.stages.convert:convert",
    "cirtorch.utils.download.download_train": "mdir.stages.download:download_train",
    "cirtorch.utils.download.download_test": "mdir.stages.download:download_test",
    "mdir.utils.download.rsfm120k": "mdir.stages.download:rsfm120k",
    "mdir.utils.download.roxf5k_rpar6k_247tokyo1k": (
        "mdir.stages.download:roxf5k_rpar6k_247tokyo1k"
    ),
}

# Steps that take the lines of standard input as their data, unless the parameter named here is
# given. A step of another package says so by an attribute ``reads_stdin`` of its function (that
# name, or True), and sets ``always_runs`` and ``in_every_process`` likewise.
READS_STDIN = {"mdir.stages.infer.infer": "names"}

# Steps that only show something, or see for themselves what is left to do: cheap, never skipped.
ALWAYS_RUN = {"print_scores"} | {name for name in STEPS if ".utils.download." in name}

# Steps that share their work among the processes of one launch (torchrun); others run in the first.
EVERY_PROCESS = {
    "mdir.stages.train.train",
    "mdir.stages.validate.validate",
    "mdir.stages.infer.infer",
    "mdir.stages.multistep.infer_and_learn_whitening",
    "mdir.stages.extract.extract",
}

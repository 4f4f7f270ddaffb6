"""`pictures`: random base models, random prompts and settings; diffusers' picture against LoRALab's."""
import pathlib
import random
import tempfile

import models
from drawing import SAMPLERS, NoReference, alone, draw, judge, random_picture, reference, sample_cell
from kernel import CellError, magic
from report import FAILED, SKIPPED, Report

PICTURES_PER_MODEL = 4


def add_arguments(parser):
    parser.add_argument("--family", choices=models.FAMILIES, help="models of this family only")
    parser.add_argument("--single-file", action="store_true", help="every model as one file in the original names")
    parser.add_argument("--folder-only", action="store_true", help="no model as one file")
    parser.add_argument("--multiple", type=int, default=8, help="pictures' sides are multiples of this")


def run(options, kernel):
    columns = {"model": 38, "from": 7, "sampler": 19, "size": 8, "steps": 5, "cfg": 5, "mean": 7, "max": 4, "note": 0}
    report = Report("pictures", columns, options.keep)
    r = random.Random(options.seed)
    order = []
    done = index = 0
    while done < options.count:
        single = True if options.single_file else False if options.folder_only else None
        recipe = models.random_recipe(r.randrange(1 << 30), options.family, single)
        with tempfile.TemporaryDirectory(prefix="parity-model") as folder:
            paths = models.write(recipe, folder)
            pipe = models.load(paths["folder"])
            for layout in ("file", "folder") if "file" in paths else ("folder",):
                for _ in range(min(PICTURES_PER_MODEL // (2 if "file" in paths else 1), options.count - done)):
                    if not order:
                        order = r.sample(list(SAMPLERS), len(SAMPLERS))
                    case = random_picture(r, pipe, order.pop(), options.multiple)
                    compare(report, kernel, options, recipe, paths[layout], pipe, case, layout, f"model-{index}", folder)
                    done += 1
        index += 1
    return report.finish()


def compare(report, kernel, options, recipe, path, pipe, case, layout, name, folder):
    columns = [models.describe(recipe), layout, case["sampler"], f"{case['width']}x{case['height']}", case["steps"], case["guidance"]]
    try:
        theirs = reference(pipe, case)
    except NoReference as error:
        report.add(SKIPPED, *columns, "-", "-", note=str(error))
        return
    ours, cells = None, [magic("model", path), sample_cell(case, "OUT")]
    if options.reference_only:
        verdict, mean, maximum, note = alone(pipe, case, theirs)
    else:
        try:
            kernel.run(cells[0])
            ours = draw(kernel, case)
            verdict, mean, maximum, note = judge(pipe, case, theirs, ours)
        except CellError as error:
            verdict, mean, maximum, note = FAILED, "-", "-", str(error)
    settings = [f"clip skip {case['clip_skip']}" if case["clip_skip"] else "", "" if case["negative"] else "no negative", note]
    report.add(verdict, *columns, mean, maximum, note=" ".join(filter(None, settings)))
    if verdict == FAILED:
        report.save(name, folder, dict(case, recipe=recipe, layout=layout), cells, dict(ours=ours, theirs=theirs))

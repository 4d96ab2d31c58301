"""Runs official scripts from a checkout, in a process of its own: `python run_official.py JOB.json RESULT.json`.

A job names one of the functions below and its arguments. What the scripts import for models and videos alone is
replaced by a stand-in. What they leave to their user ("load your model") is filled in with given replies.
"""

import contextlib
import importlib.util
import io
import json
import random
import runpy
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

_STANDINS = (
    *("torch", "torchvision", "torch.utils", "torch.utils.data", "torch.nn", "torch.nn.functional", "decord"),
    *("torchvision.transforms", "pysubs2", "transformers", "requests", "loguru", "cv2"),
    *("videollava", "videollava.constants", "videollava.conversation", "videollava.model", "videollava.mm_utils"),
    *("videollava.model.builder", "videollava.utils", "lmms_eval", "lmms_eval.tasks", "lmms_eval.utils"),
    *("lmms_eval.tasks._task_utils", "lmms_eval.tasks._task_utils.file_utils"),
)


def load(file: str) -> Any:
    """Import an official file under a name of its own."""
    path = Path(file)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(f"official_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(file: str, function: str, calls: list[list[Any]]) -> list[Any]:
    """Call a function many times; an exception becomes `{"raised": its type}`."""
    called = getattr(load(file), function)
    results: list[Any] = []
    for arguments in calls:
        try:
            results.append(called(*map(_argument, arguments)))
        except Exception as reason:  # noqa: BLE001 - whatever the official code raises is compared
            results.append({"raised": type(reason).__name__})
    return results


def _argument(value: Any) -> Any:
    if isinstance(value, dict) and "namespace" in value:
        return types.SimpleNamespace(**value["namespace"])
    if isinstance(value, dict) and "tuples" in value:
        return [tuple(it) for it in value["tuples"]]
    return value


def printed(file: str, function: str, arguments: list[Any]) -> str:
    """Call a function and return what it prints. Arguments may name a CSV file that it takes as a table."""
    import pandas

    module, output = load(file), io.StringIO()
    given = [pandas.read_csv(it["table"]) if isinstance(it, dict) and "table" in it else it for it in arguments]
    with contextlib.redirect_stdout(output):
        getattr(module, function)(*given)
    return output.getvalue()


def script(file: str, argv: list[str]) -> str:
    """Run a file as a program and return what it prints."""
    output = io.StringIO()
    sys.argv = [file, *argv]
    sys.path.insert(0, str(Path(file).parent))
    with contextlib.redirect_stdout(output):
        runpy.run_path(file, run_name="__main__")
    return output.getvalue()


def edited_script(file: str, replaced: str, by: str) -> str:
    """Run a program whose list of runs is edited, as its users have to."""
    source = Path(file).read_text(encoding="utf-8")
    assert source.count(replaced) == 1
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source.replace(replaced, by), file, "exec"), {"__name__": "__main__"})
    return output.getvalue()


def posted(file: str, argv: list[str]) -> Any:
    """Run a program that posts a file to a server, and return what it posts."""
    requests = sys.modules["requests"]
    requests.post.return_value = types.SimpleNamespace(status_code=200, text="")
    script(file, argv)
    return requests.post.call_args.kwargs["json"]


def guesses(file: str, function: str, calls: list[list[Any]], drawn: list[str]) -> list[Any]:
    """Call a function whose random guesses are given."""
    queue = iter(drawn)
    random.choice = lambda _: next(queue)
    return call(file, function, calls)


def lvbench(file: str, answers: str, annotations: str) -> Any:
    """Run LVBench's `compute_accuracy`."""
    # Its reader of JSON Lines, which is not installed here.
    jsonlines: Any = types.ModuleType("jsonlines")
    jsonlines.open = lambda path: contextlib.nullcontext(map(json.loads, Path(path).read_text().splitlines()))
    sys.modules["jsonlines"] = jsonlines
    return load(file).compute_accuracy(answers, annotations)


def mme_v2(file: str, rows: list[dict[str, Any]], output: str) -> Any:
    """Write predictions as the script writes them, read them back as it does, and evaluate."""
    import pandas

    module = load(file)
    pandas.DataFrame(rows).to_csv(output, sep="\t", index=False)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        module.evaluate(pandas.read_csv(output, sep="\t"), output)
    rating = json.loads(Path(output.replace(".tsv", "_rating.json")).read_text())
    return {**rating, "printed": text.getvalue()}


def longvideobench(file: str, docs: list[dict[str, Any]], replies: list[str], drawn: list[str]) -> Any:
    """Run the task of lmms-eval, with given guesses; return its score and what it logs."""
    module, queue = load(file), iter(drawn)
    random.choice = lambda _: next(queue)
    results = [module.longvideobench_process_results(doc, [text]) for doc, text in zip(docs, replies, strict=True)]
    overall = module.longvideobench_aggregate_results([it["lvb_acc"] for it in results])
    return {"overall": overall, "logged": module.eval_logger.info.call_args.args[0]}


def _reads(module: Any, path: str, instead: str) -> None:
    """Let a module open files below a path that its source names somewhere else."""

    def opened(name: Any, mode: str = "r") -> Any:
        return Path(str(name).replace(path, instead)).open(mode)

    module.open = opened


def mlvu_dev(file: str, data: str, replies: list[str]) -> Any:
    """Run `main` of MLVU's script with the answers of a model that it leaves to its user."""
    module, output = load(file), io.StringIO()

    def answered(dataset: Any) -> Any:
        for idx in range(len(dataset)):
            module.pred = replies[idx]
            yield dataset[idx]

    module.tqdm = answered
    _reads(module, "/MLVU_all/upload_json", data)
    with contextlib.redirect_stdout(output):
        module.main()
    return json.loads(Path("bench_all.json").read_text())


def mlvu_test(file: str, questions: str, replies: list[str]) -> Any:
    """Run `main` of MLVU's test script on a model that writes the given replies; return its submission."""
    module, output = load(file), io.StringIO()
    tokenizer = MagicMock()
    tokenizer.decode.side_effect = replies
    module.load_pretrained_model = lambda *_, **__: (tokenizer, MagicMock(), MagicMock(), None)
    module.get_prompt2 = lambda _: ""
    _reads(module, "/Evaluation_LVBench/MLVU_Test/leaderboard/test_question.json", questions)
    with contextlib.redirect_stdout(output):
        module.main()
    return json.loads(Path("test_res.json").read_text())


def main() -> None:
    """Run the job of the command line."""
    for name in _STANDINS:
        sys.modules[name] = MagicMock()
    # Classes are derived from it.
    sys.modules["torch.utils.data"].Dataset = object
    job = json.loads(Path(sys.argv[1]).read_text())
    result_file = Path(sys.argv[2])
    result = globals()[job["job"]](**job["arguments"])
    result_file.write_text(json.dumps(result, default=str))


if __name__ == "__main__":
    main()

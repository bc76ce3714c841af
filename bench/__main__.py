"""``python -m bench [--json FILE] [SUITE…]``: run the benchmarks, print a table, exit 1 when a budget does not hold and 2 when
something cannot be measured here."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from bench import latency, loading, planning, resources, starting, streams, swap_load, swapping, throughput
from bench.measure import CannotMeasure, Result
from bench.stage import Stage

SUITES: Mapping[str, Callable[[Stage], Iterator[Result]]] = {
    "planning": lambda stage: planning.results(),
    "loading": lambda stage: loading.results(),
    "starting": lambda stage: starting.results(),
    "swapping": lambda stage: chain(swapping.results(), swap_load.results(stage)),
    "resources": resources.results,
    "latency": latency.results,
    "throughput": throughput.results,
    "streams": streams.results,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Rolegate against its budgets.")
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"which ({', '.join(SUITES)}); all when none is named"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write the table as docs/performance.md has it"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.suites) - set(SUITES))
    if unknown:
        parser.error(f"there is no suite {unknown[0]!r}; the suites are: {', '.join(SUITES)}")
    results: list[tuple[str, Result]] = []
    try:
        with Stage() as stage:
            if stage.cores.note:
                print(f"note: {stage.cores.note}", file=sys.stderr)
            for suite, result in _run(arguments.suites or list(SUITES), stage=stage):
                results.append((suite, result))
    except CannotMeasure as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 2
    finally:
        if arguments.json:
            arguments.json.write_text(json.dumps(_data(results), indent=2) + "\n", encoding="utf-8")
        if arguments.markdown:
            arguments.markdown.write_text("".join(f"{line}\n" for line in _markdown(results)), encoding="utf-8")
    over = [f"{suite}: {result.name}" for suite, result in results if not result.holds]
    if over:
        print(f"over budget: {', '.join(over)}", file=sys.stderr)
    return 1 if over else 0


def _run(suites: Sequence[str], *, stage: Stage) -> Iterator[tuple[str, Result]]:
    print(f"{'suite':<11}{'name':<22}{'min':>10}{'median':>10}{'max':>10} {'unit':<8}{'budget':<9} what")
    for suite in suites:
        for result in SUITES[suite](stage):
            print(f"{suite:<11}{_row(result)}", flush=True)
            yield suite, result


def _row(result: Result) -> str:
    budget = _budget(result) or "-"
    figures = "".join(f"{_figure(value):>10}" for value in (result.min, result.median, result.max))
    mark = "" if result.holds else "   OVER BUDGET"
    return f"{result.name:<22}{figures} {result.unit:<8}{budget:<9} {result.what}{mark}"


def _budget(result: Result) -> str:
    if result.at_least is not None:
        return f">= {result.at_least:g}"
    return "" if result.at_most is None else f"<= {result.at_most:g}"


def _markdown(results: Sequence[tuple[str, Result]]) -> Iterator[str]:
    yield "| suite | name | what | min | median | max | unit | budget |"
    yield "|---|---|---|--:|--:|--:|---|---|"
    for suite, result in results:
        figures = " | ".join(_figure(value) for value in (result.min, result.median, result.max))
        budget = _budget(result).replace(">=", "≥").replace("<=", "≤") or "none"
        yield f"| {suite} | {result.name} | {result.what} | {figures} | {result.unit} | {budget} |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _data(results: Sequence[tuple[str, Result]]) -> dict[str, object]:
    machine = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    return {"machine": machine, "results": [{"suite": suite, **result.as_data()} for suite, result in results]}


if __name__ == "__main__":
    sys.exit(main())

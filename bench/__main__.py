"""``python -m bench [--json FILE] [SUITE…]``: run the benchmarks, print a table, exit 1 when a budget does not hold."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import loading, planning, starting
from bench.measure import Result

SUITES: Mapping[str, Callable[[], Iterator[Result]]] = {
    "planning": planning.results,
    "loading": loading.results,
    "starting": starting.results,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Rolegate against its budgets.")
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"which ({', '.join(SUITES)}); all when none is named"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.suites) - set(SUITES))
    if unknown:
        parser.error(f"there is no suite {unknown[0]!r}; the suites are: {', '.join(SUITES)}")
    results = []
    print(f"{'name':<8} {'min':>9} {'median':>9} {'max':>9} {'budget':>9}   what")
    for name in arguments.suites or SUITES:
        for result in SUITES[name]():
            results.append(result)
            print(_row(result), flush=True)
    if arguments.json:
        machine = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
        content = {"machine": machine, "results": [result.as_data() for result in results]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result.holds for result in results) else 1


def _row(result: Result) -> str:
    budget = "-" if result.budget_ms is None else f"{result.budget_ms:.0f} ms"
    mark = "" if result.holds else "   OVER BUDGET"
    figures = " ".join(f"{value:>6.1f} ms" for value in (result.min_ms, result.median_ms, result.max_ms))
    return f"{result.name:<8} {figures} {budget:>9}   {result.what}{mark}"


if __name__ == "__main__":
    sys.exit(main())

"""LINA simplifies an epic: it finds the issues that are hard to read or there twice, and groups the rest.

It works by itself (``python lina.py``) and as a Runplane run, where every phase is a durable step: a resumed run goes
on behind the last issue it had analysed. Two modes show what goes wrong with programs like this one:

- ``stuck``: it asks an API that accepts the connection and never answers, and it has set no timeout.
- ``loop``: the API refuses, and it tries again, and again, with no end.
"""

import argparse
import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

try:
    import runplane
except ModuleNotFoundError:  # nobody to report to
    runplane = SimpleNamespace(  # type: ignore[assignment]
        step=lambda function: function,
        progress=lambda *_values, **_more: None,
        checkpoint=lambda _state: None,
        last_checkpoint=lambda: None,
        variables=lambda **values: values,
    )

Issue = dict[str, Any]
Analysis = dict[str, Any]

SAME = 0.5  # from this overlap on, two issues say the same
HARD = 60  # below this reading ease, a text is hard to read
TEXT_LIMIT = 60  # characters of a title in the report
LARGE = 8  # from this estimate on, an issue should be split
EVERY = 5  # issues between two checkpoints
RETRY_SECONDS = 0.1
SIDE_LABELS = {"bug", "safety", "performance", "docs", "search"}
STOP_WORDS = set(
    """
    a about after again all also an and any are as at be been before but by can could do does each every for from gets
    give has have in into is it its itself let like made make many more most must need never no nobody not nothing of
    off on one only or other others our over same set should show so some than that the their them then there these
    they this those three to too two until up use user users want was we what when where which who will with would
    """.split()  # noqa: SIM905 - a list of words is read as words
)


def main() -> int:
    """One phase a line."""
    options = arguments()
    started = time.monotonic()
    found = load(options.epic)
    print(f"{found['title']}: {found['issues']} issues, {found['points']} points", flush=True)
    analysed = analyse(options.epic, options.mode, options.pace * 0.85)
    groups = group(options.epic, options.pace * 0.05)
    shown = runplane.variables(text_limit=TEXT_LIMIT)
    text = summarize(options.epic, analysed, groups, options.pace * 0.1, shown["text_limit"])
    path = write_report(text, str(options.output))
    print(f"Report written to {path} after {time.monotonic() - started:.1f} s", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    """The command line. ``pace``: seconds that the whole work should take."""
    parser = argparse.ArgumentParser(description="Simplify an epic.")
    parser.add_argument("--epic", default="epic.json", help="the file with the epic's issues")
    parser.add_argument("--mode", choices=("healthy", "stuck", "loop"), default="healthy")
    parser.add_argument("--pace", type=float, default=20.0, help="seconds for the whole work")
    directory = Path(os.environ.get("RUNPLANE_DIR", "."))
    parser.add_argument(
        "--output", type=Path, default=directory / "lina-report.md", help="where to write the report"
    )
    return parser.parse_args()


@runplane.step
def load(epic: str) -> dict[str, Any]:
    """Read the epic and check that there is something to do."""
    issues = issues_of(epic)
    if not issues:
        raise ValueError(f"{epic} holds no issues")
    return {
        "title": title_of(epic),
        "issues": len(issues),
        "points": sum(issue["estimate"] for issue in issues),
    }


@runplane.step
def analyse(epic: str, mode: str, seconds: float) -> list[Analysis]:
    """For each issue: how hard it is to read, and which earlier one says the same."""
    issues = issues_of(epic)
    done: list[Analysis] = (runplane.last_checkpoint() or {}).get("analysed", [])
    if done:
        print(f"Going on behind {done[-1]['id']}: {len(done)} issues are analysed already", flush=True)
    runplane.progress(len(done), len(issues), "reading the first comments", unit="issues")
    comments = {"healthy": comments_of, "stuck": ask_api, "loop": retry_for_ever}[mode]
    for number, issue in enumerate(issues[len(done) :], start=len(done) + 1):
        heard = comments(issue)
        result = analysis_of(issue, issues[: number - 1])
        done.append(result)
        print(f"[{number:2}/{len(issues)}] {issue['id']}  ease {result['ease']:5.1f}  {heard:2} comments  "
              f"{'same as ' + result['same_as'] if result['same_as'] else issue['title']}", flush=True)  # fmt: skip
        runplane.progress(number, len(issues), f"{issue['id']} {issue['title']}", unit="issues")
        if number % EVERY == 0:
            runplane.checkpoint({"analysed": done})
        time.sleep(seconds / len(issues))
    return done


@runplane.step
def group(epic: str, seconds: float) -> dict[str, list[str]]:
    """The issues by theme: the label that says what an issue is about, not what kind it is."""
    groups: dict[str, list[str]] = {}
    for issue in issues_of(epic):
        theme = next((label for label in issue["labels"] if label not in SIDE_LABELS), issue["labels"][0])
        groups.setdefault(theme, []).append(issue["id"])
    time.sleep(seconds)
    print(f"{len(groups)} themes: {', '.join(sorted(groups))}", flush=True)
    return groups


@runplane.step
def summarize(
    epic: str, analysed: list[Analysis], groups: dict[str, list[str]], seconds: float, text_limit: int
) -> str:
    """The report: what to merge, what to rewrite, what to split, and what each theme is about."""
    issues = {issue["id"]: {**issue, "title": cut(issue["title"], text_limit)} for issue in issues_of(epic)}
    twins = [one for one in analysed if one["same_as"]]
    hard = [one for one in analysed if one["ease"] < HARD]
    large = [issue for issue in issues.values() if issue["estimate"] >= LARGE and issue["state"] != "done"]
    lines = [
        f"# {title_of(epic)}",
        "",
        f"{len(issues)} issues become {len(issues) - len(twins)}.",
        "",
        "## Merge",
        "",
    ]
    lines += [f"- {one['id']} into {one['same_as']} ({one['overlap']:.0%} the same words)" for one in twins]
    lines += ["", "## Rewrite: hard to read", ""]
    lines += [f"- {one['id']} {issues[one['id']]['title']} (reading ease {one['ease']:.0f})" for one in hard]
    lines += ["", "## Split: too large for a week", ""]
    lines += [f"- {issue['id']} {issue['title']} ({issue['estimate']} points)" for issue in large]
    for theme, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        points = sum(issues[member]["estimate"] for member in members)
        lines += ["", f"## {theme.capitalize()}: {len(members)} issues, {points} points", ""]
        lines += [f"About {', '.join(keywords(members, issues))}.", ""]
        lines += [f"- {member} {issues[member]['title']} [{issues[member]['state']}]" for member in members]
        time.sleep(seconds / len(groups))
    print(f"{len(twins)} to merge, {len(hard)} to rewrite, {len(large)} to split", flush=True)
    return "\n".join(lines) + "\n"


@runplane.step
def write_report(text: str, path: str) -> str:
    """Write the report, whole or not at all."""
    building = Path(f"{path}.new")
    building.write_text(text, encoding="utf-8")
    building.replace(path)
    return path


# What the phases compute


@lru_cache
def document(epic: str) -> Any:
    return json.loads(Path(epic).read_text(encoding="utf-8"))


def issues_of(epic: str) -> list[Issue]:
    return list(document(epic)["issues"])


def title_of(epic: str) -> str:
    return str(document(epic)["epic"]["title"])


def comments_of(issue: Issue) -> int:
    return int(issue["comments"])


def analysis_of(issue: Issue, earlier: list[Issue]) -> Analysis:
    """The reading ease, and the earlier issue whose words overlap most, if they overlap enough."""
    words = content_words(issue)
    overlaps = [(overlap(words, content_words(other)), other["id"]) for other in earlier]
    most, twin = max(overlaps, default=(0.0, ""))
    return {
        "id": issue["id"],
        "ease": round(reading_ease(issue["description"]), 1),
        "same_as": twin if most >= SAME else None,
        "overlap": round(most, 2),
    }


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)].rstrip() + "…"


def content_words(issue: Issue) -> frozenset[str]:
    words = re.findall(r"[a-z]{2,}", f"{issue['title']} {issue['description']}".lower())
    return frozenset(word.removesuffix("s") for word in words if word not in STOP_WORDS)


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of the smaller set that lies in the other as well, 0 to 1."""
    return len(one & other) / max(1, min(len(one), len(other)))


def reading_ease(text: str) -> float:
    """Flesch's reading ease: 100 is easy, 30 is hard."""
    words = re.findall(r"[A-Za-z]+", text)
    sentences = max(1, len(re.findall(r"[.!?:](\s|$)", text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word.lower())))) for word in words)
    return 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / max(1, len(words))


def keywords(members: list[str], issues: dict[str, Issue]) -> list[str]:
    """The five words that set these issues apart from the others (tf-idf)."""
    everywhere = Counter(word for issue in issues.values() for word in content_words(issue))
    here = Counter(word for member in members for word in content_words(issues[member]))
    weight = {word: count * math.log(len(issues) / everywhere[word]) for word, count in here.items()}
    return sorted(weight, key=lambda word: (-weight[word], word))[:5]


# What goes wrong


@lru_cache
def silent_api() -> int:
    """Start the API's local stand-in, a daemon; returns its port."""
    program = [sys.executable, str(Path(__file__).with_name("silent_api.py"))]
    started = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=30)
    return int(started.stdout)


def ask_api(issue: Issue) -> int:
    """Ask for an issue's comments. The mistake: no timeout, so this waits for as long as the other side likes."""
    print(f"Asking the API for the comments of {issue['id']} …", flush=True)
    with socket.create_connection(("127.0.0.1", silent_api())) as connection:
        connection.sendall(f"GET /issues/{issue['id']}/comments HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return len(connection.recv(65_536))


def retry_for_ever(issue: Issue) -> int:
    """Ask for an issue's comments. The mistake: a retry without an end."""
    while True:
        print(f"{issue['id']}: the API answered 429 Too Many Requests", flush=True)
        print(f"{issue['id']}: trying again in {RETRY_SECONDS} s", flush=True)
        time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

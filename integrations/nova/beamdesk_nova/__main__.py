"""`python3 -m beamdesk_nova`: asks as Nova would, and shows the answer. For administrators."""

from __future__ import annotations

import argparse
import sys
import time

from beamdesk_nova.ask import Unanswered, ask


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m beamdesk_nova", description=__doc__)
    parser.add_argument("--socket", default="/run/beamdesk/sched.sock")
    parser.add_argument("--deadline-ms", type=int, default=200)
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--memory-mib", type=int, default=1024)
    parser.add_argument("--disk-gib", type=int, default=0)
    parser.add_argument(
        "--property", action="append", default=[], metavar="KEY=VALUE", help="such as heps:gpu_num=1"
    )
    parser.add_argument("--station")
    parser.add_argument("hosts", nargs="+", metavar="HOST")
    options = parser.parse_args()
    pairs = [pair.partition("=") for pair in options.property]
    wish = {
        "vcpus": options.vcpus,
        "memory_mib": options.memory_mib,
        "disk_gib": options.disk_gib,
        "metadata": {key: value for key, _, value in pairs},
    }
    if options.station:
        wish["station"] = options.station
    began = time.monotonic()
    try:
        verdicts = ask(options.socket, options.deadline_ms / 1000, wish, options.hosts)
    except Unanswered as error:
        print(error, file=sys.stderr)
        return 1
    took_ms = (time.monotonic() - began) * 1000
    last = len(verdicts)
    for name, verdict in sorted(
        verdicts.items(), key=lambda told: (last if told[1].rank is None else told[1].rank, told[0])
    ):
        rank = "-" if verdict.rank is None else verdict.rank
        word = "passes" if verdict.passes else "refused"
        print(f"{rank:>4}  {name}  {word}  {verdict.reason or ''}".rstrip())
    print(f"answered in {took_ms:.1f} ms", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

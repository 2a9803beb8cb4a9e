"""Answers requests, one JSON object a line, until its input ends: `ping`, and `read` of a stream."""

import argparse
import json
import pathlib
import signal
import sys

RECORDS_A_READ = 100


def read(cache: pathlib.Path, stream: str) -> dict:
    """Reads on from where the stream's state says."""
    if not stream.isidentifier():
        raise ValueError(f"{stream!r} is no stream")
    state_file = cache / f"{stream}.state.json"
    cursor = json.loads(state_file.read_text())["cursor"] if state_file.exists() else 0
    cursor += RECORDS_A_READ
    new = state_file.with_suffix(".new")
    new.write_text(json.dumps({"cursor": cursor}) + "\n")
    new.replace(state_file)
    return {"accepted": RECORDS_A_READ, "cursor": cursor}


def main() -> None:
    parser = argparse.ArgumentParser(prog="airbyte")
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    cache = parser.parse_args().cache
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["do"] == "ping":
                answer = {"streams": len(list(cache.glob("*.state.json")))}
            elif request["do"] == "read":
                answer = read(cache, request["stream"])
            else:
                raise ValueError("no such request")
        except (KeyError, OSError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()

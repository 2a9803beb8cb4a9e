"""Answers requests on a socket, one JSON object each: `ping`, and `read` of a stream. One process at a time holds a cache."""

import argparse
import fcntl
import json
import pathlib
import signal
import socketserver
import sys

RECORDS_A_READ = 100
REQUEST_BYTES_MAX = 64 * 1024


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


def answer(cache: pathlib.Path, line: bytes) -> dict:
    """What is answered to one request."""
    try:
        request = json.loads(line)
        if request["do"] == "ping":
            return {"streams": len(list(cache.glob("*.state.json")))}
        if request["do"] == "read":
            return read(cache, request["stream"])
        raise ValueError("no such request")
    except (KeyError, OSError, TypeError, ValueError) as error:
        return {"error": str(error)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="airbyte")
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--socket", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            said = answer(arguments.cache, self.rfile.readline(REQUEST_BYTES_MAX))
            self.wfile.write(json.dumps(said).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    lock = arguments.socket.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another one runs in this site")
    arguments.socket.unlink(missing_ok=True)
    with Server(str(arguments.socket), Handler) as server:
        server.serve_forever()


main()

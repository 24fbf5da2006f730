#!/usr/bin/env python3
"""Answers every text with itself, over the HTTP API, with nothing but the standard library.

    python3 echo.py DATA_DIRECTORY [STATE_FILE]

Where it is in the events is kept in STATE_FILE, so that it misses nothing while it is stopped. The client_id of an
answer is made from the message's id: an answer that was given before a crash is not given twice.
"""

import json
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

ANSWERS = uuid.UUID("6f0a3c52-51a4-4a52-9d0b-7d9f2f0a8a11")


def main() -> None:
    data = Path(sys.argv[1])
    state = Path(sys.argv[2] if len(sys.argv) > 2 else "echo.seq")
    node = json.loads((data / "api.json").read_text())

    def ask(path, body=None):
        request = urllib.request.Request(node["url"] + path)
        request.add_header("Authorization", "Bearer " + node["token"])
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        return urllib.request.urlopen(request)

    since = f"&since={state.read_text()}" if state.exists() else ""
    for line in ask("/v1/events?types=message.received,events.gap" + since):
        event = json.loads(line)
        message = event["data"]
        if event["type"] == "message.received" and message["from"] != "me" and message["text"]:
            answer = {
                "client_id": str(uuid.uuid5(ANSWERS, message["id"])),
                "text": message["text"],
                "reply_to": message["id"],
            }
            try:
                ask(f"/v1/conversations/{message['conversation']}/messages", answer)
            except urllib.error.HTTPError as error:
                print(json.load(error)["error"]["message"], file=sys.stderr)
        state.write_text(str(event["seq"]))


if __name__ == "__main__":
    main()

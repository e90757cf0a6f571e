"""A function of a few lines that speaks the Lambda Runtime API, to try the stand-in with."""

import json
import os
import sys
import time
import urllib.request

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"


def report(path, body):
    urllib.request.urlopen(f"{RUNTIME}/{path}", data=json.dumps(body).encode()).read()


if os.environ.get("START") == "broken":
    report("init/error", {"errorMessage": "no configuration"})
    sys.exit(1)

while True:
    with urllib.request.urlopen(f"{RUNTIME}/invocation/next") as answer:
        event, headers = json.load(answer), answer.headers
    invocation = f"invocation/{headers['lambda-runtime-aws-request-id']}"
    print(f"asked to {event['do']}", file=sys.stderr, flush=True)
    if event["do"] == "answer":
        left_ms = int(headers["lambda-runtime-deadline-ms"]) - time.time() * 1000
        report(f"{invocation}/response", {"left_ms": left_ms, "environment": dict(os.environ)})
    elif event["do"] == "fail":
        report(f"{invocation}/error", {"errorMessage": "as told"})
    elif event["do"] == "die":
        print("last words", flush=True)
        sys.exit(7)
    elif event["do"] == "hang":
        time.sleep(3600)

"""Shows what a caller has to show: the secret of jobs, and a site's signature over the bytes that leave."""

import hashlib
import hmac
import os
import time

import requests.auth
import schemathesis

DOOR = "/v1/conversions"


class Secret(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers["authorization"] = f"Bearer {os.environ['RELAY_TEST_SECRET']}"
        return request


class Signature(requests.auth.AuthBase):
    def __call__(self, request):
        body = request.body or b""
        if isinstance(body, str):
            body = body.encode()
        at = str(int(time.time()))
        digest = hmac.new(os.environ["RELAY_TEST_KEY"].encode(), at.encode() + b"." + body, hashlib.sha256)
        request.headers["x-relay-signature"] = f"t={at},v1={digest.hexdigest()}"
        return request


schemathesis.auth.set_from_requests(Signature()).apply_to(path=DOOR)
schemathesis.auth.set_from_requests(Secret()).apply_to(tag="jobs")

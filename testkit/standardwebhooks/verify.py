"""Verifies signed requests with the package of PyPI, as a receiver would: [{secret, body, headers}] on standard input."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

cases = json.load(sys.stdin)
for case in cases:
    receiver = Webhook(case["secret"])
    receiver.verify(case["body"], case["headers"])
    try:
        receiver.verify(case["body"] + " ", case["headers"])
    except WebhookVerificationError:
        continue
    raise SystemExit("another body was accepted")
print(len(cases), "verified")

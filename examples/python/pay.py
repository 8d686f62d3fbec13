#!/usr/bin/env python3
"""A registry pays through the HTTPS door: standard library and requests only.

    python3 pay.py https://localhost:7402 ids/north ids/mint

Each directory holds svid.pem, svid.key and bundle.pem, as `bezant identity issue` writes them.
The registry opens two accounts, the mint funds one, the registry pays, sends the payment again
as after a lost answer, meets a refusal, and lists its accounts.
"""

import secrets
import sys
import time
import uuid

import requests

ATTEMPTS = 5


def new_id():
    """An id for a command: a UUIDv7, whose first 48 bits are Unix milliseconds."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


class Refused(Exception):
    """A problem answer (RFC 9457): what was refused, and what to do about it."""

    def __init__(self, problem):
        super().__init__(f"{problem['title']} ({problem['number']}): {problem['cure']}")
        self.title = problem["title"]
        self.retry = problem["retry"]


class Frame:
    """The HTTPS door of a frame, as one identity."""

    def __init__(self, url, identity):
        self.url = url
        self.session = requests.Session()
        # No proxy, no certificates and no passwords from the environment.
        self.session.trust_env = False
        # The certificate says who we are; the bundle, and nobody else, who the frame may be.
        self.session.cert = (f"{identity}/svid.pem", f"{identity}/svid.key")
        self.session.verify = f"{identity}/bundle.pem"

    def call(self, method, path, body=None, **query):
        """One operation. A write carries its id in its body, so sending it again is safe."""
        for attempt in range(1, ATTEMPTS + 1):
            pause = 0.1 * 2**attempt
            try:
                answer = self.session.request(
                    method, self.url + path, json=body, params=query, timeout=10
                )
            except (requests.ConnectionError, requests.Timeout):
                # The outcome is not known. Never a new id: the same request again.
                if attempt == ATTEMPTS:
                    raise
            else:
                if answer.ok:
                    return answer
                if answer.headers.get("Content-Type") != "application/problem+json":
                    answer.raise_for_status()
                problem = Refused(answer.json())
                if problem.retry != "same_id" or attempt == ATTEMPTS:
                    raise problem
                pause = float(answer.headers.get("Retry-After", pause))
            time.sleep(pause)

    def write(self, path, **fields):
        """A write with an id of its own, unless the fields have one."""
        body = {"id": new_id(), **fields}
        return self.call("POST", path, body)

    def accounts(self):
        """Every account of this registry, page by page."""
        query = {"limit": 100}
        while True:
            page = self.call("GET", "/v1/accounts", **query).json()
            yield from page["accounts"]
            # A page may be short, even empty, and still have a next one.
            if page.get("next") is None:
                return
            query["cursor"] = page["next"]


def main(url, registry, mint):
    registry, mint = Frame(url, registry), Frame(url, mint)
    me = registry.call("GET", "/v1/me").json()
    print("we are", me["spiffe_id"])

    alice, bob = new_id(), new_id()
    for owner in (alice, bob):
        registry.write("/v1/accounts", owner=owner)
    mint.write("/v1/issues", credit=alice, amount="100")

    price = registry.call(
        "POST", "/v1/transfers/quote", {"debit": alice, "credit": bob, "amount": "12.5"}
    ).json()
    print("a payment of 12.5 costs", price["pays"])

    payment = {"id": new_id(), "debit": alice, "credit": bob, "amount": "12.5", "memo": "invoice 7"}
    first = registry.call("POST", "/v1/transfers", payment)
    again = registry.call("POST", "/v1/transfers", payment)
    assert again.content == first.content, "the second answer is that of the first"
    assert again.headers["Idempotency-Replayed"] == "true"
    print("paid as command", first.json()["sequence"])

    try:
        registry.write("/v1/transfers", debit=alice, credit=bob, amount="10000")
    except Refused as refused:
        assert refused.title == "insufficient_funds"
        print("refused:", refused)
    else:
        raise AssertionError("more was paid than was there")

    balances = {account["owner"]: account["liquid"] for account in registry.accounts()}
    assert balances[alice] == "87.500000" and balances[bob] == "12.437500", balances
    print("alice has", balances[alice], "and bob has", balances[bob])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

"""Makes requests that are meant to be right carry what no schema can say.

An id of this moment: without it every write would repeat the id of its example, and none would
reach the rules behind. Integers without a point, where JSON Schema takes 1.0 for one. Texts whose
length in bytes fits, where a schema counts characters. A host only beside a parameter of hosts.
Requests that are meant to be wrong are left alone.
"""

import secrets
import time

import schemathesis


def fresh_id():
    value = time.time_ns() // 1_000_000 << 80 | 7 << 76 | secrets.randbits(76)
    value = value & ~(3 << 62) | 2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def is_positive(case):
    meta = case.meta
    return meta is None or meta.generation.mode.is_positive


def takes_id(case):
    for media in case.operation.definition.raw.get("requestBody", {}).get("content", {}):
        if media == "application/json":
            return True
    return False


def whole(value):
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and not value.isascii():
        return value.encode("ascii", "replace").decode()
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    if not is_positive(case) or not takes_id(case) or not isinstance(case.body, dict):
        return
    case.body = whole(case.body)
    if "/quote" in case.path:
        return
    if (case.path_parameters or {}).get("name") not in (None, "host.debit_limit"):
        case.body.pop("host", None)
    headers = case.headers or {}
    key = next((name for name in headers if name.lower() == "idempotency-key"), None)
    if "transfers" in case.body:
        for transfer in case.body["transfers"]:
            if isinstance(transfer, dict):
                transfer["id"] = fresh_id()
        return
    if key is not None and secrets.randbits(1):
        # A key alone, and one that was never used.
        headers[key] = "conformance-" + secrets.token_hex(16)
        case.body.pop("id", None)
        return
    if key is not None:
        del headers[key]
    case.body["id"] = fresh_id()

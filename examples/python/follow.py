#!/usr/bin/env python3
"""Follows the history of a frame and keeps every balance: standard library only.

    python3 follow.py https://localhost:7402 ids/auditor balances.sqlite [--until SEQUENCE]

The identity directory holds svid.pem, svid.key and bundle.pem, as `bezant identity issue` writes
them. What an event changes and the place behind it are written in one transaction: kill this
program whenever you like and start it again, and no event is missed or counted twice. Balances are
kept in minor units, as (owner, asset, bucket).
"""

import http.client
import json
import sqlite3
import ssl
import sys
import time
import urllib.parse

TABLES = """
CREATE TABLE IF NOT EXISTS place (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), place TEXT);
CREATE TABLE IF NOT EXISTS balances (owner TEXT, asset INTEGER, bucket TEXT, minor TEXT,
                                     PRIMARY KEY (owner, asset, bucket));
"""


def minor(amount):
    """Minor units: an amount has exactly as many digits after the point as its asset's scale."""
    return int(amount.replace(".", ""))


class Book:
    """Balances, and the place up to which they are complete."""

    def __init__(self, path):
        self.rows = sqlite3.connect(path, isolation_level=None)
        self.rows.executescript(TABLES)

    def place(self):
        row = self.rows.execute("SELECT place FROM place").fetchone()
        return row[0] if row else "0"

    def take(self, events):
        """All of them and their place, or nothing."""
        self.rows.execute("BEGIN IMMEDIATE")
        for place, name, data in events:
            if name != "progress" and "amount" in data:
                amount = minor(data["amount"])
                self.add(data, "debit", -amount)
                self.add(data, "credit", amount)
            self.rows.execute("REPLACE INTO place VALUES (1, ?)", (place,))
        self.rows.execute("COMMIT")

    def add(self, data, side, amount):
        side = data.get(side)
        if side is None:
            return  # units that were issued or burned
        key = (side["owner"], data["asset"], side["bucket"])
        row = self.rows.execute(
            "SELECT minor FROM balances WHERE owner = ? AND asset = ? AND bucket = ?", key
        ).fetchone()
        after = (int(row[0]) if row else 0) + amount
        if "after" in side and after != minor(side["after"]):
            raise SystemExit(f"{key} is {after} here and {side['after']} there: {data}")
        self.rows.execute("REPLACE INTO balances VALUES (?, ?, ?, ?)", (*key, str(after)))


def passes(status):
    """Whether another attempt may be answered: too often, or the frame starts, stops or is busy."""
    return status in (408, 429, 500, 502, 503, 504)


def events(answer):
    """The whole events of each piece that arrives, as (place, name, data)."""
    rest = b""
    while piece := answer.read1(1 << 16):
        *whole, rest = (rest + piece).split(b"\n\n")
        arrived, end = [], None
        for text in whole:
            lines = [line.partition(": ") for line in text.decode().split("\n")]
            fields = {name: value for name, _, value in lines if name}
            if fields.get("event") == "end":
                end = json.loads(fields["data"])
            elif "id" in fields:
                arrived.append((fields["id"], fields["event"], json.loads(fields["data"])))
        if arrived:
            yield arrived
        if end is not None:
            if not passes(end["status"]):
                raise SystemExit(f"the feed ends: {end['title']}: {end['cure']}")
            print(f"the feed ends: {end['title']}", file=sys.stderr)
            return


def follow(url, identity, book, until):
    """Follows until the connection ends; says whether everything wanted has come."""
    trust = ssl.create_default_context(cafile=f"{identity}/bundle.pem")
    trust.load_cert_chain(f"{identity}/svid.pem", f"{identity}/svid.key")
    where = urllib.parse.urlsplit(url)
    # The frame says something every ten seconds; silence means that it is gone.
    door = http.client.HTTPSConnection(where.hostname, where.port, context=trust, timeout=30)
    door.request("GET", "/v1/events", headers={"Last-Event-ID": book.place()})
    answer = door.getresponse()
    if passes(answer.status):
        print(f"refused for now, with {answer.status}", file=sys.stderr)
        return False
    if answer.status != 200:
        problem = json.loads(answer.read())
        raise SystemExit(f"{problem['title']}: {problem['detail']}; {problem['cure']}")
    for arrived in events(answer):
        book.take(arrived)
        # Timers aside, a place with a later sequence says that an earlier one is complete.
        if until is not None and int(book.place().split(".")[0]) > until:
            return True
        if until is not None and book.place() == str(until):
            return True
    return False


def main(arguments):
    until = None
    if "--until" in arguments:
        at = arguments.index("--until")
        until = int(arguments[at + 1])
        del arguments[at : at + 2]
    url, identity, path = arguments
    book = Book(path)
    while True:
        try:
            if follow(url, identity, book, until):
                return
        except (OSError, http.client.HTTPException) as error:
            print(f"disconnected: {error}", file=sys.stderr)
        time.sleep(0.2)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(sys.argv[1:])

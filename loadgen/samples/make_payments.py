#!/usr/bin/env python3
"""Makes payments.csv: ten minutes of AI agents that buy small services from one another.

What it models (and what it does not): 200 agents, of which 20 sell. A buyer works in sessions:
sessions start as a Poisson process, a session has a geometric number of calls (mean 6) to one
seller, a second or so apart. Sellers are chosen by Zipf's law (exponent 1.1), because a few
services get most of the traffic. Prices are log-normal per seller (median 0.02, few above 5), as
metered calls are. Every twentieth payment goes the other way: a seller refunds part of a call.
It does not model balances, time of day, or fraud. Seeded: the file is the same on every run.

    python3 make_payments.py > payments.csv
"""
import random
import uuid

RANDOM = random.Random(20_240_501)
AGENTS, SELLERS, SECONDS, SESSIONS = 200, 20, 600, 120


def agent(number):
    return uuid.UUID(int=(0x018F6F0E8A107000 << 64) | 0x8000000000000000 | number)


def main():
    weights = [1 / rank**1.1 for rank in range(1, SELLERS + 1)]
    prices = [RANDOM.lognormvariate(-3.9, 1.2) for _ in range(SELLERS)]
    payments, start = [], 0.0
    for _ in range(SESSIONS):
        start += RANDOM.expovariate(SESSIONS / SECONDS)
        seller = RANDOM.choices(range(SELLERS), weights)[0]
        buyer = RANDOM.randrange(SELLERS, AGENTS)
        at = start
        while True:
            price = max(0.0002, prices[seller] * RANDOM.uniform(0.5, 2.0))
            payments.append((at, buyer, seller, price))
            if RANDOM.random() < 0.05:
                payments.append((at + 5, seller, buyer, price / 2))
            if RANDOM.random() < 1 / 6:
                break
            at += RANDOM.expovariate(1.0)
    print("from,to,amount,at")
    for at, debit, credit, amount in sorted(payments):
        print(f"{agent(debit)},{agent(credit)},{amount:.6f},{at:.3f}")


main()

# SPDX-License-Identifier: Apache-2.0
"""Writes 600 pay slips to a file, one after the other: a job that must not write one twice."""
import random
import time

total = 0
with open("slips.txt", "a") as slips:
    for number in range(1, 601):
        pay = random.randrange(1000, 9999)
        total += pay
        slips.write(f"slip {number} {pay} {time.time_ns()}\n")
        slips.flush()
        if number % 100 == 0:
            print(f"slip {number}", flush=True)
with open("total.txt", "w") as file:
    print(total, file=file)

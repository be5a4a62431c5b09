"""Predictions of a closed queueing network: clients, one station with several processors, and a delay.

The utilisation law and the asymptotic bounds are in Lazowska, Zahorjan, Graham and Sevcik, Quantitative
System Performance (1984). The exact mean value analysis is from Reiser and Lavenberg, Mean-Value Analysis
of Closed Multichain Queuing Networks (1980); with load-dependent stations it is not stable for large
populations, so it is used here for a few clients only."""

from __future__ import annotations


def bound_rate(clients: int, demand: float, delay: float, processors: int) -> float:
    """The asymptotic upper bound of the rate: clients that never wait, or processors that are always busy."""
    return min(clients / (demand + delay), processors / demand)


def solve_rate(clients: int, demand: float, delay: float, processors: int) -> float:
    """The rate by exact mean value analysis: a station of `processors`, which each request uses for `demand`
    seconds, and a delay of `delay` seconds without a queue.

    `shares[count]` is the probability that `count` requests are at the station.
    """
    shares, rate = [1.0], 0.0
    for population in range(1, clients + 1):
        response = demand * sum(
            count / min(count, processors) * shares[count - 1] for count in range(1, population + 1)
        )
        rate = population / (delay + response)
        busy = [
            rate * demand / min(count, processors) * shares[count - 1] for count in range(1, population + 1)
        ]
        shares = [max(0.0, 1.0 - sum(busy)), *busy]
    return rate


def needed(rate: float, demand: float, utilisation: float) -> float:
    """The number of processors that a rate needs at that utilisation (utilisation law: U = X D / m)."""
    return rate * demand / utilisation

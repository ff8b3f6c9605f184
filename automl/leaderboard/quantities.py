"""Amounts as people say them."""

from __future__ import annotations

import math


def seconds(value: float | None) -> str:
    """A duration as people say it: '2 min 20 s'."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 100:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def about(value: float) -> str:
    """A duration that is an estimate, without digits that nobody knows: '40 s', '12 min', '3.5 h', '2.1 days'."""
    for unit, name, next_unit in ((1.0, "s", 100.0), (60.0, "min", 6000.0), (3600.0, "h", 172_800.0)):
        if value < next_unit:
            return f"{two_digits(value / unit)} {name}"
    return f"{two_digits(value / 86_400)} days"


def about_range(low: float, high: float) -> str:
    """'12 to 20 min', or 'about 12 min' where both ends read the same."""
    first, last = about(low), about(high)
    if first == last:
        return f"about {last}"
    number, unit = first.split(" ", 1)
    return f"{number if last.endswith(f' {unit}') else first} to {last}"


def data_size(value: float) -> str:
    """Bytes as people say them: '1.1 GiB'."""
    for unit, name in ((2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB")):
        if value < 999.5 * unit or name == "GiB":
            return f"{two_digits(value / unit)} {name}"
    raise AssertionError("unreachable")


def two_digits(value: float) -> str:
    """A number with two digits that count: '0.84', '3.5', '12', '870'."""
    if value <= 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(value) + 1e-9))
    text = f"{value:.{digits}f}"
    if digits == 0 and value >= 100:
        step = 10 ** (math.floor(math.log10(value)) - 1)
        text = f"{round(value / step) * step:,}"
    return text

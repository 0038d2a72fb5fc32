"""Sharing things out fairly."""


def split_evenly(total: int, parts: int) -> list[int]:
    """Split `total` into `parts` whole shares.

    The shares add up to `total`, differ by at most one, and larger shares come first.
    """
    if parts < 1:
        raise ValueError("parts must be at least 1")
    share = total // parts
    return [share] * parts


def describe(shares: list[int]) -> str:
    """Name the shares for people, e.g. `3 + 2 + 2`."""
    return " + ".join(str(share) for share in shares)

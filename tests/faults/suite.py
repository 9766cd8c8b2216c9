"""All checks: those that the modules of ``tests.faults.checks`` declare."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

import tests.faults.checks
from tests.faults.frame import CHECKS, Check


def checks() -> list[Check]:
    """By id, S2 before S10."""
    for module in iter_modules(tests.faults.checks.__path__):
        import_module(f"{tests.faults.checks.__name__}.{module.name}")
    return sorted(CHECKS, key=lambda check: number(check.id))


def number(id: str) -> tuple[int, int]:
    kind, digits = re.fullmatch(r"([A-Z])(\d+)", id).groups()  # type: ignore[union-attr]
    return "FSPXC".index(kind), int(digits)

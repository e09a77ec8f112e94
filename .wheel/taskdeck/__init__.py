"""Package of the wheel, which holds `app` and `db`, and its console script.

Many projects have an `app` and a `db` of their own. `PYTHONPATH` and the current folder come before
the standard library, so they could replace even `json`. Python itself has loaded the three modules
that this file imports.
"""

from __future__ import annotations

import os
import site
import sys

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_PARENT = os.path.dirname(_PACKAGE)
_CODE = os.path.dirname(_PARENT) if os.path.basename(_PARENT) == ".wheel" else _PACKAGE
"""Folder of `app` and `db`: this package, or the top of a checkout."""


def main() -> None:
    """Run the command line with Taskdeck's own modules. Never return."""
    _set_import_path()
    _refuse_foreign_modules()
    from app.__main__ import main

    main()


def _set_import_path() -> None:
    """Put Taskdeck's folder first, and remove all folders before the standard library.

    Those that hold installed packages move to the end. `os.environ` keeps `PYTHONPATH` for tasks.
    """
    library = os.path.dirname(os.path.abspath(os.__file__))
    start = sys.path.index(library) if library in sys.path else 0
    installed = {_PARENT, *site.getsitepackages()}
    if site.ENABLE_USER_SITE and site.USER_SITE:
        installed.add(site.USER_SITE)
    moved = [folder for folder in sys.path[:start] if folder in installed]
    sys.path[:] = [_CODE, *sys.path[start:], *moved]


def _refuse_foreign_modules() -> None:
    """Exit if a .pth file or a sitecustomize has loaded the `app` or `db` of another project."""
    for name in ("app", "db"):
        module = sys.modules.get(name)
        if module is None:
            continue
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        place = next((place for place in places if place), "an unknown file")
        ours = os.path.realpath(os.path.join(_CODE, name)) + os.sep
        if not os.path.realpath(place).startswith(ours):
            sys.exit(  # in English: the catalogue is in our app
                f'taskdeck: the module "{name}" of another project is loaded already: {place!r}.'
                " Nothing was done. Install Taskdeck in its own environment: pipx install taskdeck"
            )

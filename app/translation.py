"""Translation of texts, by gettext catalogues. The lowest layer, since every layer has texts.

The English text is the key. A process uses the language of its user's locale, else `language` of
config.toml. The runtime stores and logs English, and answers each caller in the caller's language.

Rules for translatable texts:

- `tr("queue {queue} is held", queue=name)` returns a text with its values. Never pass an f-string.
- `tr_n(count, "{n} task", "{n} tasks")` chooses the plural form; `{n}` is the count.
- `tr_noop("Queues")` marks a constant of a module; `tr` translates the constant where it is shown.
- The errors of `app.errors` translate their texts: `Usage("queue {queue} is full.", queue=name)`.
- Parsers translate constant `help` and summaries of commands; the deck translates constants of its
  bindings, key hints, columns and form fields.

`python -m tests.catalogues` collects the texts into `app/locale/`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import ContextVar
    from gettext import NullTranslations
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

ENGLISH = "en"
SIMPLIFIED_CHINESE = "zh_CN"
LANGUAGES = (ENGLISH, SIMPLIFIED_CHINESE)
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_TRADITIONAL = ("zh_TW", "zh_HK", "zh_MO")
_FOLDER = os.path.join(os.path.dirname(__file__), "locale")

_process_language = ENGLISH
_caller_language: ContextVar[str | None] | None = None
"""Created for the first caller, since the import of contextvars would delay each command."""
_catalogues: dict[str, NullTranslations] = {}


def find_language(environ: Mapping[str, str], read_chosen: Callable[[], str | None]) -> str:
    """Return the language of a user: by the locale, else by `read_chosen`, else English.

    The locales C and POSIX name no language.
    """
    locale = next((environ[name] for name in LOCALE_VARIABLES if environ.get(name)), "")
    name = locale.partition("@")[0].partition(".")[0]
    if name in ("", "C", "POSIX"):
        return read_chosen() or ENGLISH
    if name.partition("_")[0] != "zh" or name in _TRADITIONAL or "utf" not in locale.lower():
        return ENGLISH
    return SIMPLIFIED_CHINESE


def use_language(language: str) -> None:
    """Set the language of this process."""
    global _process_language
    _process_language = language


def use_caller_language(language: object) -> None:
    """Set the language of the caller for the rest of this context; English if unknown."""
    _get_caller_language().set(str(language) if language in LANGUAGES else ENGLISH)


def run_in_english(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `work`, which makes texts that are stored, whoever the caller is."""
    from contextvars import copy_context

    def run() -> T:
        use_caller_language(ENGLISH)
        return work(*args, **kwargs)

    return copy_context().run(run)


def get_language() -> str:
    """Return the language of the caller, else of this process."""
    if _caller_language is None:
        return _process_language
    return _caller_language.get() or _process_language


def _get_caller_language() -> ContextVar[str | None]:
    global _caller_language
    if _caller_language is None:
        from contextvars import ContextVar

        _caller_language = ContextVar("caller_language", default=None)
    return _caller_language


def tr(text: str, /, **values: object) -> str:
    """Return `text` in the current language.

    Values replace the `{names}` in `text`. Without values, braces stay.
    """
    language = get_language()
    if language != ENGLISH and text:
        text = _load_catalogue(language).gettext(text)
    return text.format_map(values) if values else text


def tr_n(count: int, one: str, many: str, /, **values: object) -> str:
    """Return the text for `count` things; `{n}` is the count."""
    language = get_language()
    if language == ENGLISH:
        text = one if count == 1 else many
    else:
        text = _load_catalogue(language).ngettext(one, many, count)
    return text.format_map({"n": count, **values})


def tr_noop(text: str, /) -> str:
    """Return `text` unchanged, marked for the catalogues."""
    return text


def _load_catalogue(language: str) -> NullTranslations:
    found = _catalogues.get(language)
    if found is None:
        import gettext

        found = gettext.translation("taskdeck", _FOLDER, [language], fallback=True)
        _catalogues[language] = found
    return found

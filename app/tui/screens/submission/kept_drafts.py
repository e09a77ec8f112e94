"""Drafts of submit forms that were left, kept as long as the deck runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.tui.forms.submit_draft import SubmitDraft, make_draft
from app.tui.state.drafts import Drafts

MAX_KEPT_DRAFTS = 20
"""Maximum number of forms whose text is kept."""


class KeptDrafts:
    """Drafts as one submit form sees them.

    The form is for any task, for a template, or to submit a task again: an answer of `show`.
    """

    def __init__(
        self, drafts: Drafts, template: str | None, task: Mapping[str, Any] | None
    ) -> None:
        self._drafts = drafts
        self._template = template
        self._task = task
        self.restored: SubmitDraft | None = None
        """Kept draft that the form was filled from."""

    @property
    def first(self) -> SubmitDraft:
        """Initial draft: the repeated task, the kept draft, or a blank one."""
        return self.blank if self._task is not None else self.kept or self.blank

    @property
    def blank(self) -> SubmitDraft:
        """Draft of the form before anything is typed."""
        if self._task is not None:
            return make_draft(self._task)
        return (
            SubmitDraft(kind="template", template=self._template)
            if self._template
            else SubmitDraft()
        )

    @property
    def _form_key(self) -> str:
        """Key of the form among those that keep drafts."""
        return f"#{self._task['number']}" if self._task is not None else self._template or ""

    @property
    def kept(self) -> SubmitDraft | None:
        """Draft kept for this form, else the latest draft of any form if it fits this one."""
        drafts = self._drafts.submissions
        own, last = drafts.get(self._form_key), next(reversed([*drafts.values()]), None)
        if own or last is None or self._task is not None:
            return own
        return last if self._template in (None, last.kind == "template" and last.template) else None

    def keep(self, typed: SubmitDraft | None) -> None:
        """Keep a draft for this form, or with None forget the kept one."""
        drafts = {
            form: draft
            for form, draft in self._drafts.submissions.items()
            if form != self._form_key and draft is not self.restored
        }
        self._drafts.submissions = dict(
            [*drafts.items(), *([(self._form_key, typed)] if typed else [])][-MAX_KEPT_DRAFTS:]
        )

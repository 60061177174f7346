"""The kit's own promises."""

import re
from pathlib import Path

import pytest

from adapters import FUNCTIONS, LANGUAGES, load, why_absent

HERE = Path(__file__).resolve().parent


def test_names_of_cases_do_not_match_a_languages_name():
    """`-k LANGUAGE` selects by any part of a name."""
    checked = 0
    for path in HERE.glob("test_shim_*.py"):
        for case in re.findall(r"^def (test_\w+)", path.read_text(), re.M):
            assert not [language for language in LANGUAGES if language in f"{path.name}::{case}"], case
            checked += 1
    assert checked > 0


def test_every_declared_project_is_there():
    declared = 0
    for language in LANGUAGES:
        adapter = load(language)
        if adapter is None:
            continue
        assert adapter.language == language
        for folder in [variant.name for variant in adapter.variants] + [f"failures/{failure.kind}" for failure in adapter.failures]:
            assert (FUNCTIONS / language / folder).is_dir(), f"{language}/{folder}"
            declared += 1
    assert declared > 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_is_tested_on_this_machine(language):
    reason = why_absent(language)
    if reason:
        pytest.skip(reason)
    assert load(language).variants

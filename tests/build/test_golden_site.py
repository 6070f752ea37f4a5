"""The tiny gallery, page by page; `python -m tests.regenerate` after a wanted change."""

from tests.regenerate import SITE, describe_site


def test_the_site_is_the_golden_one(built_tiny):
    assert describe_site(built_tiny.site).splitlines() == SITE.read_text(encoding="utf-8").splitlines()

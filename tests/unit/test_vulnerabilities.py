"""What is made of pip-audit's report."""

from dev.vulnerabilities import conclude

SAFE = {"name": "flask", "version": "3.1.3", "vulns": []}
UNKNOWN = {"name": "isal", "skip_reason": "not found"}
KNOWN = {
    "name": "redis",
    "version": "4.5.0",
    "vulns": [
        {"id": "PYSEC-2023-45", "fix_versions": ["4.5.3"]},
        {"id": "X-1", "fix_versions": []},
    ],
}


def test_a_known_vulnerability_fails_with_its_name():
    lines, status = conclude([SAFE, KNOWN, UNKNOWN])
    assert status == 1
    assert lines == [
        "Vulnerabilities: 2 known of 2 packages; 1 not audited.",
        "VULNERABLE redis 4.5.0: PYSEC-2023-45, mended in 4.5.3",
        "VULNERABLE redis 4.5.0: X-1, mended in no version yet",
    ]


def test_nothing_known_is_well():
    assert conclude([SAFE]) == (["Vulnerabilities: 0 known of 1 packages; 0 not audited."], 0)


def test_without_an_index_one_line_says_so():
    line = "Vulnerabilities: no index can be reached, nothing was audited."
    for report in (None, [], [UNKNOWN, UNKNOWN]):
        assert conclude(report) == ([line], 0)

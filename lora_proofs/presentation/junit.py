"""A report as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator

from lora_proofs.judgement.tally import is_expected
from lora_proofs.judgement.verify import Outcome, Verdict
from lora_proofs.presentation.report import ClaimReport, Report, describe, name_case


def write_junit(report: Report, strict: bool = False) -> str:
    """Write a report as JUnit XML: a suite a paper, a test case a verdict.

    Parameters
    ----------
    report : Report
    strict : bool
        Whether a claim that is inconclusive counts as a failure.
    """
    entries = {entry.claim.label: entry for entry in report.claims}
    found: dict[str, list[ET.Element]] = {label: [] for label in entries}
    for verdict in report.verdicts():
        found[verdict.claim].append(_case(entries[verdict.claim], verdict, strict))
    root = ET.Element("testsuites", name="lora-proofs")
    for selection in report.selections:
        shown = [claim.label for claim in selection.claims if claim.label in entries]
        cases = [case for label in shown for case in (*found[label], *_whole(entries[label]))]
        tags = Counter(child.tag for case in cases for child in case)
        counts = {"failures": tags["failure"], "errors": tags["error"], "skipped": tags["skipped"]}
        suite = ET.SubElement(root, "testsuite", name=selection.paper.key, tests=str(len(cases)))
        suite.attrib.update({name: str(count) for name, count in counts.items()})
        suite.attrib["time"] = f"{sum(float(case.get('time', '0')) for case in cases):.3f}"
        suite.extend(cases)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(entry: ClaimReport, verdict: Verdict, strict: bool) -> ET.Element:
    case = ET.Element("testcase", classname=verdict.claim, name=name_case(verdict), time=f"{verdict.seconds:.3f}")
    if tag := _tag(verdict, strict):
        child = ET.SubElement(case, tag, message=_clean(describe(verdict)))
        child.text = _clean(verdict.reproduce(entry.path))
    return case


def _whole(entry: ClaimReport) -> Iterator[ET.Element]:
    claim = entry.claim
    whole = ET.Element("testcase", classname=claim.label, name="the claim as a whole", time="0.000")
    if entry.problem:
        ET.SubElement(whole, "error", message=_clean(entry.problem))
        yield whole
    if entry.not_run:
        needs = "; ".join(f"needs {module}: {command}" for module, command in claim.missing)
        ET.SubElement(whole, "skipped", message=_clean(needs))
        yield whole


def _tag(verdict: Verdict, strict: bool) -> str:
    if verdict.error:
        return "error"
    if verdict.negative_control is None and verdict.outcome is Outcome.OUT_OF_SCOPE:
        return "skipped"
    if is_expected(verdict):
        return ""
    doubtful = verdict.negative_control is None and verdict.outcome is Outcome.INCONCLUSIVE
    return "skipped" if doubtful and not strict else "failure"


def _clean(text: str) -> str:
    """Drop the control characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)

"""A sweep in, text, Markdown and JSON out."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning import scaling
from pytest_af3mem.planning.sweep import Curve, Swept
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, markdown_table, origin, printed
from pytest_af3mem.reports.json import document, row

_LAW = ("constant_bytes", "bytes_per_token", "bytes_per_token2", "residuals", "breaks")
_WIDTH = 40  # of the longest bar


def render_text(found: Swept) -> str:
    """Each curve with a line a size, a bar, the exponent since the size before, and its law."""
    lines = list(found.notes)
    for curve in found.curves:
        lines += [*([""] if lines else []), _title(curve), *_table(curve), *_law(curve)]
    lines += [f"{model} cannot be measured: {reason}" for model, reason in found.unmeasured.items()]
    return printed(lines)


def render_markdown(found: Swept) -> str:
    """One table: a row a model, setting and target, a column a size; and why what is missing is missing."""
    sizes = sorted({request.tokens for curve in found.curves for request in curve.answers if request.tokens})
    axes = list(dict.fromkeys(name for curve in found.curves for name in curve.changed))
    rows: list[Sequence[str]] = [["model", *axes, "target", *(f"{size} tokens" for size in sizes)]]
    reasons: list[str] = [f"- {model}: {reason}" for model, reason in found.unmeasured.items()]
    for curve in found.curves:
        peaks = {request.tokens: answer for request, answer in curve.answers.items()}
        cells = [format_bytes(one.total_bytes) if isinstance(one := peaks.get(size), Peak) else "not judged" for size in sizes]
        rows.append([curve.model, *(curve.changed.get(name, "") for name in axes), curve.target, *cells])
        failed = dict.fromkeys(str(answer) for answer in curve.answers.values() if not isinstance(answer, Peak))
        reasons += [f"- {_title(curve)}: {reason}" for reason in failed]
    table = markdown_table(rows) if found.curves else []
    return printed([*table, *(["", "Not judged:", "", *reasons] if reasons else [])])


def render_json(found: Swept) -> str:
    """As the JSON report of measurements; `curves` has the law and the exponents of each."""
    rows, curves = [], []
    for curve in found.curves:
        for request, answer in curve.answers.items():
            rows.append(row("sweep", request, answer, changed=dict(curve.changed)))
        curves.append(
            {
                "model": curve.model,
                "target": curve.target,
                "changed": dict(curve.changed),
                "points": [{"bucket": bucket, "total_bytes": total} for bucket, total in curve.points],
                "exponents": scaling.exponents(curve.points),
                "law": curve.law and {name: getattr(curve.law, name) for name in _LAW},
            }
        )
    return document(curves=curves, unmeasured=dict(found.unmeasured), measurements=rows)


def page(found: Swept) -> str:
    """All curves as one HTML page. Needs the extra `html`."""
    from pytest_af3mem.reports import html

    measured = [Measurement.of(_title(curve), *one) for curve in found.curves for one in curve.answers.items()]
    return html.render(measured, buckets=found.buckets)


def _title(curve: Curve) -> str:
    return " ".join([curve.model, "for", curve.target, *(f"{name}={text}" for name, text in curve.changed.items())])


def _table(curve: Curve) -> list[str]:
    most = max((total for _, total in curve.points), default=1)
    exponents = dict(zip((bucket for bucket, _ in curve.points[1:]), scaling.exponents(curve.points), strict=True))
    rows = [("tokens", "bucket", "total", "", "exponent", "how")]
    for request, answer in curve.answers.items():
        if not isinstance(answer, Peak):
            rows.append((str(request.tokens), str(request.bucket), "not judged", "", "", str(answer)))
            continue
        bar = "#" * max(1, round(answer.total_bytes / most * _WIDTH))
        exponent = f"{exponents[answer.bucket]:.2f}" if answer.bucket in exponents else ""
        rows.append((str(answer.tokens), str(answer.bucket), format_bytes(answer.total_bytes), bar, exponent, origin(answer)))
    return aligned(rows, right={0, 1, 2, 4})


def _law(curve: Curve) -> list[str]:
    found = curve.law
    if found is None:
        return []
    worst = max(map(abs, found.residuals))
    terms = f"{_term(found.bytes_per_token, 'N')} {_term(found.bytes_per_token2, 'N^2')}"
    lines = [f"law: {format_bytes(round(found.constant_bytes))} {terms}, within {worst * 100:.2f} % of every bucket"]
    if breaks := ", ".join(map(str, found.breaks)):
        lines.append(f"     more than {scaling.BREAK * 100:.0f} % off at {breaks} tokens: the law does not hold there")
    return lines


def _term(factor: float, power: str) -> str:
    sign, size = "-" if factor < 0 else "+", abs(factor)
    return f"{sign} {format_bytes(round(size))} x {power}" if size >= 100 else f"{sign} {size:.2f} B x {power}"

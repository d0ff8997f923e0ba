"""How the notebooks draw: interactive where the notebook runs, a picture of the same chart where it is only read.

A cell's output holds both the chart (Vega-Lite, drawn live by JupyterLab and VS Code) and a PNG of it, which code hosts
show. The PNG is drawn by vl-convert, which needs no browser. Times are UTC in both.
"""

from __future__ import annotations

import base64
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

#: pixels of a chart's drawing area
WIDTH, HEIGHT = 760, 260
#: pixels of the PNG for each of the chart's
SCALE = 1.5


@alt.theme.register("lonetree", enable=True)
def _theme() -> alt.theme.ThemeConfig:
    return alt.theme.ThemeConfig(
        config={
            "view": {"continuousWidth": WIDTH, "continuousHeight": HEIGHT, "stroke": None},
            "title": {"anchor": "start", "fontSize": 14},
            "axis": {"labelFontSize": 11, "titleFontSize": 11, "gridOpacity": 0.5},
        }
    )


def _render(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    png = _smaller(vl_convert.vegalite_to_png(spec, scale=SCALE))
    return {
        "application/vnd.vegalite.v6+json": spec,
        "image/png": base64.b64encode(png).decode(),
        "text/plain": f"<chart: {spec.get('title', '')}>",
    }


def _smaller(png: bytes) -> bytes:
    """The same picture in about a sixth of the bytes: vl-convert packs for speed, a repository keeps for years."""
    at, data, out = 8, b"", png[:8]
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        data += body if kind == b"IDAT" else b""
        if kind == b"IEND":
            out += _chunk(b"IDAT", zlib.compress(zlib.decompress(data), 9))
        if kind != b"IDAT":
            out += _chunk(kind, body)
    return out


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


alt.renderers.register("lonetree", _render)
alt.renderers.enable("lonetree")
pl.Config.set_tbl_hide_dataframe_shape(True)
pl.Config.set_tbl_rows(20)
pl.Config.set_fmt_str_lengths(60)


def when(field: str, title: str = "UTC") -> alt.X:
    """The time axis, in UTC whatever the reader's clock says."""
    return alt.X(field, type="temporal", title=title, scale=alt.Scale(type="utc"), axis=alt.Axis(format="%d %b %H:%M"))


def sample(days: int = 8, train_days: int = 6) -> Path:
    """A small invented company's logs, made once and kept in the temporary folder: train/, replay/, truth.parquet."""
    from pipelines.simulate import simulate

    folder = Path(tempfile.gettempdir()) / f"lonetree-notebooks-{days}-{train_days}"
    if not (folder / "truth.parquet").exists():
        kinds = ["stolen-key", "enumeration", "injection-probe", "exfiltration", "single-source-flood"]
        kinds += ["impossible-travel", "retry-storm", "failure-burst", "latency-shift", "off-hours"]
        simulate(folder, seed=7, days=days, train_days=train_days, scale=0.05, scenarios=kinds)
    return folder

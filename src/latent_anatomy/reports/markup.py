"""HTML in small pieces: texts are escaped wherever they are put in, unless they are `Html` already."""

import base64
from collections.abc import Collection, Iterable, Sequence
from html import escape

STYLE = """
:root{--a:#0072B2;--b:#D55E00;--line:#dfe3e8;--quiet:#5f6b7a}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
  color:#1c2330;background:#f5f6f8}
main{max-width:1180px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:26px;margin:0 0 16px}h2{font-size:19px;margin:0 0 10px}h3{font-size:15px;margin:18px 0 6px}
p{margin:6px 0}.quiet{color:var(--quiet)}
section,.card{background:#fff;border:1px solid var(--line);border-radius:8px;padding:18px 20px}
section,.versions{margin:0 0 18px}
.versions{display:grid;grid-template-columns:1fr 1fr;gap:18px}
.card{border-top:4px solid var(--a)}.card+.card{border-top-color:var(--b)}
.card b{font-size:17px}.card pre{margin:8px 0 0;white-space:pre-wrap}
.scroll{overflow-x:auto;margin:6px 0 10px}
table{border-collapse:collapse;font-size:13.5px}
th,td{padding:4px 12px 4px 8px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{color:var(--quiet);font-weight:600;white-space:nowrap}
tbody tr:hover{background:#f8f9fb}
td:first-child>code{white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.a,.a b{color:var(--a)}th.b,.b b{color:var(--b)}
code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
details{margin:6px 0}details>summary{cursor:pointer;padding:3px 0}details>summary:hover{color:var(--a)}
td>details{margin:0}td>details>summary{padding:0}
details[open]>summary{font-weight:600}details>:not(summary){margin-left:16px}
.absent{color:#9aa4b1}.verdict{padding:1px 7px;border-radius:9px;white-space:nowrap}
.galleries{display:flex;flex-wrap:wrap;gap:4px 28px}
.strips td{border:0;padding:2px 10px 2px 0;vertical-align:middle}.strips tr:hover{background:none}
.strips img{display:block;height:64px;width:auto;image-rendering:pixelated}
@media(max-width:760px){.versions{grid-template-columns:1fr}}
"""


class Html(str):
    """Text that is HTML already; what is added to it is escaped unless it is `Html` too."""

    def __add__(self, other: object) -> "Html":
        return Html(str(self) + str(text(other)))


def text(value: object) -> Html:
    """The value as HTML: what is not `Html` is escaped."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """All parts, one after the other, with HTML between them."""
    return Html(between.join(map(text, parts)))


def tag(name: str, content: object, kind: str = "", **attributes: str) -> Html:
    """An element of a class `kind` with other attributes."""
    named = {"class": kind, **attributes} if kind else attributes
    words = "".join(f' {key}="{escape(value)}"' for key, value in named.items())
    return Html(f"<{name}{words}>{text(content)}</{name}>")


def table(head: Sequence[object], rows: Iterable[Sequence[object]], numbers: Collection[int] = ()) -> Html:
    """A table; `numbers` are the columns that are set to the right. Heads A and B have their colour."""
    styles = ["number" if column in numbers else "" for column in range(len(head))]
    colours = {"A": "a", "B": "b"}
    titles = [
        tag("th", name, f"{style} {colours.get(str(name), '')}".strip())
        for name, style in zip(head, styles, strict=True)
    ]
    lines = [
        tag("tr", join(tag("td", cell, style) for cell, style in zip(row, styles, strict=True)))
        for row in rows
    ]
    body = tag("thead", tag("tr", join(titles))) + tag("tbody", join(lines, "\n"))
    return tag("div", tag("table", body), "scroll")


def fold(summary: object, *content: object, opened: bool = False) -> Html:
    """A part that a click shows or hides."""
    start = "<details open>" if opened else "<details>"
    return Html(f"{start}<summary>{text(summary)}</summary>{join(content)}</details>")


def section(name: str, title: str, *content: object) -> Html:
    """A part of the page that a link #name goes to."""
    return tag("section", tag("h2", title) + join(content), id=name)


def link(name: str, title: str) -> Html:
    """A link to a section."""
    return tag("a", title, href=f"#{name}")


def image(png: bytes, description: str, **attributes: str) -> Html:
    """A picture inside the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    element = tag("img", "", loading="lazy", src=source, alt=description, **attributes)
    return Html(element.removesuffix("</img>"))


def page(title: str, *content: object) -> str:
    """The whole page, which needs no other file."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{tag("title", title)}'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>'
        f"<body><main>{tag('h1', title)}{join(content, chr(10))}</main></body></html>\n"
    )

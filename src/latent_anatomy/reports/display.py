"""How notebooks show things, so that whatever a name holds it stays text."""

from html import escape

from matplotlib.figure import Figure

from latent_anatomy.reports import figures
from latent_anatomy.reports.markup import Html, join, tag

WARNING = "background:#fff6cc;border:2px solid #c9a400;padding:10px;font-size:120%"


def show(passport: dict, *parts: object) -> None:
    """Display figures, which carry `passport`, HTML, and Markdown, in which no letter begins HTML.

    Parts that are empty are left out.
    """
    from IPython.display import HTML, Image, Markdown, display

    for part in filter(None, parts):
        if isinstance(part, Figure):
            display(Image(figures.png(part, passport)))
        elif isinstance(part, Html):
            display(HTML(part))
        else:
            display(Markdown(escape(str(part), quote=False)))


def of_phantoms(said: str) -> Html:
    """The warning at the head of a report of phantoms."""
    return tag("div", join([tag("b", "Phantoms."), f" {said}"]), style=WARNING)

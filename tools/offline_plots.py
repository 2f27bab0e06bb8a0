"""Let `dvc plots show` draw without the internet: a page template with Vega's scripts in it.

    python -m tools.offline_plots       (in `make setup`)

The template is `.dvc/plots.html`, named in `.dvc/config.local`. Git ignores both, so that a
checkout without set-up keeps DVC's own page, which loads the scripts from the network.
"""

from pathlib import Path

import vl_convert
from dvc.config import Config

from tools.workspace import ROOT

VEGA_LITE = "5.21"  # of DVC's templates
TEMPLATE = "plots.html"  # DVC takes it as relative to .dvc
# Without DVC's {scripts}, which would be fetched.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
{{refresh_tag}}
<meta charset="utf-8">
<title>Plots</title>
<script>(() => {{
{bundle}
}})();</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def install(folder: Path) -> None:
    """Write the template of a DVC repository, and name it unless another is named already."""
    bundle = vl_convert.javascript_bundle(None, VEGA_LITE)  # type: ignore[arg-type]
    page = PAGE.format(bundle=bundle.replace("</script", "<\\/script"))
    (folder / ".dvc" / TEMPLATE).write_text(page, encoding="utf-8")
    config = Config(str(folder / ".dvc"), validate=False)
    with config.edit("local") as local:
        local.setdefault("plots", {}).setdefault("html_template", TEMPLATE)


if __name__ == "__main__":
    install(ROOT)

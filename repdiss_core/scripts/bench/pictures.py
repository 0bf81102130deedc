"""The README's small pictures of the pages: `python -m repdiss_core.scripts.bench.pictures` (needs requirements-dev.txt
and Chromium)."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import REPOSITORY
from repdiss_core.scripts.bench.browser import FLAGS, chromium, dashboard, settle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = REPOSITORY / "docs" / "pictures"
WINDOW = (1280, 860)  # pixels
WIDTH, COLORS = 720, 160  # of a picture that is kept


@dataclass(frozen=True)
class Picture:
    """A view of the dashboard.

    Args:
        name: of the file, without its ending.
        link: the page and its choices.
        scheme: "light" or "dark".
        at: CSS selector of what is scrolled to the top; the page's beginning where empty.
    """

    name: str
    link: str
    scheme: Literal["light", "dark"] = "light"
    at: str = ""


PICTURES = (
    Picture("map", ""),
    Picture("asymmetry", "Activation_asymmetry?depth=3", at=".st-key-card-fig4"),
    Picture("generalization", "Generalization", "dark"),
    Picture("families", "Scaling_families"),
    Picture("cell", "Activation_asymmetry?depth=3&cell-fig4=2.3.2", at=".st-key-card-fig4"),
    Picture("findings", "Findings"),
    Picture("tour", "Tour?step=2&present=on&embed=true", "dark"),
    Picture("compare", "Compare_models", "dark"),
)


def small(png: bytes) -> bytes:
    """The screenshot, narrower and in few colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS).quantize(
        COLORS, dither=Image.Dither.NONE
    )
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def take(browser: Browser, address: str, picture: Picture) -> bytes:
    """A screenshot of the window, PNG."""
    page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]}, color_scheme=picture.scheme)
    page.goto(f"{address}/{picture.link}")
    settle(page)
    if picture.at:
        page.locator(picture.at).first.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(700)
        settle(page)
    page.wait_for_timeout(500)  # what fades in
    shot = page.screenshot()
    page.close()
    return shot


def main() -> None:
    """Take every picture anew, from what ships."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise UserError("There is no Chromium on the PATH; install it (`apt-get install chromium`) and try again.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as cache,
        sync_playwright() as playwright,
        dashboard(REPDISS_CACHE=cache) as address,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for picture in PICTURES:
            file = FOLDER / f"{picture.name}.png"
            file.write_bytes(small(take(browser, address, picture)))
            print(f"{file.relative_to(REPOSITORY)}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()

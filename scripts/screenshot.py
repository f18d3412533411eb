"""Picture a report at given widths: python scripts/screenshot.py report.html [--width 1440 390]."""

import argparse
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--width", type=int, nargs="+", default=[1440, 390], help="CSS pixels")
    parser.add_argument("--out", type=Path, help="folder of the PNGs; the report's own by default")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="path of the browser")
    options = parser.parse_args()
    for width in options.width:
        folder = options.out or options.report.parent
        print(screenshot(options.report, width, folder, options.chromium))


def screenshot(report, width_px, folder, chromium):
    """Write `folder`/report-`width_px`.png, the whole page, and return its path."""
    from playwright.sync_api import sync_playwright

    path = Path(folder) / f"{report.stem}-{width_px}.png"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": width_px, "height": 900})
        page.goto(report.absolute().as_uri())
        page.screenshot(path=path, full_page=True)
        browser.close()
    return path


if __name__ == "__main__":
    main()

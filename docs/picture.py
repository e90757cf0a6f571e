"""Draws a terminal's text as SVG: cargo run -q -- demo | python3 docs/picture.py 'cargo run -- demo' 10 14 > docs/demo.svg

The two numbers are the first and the last step of the demo that the picture shows.
"""

import html
import re
import sys

WIDTH, LINE, SIZE, MARGIN = 8.0, 18, 13, 16


def main() -> None:
    command, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lines, step = [f"$ {command}", "…"], 0
    for line in sys.stdin.read().splitlines():
        heading = re.match(r"^ {1,2}(\d+)  \S", line)
        step = int(heading.group(1)) if heading else step
        if first <= step <= last:
            lines.append(line.rstrip())
    width = int(max(map(len, lines)) * WIDTH) + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#10151c"/>')
    print(f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{SIZE}" xml:space="preserve">')
    for number, line in enumerate(lines):
        y = MARGIN + (number + 1) * LINE - 5
        print(f'<text x="{MARGIN}" y="{y}" fill="{colour(line)}">{html.escape(line)}</text>')
    print("</g>\n</svg>")


def colour(line: str) -> str:
    if line.startswith("$") or re.match(r"^ {1,2}\d+  \S", line):
        return "#7cc4ff"
    if line.lstrip().startswith("ok "):
        return "#8be28b"
    return "#d7dde5"


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Assembles the pages and writes them as C strings: embed.py OUT.c FILE...

Each .html file among the inputs is a page. In it `{{style A.css B.css}}` and `{{script A.js}}` are
replaced by these inputs inside their tags, and `{{csp}}` by a policy that allows exactly them, by
their hashes. Other `{{names}}` are left for the program to fill.
"""
import base64
import hashlib
import os
import re
import sys


def read(path):
    """A file without its SPDX line, which speaks of the source and not of the page."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    return "\n".join(line for i, line in enumerate(lines) if i > 0 or "SPDX-" not in line)


def assemble(name, parts):
    allowed = {"style": [], "script": []}

    def element(match):
        tag, names = match[1], match[2].split()
        content = "".join(parts[n] for n in names)
        if re.search(r"</(style|script)|<!--|\{\{", content, re.I):
            sys.exit(f"{name}: {names} would end its element or start a slot")
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[tag].append(f"'sha256-{digest}'")
        return f"<{tag}>{content}</{tag}>"

    page = re.sub(r"\{\{(style|script) ([^}]+)\}\}", element, parts[name])
    policy = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:",
              "media-src data:"]
    policy += [f"{tag}-src {' '.join(hashes)}" for tag, hashes in allowed.items() if hashes]
    return page.replace("{{csp}}", "; ".join(policy))


def c_string(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return "\n".join(f'    "{line}\\n"' for line in escaped.rstrip("\n").split("\n"))


def main():
    out, *paths = sys.argv[1:]
    parts = {os.path.basename(path): read(path) for path in paths}
    pages = [name for name in parts if name.endswith(".html")]
    with open(out, "w", encoding="utf-8") as file:
        file.write('#pragma GCC diagnostic ignored "-Woverlength-strings"\n#include "cli/html.h"\n\n'
                   "const struct onp_cli_template onp_cli_templates[] = {\n")
        for name in pages:
            file.write(f'{{"{name[:-5]}",\n{c_string(assemble(name, parts))}}},\n')
        file.write("{0, 0},\n};\n")


if __name__ == "__main__":
    main()

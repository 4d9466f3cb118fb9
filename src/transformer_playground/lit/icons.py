"""Icons of LIT's page, which otherwise come from another site."""

import base64
from pathlib import Path

_FOLDER = Path(__file__).with_name("icons")
# The names under which the page asks for them.
_FAMILIES = {
    "Material Icons": "material-icons.woff2",
    "Google Material Icons": "material-icons.woff2",
    "Material Icons Outlined": "material-icons-outlined.woff2",
}


def icon_style() -> str:
    """A style element with the fonts themselves."""
    faces = []
    for family, name in _FAMILIES.items():
        data = base64.b64encode((_FOLDER / name).read_bytes()).decode("ascii")
        faces.append(
            f"@font-face{{font-family:'{family}';src:url(data:font/woff2;base64,{data}) "
            "format('woff2')}"
        )
    return f"<style>{''.join(faces)}</style>"

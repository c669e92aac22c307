"""YAML as people write it: keys in the given order, lists indented, text of several lines as it is."""

from typing import Any

import yaml

HEAD = "# Written by `python -m transforms.catalog`: change {source}, not this file.\n"
_WIDTH = 130


def yaml_text(value: Any, source: str) -> str:
    """Returns the value as YAML, below a line that names what it is generated from."""
    return HEAD.format(source=source) + str(yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=_WIDTH))


def _indent(dumper: Any, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG001
    yaml.SafeDumper.increase_indent(dumper, flow, False)


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_DUMPER = type("_Dumper", (yaml.SafeDumper,), {"increase_indent": _indent})
yaml.add_representer(str, _text, Dumper=_DUMPER)

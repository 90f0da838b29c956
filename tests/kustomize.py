"""What kustomize makes of a directory, as far as deploy/kubernetes uses it.

A fresh machine has no kustomize, and `make test` must still see what would be applied. Anything
that this does not know is refused, so nobody can use a feature of kustomize that no test sees. Not
done here: the hash that kustomize adds to the name of a generated ConfigMap.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
_KNOWN = {
    *("apiVersion", "kind", "namespace", "nameSuffix", "resources", "components", "labels"),
    *("configMapGenerator", "configurations", "images", "patches"),
}


def compose(directory: Path) -> list[Object]:
    """Return the objects that `kubectl kustomize` would print."""
    asked = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert asked.keys() <= _KNOWN, f"{directory}: {asked.keys() - _KNOWN} is not understood here"
    objects = [each for name in asked.get("resources", ()) for each in _read(directory / name)]
    for name in asked.get("components", ()):
        objects += compose(directory / name)
    for wish in asked.get("configMapGenerator", ()):
        _generate(objects, wish, directory)
    for patch in asked.get("patches", ()):
        _patch(objects, patch)
    for label in asked.get("labels", ()):
        assert label["includeSelectors"]
        for each in objects:
            _label(each, label["pairs"])
    for image in asked.get("images", ()):
        for each in objects:
            _name_image(each, image)
    _suffix(objects, asked.get("nameSuffix", ""), _names(directory, asked))
    for each in objects:
        if "namespace" in asked:
            each["metadata"]["namespace"] = asked["namespace"]
    return objects


def walk(value: Any) -> Iterator[Object]:
    """Yield every mapping inside a value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from walk(each)


def name_of(each: Object) -> str:
    """Return an object's kind and name, as kubectl writes them."""
    return f"{each['kind']}/{each['metadata']['name']}"


def _read(path: Path) -> list[Object]:
    return compose(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _generate(objects: list[Object], wish: Object, directory: Path) -> None:
    content = dict(text.split("=", 1) for text in wish.get("literals", ()))
    content |= {name: (directory / name).read_text() for name in wish.get("files", ())}
    there = [o for o in objects if o["kind"] == "ConfigMap" and _name(o) == wish["name"]]
    assert bool(there) == (wish.get("behavior") == "merge"), f"{directory}: {wish['name']}"
    if there:
        there[0]["data"] |= content
    else:
        head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": wish["name"]}}
        objects.append({**head, "data": content})


def _patch(objects: list[Object], patch: Object) -> None:
    targets = [each for each in objects if each["kind"] == patch["target"]["kind"]]
    assert targets, f"nothing is a {patch['target']['kind']}"
    for target in targets:
        for change in yaml.safe_load(patch["patch"]):
            assert change["op"] == "replace"
            *way, last = change["path"].strip("/").split("/")
            place: Any = target
            for part in way:
                place = place[int(part) if part.isdecimal() else part]
            assert last in place, f"{change['path']} is not there"
            place[last] = change["value"]


def _label(each: Object, pairs: dict[str, str]) -> None:
    each["metadata"].setdefault("labels", {}).update(pairs)
    if each["kind"] not in {"Deployment", "StatefulSet", "PodDisruptionBudget", "Service"}:
        return
    for found in walk(each["spec"]):
        if "matchLabels" in found:
            found["matchLabels"].update(pairs)
        if "template" in found:
            found["template"]["metadata"]["labels"].update(pairs)


def _name_image(each: Object, image: Object) -> None:
    for found in walk(each):
        if found.get("image") == image["name"]:
            found["image"] = f"{image['newName']}:{image['newTag']}"


def _names(directory: Path, asked: Object) -> set[str]:
    """Return the fields of custom objects that name another object."""
    files = [directory / name for name in asked.get("configurations", ())]
    for component in asked.get("components", ()):
        nested = yaml.safe_load((directory / component / "kustomization.yaml").read_text())
        files += [directory / component / name for name in nested.get("configurations", ())]
    fields = [f for file in files for f in walk(yaml.safe_load(file.read_text())) if "path" in f]
    return {field["path"].split("/")[-2] for field in fields}


def _suffix(objects: list[Object], suffix: str, fields: set[str]) -> None:
    """Rename everything, and whatever names it."""
    if not suffix:
        return
    maps = {_name(each) for each in objects if each["kind"] == "ConfigMap"}
    for each in objects:
        each["metadata"]["name"] += suffix
        for found in walk(each):
            for field, value in found.items():
                if field in {"configMapRef", "configMap"} and value["name"] in maps:
                    value["name"] += suffix
                if field in fields:
                    value["name"] += suffix


def _name(each: Object) -> str:
    return str(each["metadata"]["name"])

"""What WeasyPrint leaves of the tags of a PDF that readers aloud go by (ISO 14289-1), mended before it is written.

Lists hold list items alone, and every item a body; header cells say whether they are of a row or of a column; a table
is one, with one head, however many pages it stands on.
"""

from __future__ import annotations

from typing import Any


def mend_tags(pdf: Any) -> None:
    """Mend the tree of tags of a PDF of pydyf in place."""
    tree: dict[int, Any] = {item.number: item for item in pdf.objects if _is_element(item)}
    for item in list(tree.values()):
        if item["S"] == "/L":
            _make_list(item, tree)
    _join_tables(pdf, tree)
    for item in tree.values():
        kind = item["S"]
        if kind == "/TH":
            item["A"]["Scope"] = "/Column" if _is_in_head(item, tree) else "/Row"
        elif kind == "/LI" and _parent(item, tree).get("S") != "/L":
            item["S"] = "/Div"
        elif kind in ("/LBody", "/Lbl") and _parent(item, tree).get("S") != "/LI":
            item["S"] = "/Div" if kind == "/LBody" else "/Span"


def take_out_running_heads(pdf: Any) -> None:
    """Mark what stands in margins, and repeated heads of tables, as artifacts of pages, which are not read aloud."""
    objects = {item.number: item for item in pdf.objects}
    tree = {number: item for number, item in objects.items() if _is_element(item)}
    (root,) = [item for item in objects.values() if isinstance(item, dict) and item.get("Type") == "/StructTreeRoot"]
    told, waiting = set[int](), [*root["K"]]
    while waiting:
        item = _resolved(waiting.pop(), tree)
        if item is not None and item.number not in told:
            told.add(item.number)
            waiting += item["K"]
    parents = _resolved(root["ParentTree"], objects)["Nums"]
    for page in (item for item in objects.values() if isinstance(item, dict) and item.get("Type") == "/Page"):
        elements = parents[parents.index(page["StructParents"]) + 1]
        outside = [at for at, each in enumerate(elements) if getattr(_resolved(each, tree), "number", 0) not in told]
        stream = _resolved(page["Contents"], objects).stream
        for at, part in enumerate(stream):
            if isinstance(part, dict) and part.get("MCID") in outside and stream[at + 1] == b"BDC":
                stream[at - 1] = "/Artifact"
                stream[at] = type(part)({"Type": "/Pagination"})
        for at in outside:
            elements[at] = "null"
    for number, item in tree.items():
        if number not in told:
            item.clear()


def _make_list(item: Any, tree: dict[int, Any]) -> None:
    """Leave a list nothing but items: what groups them goes, and what stands bare gets an item around it."""
    kids, waiting = [], list(item["K"])
    while waiting:
        reference = waiting.pop(0)
        kid = _resolved(reference, tree)
        if kid is None:
            continue
        if kid["S"] in _GROUPS:
            waiting = [*kid["K"], *waiting]
            kid["K"] = type(kid["K"])()
        elif kid["S"] in ("/LI", "/L", "/Caption"):
            kid["P"] = item.reference
            kids.append(reference)
        elif kids:
            # what is no item, as the head of a part, belongs to the item before it
            last = _resolved(kids[-1], tree)
            assert last is not None
            kid["P"] = last.reference
            last["K"].append(reference)
    item["K"] = type(item["K"])(kids)


def _join_tables(pdf: Any, tree: dict[int, Any]) -> None:
    """Make one table of what stands on several pages: each of ours has a caption, and only its first part shows it.

    The heads that are repeated are let go, and so are marked as what belongs to the pages.
    """
    whole: Any = None
    for table in [item for item in _in_order(pdf, tree) if item["S"] == "/Table"]:
        kinds = {reference: (_resolved(reference, tree) or {}).get("S") for reference in table["K"]}
        if whole is None or "/Caption" in kinds.values():
            whole = table
            continue
        for reference, kind in kinds.items():
            part = _resolved(reference, tree)
            if kind != "/THead" and part is not None:
                part["P"] = whole.reference
                whole["K"].append(reference)
        holder = _parent(table, tree)
        holder["K"] = type(holder["K"])(kid for kid in holder["K"] if _resolved(kid, tree) is not table)
        table["K"] = type(table["K"])()


def _in_order(pdf: Any, tree: dict[int, Any]) -> list[Any]:
    """All elements in the order in which they are read."""
    (root,) = [item for item in pdf.objects if isinstance(item, dict) and item.get("Type") == "/StructTreeRoot"]
    found, waiting = [], [*root["K"]]
    while waiting:
        item = _resolved(waiting.pop(0), tree)
        if item is not None:
            found.append(item)
            waiting = [*item["K"], *waiting]
    return found


def _is_element(item: Any) -> bool:
    return isinstance(item, dict) and item.get("Type") == "/StructElem"


def _is_in_head(item: Any, tree: dict[int, Any]) -> bool:
    while item is not None and item["S"] not in ("/THead", "/TBody", "/Table"):
        item = _parent(item, tree)
    return item is not None and item["S"] == "/THead"


def _parent(item: Any, tree: dict[int, Any]) -> Any:
    return _resolved(item.get("P"), tree) or {}


def _resolved(reference: Any, tree: dict[int, Any]) -> Any:
    """The element that a reference of pydyf leads to; none where it is the number of a marked content."""
    text = reference.decode("ascii") if isinstance(reference, bytes) else reference
    return tree.get(int(text.split()[0])) if isinstance(text, str) else None


_GROUPS = ("/Div", "/NonStruct", "/Sect", "/Span")

"""Finds out in which dialect a service answers. Sends no login, and changes nothing."""

import json
from typing import Literal

from sources._http import Http
from sources.kontist.query_client import GRAPHQL
from sources.kontist.responses import is_web_page

Dialect = Literal["rest", "graphql"]


def answers(http: Http, dialect: Dialect) -> bool:
    """Returns whether the service answers in a dialect: by GraphQL with data or errors, by REST with a demand to log in."""
    if dialect == "rest":
        answer = http.request("GET", "/api/accounts")
        return answer.status_code in (200, 401, 403) and not is_web_page(answer)
    answer = http.request("POST", GRAPHQL, json={"query": "{ __typename }"})
    try:
        content = json.loads(answer.content)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and (isinstance(content.get("errors"), list) or isinstance(content.get("data"), dict))

"""Who may ask Prefect's server: anybody, any web page in a browser on this machine, or only who has its login."""

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, temporary_settings

from flows.secrets import BLOCKS

STRANGER = "https://example.com"


@dataclass(frozen=True)
class Access:
    """How open the server is, and what lies there."""

    login: bool
    """Whether it refuses those who have no login."""
    any_page: bool
    """Whether it lets the pages of every web site read its answers (CORS)."""
    blocks: tuple[str, ...]
    """Our Secret blocks there."""

    def troubles(self) -> list[str]:
        """Returns what somebody has to fix, a sentence each."""
        what = f"read the Secret blocks there ({', '.join(self.blocks)}) and " if self.blocks else ""
        sentences = []
        if not self.login:
            sentences.append(
                f"Prefect's server asks for no login: whoever reaches it may {what}start an erasure. "
                "Run `deploy/login`, then start server and schedule with the file that it writes"
            )
        if self.any_page:
            sentences.append(
                "Prefect's server answers the pages of every web site: set PREFECT_SERVER_CORS_ALLOWED_ORIGINS to nothing, "
                "as deploy/prefect.env does"
            )
        return sentences


def access(client: SyncPrefectClient) -> Access:
    """Returns how open the server is: it is asked as a page of another site without a login would ask."""
    documents = client.read_block_documents_by_type("secret", include_secrets=False)
    blocks = tuple(sorted(str(one.name) for one in documents if one.name in BLOCKS))
    page = {"headers": {"Origin": STRANGER}}
    with get_client(httpx_settings=page, sync_client=True) as asking:
        allowed = asking.request("GET", "/version").headers.get("access-control-allow-origin")
    with temporary_settings({PREFECT_API_AUTH_STRING: None, PREFECT_API_KEY: None}), get_client(sync_client=True) as asking:
        try:
            asking.request("GET", "/version")
        except PrefectHTTPStatusError as error:
            login = error.response.status_code in (401, 403)
        else:
            login = False
    return Access(login, any_page=allowed in ("*", STRANGER), blocks=blocks)

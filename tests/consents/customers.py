"""Customers at the sandbox bank: how they sign in, what the bank knows of their consents, and what the vault does."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines.consents.clients import vault_of
from pipelines.consents.sign_in import Opening, mock_opening
from pipelines.consents.vault import Consent, Vault
from pipelines.read.context import RunContext
from pipelines.read.kontomatik import Reader, by_urgency, joined
from pipelines.read.options import Options, Progress
from pipelines.read.outcome import Reading
from pipelines.read.windows import KontomatikPlan
from pipelines.run.report import Report
from pipelines.run.steps import run
from pipelines.settings import KontomatikSettings, Settings
from pipelines.store.lock import held
from sources.sandbox import Fault, SandboxBank, World, running
from sources.sandbox.banks.wire import Answer, Call
from tests.patience import patient
from tests.support import VAULT_KEY

DIALECTS = ("openapi", "live")
OTHER_KEY = "YW5vdGhlci12YXVsdC1rZXktZm9yLXRlc3RzLTAwMDA="
ROWS = 60
"""Rows at the bank, over two years: enough for every window, and little to read."""
ONLY = Options(("kontomatik",))


def settings_for(bank: SandboxBank, data_dir: Path, **more: Any) -> Settings:
    """How the program is set up for this bank. `kontomatik` in `more` are that section's own settings."""
    kontomatik = {"poll_interval": 0.01, "command_deadline": patient(5.0), "redirect_url": "https://back.example.test/"}
    kontomatik |= {"base_url": f"{bank.url}/v1", "dialect": bank.dialect, "api_key": bank.world.kontomatik_api_key}
    own = KontomatikSettings(**kontomatik | more.pop("kontomatik", {}))
    return Settings(**{"data_dir": data_dir, "vault_key": VAULT_KEY, "kontomatik": own} | more)


@dataclass(eq=False)
class SignsIn(Fault):
    """The customer who was sent to the bank signs in while somebody waits for it, or says no."""

    login: str = "test1"
    decision: str = ""

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if "redirection-status" in call.path and self.take():
            for number in list(bank.kontomatik.sign_ins):
                query = {"id": number, "login": self.login, "decision": self.decision}
                bank.kontomatik.authorize_page(Call("GET", "/kontobank/authorize", query, {}))
        return None


@dataclass
class Given:
    """The tokens that the bank has given, in that order."""

    bank: SandboxBank
    tokens: list[str] = field(default_factory=list)

    def alive(self) -> list[str]:
        """Those that the bank would still let somebody in with."""
        return [one for one in self.tokens if self.bank.kontomatik.tokens.read(one, "consent") is not None]


@contextmanager
def a_bank(world: World | None = None, *faults: Fault, **more: Any) -> Iterator[tuple[SandboxBank, Given]]:
    """The sandbox, and a list of all the tokens that it gives."""
    with running(world or World(transactions=ROWS), *faults, **more) as bank:
        given = Given(bank)
        give = bank.kontomatik._consent

        def remembered(*about: Any) -> str:
            given.tokens.append(give(*about))
            return given.tokens[-1]

        bank.kontomatik._consent = remembered  # type: ignore[method-assign]
        yield bank, given


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "ma-7f3c-secret-of-180-days"


def add(vault: Vault, token: str | None = TOKEN, **more: Any) -> str:
    """Stores a consent; returns its id."""
    about = {"source": "kontomatik", "institution": "KontoBank", "access_mode": "MULTIPLE", "now": NOON, "token": token}
    return vault.add(**about | more).consent_id


@contextmanager
def the_vault(settings: Settings) -> Iterator[Vault]:
    """What the program remembers."""
    with vault_of(settings) as vault:
        yield vault


def states(settings: Settings) -> dict[str, str]:
    """Every consent's state, oldest first."""
    with the_vault(settings) as vault:
        return {one.consent_id: one.status for one in vault.consents()}


def stored_tokens(settings: Settings, status: Iterable[str] = ("active", "expiring")) -> list[str]:
    """Tokens of the consents in these states."""
    with the_vault(settings) as vault:
        return [vault.token(one.consent_id) for one in vault.consents(status=tuple(status)) if one.has_token]


Openings = Callable[[Vault, Any], list[Opening]]


def read(
    bank: SandboxBank,
    settings: Settings,
    options: Options = ONLY,
    *,
    openings: Openings | None = None,
    now: Callable[[], datetime] | None = None,
) -> Report:
    """The main job at the bank's time."""
    with held(settings.data_dir, "test"):
        return run(settings, options, openings=openings, now=now or bank.world.clock.now)


def connected(bank: SandboxBank, settings: Settings) -> Consent:
    """A consent of a mock session, imported."""
    assert read(bank, settings, openings=mock_opening(bank.world.clock.now)).status == "ok"
    with the_vault(settings) as vault:
        return vault.consents()[-1]


def outcome_of(report: Report, consent_id: str) -> Any:
    """What came of a consent as a whole, or of its first account."""
    return next(one for one in report.outcomes if one.consent_id == consent_id)


def only_ben(bank: SandboxBank) -> None:
    """Mock sessions are Ben's, who has one account: what is not about accounts is over sooner."""
    mock = bank.kontomatik.mock_session
    bank.kontomatik.mock_session = lambda fields, **more: mock(fields | {"login": "test2"}, **more)  # type: ignore[method-assign]


def with_kontomatik(settings: Settings, **more: Any) -> Settings:
    """The same with other settings of Kontomatik."""
    return replace(settings, kontomatik=replace(settings.kontomatik, **more))


def reading_of(
    vault: Vault,
    client: Any,
    settings: Settings,
    now: Callable[[], datetime],
    openings: list[Opening] | None = None,
    *,
    reserve: int = 0,
    windows: KontomatikPlan | None = None,
) -> Reading:
    """What a run reads of Kontomatik, without raw history; what was read is taken as loaded."""
    history: Any = SimpleNamespace(work=settings.data_dir)
    plan = windows or KontomatikPlan(cursors={}, held={}, today=now().date(), lookback_days=14, reserve=reserve)
    reader = Reader(RunContext(settings, Options(), history, vault, Progress(), now), plan, client)
    listed = by_urgency(openings or [Opening(one) for one in vault.consents(status=("active", "expiring"))])
    with ThreadPoolExecutor(8) as pool:
        found = joined(pool.map(reader.read, range(len(listed)), listed))
    for consent_id, attempt_id in found.attempts:
        vault.quota.end_attempt(attempt_id, "done", now())
        vault.imported(consent_id, now())
    return found

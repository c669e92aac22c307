"""Arguments of the commands that look after an installation."""

from pathlib import Path

from pipelines.commands.arguments.common import Commands, json_option, wait_option
from pipelines.commands.option_types import port


def declare(commands: Commands) -> None:
    """Declares `doctor`, `notify`, `backup`, `restore`, `completion`, `sandbox`."""
    backup = commands.add(
        "backup", "commands.backup.backup", "copy raw history, vault, receipts and seeds into a new folder, with checksums"
    )
    backup.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet, on another disk")
    wait_option(backup)
    json_option(backup)
    restore = commands.add(
        "restore", "commands.backup.restore", "bring back a backup, or the raw history before the last run; asks first"
    )
    restore.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a folder that `backup` wrote")
    restore.add_argument("--previous", action="store_true", help="the raw history before the last run; a second time undoes it")
    restore.add_argument("--check", action="store_true", help="change nothing: test checksums and vault key, check a ledger")
    restore.add_argument("--yes", action="store_true", help="do not ask; without a terminal it has to be given")
    json_option(restore)

    doctor = commands.add(
        "doctor", "commands.questions.doctor", "what is wrong with configuration, network, clock or files, and how to fix it"
    )
    doctor.add_argument("--new-vault-key", action="store_true", help="print a fresh vault key and do nothing else")
    json_option(doctor)

    notify = commands.add("notify", "commands.notify.notify", "send the pending notifications (every run does so, too)")
    notify.add_argument("--test", action="store_true", help="send a test message to every notification channel")
    json_option(notify)

    completion = commands.add(
        "completion",
        "commands.completion.completion",
        'a shell function `kontoledger` that completes commands and options, e.g. eval "$(python -m pipelines completion bash)"',
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))

    actions = commands.below(commands.add("sandbox", "commands.sandbox.sandbox_help", "the sandbox bank"))
    serve = actions.add("serve", "commands.sandbox.sandbox_serve", "run the sandbox bank as a server of its own")
    serve.add_argument("--port", type=port, default=8711, help="port on 127.0.0.1 (default 8711)")
    serve.add_argument("--dialect", choices=("openapi", "live"), default="openapi", help="API dialect that its Kontomatik serves")
    serve.add_argument("--seed", type=int, default=7, help="random seed of the generated data")

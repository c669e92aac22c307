"""The command `notify`."""

import argparse
import sys

from pipelines.errors import FAILED, GOOD, WrongUsage
from pipelines.terminal import print_json, settings_of


def notify(options: argparse.Namespace) -> int:
    """`notify`: send what waits; with `--test` a message that says nothing, to try the settings."""
    from pipelines.notify.channels import channels
    from pipelines.notify.outbox import arrived
    from pipelines.notify.telling import TEST, tell
    from pipelines.run import utc_now

    settings = settings_of(options)
    ways_out = channels(settings.notifications)
    if not ways_out:
        raise WrongUsage("Nobody is to be told", "Set notifications.email_to, .webhook_url, .slack_url or .urls")
    if options.test:
        well = {name: arrived(send, TEST) for name, send in ways_out.items()}
        if options.json:
            print_json({"arrived": well})
        else:
            for name, got_it in well.items():
                print(f"{name}: {'sent' if got_it else 'could not be sent'}")
        return GOOD if all(well.values()) else FAILED
    told = tell(settings, utc_now)
    if options.json:
        print_json({"sent": told.delivery.sent, "waiting": told.delivery.waiting})
    else:
        count = sum(told.delivery.sent.values())
        print(f"{count} notice{'s' if count != 1 else ''} sent.")
    for sentence in told.sentences():
        print(f"! {sentence}", file=sys.stderr)
    return FAILED if told.sentences() else GOOD

"""Runs the command `notify`."""

import argparse

from pipelines.commands.terminal import print_json, say, settings_of, tell
from pipelines.errors import FAILED, GOOD, WRONG_USAGE, WrongUsage


def notify(options: argparse.Namespace) -> int:
    """Runs `notify`: sends pending notices; with `--test` a message without news, to try the settings."""
    from pipelines.notify.channels import channels, places, usable
    from pipelines.notify.dispatch import TEST, dispatch_notices
    from pipelines.notify.outbox import arrived
    from pipelines.read.options import utc_now

    settings = settings_of(options)
    ways_out, wrong = usable(settings.notifications)
    if not ways_out and not wrong:
        raise WrongUsage("No notification channel is configured", "Set notifications.email_to, .webhook_url, .slack_url or .urls")
    if options.test:
        well = {name: arrived(send, TEST) for name, send in ways_out.items()}
        if options.json:
            print_json({"arrived": well, "wrong": [str(refused) for refused in wrong]})
        else:
            setting = places(settings.notifications)
            for name, got_it in well.items():
                say(f"{name} ({setting[name]}): {'sent' if got_it else 'could not be sent'}")
        for refused in wrong:
            say(refused, error=True)
        if wrong:
            return WRONG_USAGE
        return GOOD if all(well.values()) else FAILED
    channels(settings.notifications)  # here a wrong address ends it
    dispatched = dispatch_notices(settings, utc_now)
    if options.json:
        print_json({"sent": dispatched.delivery.sent, "waiting": dispatched.delivery.waiting})
    else:
        count = sum(dispatched.delivery.sent.values())
        tell(options, f"{count} notice{'s' if count != 1 else ''} sent.")
    for sentence in dispatched.sentences():
        say(f"! {sentence}", error=True)
    return FAILED if dispatched.sentences() else GOOD

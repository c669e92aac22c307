"""What banks and customers might call themselves."""

import unicodedata

HOSTILE = {
    "closing tag of rich": "Bank [/x]",
    "style of rich": "[bold red]Bank[/] [link=file:///etc/passwd]x[/link] :smile:",
    "escape that clears the screen": "Bank\x1b[2J\x1b[H",
    "escape that writes the clipboard": "Bank\x1b]52;c;cm0gLXJm\x07",
    "escape of one byte": "Bank\x9b31m",
    "back over what was written": "Bank\b\b\b\bGood bank",
    "return to the start": "Bank\rGood bank",
    "line break": "Bank\nPublished: 7 checks passed.",
    "mail header": "Bank\r\nBcc: eve@example.com",
    "line breaks beyond ASCII": "Bank\u2028! c-1\u2029! c-2\x85! c-3\v! c-4\f! c-5",
    "right to left": "Bank \u202egpj.exe\u202c \u2066x\u2069",
    "unseen tags": "Bank\U000e0041\U000e0042\ufeff\u00ad",
    "half a sign": "Bank \ud800",
    "nothing": "Bank\x00\x7f",
    "link of Markdown": "[Sign in](javascript:alert(1)) ![x](https://evil.example/t.png)",
    "heading, list and code": "# Bank `x` **y** _z_ ~~s~~ | a | b |",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)> &lt;b&gt;",
    "bare addresses": "Bank https://evil.example www.evil.example eve@evil.example",
    "everybody in Slack": "<!channel> <!here|x> !everyone> <@U012AB3CD> <#C012AB3CD> @here @channel @all",
    "link of Slack": "<https://evil.example|Sign in> <mailto:eve@evil.example|x>",
    "formula": '=HYPERLINK("https://evil.example";"x")',
    "SQL": "Bank'); drop table transactions; --",
    "path": "../../etc/passwd",
    "template": "{{ 7 * 7 }} {0} %s %(x)s $x",
}
"""By what it tries."""
FRIENDLY = ["Sparkasse Köln/Bonn", "mBank S.A.", "بانک ملی\u200c ایران", "Crédit Agricole — Île-de-France", "PKO BP №1"]
"""Names that stay as they are on every line."""


def steering(text: str) -> set[str]:
    """The signs in it that steer a terminal or hide; a line break of ours is none."""
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - set("\n\u200c\u200d")

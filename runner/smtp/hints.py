"""What to say to someone whose login a known provider refused."""

from __future__ import annotations

_BY_PROVIDER = {
    "gmail": "Gmail wants an App Password: myaccount.google.com/apppasswords",
    "microsoft365": "Microsoft 365 wants an App Password, and SMTP AUTH switched on for the mailbox",
    "sendgrid": 'the user name of SendGrid is the literal "apikey", the password an API key',
    "mailgun": "use the SMTP credentials of the sending domain at Mailgun, not the account's login",
    "ses": "use the SMTP credentials that SES makes for this region, not an access key of AWS",
}

_BY_HOST = {
    "smtp.gmail.com": "gmail",
    "smtp.office365.com": "microsoft365",
    "smtp-mail.outlook.com": "microsoft365",
    "smtp.sendgrid.net": "sendgrid",
    "smtp.mailgun.org": "mailgun",
    "smtp.eu.mailgun.org": "mailgun",
}


def login_hint(provider: str, host: str) -> str | None:
    """The hint for a refused login at ``provider`` (or at the ``host`` of one), None for a stranger."""
    host = host.lower()
    known = provider or _BY_HOST.get(host, "")
    if not known and host.startswith("email-smtp.") and host.endswith(".amazonaws.com"):
        known = "ses"
    return _BY_PROVIDER.get(known)

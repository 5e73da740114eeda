"""Mail providers: where they listen, what they want, and the limits they publish."""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    """``host`` may hold ``{region}``; ``rates`` are defaults, ``username`` is set where it is a fixed word."""

    name: str
    title: str
    host: str
    port: int = 587
    encryption: str = "starttls"
    hint: str = ""
    rates: tuple[str, ...] = ()
    username: str | None = None
    token_url: str | None = None
    scope: str | None = None
    imap_host: str | None = None


_MICROSOFT_TOKEN = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"  # noqa: S105

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="gmail",
            title="Gmail and Google Workspace",
            host="smtp.gmail.com",
            hint="Gmail wants an App Password (myaccount.google.com/apppasswords) or oauth2",
            rates=("500/day",),
            token_url="https://oauth2.googleapis.com/token",  # noqa: S106
            scope="https://mail.google.com/",
            imap_host="imap.gmail.com",
        ),
        Preset(
            name="microsoft365",
            title="Microsoft 365",
            host="smtp.office365.com",
            hint="SMTP AUTH must be switched on for the mailbox; with security defaults only oauth2 works",
            rates=("30/min", "10000/day"),
            token_url=_MICROSOFT_TOKEN,
            scope="https://outlook.office.com/SMTP.Send offline_access",
            imap_host="outlook.office365.com",
        ),
        Preset(
            name="sendgrid",
            title="Twilio SendGrid",
            host="smtp.sendgrid.net",
            hint="the username is the word apikey, the password an API key that may send mail",
            username="apikey",
        ),
        Preset(
            name="mailgun",
            title="Mailgun",
            host="smtp.mailgun.org",
            hint="use the SMTP login of the sending domain; EU domains need host smtp.eu.mailgun.org",
        ),
        Preset(
            name="ses",
            title="Amazon SES",
            host="email-smtp.{region}.amazonaws.com",
            hint="use SMTP credentials, which are not the IAM access key; write region, for example eu-west-1",
            rates=("1/s", "200/day"),
        ),
        Preset(
            name="postmark",
            title="Postmark",
            host="smtp.postmarkapp.com",
            hint="the server API token is both username and password",
        ),
        Preset(
            name="brevo",
            title="Brevo",
            host="smtp-relay.brevo.com",
            hint="use the SMTP key, not the account's password",
        ),
        Preset(
            name="fastmail",
            title="Fastmail",
            host="smtp.fastmail.com",
            port=465,
            encryption="tls",
            hint="Fastmail wants an app password",
            imap_host="imap.fastmail.com",
        ),
        Preset(
            name="mailjet",
            title="Mailjet",
            host="in-v3.mailjet.com",
            hint="the username is the API key, the password the secret key",
        ),
        Preset(
            name="ionos",
            title="IONOS",
            host="smtp.ionos.com",
            hint="German accounts use host smtp.ionos.de",
            imap_host="imap.ionos.com",
        ),
    )
}

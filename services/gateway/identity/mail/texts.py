"""The texts of mail about accounts, in Spanish and in English.

They have no names: anybody can register the address of somebody else under a name that advertises something.
"""

from services.gateway.identity.mail.port import Mail
from shared.domain.accounts import Account

_RESET = {
    "es": (
        "Contraseña nueva",
        "Hola:\n\nAlguien pidió una contraseña nueva para esta cuenta. Si fue usted, elíjala aquí en los "
        "próximos 30 minutos:\n\n{link}\n\nSi no fue usted, no tiene que hacer nada: la contraseña sigue igual.\n",
    ),
    "en": (
        "New password",
        "Hello,\n\nSomebody asked for a new password for this account. If it was you, choose it here within 30 "
        "minutes:\n\n{link}\n\nIf it was not you, there is nothing to do: the password stays as it is.\n",
    ),
}
_WELCOME = {
    "es": (
        "Su cuenta nueva",
        "Hola:\n\nPara terminar el registro, elija aquí su contraseña en las próximas 24 horas:\n\n{link}\n\n"
        "Si no se registró, no tiene que hacer nada.\n",
    ),
    "en": (
        "Your new account",
        "Hello,\n\nTo complete the registration, choose your password here within 24 hours:\n\n{link}\n\n"
        "If you did not register, there is nothing to do.\n",
    ),
}
_TAKEN = {
    "es": (
        "Ya tiene una cuenta",
        "Hola:\n\nAlguien quiso registrarse con esta dirección, que ya tiene una cuenta. Si fue usted y olvidó "
        "la contraseña, elija otra aquí en los próximos 30 minutos:\n\n{link}\n\nSi no fue usted, no tiene que hacer "
        "nada.\n",
    ),
    "en": (
        "You already have an account",
        "Hello,\n\nSomebody tried to register with this address, which already has an account. If it was you "
        "and you forgot the password, choose a new one here within 30 minutes:\n\n{link}\n\nIf it was not you, there "
        "is nothing to do.\n",
    ),
}


def write_reset(account: Account, link: str) -> Mail:
    """Returns the message for a forgotten password."""
    return _write(_RESET, account, link)


def write_welcome(account: Account, link: str) -> Mail:
    """Returns the message that completes a registration."""
    return _write(_WELCOME, account, link)


def write_taken(account: Account, link: str) -> Mail:
    """Returns the message for a registration with an address that has an account."""
    return _write(_TAKEN, account, link)


def _write(texts: dict[str, tuple[str, str]], account: Account, link: str) -> Mail:
    subject, text = texts["es" if account.preferences.language.startswith("es") else "en"]
    return Mail(account.email, subject, text.format(link=link))

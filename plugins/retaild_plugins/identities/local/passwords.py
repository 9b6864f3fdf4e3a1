"""Which passwords are taken, after NIST SP 800-63B: long ones that are not on everybody's list."""

from __future__ import annotations

from retaild_plugins.identities.local.errors import WeakPasswordError

#: Longer ones only cost time; argon2 takes any.
MAX_LENGTH = 256
#: The heads of published lists that are long enough to pass otherwise, and their kin.
_HEADS = """
    1234567890 0123456789 0987654321 1234567891 12345678910 123456789a 1q2w3e4r5t 1qaz2wsx3edc
    q1w2e3r4t5 qwertyuiop qwerty1234 qwerty12345 qwerty123456 qwertz1234 asdfghjkl1 asdfghjkl;
    zxcvbnm123 abcdefghij abcdef1234 abc1234567 password12 password123 password1234 password12345
    passw0rd123 p@ssw0rd123 p@ssword123 mypassword mypassword1 changeme123 changemenow letmein123
    letmein1234 welcome123 welcome1234 iloveyou12 iloveyou123 football123 baseball123 superman123
    sunshine123 princess123 michael123 charlie123 dragon1234 monkey1234 trustno1trustno1
    administrator admin12345 admin123456 adminadmin administrator1 rootrootroot default123
    superadmin secret1234 secretsecret test123456 testtesttest password!! passwordpassword
    hellohello helloworld whatever12 computer12 computer123 internet123 starwars123 pokemon123
    1111111111 0000000000 1212121212 1122334455 9876543210 147258369a 1029384756 qazwsxedcr
    correcthorsebatterystaple retaild123 retaildretaild
"""
COMMON = frozenset(_HEADS.split())


def check_password(name: str, password: str, minimum: int) -> None:
    """Raises WeakPasswordError."""
    plain = password.casefold()
    if len(password) < minimum:
        raise WeakPasswordError(f"has fewer than {minimum} characters")
    if len(password) > MAX_LENGTH:
        raise WeakPasswordError(f"has more than {MAX_LENGTH} characters")
    if name.casefold() in (plain, plain[::-1]) or plain.strip("0123456789!.-_ ") == name.casefold():
        raise WeakPasswordError("is the user's name")
    if plain in COMMON or len(set(plain)) < 4:
        raise WeakPasswordError("is among those that are tried first")

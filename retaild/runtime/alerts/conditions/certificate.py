"""When a certificate ends, read from its bytes: the standard library offers no call for it.

X.509 (RFC 5280, 4.1): Certificate is a sequence whose first part, TBSCertificate, holds version
(tagged, optional), serial number, signature, issuer, validity. Validity is a sequence of two times,
UTCTime or GeneralizedTime, in Zulu.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

from retaild.api.errors import RetaildError

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class CertificateError(RetaildError):
    key = "certificate.unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"it is no certificate ({reason}).", hint="Name a PEM file.")


def ends_at(pem: bytes) -> float:
    """Seconds since the epoch (UTC) when the first certificate in `pem` ends."""
    begin, end = pem.find(_BEGIN), pem.find(_END)
    if begin < 0 or end < begin:
        raise CertificateError("there is no PEM block")
    try:
        block = pem[begin : end + len(_END)].decode("ascii")
        return _end_of(ssl.PEM_cert_to_DER_cert(block))
    except (ValueError, IndexError) as error:
        raise CertificateError(str(error) or "it is cut off") from None


def _end_of(der: bytes) -> float:
    _, certificate, _ = _part(der)
    _, rest, _ = _part(certificate)
    tag, _, _ = _part(rest)
    skipped = 4 if tag == _VERSION else 3
    for _ in range(skipped):
        _, _, rest = _part(rest)
    tag, validity, _ = _part(rest)
    if tag != _SEQUENCE:
        raise ValueError("its validity is missing")
    _, _, second = _part(validity)
    tag, text, _ = _part(second)
    return _moment(tag, text.decode("ascii"))


def _moment(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        # Two digits of the year: up to 49 in this century (RFC 5280, 4.1.2.5.1).
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("its end is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _part(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first DER element, and what follows it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if start + length > len(data):
        raise ValueError("it is cut off")
    return tag, data[start : start + length], data[start + length :]

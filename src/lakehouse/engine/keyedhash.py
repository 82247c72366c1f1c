"""HMAC-SHA256 of a text as SQL, alike in the engine and in the warehouse: whole columns at once, the key in one place.

Without the key nobody can tell whose hash one is, not even by trying all values that there are. The formula is RFC
2104's: ``H((K xor opad) || H((K xor ipad) || text))``.
"""

from __future__ import annotations

from lakehouse.engine.rowhash import Dialect

#: Of a hash's 64 digits the first 32 are for comparing; the others are a pseudonym, from which they do not follow.
MATCH_DIGITS = 32
KEY_BYTES = 32
_BLOCK_BYTES = 64


def keyed_hash(value: str, key: bytes, dialect: Dialect) -> str:
    """An expression: the hash of a text as 64 hexadecimal digits, null for null.

    ``value`` is SQL of a text, ``key`` at most 64 bytes.
    """
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (bytes(b ^ pad for b in padded) for pad in (0x36, 0x5C))
    if dialect == "engine":
        hashed = f"unhex(sha256({_blob(inner)} || encode({value})))"
        return f"sha256({_blob(outer)} || {hashed})"
    hashed = f"sha256('\\x{inner.hex()}'::bytea || convert_to({value}, 'UTF8'))"
    return f"encode(sha256('\\x{outer.hex()}'::bytea || {hashed}), 'hex')"


def match_of(hashed: str) -> str:
    """The part of a hash that is compared."""
    return f"substr({hashed}, 1, {MATCH_DIGITS})"


def pseudonym_of(hashed: str) -> str:
    """The part of a hash that stands for the text."""
    return f"substr({hashed}, {MATCH_DIGITS + 1})"


def _blob(data: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in data) + "'::blob"

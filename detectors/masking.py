"""Secrets out of any text that is shown or kept: keys, signatures, passwords and tokens become ``***``.

>>> mask_secrets("https://x.azurewebsites.net/api/pay?code=4fL9qTzk2Pq7&id=7")
'https://x.azurewebsites.net/api/pay?code=***&id=7'
>>> mask_secrets("AccountName=logs;AccountKey=bm90IGEga2V5;EndpointSuffix=core.windows.net")
'AccountName=logs;AccountKey=***;EndpointSuffix=core.windows.net'
"""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

MASK: Final = "***"

#: names whose value is a secret however it is written: name=value, "name": "value", name: value
_NAMES: Final = (
    r"access[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|shared[_-]?access[_-]?signature|storage[_-]?key"
    r"|api[_-]?key|x-api-key|x-functions-key|function[_-]?key|host[_-]?key|master[_-]?key|subscription-key"
    r"|aws_secret_access_key|aws_session_token|secret[_-]?access[_-]?key|client[_-]?secret|app[_-]?secret"
    r"|instrumentation[_-]?key|private[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|auth[_-]?token"
    r"|session[_-]?token|sas[_-]?token|connection[_-]?string|password|passwd|pwd|passphrase|secret|token"
)
#: between a name and its value; JSON inside JSON brings backslashes
_BETWEEN: Final = r"""[\\"']{0,4}\s{0,2}[=:]\s{0,2}[\\"']{0,4}"""
_VALUE: Final = r"""[^\s"'&;,\\<>{}\[\]()]+"""

_RULES: Final = (
    # whole schemes first, so that "Authorization: Bearer x" loses the x and not the word
    (re.compile(r"(?i)\b(bearer|basic|sharedkey|sharedaccesssignature)(\s+)[A-Za-z0-9+/=._~:%&-]{6,}"), rf"\1\2{MASK}"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
    (re.compile(rf"(?i)(?<![A-Za-z0-9])({_NAMES})({_BETWEEN})(?!\*\*\*)({_VALUE})"), rf"\1\2{MASK}"),
    # "code", "sig" and "key" are common words: secrets only as a parameter
    (re.compile(r"(?i)([?&;](?:amp;)?(?:code|sig|key|skey|auth))=(?!\*\*\*)[^\s\"'&;,\\<>]+"), rf"\1={MASK}"),
    (re.compile(r"(?i)\b(code|sig)=(?!\*\*\*)[A-Za-z0-9+/_%=-]{16,}"), rf"\1={MASK}"),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s:/@\"']{1,64}):[^\s/@\"']{1,256}@"), rf"\1:{MASK}@"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|xox[abprs]-[A-Za-z0-9-]{10,})"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S), MASK),
    # keys as Azure prints them: 32 bytes and more in base64 with its padding
    (re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{42,}={1,2}(?![A-Za-z0-9=])"), MASK),
)
#: RE2: true wherever a rule above could apply; cheap, so that clean text costs little
_SUSPECT: Final = (
    r"(?i)bearer|basic\s|shared|eyJ|key|secret|token|pass|pwd|(code|sig|auth)=|connection|://[^/\s]*@|AKIA|ASIA"
    r"|gh[pousr]_|github_pat_|xox[abprs]-|[A-Za-z0-9+/_-]{42}"
)


def mask_secrets(text: str) -> str:
    """The text with every secret replaced by ``***``; masking twice changes nothing more."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def mask_secrets_array(array: pa.Array) -> pa.Array:
    """string[n] with every secret masked, nulls kept; only texts that could hold a secret are looked at one by one."""
    if array.null_count == len(array):
        return array
    suspect = pc.match_substring_regex(array, _SUSPECT)
    if not pc.any(suspect).as_py():
        return array
    chosen = array.filter(suspect).dictionary_encode()
    masked = pa.array([mask_secrets(value) for value in chosen.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(array, suspect.fill_null(False), masked.take(chosen.indices))

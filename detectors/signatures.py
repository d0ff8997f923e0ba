r"""Attacks that can be read off a text: injection, traversal and scanner signatures in paths, queries and messages.

Precise before complete: a signature must not fire on ordinary ids, slugs, searches or base64, because one text of a
busy function comes a thousand times. Texts are URL-decoded twice, so ``%2527`` hides nothing.

>>> import pyarrow as pa
>>> kinds = signature_kinds(pa.array(["/api/item/7", "/api/item?id=1%27%20OR%20%271%27=%271", None]))
>>> [SIGNATURES[kind] for kind in kinds]
['none', 'sql injection', 'none']

References: OWASP Core Rule Set 4 (rules 930, 932, 933, 941, 942, 944), CVE-2021-44228.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: what a kind means; 0 is none
SIGNATURES: Final = (
    "none",
    "sql injection",
    "path traversal",
    "command injection",
    "jndi lookup",
    "script injection",
    "template injection",
    "ssrf metadata",
    "scanner tool",
    "secret file probe",
)
#: characters looked at: INVOCATION keeps no more of a path
_MAX_LENGTH: Final = 2_048
#: %2527 is %27 is ': attackers encode twice because proxies decode once
_DECODINGS: Final = 2

_COMMANDS: Final = (
    r"(?:cat|wget|curl|nc|ncat|bash|sh|zsh|powershell|pwsh|cmd|ping|nslookup|dig|chmod|rm|sleep|python3?|perl|ruby|php"
    r"|echo)"
)
_BARE_COMMANDS: Final = r"(?:id|whoami|uname|ls|pwd|env|ifconfig|ipconfig|netstat|dir|hostname)"
_SHELL: Final = r"(?:;|\|{1,2}|&&|\$\(|`|%0a|\n)\s*"

#: in the order of preference where several fit: the more specific first
_PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    ("jndi lookup", r"\$\{\s*jndi\s*:|\$\{\s*(?:lower|upper|env|sys|date|::-?)[^}]{0,40}\}[^}]{0,60}\}?[^}]{0,40}:"),
    (
        "sql injection",
        r"\bunion(?:\s|/\*.{0,40}?\*/)+(?:all(?:\s|/\*.{0,40}?\*/)+|distinct\s+)?select"
        r"(?:\s|/\*.{0,40}?\*/|\()+(?:null\b|\d|\*|@@|['\"]|char\(|concat\(|[\w.()@]{1,60}\s*,|[^&]{1,200}\bfrom\b)"
        r"|['\")]\s*(?:or|and|\|\||&&)\s+(?:not\s+)?['\"(]{0,3}[\w.]{1,40}['\")]{0,3}\s*(?:=|<|>|like\b|is\b)\s*['\"(\w]"
        r"|\b(?:or|and)\s+(\d{1,9})\s*=\s*\1\b"
        r"|['\"]\s*;\s*(?:drop|delete|insert|update|alter|truncate|exec|declare|shutdown)\b"
        r"|;\s*(?:drop\s+(?:table|database|view)|delete\s+from|insert\s+into|truncate\s+table|alter\s+table|exec\s+\w)"
        r"|\b(?:pg_sleep|benchmark|extractvalue|updatexml|load_file|xp_cmdshell)\s*\("
        r"|['\"()\d\s,]\s*(?:and|or|select|,|;|\|\|)\s*\(?(?:select\s*\(?\s*)?sleep\s*\(\s*\d"
        r"|\bwaitfor\s+delay\s+['\"]|\bxp_cmdshell\b|\binformation_schema\.|\bsqlite_master\b|\bsys\.?(?:objects|columns)\b"
        r"|\bselect\b[^&]{1,80}\bfrom\b[^&]{1,60}(?:--|#|\bwhere\b|\blimit\b|\bunion\b|\))"
        r"|['\"]\s*(?:--|#)\s*(?:$|[&\s])|\border\s+by\s+\d{1,3}\s*(?:--|#)",
    ),
    (
        "ssrf metadata",
        r"169\.254\.169\.254|169\.254\.170\.2\b|100\.100\.100\.200|metadata\.google\.internal|/latest/meta-data"
        r"|/metadata/(?:identity/oauth2|instance\?)|\bfd00:ec2::254|=\s*https?://(?:2852039166|0xa9fea9fe)\b"
        r"|=(?:gopher|dict|ldaps?|tftp)://"
        r"|[?&](?!\w*(?:redirect|return|callback)\w*=)\w{1,40}=https?://(?:127\.\d{1,3}\.\d|0\.0\.0\.0|\[::1?\])",
    ),
    (
        "command injection",
        rf"{_SHELL}(?:/usr)?(?:/bin/)?{_COMMANDS}(?:\.exe)?(?:\s+|\$\{{?ifs\}}?)[-/\w.$\"'~]"
        rf"|{_SHELL}(?:/usr)?(?:/bin/)?{_BARE_COMMANDS}(?:\s*$|\s+-|\s*[;|)`&]|\s+/)"
        r"|\$\{ifs\}|\(\)\s*\{\s*:?;?\s*\}\s*;|\bcmd(?:\.exe)?\s+/c\b|\bpowershell(?:\.exe)?\s+-\w"
        r"|/bin/(?:ba|z|da)?sh\b|>\s*/dev/(?:null|tcp/)",
    ),
    (
        "template injection",
        r"\{\{[^}]{0,60}?(?:\d\s*[*+\-]\s*'?\d|__\w+__|\bconstructor\b|\blipsum\b|\bcycler\b|\bself\.|\bconfig\b\s*[.\[|]"
        r"|request\.(?:application|__))"
        r"|[$#*@]\{\s*\d{1,9}\s*[*+]\s*\d{1,9}\s*\}|<%=?\s*\d{1,9}\s*[*+]\s*\d{1,9}\s*%>|<%=?[^%]{0,80}(?:system|exec|file)\b"
        r"|[$#%*]\{[^}]{0,80}(?:t\(java\.|java\.lang|getruntime|getclass\(|class\.forname|@java)|<#assign\s",
    ),
    (
        "script injection",
        r"<\s*script\b|<\s*/\s*script\s*>|<\s*(?:img|svg|iframe|body|object|embed|math|video|audio|details|input|a|div)\b"
        r"[^>]{0,200}?[\s/\"']on[a-z]{3,20}\s*=|<\s*iframe\b|[\"']\s*on(?:error|load|mouse\w{2,6}|click|focus)\s*=\s*\S"
        r"|[=\"'(]\s*javascript:\s*[\w(]|\bdocument\.(?:cookie|domain|write)\b",
    ),
    (
        "path traversal",
        r"(?:^|[/\\=])\.\.(?:;)?[/\\]|/\.\.$|%c0%ae|%c0%af|\.{4}//|/etc/(?:passwd|shadow|group|hosts)\b|/proc/self/"
        r"|[a-z]:[\\/]windows[\\/]|\b(?:win|boot)\.ini\b|php://(?:filter|input)|=file://",
    ),
    (
        "secret file probe",
        r"/\.git(?:/(?:config|head|index|logs)|$|ignore$)|/\.env(?:\.[a-z]{1,12})?(?:$|\?)|/\.aws/|/\.ssh/|/\.svn/"
        r"|/\.ds_store|/\.ht(?:access|passwd)|/wp-(?:login|admin|config|includes)|/xmlrpc\.php|/phpmyadmin|/cgi-bin/"
        r"|/actuator/(?:env|heapdump|gateway|jolokia)|/vendor/phpunit|/server-status$|/web\.config$|/id_rsa\b"
        r"|/(?:local|host)\.settings\.json$|/wwwroot/host\.json$|/phpinfo\.php|/eval-stdin\.php",
    ),
    (
        "scanner tool",
        r"\b(?:sqlmap|nikto|nuclei|masscan|zgrab2?|acunetix|dirbuster|gobuster|feroxbuster|wpscan|wfuzz|ffuf|arachni"
        r"|openvas|nessus|w3af|havij|burpcollaborator)\b|\binteract\.sh\b|\boast\.(?:fun|live|site|me|pro|online)\b"
        r"|\bnmap\s+(?:scripting|nse)|/nice%20ports|/nice ports,",
    ),
)
_COMPILED: Final = tuple((SIGNATURES.index(name), re.compile(pattern, re.S)) for name, pattern in _PATTERNS)

#: RE2: true wherever a pattern could fit, so that clean texts cost one quick scan
_SUSPECT: Final = (
    r"(?i)['\"<>{}$;|`\\()]|\.\.|%[0-9a-f]{2}|&&|/\.|/\*|\b(or|and|union|select|waitfor|order)[+\s]"
    r"|169\.254|100\.100\.|metadata|meta-data"
    r"|://|information_schema|sqlite_master|xp_cmdshell|/etc/|/proc/|/bin/|\.ini\b|/wp-|xmlrpc|phpmyadmin|cgi-bin"
    r"|actuator|phpunit|server-status|web\.config|id_rsa|settings\.json|host\.json|phpinfo|eval-stdin|javascript:"
    r"|document\.|sys.?(objects|columns)|sqlmap|nikto|nuclei|masscan|zgrab|acunetix|buster|wpscan|wfuzz|ffuf|arachni"
    r"|openvas|nessus|w3af|havij|burpcoll|interact\.sh|oast\.|nmap|nice|cmd[ +.]|powershell|fd00:"
)


def signature_kind(text: str) -> int:
    """The kind of attack in one text, an index into SIGNATURES; 0 is none."""
    seen = text[:_MAX_LENGTH]
    for _ in range(_DECODINGS + 1):
        lower = seen.lower()
        for kind, pattern in _COMPILED:
            if pattern.search(lower):
                return kind
        decoded = unquote_plus(seen, errors="replace")
        if decoded == seen:
            break
        seen = decoded
    return 0


def signature_kinds(texts: pa.Array) -> NDArray[np.int8]:
    """The kind of attack in each text of string[n]: int8[n], index into SIGNATURES, 0 for none and for null."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    kinds = np.zeros(len(texts), np.int8)
    if texts.null_count == len(texts):
        return kinds
    encoded = texts.dictionary_encode()
    suspect = pc.match_substring_regex(encoded.dictionary, _SUSPECT).to_numpy(zero_copy_only=False)
    if not suspect.any():
        return kinds
    of_unique = np.zeros(len(encoded.dictionary) + 1, np.int8)  # the last is null's
    for index in np.flatnonzero(suspect):
        of_unique[index] = signature_kind(encoded.dictionary[int(index)].as_py())
    indices = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    found: NDArray[np.int8] = of_unique[indices]
    return found

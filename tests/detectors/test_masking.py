"""Secrets never reach what is shown, and ordinary text stays as it is."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.masking import mask_secrets, mask_secrets_array

KEY = "q3VbN8kTz0LmXw2RyP5s"

LEAKS = [
    f"GET /api/pay?code={KEY}&id=7",
    f"/blob/x?sv=2024&sig={KEY}%3D&se=2026",
    f"AccountName=logs;AccountKey={KEY}==;EndpointSuffix=core.windows.net",
    f"Endpoint=sb://x.example/;SharedAccessKeyName=r;SharedAccessKey={KEY}=",
    f"Server=db;User Id=app;Password={KEY};Encrypt=true",
    f"Authorization: Bearer {KEY}",
    f'{{"Authorization": "Basic {KEY}"}}',
    f"x-functions-key: {KEY}",
    f'{{"x-functions-key": "{KEY}"}}',
    f'{{\\"client_secret\\":\\"{KEY}\\"}}',
    f"postgresql://app:{KEY}@db.example/shop",
    f"https://x.example/?access_token={KEY}",
    f"aws_secret_access_key = {KEY}",
    f"password: {KEY}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{KEY}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----",
    f"InstrumentationKey={KEY};IngestionEndpoint=https://x.example/",
    f"the key {KEY}{KEY}{KEY}== leaked",
    f"ghp_{KEY}{KEY}",
]

PLAIN = [
    "GET /api/orders/7?page=2&sort=name",
    "Executed 'Functions.Pay' (Failed, Id=3a4b2e78-0549-4ebc-ba4c-ee9a6bc9a04e, Duration=16ms)",
    "exit code: 137, status code = 500",
    '{"ResultCode": "200", "code": 7}',
    "/api/tokens/refresh",
    "KeyError: 'order'",
    "https://shop.example:8080/a@b",
    "/api/blob/0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_masked(text):
    masked = mask_secrets(text)
    assert KEY not in masked
    assert "***" in masked


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_stays_as_it_is(text):
    assert mask_secrets(text) == text


def test_an_aws_key_id_is_masked():
    assert mask_secrets("id AKIAIOSFODNN7EXAMPLE used") == "id *** used"


def test_what_is_not_secret_stays_beside_it():
    assert mask_secrets(LEAKS[0]) == "GET /api/pay?code=***&id=7"
    assert mask_secrets(LEAKS[4]) == "Server=db;User Id=app;Password=***;Encrypt=true"


def test_an_array_is_masked_text_by_text():
    texts = [*LEAKS, None, *PLAIN, LEAKS[0]]
    masked = mask_secrets_array(pa.array(texts)).to_pylist()
    assert masked == [None if text is None else mask_secrets(text) for text in texts]


@given(st.text(max_size=120) | st.sampled_from(LEAKS))
def test_masking_twice_changes_nothing_more(text):
    once = mask_secrets(text)
    assert mask_secrets(once) == once


@given(st.text(max_size=80))
def test_the_quick_scan_misses_no_secret(text):
    assert mask_secrets_array(pa.array([text])).to_pylist() == [mask_secrets(text)]

from __future__ import annotations

import json

import pytest

from models.errors import InputError
from pipelines.retry import Backoff, retry_after_s
from pipelines.secrets import Secret
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.signature import signed_headers, verify
from pipelines.sinks.slack_message import INTERVAL_S, slack_body
from pipelines.sinks.webhook import Webhook

from .incidents import Clock, incident, rng
from .local_http import Response, serving

SIGNING = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def webhook(url: str, clock: Clock, **options: object) -> Webhook:
    options.setdefault("secret", SIGNING)
    return Webhook(Secret(url), clock=clock, sleep=clock.sleep, rng=rng(), **options)  # type: ignore[arg-type]


def test_a_delivery_is_json_signed_with_its_id_and_time():
    clock = Clock()
    with serving() as server:
        webhook(server.url + "/hook", clock).send([incident()])
    (request,) = server.requests
    assert json.loads(request.body)["incident_id"] == "inc-0001"
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == "inc-0001@1"
    assert verify(SIGNING, request.headers, request.body, clock.now)
    assert not verify(SIGNING, request.headers, request.body + b" ", clock.now)
    assert not verify(SIGNING, request.headers, request.body, clock.now + 301)
    assert not verify(Secret("another"), request.headers, request.body, clock.now)


def test_the_signature_is_the_one_of_the_standard_webhooks_specification():
    headers = signed_headers(SIGNING, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_server_that_stumbles_is_tried_again_with_growing_pauses():
    clock = Clock()
    with serving() as server:
        server.answers = [Response(503), Response(500)]
        webhook(server.url, clock).send([incident()])
    assert len(server.requests) == 3
    assert {request.headers["webhook-id"] for request in server.requests} == {"inc-0001@1"}
    assert 0.25 <= clock.slept[0] <= 0.5 <= clock.slept[1] <= 1.0


def test_a_short_retry_after_is_slept_and_a_long_one_handed_on():
    clock = Clock()
    with serving() as server:
        server.answers = [Response(429, headers={"Retry-After": "7"})]
        webhook(server.url, clock).send([incident()])
        assert clock.slept == [7.0]
        server.answers = [Response(429, headers={"Retry-After": "900"})]
        with pytest.raises(DeliveryError) as caught:
            webhook(server.url, clock).send([incident()])
    assert caught.value.retry
    assert caught.value.retry_after_s == 900


@pytest.mark.parametrize(("status", "retry"), [(400, False), (413, False), (422, False), (401, True), (404, True)])
def test_what_is_refused_for_good_is_told_from_what_can_be_repaired(status: int, retry: bool):
    clock = Clock()
    with serving(lambda _: Response(status)) as server, pytest.raises(DeliveryError) as caught:
        webhook(server.url, clock).send([incident()])
    assert caught.value.retry is retry
    assert str(status) in str(caught.value)


def test_the_error_says_how_many_had_arrived():
    with serving() as server:
        server.answers = [Response(), Response(), Response(400)]
        with pytest.raises(DeliveryError) as caught:
            webhook(server.url, Clock()).send([incident(1), incident(2), incident(3), incident(4)])
    assert caught.value.delivered == 2
    assert len(server.requests) == 3


def test_a_redirect_is_followed_on_the_same_host_and_nowhere_else():
    with serving() as other, serving() as server:
        server.answers = [Response(307, headers={"Location": server.url + "/moved"})]
        webhook(server.url + "/hook", Clock()).send([incident()])
        assert [request.path for request in server.requests] == ["/hook", "/moved"]
        assert server.requests[1].body == server.requests[0].body
        for status in (301, 302, 307, 308):
            server.answers = [Response(status, headers={"Location": other.url + "/stolen"})]
            with pytest.raises(DeliveryError, match="redirects are followed on the same host"):
                webhook(server.url, Clock(), attempts=1).send([incident()])
        assert other.requests == []


def test_the_address_and_the_secret_show_nowhere(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    token, signing = "T0PS3CRETPATH", Secret("very-signing-value")
    with serving(lambda r: Response(500, f"{r.path} very-signing-value".encode())) as server:
        hook = webhook(f"{server.url}/services/{token}?sig={token}", Clock(), secret=signing)
        with pytest.raises(DeliveryError) as caught:
            hook.send([incident()])
    gone = webhook(f"{server.url}/services/{token}", Clock(), secret=signing)
    with pytest.raises(DeliveryError) as unreachable:
        gone.send([incident()])
    shown = [str(caught.value), repr(caught.value), str(unreachable.value), repr(hook), repr(hook.url), caplog.text]
    assert not any("very-signing-value" in text for text in shown)
    assert not any(token in text for text in shown)
    assert "127.0.0.1" in str(unreachable.value)
    assert caught.value.__suppress_context__


def test_a_hang_up_and_a_closed_port_can_be_tried_again():
    with serving(lambda _: Response(silent=True)) as server, pytest.raises(DeliveryError) as caught:
        webhook(server.url, Clock()).send([incident()])
    assert caught.value.retry
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/x", "ftp://h/x", "https://", "hooks.example.com", "https://u:p@h/x", "https://h/\nx"],
)
def test_an_address_that_would_leak_or_fail_is_refused_and_not_repeated(url: str):
    with pytest.raises(InputError) as caught:
        Webhook(Secret(url))
    assert url == "https://" or url not in str(caught.value)


def test_chat_messages_keep_a_second_apart_also_over_calls():
    clock = Clock()
    with serving() as server:
        hook = webhook(server.url, clock, secret=None, interval_s=INTERVAL_S, body=slack_body)
        hook.send([incident(1), incident(2)])
        clock.now += 0.25
        hook.send([incident(3)])
        clock.now -= 3600  # the clock is set back: nobody waits an hour for it
        hook.send([incident(4)])
    assert len(server.requests) == 4
    assert clock.slept == [1.0, 0.75]


def test_secrets_from_logs_are_masked_in_what_is_sent():
    with serving() as server:
        webhook(server.url, Clock()).send([incident(summary="called /api/pay?code=4fL9qTzk2Pq7aaaa&x=1")])
    assert b"4fL9qTzk2Pq7aaaa" not in server.requests[0].body


def test_retry_after_is_read_in_every_form():
    now = 1_785_578_400.0  # 2026-08-01 10:00:00 UTC
    assert retry_after_s({"Retry-After": "12"}, now) == 12
    assert retry_after_s({"x-ms-retry-after-ms": "1500"}, now) == 1.5
    assert retry_after_s({"RETRY-AFTER": "Sat, 01 Aug 2026 10:00:30 GMT"}, now) == 30
    assert retry_after_s({"retry-after": "soon"}, now) is None
    assert retry_after_s({"retry-after": "-5"}, now) == 0
    assert retry_after_s({}, now) is None


def test_back_off_grows_to_its_cap_and_never_undercuts_the_server():
    backoff, drawn = Backoff(first_s=1, longest_s=60), rng()
    delays = [backoff.delay_s(n, drawn) for n in range(1, 200)]
    assert all(min(60, 2 ** min(n - 1, 10)) / 2 <= d <= 60 for n, d in enumerate(delays, 1))
    assert backoff.delay_s(1, drawn, retry_after_s=45) == 45
    assert backoff.delay_s(1, drawn, retry_after_s=1e9) == 3600

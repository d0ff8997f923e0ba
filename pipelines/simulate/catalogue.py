"""The built-in tenant: ten applications of the kinds that companies run, with some forty functions of all triggers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .durations import Modes
from .places import PLACES, WEIGHT
from .seeds import stream
from .tenant import MANY, METHODS, TIME_LIMITS_MS, App, Function, Tenant

EVENTS_A_DAY: Final = 100_000.0  #: at scale 1, all triggers together, about
CHAINED_SHARE: Final = 0.2  #: about so much of it is timers and messages passed on
SPARSE_A_DAY: Final = 20.0  #: functions rarer than this don't grow with the scale
USUAL_FAILURE_RATE: Final = 0.002
MOST_FAILURE_RATE: Final = 0.1
PREFIXES: Final = ("north", "harbor", "contoso", "fabrikam", "amber", "juniper", "delta", "cobalt", "willow", "summit")

FAST: Final = ((0.6, 9.0, 0.35), (0.4, 45.0, 0.5))
QUERY: Final = ((0.25, 14.0, 0.3), (0.6, 85.0, 0.45), (0.15, 420.0, 0.5))
WRITE: Final = ((0.85, 140.0, 0.4), (0.15, 600.0, 0.5))
CALL_OUT: Final = ((0.7, 320.0, 0.4), (0.3, 1100.0, 0.5))
SLOW: Final = ((0.6, 2600.0, 0.6), (0.4, 9000.0, 0.6))
BATCH: Final = ((1.0, 42_000.0, 0.35),)
LONG: Final = ((0.7, 18_000.0, 0.7), (0.3, 70_000.0, 0.5))

#: name, audience, signed in, strangers, functions; a function is (name, trigger, settings)
Row = tuple[str, str, bool, float, tuple[tuple[str, str, dict[str, Any]], ...]]
CATALOGUE: Final[tuple[Row, ...]] = (
    ("shop-api", "public", False, 0.55, (
        ("GetCatalog", "http", {"per_day": 14000, "d": FAST, "path": "catalog", "dependency": "cache"}),
        ("GetItem", "http", {"per_day": 16000, "d": QUERY, "path": "items", "items": True, "client_error_rate": 0.02}),
        ("SearchItems", "http", {"per_day": 7000, "d": QUERY, "path": "search", "dependency": "search"}),
        ("AddToCart", "http", {"per_day": 3500, "d": WRITE, "path": "cart", "method": 1,
                                "client_error_rate": 0.01}),
        ("Checkout", "http", {"per_day": 1100, "d": CALL_OUT, "path": "checkout", "method": 1,
                              "ok_code": 202, "client_error_rate": 0.03, "client_codes": (402, 409, 400),
                              "dependency": "payments"}),
    )),
    ("orders", "partners", False, 0.0, (
        ("ProcessOrder", "queue", {"source": "orders", "upstream": "Checkout", "passes_on": 1.0, "d": WRITE}),
        ("ReserveStock", "queue", {"source": "reservations", "upstream": "ProcessOrder", "passes_on": 1.6, "d": QUERY}),
        ("SendReceipt", "queue", {"source": "receipts", "upstream": "ProcessOrder", "passes_on": 0.97,
                                  "d": CALL_OUT, "dependency": "mail", "spread_s": 4.0}),
        ("GetOrder", "http", {"per_day": 2600, "d": QUERY, "path": "orders", "items": True,
                              "client_error_rate": 0.015}),
        ("CloseOrders", "timer", {"period_s": 900, "offset_s": 120, "d": SLOW}),
    )),
    ("accounts", "customers", True, 0.12, (
        ("SignIn", "http", {"per_day": 5200, "d": WRITE, "path": "signin", "method": 1, "client_error_rate": 0.06,
                            "client_codes": (401, 401, 400), "dependency": "identity"}),
        ("GetProfile", "http", {"per_day": 7800, "d": QUERY, "path": "profile", "dependency": "identity"}),
        ("UpdateProfile", "http", {"per_day": 600, "d": WRITE, "path": "profile", "method": 2,
                                   "client_error_rate": 0.03, "client_codes": (400, 409), "dependency": "identity"}),
        ("ResetPassword", "http", {"per_day": 160, "d": CALL_OUT, "path": "reset", "method": 1, "dependency": "mail",
                                   "client_error_rate": 0.08}),
        ("SendMail", "queue", {"source": "mails", "upstream": "ResetPassword", "passes_on": 1.0, "d": CALL_OUT,
                               "dependency": "mail", "failure_rate": 0.01}),
    )),
    ("partner-api", "partners", True, 0.01, (
        ("PutInvoice", "http", {"per_day": 2400, "d": WRITE, "path": "invoices", "method": 2,
                                "ok_code": 201, "client_error_rate": 0.02, "client_codes": (400, 409, 422)}),
        ("GetInvoice", "http", {"per_day": 4200, "d": QUERY, "path": "invoices", "items": True,
                                "client_error_rate": 0.01}),
        ("ListInvoices", "http", {"per_day": 1500, "d": SLOW, "path": "invoices/list"}),
        ("BookInvoice", "servicebus", {"source": "invoices/Subscriptions/booking", "upstream": "PutInvoice",
                                       "passes_on": 1.0, "d": WRITE, "spread_s": 1.5}),
    )),
    ("reports", "internal", True, 0.0, (
        ("BuildReport", "http", {"per_day": 240, "d": LONG, "path": "reports", "method": 1, "dependency": "warehouse",
                                 "failure_rate": 0.012}),
        ("GetReport", "http", {"per_day": 700, "d": QUERY, "path": "reports", "items": True, "dependency": "storage"}),
        ("ExportRows", "http", {"per_day": 60, "d": SLOW, "path": "export", "dependency": "warehouse"}),
        ("NightlyReport", "timer", {"period_s": 86400, "offset_s": 8100, "d": BATCH, "dependency": "warehouse"}),
        ("FillCube", "queue", {"source": "cubes", "upstream": "NightlyReport", "passes_on": 260.0, "d": SLOW,
                               "spread_s": 900.0, "dependency": "warehouse"}),
        ("WeeklyDigest", "timer", {"period_s": 604800, "offset_s": 367200, "d": BATCH, "dependency": "mail"}),
    )),
    ("devices", "devices", False, 0.0, (
        ("IngestReading", "http", {"per_day": 16000, "d": FAST, "path": "readings", "method": 1, "ok_code": 204,
                                   "client_error_rate": 0.004, "client_codes": (400,), "dependency": "hub"}),
        ("AggregateReadings", "eventhub", {"per_day": 5200, "d": WRITE, "dependency": "hub"}),
        ("SweepDevices", "timer", {"period_s": 60, "offset_s": 0, "d": FAST, "dependency": "hub"}),
    )),
    ("media", "customers", True, 0.05, (
        ("UploadImage", "http", {"per_day": 1300, "d": CALL_OUT, "path": "images", "method": 1, "ok_code": 201,
                                 "dependency": "storage", "client_error_rate": 0.02, "client_codes": (413, 415)}),
        ("ResizeImage", "blob", {"source": "uploads", "upstream": "UploadImage", "passes_on": 1.0, "d": SLOW,
                                 "spread_s": 6.0, "dependency": "storage", "failure_rate": 0.006}),
        ("GetImage", "http", {"per_day": 5200, "d": FAST, "path": "images", "items": True, "dependency": "storage",
                              "client_error_rate": 0.03, "client_codes": (404, 304)}),
    )),
    ("billing", "partners", False, 0.0, (
        ("StripeWebhook", "http", {"per_day": 900, "d": WRITE, "path": "hooks/payments", "method": 1,
                                   "dependency": "payments"}),
        ("ChargeCard", "queue", {"source": "charges", "upstream": "StripeWebhook", "passes_on": 0.8, "d": CALL_OUT,
                                 "dependency": "payments", "failure_rate": 0.02}),
        ("NightlyCharges", "timer", {"period_s": 86400, "offset_s": 4500, "d": BATCH, "dependency": "payments"}),
        ("SettleAccount", "queue", {"source": "settlements", "upstream": "NightlyCharges", "passes_on": 380.0,
                                    "d": WRITE, "spread_s": 1500.0, "dependency": "payments"}),
    )),
    ("backoffice", "internal", True, 0.0, (
        ("ExportUsers", "http", {"per_day": 3, "d": SLOW, "path": "users/export"}),
        ("GrantRole", "http", {"per_day": 6, "d": WRITE, "path": "roles", "method": 2}),
        ("PurgeCache", "http", {"per_day": 0.8, "d": WRITE, "path": "cache", "method": 3, "dependency": "cache"}),
        ("FindCustomer", "http", {"per_day": 420, "d": QUERY, "path": "customers", "client_error_rate": 0.04}),
    )),
    ("integration", "partners", False, 0.0, (
        ("SyncCrm", "servicebus", {"source": "customers/Subscriptions/crm", "upstream": "UpdateProfile",
                                   "passes_on": 1.0, "d": CALL_OUT, "dependency": "crm",
                                   "failure_rate": 0.015, "spread_s": 3.0}),
        ("PollErp", "timer", {"period_s": 300, "offset_s": 15, "d": CALL_OUT, "dependency": "erp",
                               "failure_rate": 0.01}),
        ("Health", "http", {"per_day": 0, "d": FAST, "path": "health", "dependency": "none", "failure_rate": 0.0004}),
    )),
)  # fmt: skip


def hidden(rng: np.random.Generator, apps: tuple[App, ...], index: int) -> Function:
    """A function that no normal day sees: someone puts it there."""
    app = int(rng.integers(len(apps)))
    name = str(rng.choice(["HealthV2", "WarmUp", "DiagTrigger", "HttpTrigger1", "UpdateHelper"]))
    return Function(index, app, name, "http", 0.0, Modes(WRITE), path=f"/api/{name.lower()}", method=1, hidden=True)


def build(seed: int, scale: float) -> Tenant:
    """The built-in tenant; the seed varies rates, durations, rhythms, homes and a few traits.

    Args:
        seed: of the tenant.
        scale: 1 is about EVENTS_A_DAY; rare functions and timers keep their pace.
    """
    rng = stream(seed, "catalogue")
    prefix = str(rng.choice(PREFIXES))
    total = sum(options.get("per_day", 0.0) for row in CATALOGUE for _, _, options in row[4])
    factor = scale * EVENTS_A_DAY * (1 - CHAINED_SHARE) / total
    home = rng.choice(len(PLACES), p=WEIGHT / WEIGHT.sum())
    country = [index for index, place in enumerate(PLACES) if place.country == PLACES[home].country]
    stripped = int(rng.integers(len(CATALOGUE)))
    apps: list[App] = []
    functions: list[Function] = []
    numbers: dict[str, int] = {}
    for app, (kind, audience, signed_in, strangers, rows) in enumerate(CATALOGUE):
        apps.append(
            App(
                index=app,
                name=f"{prefix}-{kind}",
                audience=audience,
                shift_h=float(rng.normal(0.0, 0.7)),
                signed_in=signed_in and bool(rng.random() < 0.7 or kind == "accounts"),
                strangers=strangers,
                traces_query=kind == "shop-api" or bool(rng.random() < 0.2),
                logs_version=bool(rng.random() < 0.35),
                strips_quotes=app == stripped,
                time_limit_ms=TIME_LIMITS_MS[int(rng.choice(len(TIME_LIMITS_MS), p=[0.5, 0.2, 0.3]))],
                home=tuple(country) if audience == "internal" else (),
            )
        )
        for name, trigger, settings in rows:
            options = dict(settings)
            per_day = options.pop("per_day", 0.0) * float(np.exp(rng.normal(0.0, 0.25)))
            speed = float(np.exp(rng.normal(0.0, 0.35)))
            modes = tuple((w, m * speed, s) for w, m, s in options.pop("d"))
            if "upstream" in options:
                options["upstream"] = numbers[options["upstream"]]
            if options.get("passes_on", 0.0) > MANY:
                options["passes_on"] = max(5.0, options["passes_on"] * min(scale, 10.0) ** 0.7)
            # some functions never fail, some fail every tenth time and nobody minds
            failing = options.get("failure_rate", USUAL_FAILURE_RATE) * float(np.exp(rng.normal(0.0, 1.1)))
            options["failure_rate"] = min(failing, MOST_FAILURE_RATE)
            if "client_error_rate" in options:
                options["client_error_rate"] = min(
                    0.3, options["client_error_rate"] * float(np.exp(rng.normal(0.0, 0.6)))
                )
            if "path" in options:
                options["path"] = f"/api/{options['path']}"
            assert options.get("method", 0) < len(METHODS)  # noqa: S101 - the table above is ours
            numbers[name] = len(functions)
            functions.append(
                Function(
                    index=len(functions),
                    app=app,
                    name=name,
                    trigger=trigger,
                    per_day=per_day * factor if per_day > SPARSE_A_DAY else per_day,
                    durations=Modes(
                        modes, tail=float(rng.uniform(0.002, 0.02)), tail_alpha=float(rng.uniform(1.3, 2.2))
                    ),
                    **options,
                )
            )
    functions.append(hidden(rng, tuple(apps), len(functions)))
    return Tenant(prefix, tuple(apps), tuple(functions))

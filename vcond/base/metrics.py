"""Every metric of vcond, in one place. Any room but the pure ones may import this module; it imports nothing of vcond.

Labels are bounded: an adapter's name, a sink's name, a short fixed token. Never a call, a number, a word.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

calls_active = Gauge("vcond_calls_active", "Active calls", ["adapter"])
calls_total = Counter("vcond_calls_total", "Calls by how they ended", ["adapter", "outcome"])
recovered_calls_total = Counter("vcond_recovered_calls_total", "Calls found unfinished at a start", ["adapter"])
call_findings_total = Counter(
    "vcond_call_findings_total",
    "Calls in whose record something is missing, by cause: vcond doctor",
    ["adapter", "code"],
)
adapter_connected = Gauge("vcond_adapter_connected", "1 while the system is attached", ["adapter"])
media_seconds_total = Counter("vcond_media_seconds_total", "Seconds of tracks by kind", ["adapter", "kind"])
leg_silent_total = Counter("vcond_leg_silent_total", "Parties that were answered and not heard", ["adapter"])
stt_lag_seconds = Histogram(
    "vcond_stt_lag_seconds", "End of an utterance to its text", buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120)
)
stt_backlog = Gauge("vcond_stt_backlog_utterances", "Utterances that wait for their text")
stt_calls = Gauge("vcond_stt_calls", "Active calls, by how they are transcribed", ["state"])
stt_load = Gauge("vcond_stt_load", "What the texts of all active calls would take of what they may; over 1 some wait")
stt_cost = Gauge("vcond_stt_cost_ratio", "Seconds of a worker for a second of audio, by kind of work", ["kind"])
stt_deferred_utterances = Gauge("vcond_stt_deferred_utterances", "Utterances that were deferred and wait")
stt_deferred_seconds = Gauge("vcond_stt_deferred_seconds", "Seconds of speech that were deferred and wait")
stt_partial_lag_seconds = Histogram(
    "vcond_stt_partial_lag_seconds", "Audio heard to its words while they are spoken; over 2 s they are not shown",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10),
)  # fmt: skip
stt_worker_restarts_total = Counter("vcond_stt_worker_restarts_total", "Speech workers started again", ["reason"])
journal_fsync_seconds = Histogram(
    "vcond_journal_fsync_seconds", "One round of fsync", buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
)
journal_pending_bytes = Gauge("vcond_journal_pending_bytes", "Captured, not yet handed to the file system")
outbox_vcons = Gauge("vcond_outbox_vcons", "vCons in the outbox", ["sink", "state"])
outbox_oldest_seconds = Gauge("vcond_outbox_oldest_seconds", "Age of the oldest vCon that is not delivered", ["sink"])
sink_up = Gauge("vcond_sink_up", "1 while a sink takes deliveries", ["sink"])
sink_held = Gauge("vcond_sink_held", "1 while vCons wait for a sink until somebody sets something right", ["sink"])
deliveries_total = Counter("vcond_deliveries_total", "Tries to deliver", ["sink", "outcome"])
confirmations_total = Counter(
    "vcond_confirmations_total", "Delivered vCons that a receiver was asked for", ["sink", "answer"]
)
delivery_seconds = Histogram("vcond_delivery_seconds", "One try to deliver", ["sink"])
amending = Gauge("vcond_amending", "vCons that left without all texts, and whose amended one is still to come")
amended_total = Counter("vcond_amended_total", "Amended vCons by what became of them", ["outcome"])
quarantined_total = Counter("vcond_quarantined_total", "vCons that failed our own validation and were set aside")
ingress_refused_total = Counter("vcond_ingress_refused_total", "Requests without the ingress token")
pressure = Gauge(
    "vcond_pressure",
    "What is given up for want of it: 0 nothing, 1 words while they are spoken, 2 texts, 3 new calls",
    ["resource"],
)
dropped_total = Counter("vcond_dropped_total", "Lost; should be 0 for ever", ["what", "reason"])
odd_events_total = Counter("vcond_odd_events_total", "Events of a peer that made no sense", ["adapter"])
build_info = Gauge("vcond_build_info", "1", ["version"])

"""Every metric of vcond, in one place. Any room but the pure ones may import this module; it imports nothing of vcond.

Labels are bounded: an adapter's name, a sink's name, a short fixed token. Never a call, a number, a word.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

calls_active = Gauge("vcond_calls_active", "Active calls", ["adapter"])
calls_total = Counter("vcond_calls_total", "Calls by outcome", ["adapter", "outcome"])
recovered_calls_total = Counter("vcond_recovered_calls_total", "Calls found unfinished at a start", ["adapter"])
calls_missing_audio = Gauge(
    "vcond_calls_missing_audio", "Active calls with a party of whom nothing, or only silence, comes", ["adapter"]
)
call_findings_total = Counter(
    "vcond_call_findings_total",
    "Calls in whose record something is missing, by cause: vcond doctor",
    ["adapter", "code"],
)
adapter_connected = Gauge("vcond_adapter_connected", "1 while the system is attached", ["adapter"])
consents_total = Counter(
    "vcond_consents_total",
    "What parties said of consent: state and the way in which it came",
    ["adapter", "state", "how"],
)
pauses_total = Counter(
    "vcond_pauses_total", "Pauses of recordings, by who wanted them: party, operator, platform, rule", ["adapter", "by"]
)
media_seconds_total = Counter("vcond_media_seconds_total", "Seconds of tracks by kind", ["adapter", "kind"])
leg_silent_total = Counter("vcond_leg_silent_total", "Answered parties without audio", ["adapter"])
stt_lag_seconds = Histogram(
    "vcond_stt_lag_seconds",
    "Time from the end of an utterance to its text",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),
)
stt_backlog = Gauge("vcond_stt_backlog_utterances", "Utterances that wait for transcription")
stt_calls = Gauge("vcond_stt_calls", "Active calls, by how they are transcribed", ["state"])
stt_load = Gauge(
    "vcond_stt_load", "Speech work of all active calls as a share of what is available; over 1 some work is deferred"
)
stt_cost = Gauge("vcond_stt_cost_ratio", "Worker seconds per second of audio, by kind of work", ["kind"])
stt_deferred_utterances = Gauge("vcond_stt_deferred_utterances", "Deferred utterances that wait")
stt_deferred_seconds = Gauge("vcond_stt_deferred_seconds", "Seconds of deferred speech that wait")
stt_partial_lag_seconds = Histogram(
    "vcond_stt_partial_lag_seconds", "Delay of live captions; captions later than 2 s are not shown",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10),
)  # fmt: skip
stt_queue_waiting = Gauge(
    "vcond_stt_queue_waiting", "Utterances that were sent to other machines and wait for an answer"
)
stt_queue_answers_total = Counter(
    "vcond_stt_queue_answers_total",
    "Answers of other machines: texts, refusals, late ones (or doubles) that nobody waited for, and those that were none",
    ["kind"],
)
stt_queue_jobs = Gauge(
    "vcond_stt_queue_jobs",
    "Utterances in the queue, of all machines, as one that transcribes sees them: waiting, or in hand",
    ["state"],
)
stt_serving = Gauge("vcond_stt_serving", "1 while this machine takes utterances of others (vcond speech serve)")
stt_served_total = Counter(
    "vcond_stt_served_total",
    "What became of utterances of other machines: text, why one was refused, given-back, or dropped as it was no job",
    ["kind"],
)
stt_served_lag_seconds = Histogram(
    "vcond_stt_served_lag_seconds",
    "Time from the moment in which the queue had an utterance to its answer",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 600),
)
stt_worker_restarts_total = Counter("vcond_stt_worker_restarts_total", "Restarts of speech workers", ["reason"])
journal_fsync_seconds = Histogram(
    "vcond_journal_fsync_seconds", "One round of fsync", buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
)
journal_pending_bytes = Gauge("vcond_journal_pending_bytes", "Bytes captured, not yet written to the file system")
outbox_vcons = Gauge("vcond_outbox_vcons", "vCons in the outbox", ["sink", "state"])
outbox_unmatched = Gauge("vcond_outbox_unmatched", "vCons that the match of no sink takes: nobody gets them")
outbox_oldest_seconds = Gauge("vcond_outbox_oldest_seconds", "Age of the oldest undelivered vCon", ["sink"])
sink_up = Gauge("vcond_sink_up", "1 while a sink accepts deliveries", ["sink"])
sink_held = Gauge(
    "vcond_sink_held", "1 while a sink is held: its vCons wait until an operator corrects something", ["sink"]
)
deliveries_total = Counter("vcond_deliveries_total", "Delivery attempts", ["sink", "outcome"])
confirmations_total = Counter(
    "vcond_confirmations_total", "Delivered vCons that a receiver was asked for", ["sink", "answer"]
)
delivery_seconds = Histogram("vcond_delivery_seconds", "Duration of a delivery attempt", ["sink"])
amending = Gauge("vcond_amending", "vCons delivered without all texts whose amended vCon is pending")
redactions_total = Counter("vcond_redactions_total", "Redacted vCons by result", ["outcome"])
amended_total = Counter("vcond_amended_total", "Amended vCons by result", ["outcome"])
quarantined_total = Counter("vcond_quarantined_total", "vCons that failed validation and were set aside")
ingress_refused_total = Counter("vcond_ingress_refused_total", "Requests without the ingress token")
api_refused_total = Counter(
    "vcond_api_refused_total",
    "Requests to the API that were refused: token, role, origin, pace, watchers, connections, memory, search",
    ["reason"],
)
api_watchers = Gauge("vcond_api_watchers", "Who follows events of the API")
api_cut_off_total = Counter("vcond_api_cut_off_total", "Followers of events who did not read and were cut off")
hub_received_total = Counter("vcond_hub_received_total", "vCons that the hub took, repeats included")
hub_received_bytes_total = Counter("vcond_hub_received_bytes_total", "Bytes of vCons that the hub took")
hub_refused_total = Counter(
    "vcond_hub_refused_total",
    "Requests that the hub did not carry out: token, invalid, size, memory, storage, starting, connections, held, absent, request, internal",
    ["reason"],
)
links_made_total = Counter("vcond_links_made_total", "vCons that a link of the hub made", ["link"])
pressure = Gauge(
    "vcond_pressure",
    "What is given up because it runs short: 0 nothing, 1 live captions, 2 texts (they come later), 3 new calls",
    ["resource"],
)
dropped_total = Counter("vcond_dropped_total", "Lost audio or events; should stay 0", ["what", "reason"])
certificate_expiry = Gauge(
    "vcond_certificate_expiry_timestamp_seconds",
    "When the first certificate of a section ends, as Unix time",
    ["section"],
)
odd_events_total = Counter("vcond_odd_events_total", "Malformed or unexpected events of a peer", ["adapter"])
build_info = Gauge("vcond_build_info", "1", ["version"])
